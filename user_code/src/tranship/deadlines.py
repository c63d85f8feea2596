"""A call that must end: what cuts it short is called in another thread when its time is over."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Deadline:
    """The time that a block has; it stands still while the block waits for somebody else.

    Args:
        seconds: How long; 0 is without end.
        cut: Makes the block's call end soon.
    """

    def __init__(self, seconds: float, cut: Callable[[], None]) -> None:
        self._seconds = seconds
        self._cut = cut
        self._until: float | None = None
        self._over = threading.Event()
        self.passed = False
        self.start()

    def start(self) -> None:
        """Give the whole time from now on. Cheap: it may be called for every row."""
        self._until = time.monotonic() + self._seconds

    def stop(self) -> None:
        """Nothing is waited for at the moment."""
        self._until = None

    def watch(self) -> None:
        """Runs in a thread until the block is over, or its time is."""
        wait = self._seconds
        while not self._over.wait(wait):
            until = self._until
            left = self._seconds if until is None else until - time.monotonic()
            if left <= 0:
                self.passed = True
                self._cut()
                return
            wait = left

    def end(self) -> None:
        """The block is over."""
        self._over.set()


@contextmanager
def within(seconds: float, cut: Callable[[], None]) -> Iterator[Deadline]:
    """A block that is cut short after so many seconds.

    Args:
        seconds: How long the block may take; 0 is without end.
        cut: Makes what the block waits for end soon, by an error. It is called in another thread.

    Example:
        >>> with within(5.0, lambda: print("too late")) as deadline:
        ...     deadline.passed
        False
    """
    deadline = Deadline(seconds, cut)
    if seconds > 0:
        threading.Thread(target=deadline.watch, name="tranship-deadline", daemon=True).start()
    try:
        yield deadline
    finally:
        deadline.end()
