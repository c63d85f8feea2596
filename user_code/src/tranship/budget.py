"""How long one load may be tried again: one budget in time, whoever repeats.

A write repeats itself, a swap waits for locks, and Dagster repeats the step. Left alone they multiply: four attempts
in each of six steps are 24 reads of the source. Here they share what is left of one time, which begins with the
first fault, so that a load that takes hours and fails at its end is still tried once more.
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

DEFAULT_SECONDS = 1800.0
"""Half an hour: a server's restart, a failover, a maintenance window that ran over."""


@dataclass(slots=True)
class RetryBudget:
    """What is left of the time in which a load may be tried again.

    Args:
        seconds: How long after the first fault another attempt may begin.
        first_fault: When the load first failed, in seconds of the clock; `None` where it has not failed yet.
        earlier_tries: How often the whole load was tried before, by whoever repeats it.
        clock: Seconds since the epoch: the tries of one load may be in several processes.

    Example:
        >>> budget = RetryBudget(60.0, clock=lambda: 1000.0)
        >>> budget.left, budget.note_fault() or budget.left
        (60.0, 60.0)
    """

    seconds: float = DEFAULT_SECONDS
    first_fault: float | None = None
    earlier_tries: int = 0
    clock: Callable[[], float] = field(default=time.time, repr=False)

    def note_fault(self) -> None:
        """The load has failed for a reason that passes; the time begins with the first one."""
        if self.first_fault is None:
            self.first_fault = self.clock()

    @property
    def left(self) -> float:
        """Seconds in which another attempt may begin; 0 where the time is over."""
        if self.first_fault is None:
            return self.seconds
        # A clock that was put back must not make the time longer.
        return max(self.seconds - max(self.clock() - self.first_fault, 0.0), 0.0)

    @property
    def is_over(self) -> bool:
        """Whether nothing is to be tried again."""
        return self.left <= 0

    def __str__(self) -> str:
        return f"{duration(self.left)} of {duration(self.seconds)} are left"


def duration(seconds: float) -> str:
    """A time as people say it.

    Example:
        >>> duration(42.4), duration(1710)
        ('42 s', '28.5 min')
    """
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.3g} min"


_current: ContextVar[RetryBudget | None] = ContextVar("tranship_retry_budget", default=None)


def current_budget() -> RetryBudget | None:
    """The budget of the load that is under way; `None` where nobody set one."""
    return _current.get()


@contextmanager
def retry_budget(budget: RetryBudget) -> Generator[RetryBudget]:
    """Let everything that is repeated in the block share one budget.

    Example:
        >>> with retry_budget(RetryBudget(60.0)) as budget:
        ...     current_budget() is budget
        True
    """
    token = _current.set(budget)
    try:
        yield budget
    finally:
        _current.reset(token)
