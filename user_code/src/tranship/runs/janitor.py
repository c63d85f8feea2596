"""The janitor: removes run containers some time after they ended, and never anything that is not ours."""

# Docker's client has no stubs; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg
import docker
from docker import errors as docker_errors

from tranship.runs.config import Retention
from tranship.runs.containers import (
    DEPLOYMENT_LABEL,
    RUN_ID_LABEL,
    ContainerState,
    find_state,
)

#: A container that was made and never started is a leftover of a launch that was cut off.
NEVER_STARTED = timedelta(hours=1)


def sweep(
    instance: dg.DagsterInstance,
    client: docker.DockerClient,
    deployment: str,
    retention: Retention,
    now: datetime | None = None,
    logger: logging.Logger | None = None,
) -> list[str]:
    """Remove the run containers whose time is over.

    A container counts as ours by both labels, `tranship/deployment` with our value and `dagster/run_id`.
    One that is running, paused or restarting is never touched, nor is one whose run is still in progress.

    Args:
        instance: Where the runs are recorded.
        client: The engine, or the gate in front of it.
        deployment: Our value of the label.
        retention: How long ended containers stay.
        now: The present; by default the clock's.
        logger: Where each removal is told; by default this module's logger.

    Returns:
        The names of the removed containers.

    Raises:
        docker.errors.DockerException: The engine fails or refuses.
    """
    logger = logger or logging.getLogger(__name__)
    now = now or datetime.now(UTC)
    candidates = _ended_containers(client, deployment)
    statuses = _run_statuses(instance, set(candidates.values()))
    removed: list[str] = []
    for container_id, run_id in candidates.items():
        try:
            state = find_state(client, container_id)
            if state is None or not _is_over(state, statuses.get(run_id), retention, now):
                continue
            # Without force: one that has started since is refused by the engine, and stays.
            client.api.remove_container(container_id, v=True)
        except docker_errors.NotFound:
            continue
        except docker_errors.APIError as error:
            if error.status_code != 409:  # 409: it is running, or being removed already
                # The others are removed all the same.
                logger.error(
                    "Container %s of run %s cannot be removed: %s", container_id[:12], run_id, error
                )
            continue
        logger.info("Removed container %s of run %s.", state.name, run_id)
        removed.append(state.name)
    return removed


def _ended_containers(client: docker.DockerClient, deployment: str) -> dict[str, str]:
    """Our containers in which nothing runs: id, and the run it was made for."""
    label = f"{DEPLOYMENT_LABEL}={deployment}"
    listed = client.api.containers(all=True, filters={"label": [label]})
    return {
        entry["Id"]: entry["Labels"][RUN_ID_LABEL]
        for entry in listed
        if entry["State"] in ("created", "exited", "dead")
        and (entry.get("Labels") or {}).get(DEPLOYMENT_LABEL) == deployment
        and (entry.get("Labels") or {}).get(RUN_ID_LABEL)
    }


def _is_over(
    state: ContainerState, status: dg.DagsterRunStatus | None, retention: Retention, now: datetime
) -> bool:
    if status is not None and status not in _FINISHED:
        return False
    if state.status == "created":
        return state.created is not None and now - state.created > NEVER_STARTED
    if not state.ended or state.finished is None:
        return False
    went_well = status in _WENT_WELL
    hours = retention.finished_hours if went_well else retention.failed_hours
    return now - state.finished > timedelta(hours=hours)


def _run_statuses(
    instance: dg.DagsterInstance, run_ids: set[str]
) -> Mapping[str, dg.DagsterRunStatus]:
    """Look up the runs' statuses; a run that was deleted has none."""
    if not run_ids:
        return {}
    runs = instance.get_runs(dg.RunsFilter(run_ids=sorted(run_ids)))
    return {run.run_id: run.status for run in runs}


_WENT_WELL = frozenset({dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED})
_FINISHED = _WENT_WELL | {dg.DagsterRunStatus.FAILURE}
