"""A call that must end: what cuts it short is called in another thread when its time is over."""

import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager


class Deadline:
    """The time that a block has; it stands still while the block waits for somebody else.

    Args:
        seconds: How long.
        cut: Makes the block's call end soon.
    """

    def __init__(self, seconds: float, cut: Callable[[], None]) -> None:
        self._seconds = seconds
        self._until: float | None = None
        self.cut = cut
        self.passed = False
        self.start()

    def start(self) -> None:
        """Give the whole time from now on. Cheap: it may be called for every chunk of rows."""
        self._until = time.monotonic() + self._seconds

    def stop(self) -> None:
        """Nothing is waited for at the moment."""
        self._until = None

    @property
    def left(self) -> float:
        """Seconds until it is over, at the least."""
        until = self._until
        return self._seconds if until is None else until - time.monotonic()


class _Clock:
    """One thread that watches every deadline of the process; it begins with the first one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watched: set[Deadline] = set()
        self._wakes = 0.0
        self._runs = False

    def watch(self, deadline: Deadline) -> None:
        with self._changed:
            self._watched.add(deadline)
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._run, name="tranship-deadlines", daemon=True).start()
            elif time.monotonic() + deadline.left < self._wakes:
                self._changed.notify()

    def forget(self, deadline: Deadline) -> None:
        with self._changed:
            self._watched.discard(deadline)

    def _run(self) -> None:
        while True:
            with self._changed:
                left = min((one.left for one in self._watched), default=None)
                if left is None or left > 0:
                    self._wakes = float("inf") if left is None else time.monotonic() + left
                    self._changed.wait(left)
                over = [one for one in self._watched if one.left <= 0]
                self._watched.difference_update(over)
            for one in over:
                one.passed = True
                one.cut()


_clock = _Clock()


def _begin_anew() -> None:
    """A child that was forked has the deadlines and not the thread."""
    global _clock  # noqa: PLW0603 - the process's own
    _clock = _Clock()


if hasattr(os, "register_at_fork"):  # Windows forks nothing
    os.register_at_fork(after_in_child=_begin_anew)


@contextmanager
def within(seconds: float, cut: Callable[[], None]) -> Generator[Deadline]:
    """A block that is cut short after so many seconds.

    Args:
        seconds: How long the block may take; 0 is without end.
        cut: Makes what the block waits for end soon, by an error. It is called in another thread, and must not
            block: others' deadlines wait for it.

    Example:
        >>> with within(5.0, lambda: print("too late")) as deadline:
        ...     deadline.passed
        False
    """
    deadline = Deadline(seconds, cut)
    if seconds <= 0:
        yield deadline
        return
    clock = _clock
    clock.watch(deadline)
    try:
        yield deadline
    finally:
        clock.forget(deadline)
