"""What is worth repeating, and how: a bounded number of times with jittered, growing pauses."""

import logging
from collections.abc import Callable
from typing import TypeVar

import tenacity

from tranship.errors import ConfigurationError, TranshipError

Result = TypeVar("Result")


def is_transient(error: BaseException) -> bool:
    """Whether an error says of itself that the call may succeed if it is made again."""
    return isinstance(error, TranshipError) and error.transient


def retry_transient(
    call: Callable[[], Result],
    *,
    what: str,
    attempts: int = 4,
    first_pause_seconds: float = 0.5,
    longest_pause_seconds: float = 20.0,
    log: logging.Logger | None = None,
) -> Result:
    """Make a call, and make it again while it fails with a transient error.

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

    def announce(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0.0
        logger.warning(
            "Attempt %d of %d at %s failed: %s Trying again in %.1f s.",
            state.attempt_number,
            attempts,
            what,
            error,
            pause,
        )

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_transient),
        stop=tenacity.stop_after_attempt(attempts),
        wait=tenacity.wait_random_exponential(
            multiplier=first_pause_seconds, max=longest_pause_seconds
        ),
        before_sleep=announce,
        reraise=True,
    )
    return retrying(call)
