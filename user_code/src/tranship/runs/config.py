"""The launcher's configuration in `dagster.yaml`: all of `DockerRunLauncher`'s, and what is ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster_docker.utils import DOCKER_CONFIG_SCHEMA

_LIMITS = {
    "memory": dg.Field(dg.StringSource, is_required=False, description="Such as 512m or 2g."),
    "cpus": dg.Field(dg.StringSource, is_required=False, description='Such as "0.5" or "2".'),
    "pids": dg.Field(dg.IntSource, is_required=False, description="Processes and threads."),
}

LAUNCHER_SCHEMA: dict[str, dg.Field] = {
    **DOCKER_CONFIG_SCHEMA,
    "deployment": dg.Field(
        dg.StringSource,
        default_value="tranship",
        description="Value of the label tranship/deployment on every run container. The janitor touches"
        " containers with this value only, so two deployments on one host need two names.",
    ),
    "optional_env_vars": dg.Field(
        [str],
        default_value=[],
        description="Names of variables that a run gets where the launching process has them, not empty."
        " Like those of env_vars they are visible in `docker inspect`: no passwords.",
    ),
    "name_prefix": dg.Field(
        dg.StringSource,
        default_value="tranship-run-",
        description="What the names of run containers begin with.",
    ),
    "limits": dg.Field(
        _LIMITS,
        is_required=False,
        description="What a run gets that has no tag tranship/memory, tranship/cpus or tranship/pids.",
    ),
    "ceiling": dg.Field(
        _LIMITS, is_required=False, description="What no run may exceed, whatever its tags ask for."
    ),
    "secrets": dg.Field(
        [{"volume": dg.StringSource, "path": dg.StringSource}],
        default_value=[],
        description="Named volumes of secrets (one file each), mounted read-only at their paths. Their"
        " values enter the run's environment inside the container; `docker inspect` shows the paths.",
    ),
    "pull_attempts": dg.Field(
        dg.IntSource,
        default_value=3,
        description="How often pulling a missing image is tried; 0 never pulls.",
    ),
    "log_tail_lines": dg.Field(
        dg.IntSource,
        default_value=50,
        description="How many of a dead container's last lines go into the run's events.",
    ),
    "retention": dg.Field(
        {
            "finished_hours": dg.Field(
                dg.Float,
                default_value=24.0,
                description="How long containers of succeeded and canceled runs stay.",
            ),
            "failed_hours": dg.Field(
                dg.Float, default_value=168.0, description="How long those of failed runs stay."
            ),
            "sweep_minutes": dg.Field(
                dg.Float,
                default_value=10.0,
                description="How often the janitor looks; 0 switches it off.",
            ),
        },
        description="When the janitor removes containers that have ended.",
        default_value={"finished_hours": 24.0, "failed_hours": 168.0, "sweep_minutes": 10.0},
    ),
}


@dataclass(frozen=True, slots=True)
class SecretsVolume:
    """A named volume of secrets and where run containers mount it, read-only."""

    volume: str
    path: str


@dataclass(frozen=True, slots=True)
class Retention:
    """When containers that have ended are removed.

    Args:
        finished_hours: How long those of succeeded and canceled runs stay.
        failed_hours: How long those of failed runs stay.
        sweep_minutes: How often the janitor looks; 0 switches it off.
    """

    finished_hours: float = 24.0
    failed_hours: float = 168.0
    sweep_minutes: float = 10.0

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None) -> "Retention":
        """Read the `retention` block."""
        return cls(**(config or {}))
