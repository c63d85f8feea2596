"""The keeper sees each container for itself, and stops those whose runs were given up."""

import time

import dagster as dg
import pytest
from dagster._core.events import JobFailureData, RunFailureReason
from gate_under_test import GateUnderTest
from runs_under_test import launch, launcher_of, messages, new_run
from test_launcher import dies, wait_until_finished

from tranship.runs import keeper as module
from tranship.runs.keeper import RunKeeper


def a_look(instance: dg.DagsterInstance) -> RunKeeper:
    """A keeper that was just started, after it has looked once; its thread is the test's."""
    keeper = RunKeeper(lambda: instance, launcher_of(instance), lambda _: None, sweep_seconds=0)
    keeper._take_up(instance)
    keeper._take_up_running()
    keeper._look(instance)
    return keeper


@pytest.fixture
def unwatched(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    """An instance whose launcher's own keeper does not look: the test does."""
    monkeypatch.setattr(RunKeeper, "start", lambda _: None)
    return instance


def give_up(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """What Dagster's run monitoring does after `start_timeout_seconds`."""
    reason = JobFailureData(error=None, failure_reason=RunFailureReason.START_TIMEOUT)
    instance.report_run_failed(
        run, "Run timed out due to taking longer than 120 s to start.", reason
    )


def test_a_container_that_is_refused_hides_none_of_those_behind_it(
    gate: GateUnderTest, unwatched: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
):
    hidden, dying = (launch(unwatched, new_run(unwatched)) for _ in range(2))
    refused, dead = (
        gate.engine.containers[run.tags["docker/container_id"]] for run in (hidden, dying)
    )
    refused.body["Labels"]["tranship/deployment"] = "somebody else's"
    dies(3)(dead)
    keeper = a_look(unwatched)
    keeper._look(unwatched)
    failed = unwatched.get_run_by_id(dying.run_id)
    assert failed is not None
    assert failed.status == dg.DagsterRunStatus.FAILURE
    waiting = unwatched.get_run_by_id(hidden.run_id)
    assert waiting is not None
    assert waiting.status == dg.DagsterRunStatus.STARTING
    told = [text for text in caplog.messages if "cannot be looked at" in text]
    assert len(told) == 1
    assert refused.id[:12] in told[0]


def test_a_container_whose_run_took_too_long_to_start_is_stopped_at_once(
    gate: GateUnderTest, unwatched: dg.DagsterInstance
):
    run = launch(unwatched, new_run(unwatched))
    (container,) = gate.engine.containers.values()
    give_up(unwatched, run)
    a_look(unwatched)
    assert container.state["Status"] == "exited"
    assert "its run was given up before it started, and it still runs" in messages(
        unwatched, run.run_id
    )


def test_the_container_of_a_run_that_has_ended_gets_a_minute_to_end_itself(
    gate: GateUnderTest, unwatched: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    run = launch(unwatched, new_run(unwatched))
    (container,) = gate.engine.containers.values()
    unwatched.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, run.job_name), run.run_id
    )
    unwatched.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, run.job_name), run.run_id
    )
    keeper = a_look(unwatched)
    assert container.state["Status"] == "running"
    monkeypatch.setattr(module, "_ENDING_SECONDS", 0.0)
    keeper._look(unwatched)
    assert container.state["Status"] == "exited"


def test_a_launched_run_that_is_given_up_leaves_no_container_running(
    gate: GateUnderTest, instance: dg.DagsterInstance
):
    run = launch(instance, new_run(instance))
    (container,) = gate.engine.containers.values()
    give_up(instance, run)
    wait_until_finished(instance, run.run_id)
    for _ in range(300):
        if container.state["Status"] == "exited":
            return
        time.sleep(0.1)
    raise AssertionError("the container was not stopped within 30 seconds")
