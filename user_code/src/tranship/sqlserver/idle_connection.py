"""A connection that one step leaves to the next: a small table costs one login, not two.

A login takes TLS and several round trips, and a session's first look at the catalogue fills its caches.
"""

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mssql_python import Connection

KEPT_SECONDS = 5.0


class Closable(Protocol):
    """What is asked of a connection here."""

    def close(self) -> None:
        """End the session."""


class IdleConnection:
    """Holds at most one open connection, and for a few seconds only.

    Nobody is asked to give it back: what is not taken in time is closed, so that a read which is never
    opened keeps no session on the server. It may be used from several threads.

    Args:
        seconds: How long a connection that was left stays open.
    """

    def __init__(self, seconds: float = KEPT_SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._kept: tuple[Any, threading.Timer] | None = None

    def __reduce__(self) -> tuple[type["IdleConnection"], tuple[float]]:
        """A copy for another process; the connection stays."""
        return type(self), (self._seconds,)

    def put(self, connection: Closable) -> None:
        """Leave an open connection in which nothing is under way; one that was left before is closed."""
        timer = threading.Timer(self._seconds, self._expire, (connection,))
        timer.daemon = True
        with self._lock:
            earlier, self._kept = self._kept, (connection, timer)
        timer.start()
        _close(earlier)

    def take(self) -> "Connection | None":
        """The connection that was left, which the caller closes; `None` where there is none."""
        with self._lock:
            kept, self._kept = self._kept, None
        if kept is None:
            return None
        connection, timer = kept
        timer.cancel()
        return connection

    def close(self) -> None:
        """Close what was left."""
        with self._lock:
            kept, self._kept = self._kept, None
        _close(kept)

    def _expire(self, connection: Closable) -> None:
        with self._lock:
            kept = self._kept
            if kept is None or kept[0] is not connection:
                return
            self._kept = None
        _close(kept)


def _close(kept: tuple[Any, threading.Timer] | None) -> None:
    if kept is not None:
        connection, timer = kept
        timer.cancel()
        # It has nothing under way, so there is nothing to lose where the server has ended it.
        with suppress(Exception):
            connection.close()
