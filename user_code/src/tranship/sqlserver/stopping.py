"""How a call that waits for the server is ended: another thread cancels its cursor, and where the server is silent its socket is shut down.

The ODBC driver has no way to do the latter. Its query timeout sends the server a request to stop and then waits for the
answer, without end where the server is silent; SQLCancel and freeing a statement do the same. Shutting the socket down
makes every one of them return with a lost connection. The driver does not tell which socket is its own, so we look which
one has come while it connected: on Linux, by the process's own list of files.
"""

import logging
import os
import socket
import stat
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

from tranship.budget import duration
from tranship.deadlines import within
from tranship.errors import TransientError
from tranship.read_ahead import on_cancel
from tranship.sqlserver.watchdog import Watchdog

if TYPE_CHECKING:
    import pyarrow as pa

_FILES = Path("/proc/self/fd")

_connecting = threading.Lock()
_sockets: "WeakKeyDictionary[DriverConnection, DriverSocket]" = WeakKeyDictionary()
FREE_SECONDS = 5.0
"""How long freeing a statement waits for a cancel of it that is under way."""

_Answer = TypeVar("_Answer")

_log = logging.getLogger(__name__)


class DriverCursor(Protocol):
    """What is used of a cursor of mssql-python."""

    hstmt: Any

    def execute(self, operation: str, /, *values: Any) -> Any:
        """Run a statement."""
        ...

    def fetchall(self) -> Sequence[Any]:
        """The rows that are left."""
        ...

    def nextset(self) -> Any:
        """Go on to the next result; false where there is none."""
        ...

    def arrow_batch(self, rows: int, /) -> "pa.RecordBatch":
        """The next rows; none at the end."""
        ...

    def close(self) -> None:
        """Free the statement."""
        ...


class DriverConnection(Protocol):
    """What is used of a connection of mssql-python."""

    def cursor(self) -> Any:
        """A `DriverCursor`; the driver's own declares more than we ask for."""
        ...

    def close(self) -> None:
        """End the session."""
        ...


@dataclass(frozen=True, slots=True)
class DriverSocket:
    """A socket of this process.

    Args:
        descriptor: Its file descriptor, which the driver may have closed since.
        inode: What tells it from another file that got the same number.
        answer_seconds: How long a call may wait for the server; 0 is without end.
    """

    descriptor: int
    inode: int
    answer_seconds: float = 0.0

    def shut_down(self) -> None:
        """Shut it down, whoever waits on it; closing it stays the driver's own."""
        with suppress(OSError):
            copy = os.dup(self.descriptor)
            if os.fstat(copy).st_ino != self.inode:
                os.close(copy)
                return
            with socket.socket(fileno=copy) as copied:
                copied.shutdown(socket.SHUT_RDWR)


@contextmanager
def watch_for_socket(
    port: int, wait_seconds: float, answer_seconds: float
) -> Generator[Callable[[DriverConnection], None]]:
    """Notice the socket that a driver opens in the block; gives what remembers it for the connection.

    One connects at a time: of two, nobody could tell whose socket is whose. Who does not get its turn in time
    connects all the same, and its calls cannot be cut short.

    Args:
        port: The server's port.
        wait_seconds: How long to wait for the others.
        answer_seconds: How long a call over the connection may wait for the server; 0 is without end.
    """
    has_turn = _connecting.acquire(timeout=wait_seconds)
    try:
        before = {one.inode for one in _sockets_to(port)} if has_turn else set[int]()

        def remember(connection: DriverConnection) -> None:
            new = [one for one in _sockets_to(port) if one.inode not in before]
            if has_turn and len(new) == 1:
                _sockets[connection] = replace(new[0], answer_seconds=answer_seconds)

        yield remember
    finally:
        if has_turn:
            _connecting.release()


def socket_of(connection: DriverConnection) -> DriverSocket | None:
    """The socket of a connection; `None` where it is not known."""
    with suppress(TypeError):  # a double of a test that cannot be referred to weakly
        return _sockets.get(connection)
    return None


def shut_down(connection: DriverConnection) -> None:
    """End every call of a connection that waits for the server, by a lost connection."""
    connection_socket = socket_of(connection)
    if connection_socket is not None:
        connection_socket.shut_down()


def _sockets_to(port: int) -> list[DriverSocket]:
    sockets: list[DriverSocket] = []
    with suppress(FileNotFoundError):  # no Linux
        for file in _FILES.iterdir():
            with suppress(OSError):
                status = file.stat()
                if stat.S_ISSOCK(status.st_mode) and _peer_port(int(file.name)) == port:
                    sockets.append(DriverSocket(int(file.name), status.st_ino))
    return sockets


