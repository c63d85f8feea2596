"""What starts runs, and what tells how they ended: launchers, code servers, failures.

What a run launcher implements and is given.

Private although launchers are meant to be written by others: `dagster` exports no abstract launcher, contexts or answers
(https://github.com/dagster-io/dagster/issues/5652 asks for a guide; https://github.com/dagster-io/dagster/pull/30275 would be one).

Whether the code server of a run answers.

Private because retries are lost while a code server is away (https://github.com/dagster-io/dagster/issues/14605,
https://github.com/dagster-io/dagster/issues/20730), and who wants to ask for them again has no public way to see that it is back.

Why a run failed, read and written.

Private because a run's failure event is public and its data is not: a sensor has to take the cause out of it
(https://github.com/dagster-io/dagster/issues/9509, https://github.com/dagster-io/dagster/issues/20414), and who watches containers
has no other way to report that a run died (`DagsterInstance.report_run_failed` takes this data).
"""

import dagster as dg
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._core.launcher import LaunchRunContext, ResumeRunContext
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.utils import parse_env_var
from dagster._grpc.types import ExecuteRunArgs, ResumeRunArgs
from dagster_shared.error import SerializableErrorInfo

from tranship.dagster_private.tags import RUN_FAILURE_REASON_TAG

__all__ = [
    "CheckRunHealthResult",
    "ExecuteRunArgs",
    "LaunchRunContext",
    "ResumeRunArgs",
    "ResumeRunContext",
    "SerializableErrorInfo",
    "WorkerStatus",
    "code_server_answers",
    "error_of",
    "parse_env_var",
    "report_died",
    "report_failed_again",
]


def code_server_answers(run: dg.DagsterRun) -> bool:
    """Whether the code server that a run came from answers now."""
    origin = run.remote_job_origin
    if origin is None:
        return False
    location = origin.repository_origin.code_location_origin
    if not isinstance(location, GrpcServerCodeLocationOrigin):
        # Dagster starts it itself, in this process's host.
        return True
    try:
        location.create_client().ping("")
    except Exception:  # noqa: BLE001 - whatever it is, the server does not answer; it is asked again
        return False
    return True


def error_of(event: dg.DagsterEvent) -> SerializableErrorInfo | None:
    """The error of the event that says that a run failed; `None` where it has none."""
    data = event.event_specific_data
    return data.error if isinstance(data, JobFailureData) else None


def report_died(instance: dg.DagsterInstance, run: dg.DagsterRun, message: str) -> None:
    """Report that a run's process ended without a word."""
    _report(instance, run, message, RunFailureReason.UNEXPECTED_TERMINATION)


def report_failed_again(instance: dg.DagsterInstance, run: dg.DagsterRun, message: str) -> None:
    """Report a failed run once more, for the reason it had: whoever retries failed runs looks at it again."""
    reason = RunFailureReason(run.tags.get(RUN_FAILURE_REASON_TAG, RunFailureReason.UNKNOWN))
    _report(instance, run, message, reason)


def _report(
    instance: dg.DagsterInstance, run: dg.DagsterRun, message: str, reason: RunFailureReason
) -> None:
    instance.report_run_failed(run, message, JobFailureData(error=None, failure_reason=reason))
