"""A retry that Dagster gave up because the code server was away is asked for again once it is back."""

import logging
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.events import EngineEventData, JobFailureData, RunFailureReason
from dagster_shared.error import SerializableErrorInfo
from runs_under_test import messages, new_run

from tranship.runs import lost_retries as module
from tranship.runs.lost_retries import LostRetries

AWAY = SerializableErrorInfo(
    "DagsterCodeLocationLoadError: Failure loading etl", [], "DagsterCodeLocationLoadError"
)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    settings = {"run_retries": {"enabled": True, "max_retries": 2}}
    with dg.instance_for_test(overrides=settings) as instance:
        yield instance


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the code server answers: the last one of the list says so."""
    answers = [True]
    monkeypatch.setattr(module, "code_server_answers", lambda _: answers[-1])
    return answers


def failed_run(instance: dg.DagsterInstance) -> dg.DagsterRun:
    """A run whose container died; Dagster means to retry it."""
    run = new_run(instance, status=dg.DagsterRunStatus.STARTED)
    reason = JobFailureData(error=None, failure_reason=RunFailureReason.UNEXPECTED_TERMINATION)
    instance.report_run_failed(run, "Its container ended.", reason)
    return run


def give_up(instance: dg.DagsterInstance, run: dg.DagsterRun, error: SerializableErrorInfo) -> None:
    """What Dagster's daemon does when it cannot load the run's code."""
    instance.report_engine_event("Failed to retry run", run, EngineEventData(error=error))
    instance.add_run_tags(run.run_id, {"dagster/will_retry": "false"})


def will_retry(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status == dg.DagsterRunStatus.FAILURE
    return found.tags.get("dagster/will_retry")


def failures_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> int:
    return len(instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE))


def test_a_retry_is_asked_for_again_when_the_code_server_is_back(
    instance: dg.DagsterInstance, server: list[bool]
):
    run = failed_run(instance)
    assert will_retry(instance, run) == "true"
    give_up(instance, run, AWAY)
    retries = LostRetries(logging.getLogger(__name__))
    server.append(False)
    assert retries.take_up(instance) == []
    server.append(True)
    assert retries.take_up(instance) == [run.run_id]
    # The daemon retries what fails and will be retried; it reads of it once more.
    assert (will_retry(instance, run), failures_of(instance, run)) == ("true", 2)
    assert "The code server is back" in messages(instance, run.run_id)
    assert retries.take_up(instance) == []


def test_a_wrapped_error_is_known_and_another_one_is_left_alone(
    instance: dg.DagsterInstance, server: list[bool]
):
    wrapped, other = failed_run(instance), failed_run(instance)
    give_up(instance, wrapped, SerializableErrorInfo("x", [], "SomeError", cause=AWAY))
    give_up(instance, other, SerializableErrorInfo("x", [], "DagsterInvariantViolationError"))
    assert LostRetries(logging.getLogger(__name__)).take_up(instance) == [wrapped.run_id]


def test_a_run_that_was_not_to_be_retried_is_left_alone(
    instance: dg.DagsterInstance, server: list[bool]
):
    run = failed_run(instance)
    instance.add_run_tags(run.run_id, {"dagster/will_retry": "false"})
    assert LostRetries(logging.getLogger(__name__)).take_up(instance) == []
    assert failures_of(instance, run) == 1


def test_a_code_server_that_answers_and_cannot_be_loaded_is_told_after_five_times(
    instance: dg.DagsterInstance, server: list[bool], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_BETWEEN_SECONDS", 0.0)
    run = failed_run(instance)
    retries = LostRetries(logging.getLogger(__name__))
    for _ in range(module._MOST_ATTEMPTS):
        give_up(instance, run, AWAY)
        assert retries.take_up(instance) == [run.run_id]
    give_up(instance, run, AWAY)
    assert retries.take_up(instance) == []
    assert will_retry(instance, run) == "false"
    assert "It is not retried: its code server answers" in messages(instance, run.run_id)
    assert retries.take_up(instance) == []