def _peer_port(descriptor: int) -> int | None:
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as copied:
        if copied.family in {socket.AF_INET, socket.AF_INET6}:
            return copied.getpeername()[1]
    return None


@contextmanager
def stoppable_cursor(connection: DriverConnection) -> "Generator[BoundedCursor]":
    """A cursor that is closed at the end; what waits in it ends when its producer is cancelled.

    Freeing a statement in one thread while another cancels it would be a use after free, so the two take turns.
    Neither turn has an end that we could promise: both are calls of the driver, which may wait for the network or
    for the connection's other statement. So nobody waits for a turn without a deadline: a cancel that finds the
    statement being freed does nothing, and a statement whose cancel does not return is not freed but left to the
    end of its connection.

    Args:
        connection: The driver's connection; its only cursor, for as long as the block runs.
    """
    cursor: DriverCursor = connection.cursor()
    turn = threading.Lock()

    def stop() -> None:
        if turn.acquire(blocking=False):
            try:
                cancel(cursor)
            finally:
                turn.release()

    try:
        with on_cancel(stop):
            yield BoundedCursor(cursor, socket_of(connection))
    except Exception as error:
        # Where the driver knows no reason, the server's messages before it are all there is.
        for _, message in getattr(cursor, "messages", ()):
            error.add_note(str(message))
        raise
    finally:
        # The turn is not given back: the statement is gone, and a late cancel finds it taken.
        if turn.acquire(timeout=FREE_SECONDS):
            cursor.close()
        else:
            _log.warning(
                "The driver did not cancel a statement within %g s, so it is not freed.",
                FREE_SECONDS,
            )


class BoundedCursor:
    """A driver's cursor whose calls end: where the server says nothing for too long, its socket is shut down."""

    def __init__(self, cursor: DriverCursor, connection_socket: DriverSocket | None) -> None:
        self._cursor = cursor
        self._socket = connection_socket
        self._watchdog: Watchdog | None = None

    def execute(self, operation: str, *values: Any) -> "BoundedCursor":
        """Run a statement."""
        self._call(self._cursor.execute, operation, *values)
        return self

    def fetchall(self) -> Sequence[Any]:
        """The rows that are left."""
        return self._call(self._cursor.fetchall)

    def nextset(self) -> Any:
        """Go on to the next result; false where there is none."""
        return self._call(self._cursor.nextset)

    def arrow_batch(self, rows: int) -> "pa.RecordBatch":
        """The next rows; none at the end."""
        if self._watchdog is None:
            return self._call(self._cursor.arrow_batch, rows)
        with self._watchdog.call():
            return self._call(self._cursor.arrow_batch, rows)

    @contextmanager
    def fetching_long_values(self) -> "Generator[None]":
        """A block in which rows are fetched while the driver keeps the interpreter's lock: watched from another process."""
        if self._socket is None or self._socket.answer_seconds <= 0:
            yield
            return
        self._watchdog = Watchdog(self._socket.descriptor, self._socket.answer_seconds)
        try:
            yield
        finally:
            self._watchdog.close()
            self._watchdog = None

    def _call(self, call: Callable[..., _Answer], *values: Any) -> _Answer:
        if self._socket is None:
            return call(*values)
        seconds = self._socket.answer_seconds
        with within(seconds, self._socket.shut_down) as deadline:
            try:
                return call(*values)
            except Exception as error:
                if deadline.passed or (self._watchdog is not None and self._watchdog.has_cut):
                    raise TransientError(
                        f"The server said nothing for {duration(seconds)}, so the connection was given up.",
                        "Look whether it, or what is between, is stuck. If a query does take that long until "
                        "its next rows, raise answer_timeout_seconds.",
                    ) from error
                raise


def cancel(cursor: DriverCursor) -> None:
    """Ask the server to stop the statement of a cursor that another thread is waiting for.

    SQLCancel is the one ODBC call that may come from another thread. The driver makes it only when
    an Arrow reader is closed, which is too late for a statement that has not returned yet.
    https://learn.microsoft.com/sql/odbc/reference/syntax/sqlcancel-function
    """
    stop = getattr(cursor.hstmt, "_cancel", None)
    if stop is not None:
        # It fails where the connection is lost, and then there is nothing left to stop.
        with suppress(RuntimeError):
            stop()
