"""A schedule or sensor whose tick fails is told once, and once more when a tick ends well."""

import time
from collections.abc import Callable

import dagster as dg
import pytest
from alert_receivers import WebhookServer
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster_shared.error import SerializableErrorInfo

from tranship.alerts.sensors import RUNS_SENSOR

KINDS = {
    InstigatorType.SCHEDULE: ScheduleInstigatorData("0 6 * * *"),
    InstigatorType.SENSOR: SensorInstigatorData(min_interval=30),
}
CAUSE = SerializableErrorInfo("ValueError: no such table", [], "ValueError")


@pytest.fixture
def instance(instance_on_disk: dg.DagsterInstance) -> dg.DagsterInstance:
    """One that keeps ticks."""
    return instance_on_disk


@pytest.fixture
def add_state(instance: dg.DagsterInstance) -> Callable[..., InstigatorState]:
    """Switches a schedule or sensor on."""
    location = ManagedGrpcPythonEnvCodeLocationOrigin(
        LoadableTargetOrigin(module_name="etl.definitions")
    )
    repository = RemoteRepositoryOrigin(location, "__repository__")

    def add(name: str, kind: InstigatorType = InstigatorType.SCHEDULE) -> InstigatorState:
        state = InstigatorState(
            RemoteInstigatorOrigin(repository, name), kind, InstigatorStatus.RUNNING, KINDS[kind]
        )
        instance.add_instigator_state(state)
        return state

    return add


def tick_of(instance: dg.DagsterInstance, state: InstigatorState, status: TickStatus) -> None:
    instance.create_tick(
        TickData(
            instigator_origin_id=state.instigator_origin_id,
            instigator_name=state.name,
            instigator_type=state.instigator_type,
            status=status,
            timestamp=time.time(),
            end_timestamp=time.time(),
            selector_id=state.selector_id,
            error=CAUSE if status is TickStatus.FAILURE else None,
            run_ids=[],
        )
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_failing_tick_is_told_once_and_once_more_when_one_ends_well(
    webhook: WebhookServer,
    instance: dg.DagsterInstance,
    ticks,
    add_state: Callable[..., InstigatorState],
    kind: InstigatorType,
):
    state, look = add_state("nightly", kind), ticks(RUNS_SENSOR)
    for status in (TickStatus.SKIPPED, TickStatus.FAILURE, TickStatus.FAILURE, TickStatus.STARTED):
        tick_of(instance, state, status)
        look()
    (body,) = webhook.bodies
    assert body["text"] == f"🔴 Failing: {kind.value.lower()} nightly"
    assert "ValueError: no such table" in str(body["blocks"])
    tick_of(instance, state, TickStatus.SUCCESS)
    look()
    assert webhook.bodies[1]["text"] == f"🟢 Working again: {kind.value.lower()} nightly"


def test_one_that_is_switched_off_is_forgotten_and_the_alert_sensors_are_the_watchers(
    webhook: WebhookServer,
    instance: dg.DagsterInstance,
    ticks,
    add_state: Callable[..., InstigatorState],
):
    nightly, own = add_state("nightly"), add_state(RUNS_SENSOR, InstigatorType.SENSOR)
    look = ticks(RUNS_SENSOR)
    for state in (nightly, own):
        tick_of(instance, state, TickStatus.FAILURE)
    look()
    instance.update_instigator_state(nightly.with_status(InstigatorStatus.STOPPED))
    look()
    assert [body["text"] for body in webhook.bodies] == ["🔴 Failing: schedule nightly"]
