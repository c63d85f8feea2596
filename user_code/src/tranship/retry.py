"""What is worth repeating, and how: a bounded number of times with jittered, growing pauses."""

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import tenacity

from tranship.budget import RetryBudget, current_budget
from tranship.errors import ConfigurationError, TranshipError

Result = TypeVar("Result")


def is_transient(error: BaseException) -> bool:
    """Whether an error says of itself that the call may succeed if it is made again."""
    return isinstance(error, TranshipError) and error.transient


ATTEMPTS = 4
"""How often a call is made, the first time included, where nobody says otherwise."""


def retry_transient(
    call: Callable[[], Result],
    *,
    what: str,
    attempts: int = ATTEMPTS,
    first_pause_seconds: float = 0.5,
    longest_pause_seconds: float = 20.0,
    log: logging.Logger | None = None,
    is_cheap: bool = False,
) -> Result:
    """Make a call, and make it again while it fails with a transient error.

    Within a `RetryBudget` everything that repeats shares its time. A call that costs much, such as reading the
    source, is then repeated in the load's first try only: whoever tries the load again repeats it as a whole. One
    that costs little, as what it needs lies ready, is repeated for as long as there is time.

    The pause before attempt n is random between zero and a bound that doubles each time ("full
    jitter", https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), so that
    writers that collided once do not collide in step again.

    Args:
        call: The whole unit of work; it must be safe to repeat.
        what: What the call does, for the log: "replacing public.stg_a".
        attempts: How often it is made at most, the first one included.
        first_pause_seconds: Upper bound of the first pause.
        longest_pause_seconds: Upper bound of every pause.
        log: Where each repetition is announced; by default this module's logger.
        is_cheap: Whether the call is repeated for as long as the load's budget allows, however often.

    Returns:
        What the call returned.

    Raises:
        TranshipError: The last transient error, after the last attempt.
        Exception: Anything that is not transient, at once.

    Example:
        >>> retry_transient(lambda: 42, what="answering")
        42
    """
    if attempts < 1:
        raise ConfigurationError(f"attempts is {attempts}.", "Give at least 1.")
    logger = log or logging.getLogger(__name__)
    budget = current_budget()
    most = _most_attempts(attempts, budget, is_cheap=is_cheap)

    def is_over(state: tenacity.RetryCallState) -> bool:
        if budget is not None:
            budget.note_fault()
        if most is not None and state.attempt_number >= most:
            return True
        return budget is not None and budget.is_over

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_transient),
        stop=is_over,
        wait=tenacity.wait_random_exponential(
            multiplier=first_pause_seconds, max=longest_pause_seconds
        ),
        before_sleep=partial(_announce, logger, what, most, budget),
        reraise=True,
    )
    return retrying(call)


def _announce(
    logger: logging.Logger,
    what: str,
    most: int | None,
    budget: RetryBudget | None,
    state: tenacity.RetryCallState,
) -> None:
    """Say that a call failed and is made again."""
    error = state.outcome.exception() if state.outcome else None
    pause = state.next_action.sleep if state.next_action else 0.0
    logger.warning(
        "Attempt %d%s at %s failed: %s Trying again in %.1f s%s.",
        state.attempt_number,
        "" if most is None else f" of {most}",
        what,
        error,
        pause,
        "" if budget is None else f"; {budget}",
    )


def _most_attempts(attempts: int, budget: RetryBudget | None, *, is_cheap: bool) -> int | None:
    """How often a call is made at most; `None` for as often as there is time for."""
    if budget is None:
        return attempts
    if is_cheap and attempts > 1:
        return None
    return 1 if budget.earlier_tries else attempts
