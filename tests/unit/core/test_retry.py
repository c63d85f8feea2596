"""Passing faults are tried again a bounded number of times, with jittered pauses; others never."""

import logging
from collections.abc import Callable

import pytest

from tranship.errors import (
    ConfigurationError,
    ConnectionFailedError,
    TranshipError,
    TransientError,
    UnreachableError,
    WriteFailedError,
)
from tranship.retry import is_transient, retry_transient


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that would have been slept, in seconds."""
    slept: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", slept.append)
    return slept


class Failing:
    """A call that fails a number of times before it answers."""

    def __init__(self, times: int, error: Callable[[], BaseException] | None = None):
        self.calls = 0
        self._times = times
        self._error = error or (lambda: TransientError("The connection was lost."))

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self._times:
            raise self._error()
        return "done"


def test_a_call_that_works_is_made_once_without_a_pause(pauses: list[float]):
    call = Failing(0)

    assert retry_transient(call, what="writing") == "done"
    assert (call.calls, pauses) == (1, [])


def test_a_passing_fault_is_tried_again_until_it_works(pauses: list[float]):
    call = Failing(3)

    assert retry_transient(call, what="writing", attempts=4) == "done"
    assert call.calls == 4
    assert len(pauses) == 3


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_the_attempts_are_bounded_and_the_last_error_is_raised(pauses, attempts: int):
    numbers = iter(range(100))
    call = Failing(99, lambda: TransientError(f"Lost, {next(numbers)}."))

    with pytest.raises(TransientError) as failed:
        retry_transient(call, what="writing", attempts=attempts)

    assert str(failed.value) == f"Lost, {attempts - 1}."
    assert call.calls == attempts
    assert len(pauses) == attempts - 1


@pytest.mark.parametrize(
    "error",
    [
        TranshipError("x"),
        WriteFailedError("x"),
        ConnectionFailedError("x"),
        ValueError("x"),
        ConnectionResetError("x"),
        KeyboardInterrupt(),
    ],
)
def test_a_fault_that_stays_is_raised_at_once(pauses: list[float], error: BaseException):
    call = Failing(9, lambda: error)

    with pytest.raises(type(error)) as failed:
        retry_transient(call, what="writing")

    assert failed.value is error
    assert (call.calls, pauses) == (1, [])


def test_pauses_stay_below_a_bound_that_doubles_up_to_the_longest(pauses: list[float]):
    for _ in range(200):
        with pytest.raises(TransientError):
            retry_transient(
                Failing(99),
                what="writing",
                attempts=6,
                first_pause_seconds=0.5,
                longest_pause_seconds=3.0,
            )

    by_attempt = [pauses[number::5] for number in range(5)]
    for bound, taken in zip([0.5, 1.0, 2.0, 3.0, 3.0], by_attempt, strict=True):
        assert min(taken) >= 0
        assert bound * 0.8 < max(taken) <= bound
        assert len(set(taken)) > 100  # jittered: no two writers in step


def test_each_repetition_is_announced_with_what_failed_and_the_pause(
    pauses: list[float], caplog: pytest.LogCaptureFixture
):
    log = logging.getLogger("a step")

    with caplog.at_level(logging.WARNING, "a step"):
        retry_transient(
            Failing(1, lambda: TransientError("The connection was lost.", "It may pass.")),
            what="replacing public.stg_a",
            log=log,
        )

    (record,) = caplog.records
    assert (record.name, record.levelname) == ("a step", "WARNING")
    assert record.getMessage() == (
        "Attempt 1 of 4 at replacing public.stg_a failed: The connection was lost. It may pass. "
        f"Trying again in {pauses[0]:.1f} s."
    )


@pytest.mark.parametrize("attempts", [0, -1])
def test_no_attempt_at_all_is_a_wrong_setting(attempts: int):
    with pytest.raises(ConfigurationError) as refused:
        retry_transient(Failing(0), what="writing", attempts=attempts)

    assert str(refused.value) == f"attempts is {attempts}. Give at least 1."


def test_only_errors_that_say_so_are_transient():
    assert is_transient(TransientError("x"))
    assert is_transient(UnreachableError("x"))
    assert not is_transient(ConnectionFailedError("x"))
    assert not is_transient(TimeoutError("x"))
