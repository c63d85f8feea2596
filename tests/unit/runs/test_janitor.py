"""The janitor removes what is over, keeps failed ones longer, and never touches what is not ours."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import docker
import pytest
from dagster import DagsterRunStatus as Status
from gate_under_test import GateUnderTest
from runs_under_test import new_run

from tranship.runs.config import Retention
from tranship.runs.janitor import sweep

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
RETENTION = Retention(finished_hours=24, failed_hours=168)


def ended(gate: GateUnderTest, run_id: str, hours_ago: float, status: str = "exited") -> str:
    finished = (NOW - timedelta(hours=hours_ago)).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")
    labels = {"tranship/deployment": "test", "dagster/run_id": run_id}
    container = gate.engine.add(labels, Status=status, FinishedAt=finished)
    container.created = finished
    return container.id


def swept(gate: GateUnderTest, instance: dg.DagsterInstance) -> set[str]:
    """Sweep; give the ids that are still there."""
    client = docker.DockerClient(f"unix://{gate.daemon}")
    sweep(instance, client, "test", RETENTION, now=NOW)
    client.close()
    return set(gate.engine.containers)


@pytest.mark.parametrize(
    ("status", "hours", "stays"),
    [
        (Status.SUCCESS, 23, True),
        (Status.SUCCESS, 25, False),
        (Status.CANCELED, 25, False),
        (Status.FAILURE, 25, True),
        (Status.FAILURE, 167, True),
        (Status.FAILURE, 169, False),
        (Status.STARTED, 999, True),
        (Status.CANCELING, 999, True),
    ],
)
def test_a_container_stays_as_long_as_its_runs_end_says(
    gate: GateUnderTest, instance: dg.DagsterInstance, status: Status, hours: float, stays: bool
):
    container = ended(gate, new_run(instance, status=status).run_id, hours)
    assert swept(gate, instance) == ({container} if stays else set())


@pytest.mark.parametrize("status", ["running", "paused", "restarting"])
def test_what_lives_is_never_removed(
    gate: GateUnderTest, instance: dg.DagsterInstance, status: str
):
    run = new_run(instance, status=Status.SUCCESS)
    assert swept(gate, instance) == set()
    container = ended(gate, run.run_id, 999, status)
    assert swept(gate, instance) == {container}


def test_what_is_not_ours_is_never_removed(gate: GateUnderTest, instance: dg.DagsterInstance):
    run = new_run(instance, status=Status.SUCCESS)
    old = {"Status": "exited", "FinishedAt": "2020-01-01T00:00:00Z"}
    others = {
        gate.engine.add(labels, **old).id
        for labels in (
            {},
            {"dagster/run_id": run.run_id},
            {"dagster/run_id": run.run_id, "tranship/deployment": "production"},
            {"tranship/deployment": "test"},
        )
    }
    ended(gate, run.run_id, 999)
    assert swept(gate, instance) == others


def test_containers_of_deleted_runs_and_never_started_ones_go_too(
    gate: GateUnderTest, instance: dg.DagsterInstance
):
    ended(gate, "a-run-that-was-deleted", 169)
    ended(gate, new_run(instance, status=Status.FAILURE).run_id, 2, status="created")
    kept = ended(gate, new_run(instance, status=Status.STARTING).run_id, 2, status="created")
    assert swept(gate, instance) == {kept}
