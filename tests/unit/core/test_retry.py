"""Passing faults are tried again a bounded number of times, with jittered pauses; others never."""

import logging
from collections.abc import Callable

import pytest

from tranship.budget import RetryBudget, retry_budget
from tranship.errors import (
    ConfigurationError,
    ConnectionFailedError,
    TranshipError,
    TransientError,
    UnreachableError,
    WriteFailedError,
)
from tranship.failures import as_failure
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


class Clock:
    """A clock that goes on by what is slept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000_000.0
        monkeypatch.setattr("tenacity.nap.time.sleep", self.sleep)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_what_is_cheap_is_repeated_for_as_long_as_the_load_has_time(clock: Clock):
    call = Failing(10_000)
    budget = RetryBudget(600, clock=clock)
    started = clock.now

    with retry_budget(budget), pytest.raises(TransientError):
        retry_transient(call, what="swapping", attempts=4, is_cheap=True)

    assert call.calls > 10
    assert 600 <= clock.now - started <= 620  # the last pause may reach over the end


def test_what_is_costly_is_repeated_in_the_first_try_only(clock: Clock):
    first, later = Failing(99), Failing(99)

    with retry_budget(RetryBudget(600, clock=clock)), pytest.raises(TransientError):
        retry_transient(first, what="reading", attempts=4)
    again = RetryBudget(600, first_fault=clock.now, earlier_tries=1, clock=clock)
    with retry_budget(again), pytest.raises(TransientError):
        retry_transient(later, what="reading", attempts=4)

    assert (first.calls, later.calls) == (4, 1)


def test_two_that_repeat_share_one_time(clock: Clock):
    inner = Failing(10_000)

    def outer() -> str:
        return retry_transient(inner, what="the transaction", attempts=5, is_cheap=True)

    with retry_budget(RetryBudget(60, clock=clock)), pytest.raises(TransientError):
        retry_transient(outer, what="the load", attempts=4)
    alone = Failing(10_000)
    with retry_budget(RetryBudget(60, clock=clock)), pytest.raises(TransientError):
        retry_transient(alone, what="the transaction", attempts=5, is_cheap=True)

    # Not four times as many: when the time is over, nobody begins anew.
    assert inner.calls < 2 * alone.calls


def test_each_repetition_says_how_much_time_is_left(clock: Clock, caplog: pytest.LogCaptureFixture):
    with retry_budget(RetryBudget(600, clock=clock)):
        retry_transient(Failing(1), what="replacing public.stg_a")

    (record,) = caplog.records
    assert record.getMessage().endswith("; 10 min of 10 min are left.")


def test_a_step_is_not_tried_again_when_the_time_is_over(clock: Clock):
    over = RetryBudget(600, first_fault=clock.now - 600, clock=clock)
    with retry_budget(over):
        assert as_failure(TransientError("Lost.")).allow_retries is False
    with retry_budget(RetryBudget(600, clock=clock)):
        assert as_failure(TransientError("Lost.")).allow_retries is True
        assert as_failure(WriteFailedError("Refused.")).allow_retries is False
    assert as_failure(TransientError("Lost.")).allow_retries is True
