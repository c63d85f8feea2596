"""Runs as a code location asks for them, launched through an instance under test."""

from typing import Any

import dagster as dg
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.test_utils import create_run_for_test

from tranship.runs.launcher import ContainerRunLauncher

IMAGE = "tranship/user-code:1"
CONFIG = {
    "deployment": "test",
    "network": "runs",
    "limits": {"memory": "1g", "cpus": "1", "pids": 128},
    "ceiling": {"memory": "2g", "cpus": "2", "pids": 256},
}


def launcher_of(instance: dg.DagsterInstance) -> ContainerRunLauncher:
    launcher = instance.run_launcher
    assert isinstance(launcher, ContainerRunLauncher)
    return launcher


def new_run(
    instance: dg.DagsterInstance,
    *,
    tags: dict[str, str] | None = None,
    image: str = IMAGE,
    context: dict[str, Any] | None = None,
    status: dg.DagsterRunStatus = dg.DagsterRunStatus.NOT_STARTED,
) -> dg.DagsterRun:
    """Record a run as a code location's request would."""
    repository = RepositoryPythonOrigin(
        executable_path="/opt/venv/bin/python",
        code_pointer=ModuleCodePointer("etl.definitions", "defs", None),
        container_image=image,
        entry_point=["dagster"],
        container_context=context,
    )
    return create_run_for_test(
        instance,
        job_name="run_etl_job",
        tags=tags,
        status=status,
        job_code_origin=JobPythonOrigin("run_etl_job", repository),
    )


def launch(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    """Launch a run; give it as it is afterwards."""
    instance.launch_run(run.run_id, workspace=None)  # pyright: ignore[reportArgumentType]
    launched = instance.get_run_by_id(run.run_id)
    assert launched is not None
    return launched


def messages(instance: dg.DagsterInstance, run_id: str) -> str:
    """All event messages of a run, as the UI shows them."""
    return "\n".join(entry.user_message or entry.message for entry in instance.all_logs(run_id))
