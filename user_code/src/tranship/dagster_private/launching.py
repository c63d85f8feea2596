"""What a run launcher implements and is given.

Private although launchers are meant to be written by others: `dagster` exports no abstract launcher, contexts or answers
(https://github.com/dagster-io/dagster/issues/5652 asks for a guide; https://github.com/dagster-io/dagster/pull/30275 would be one).
"""

from dagster._core.launcher import LaunchRunContext, ResumeRunContext
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.utils import parse_env_var
from dagster._grpc.types import ExecuteRunArgs, ResumeRunArgs

__all__ = [
    "CheckRunHealthResult",
    "ExecuteRunArgs",
    "LaunchRunContext",
    "ResumeRunArgs",
    "ResumeRunContext",
    "WorkerStatus",
    "parse_env_var",
]
