"""A psycopg2 connection that waits for no answer without an end.

Keepalives notice a peer that is gone while we wait for it, and the kernel's limit for what was sent and never
confirmed one that goes while we send. Neither notices a peer that lives and says nothing: a server that was
stopped, a pooler that lost its server, a proxy that holds the line. So every call has a deadline too, at whose end
the socket is shut down: the driver returns with a lost connection, as if the peer had died.

The driver's own `cancel()` waits for the server to answer and holds the interpreter's lock meanwhile, so that a server
which says nothing stops every thread of the process, its deadlines too. `give_up` asks with the lock released.
"""

import ctypes
import functools
import importlib.util
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, Protocol, runtime_checkable

import psycopg2
import psycopg2.extensions
from typing_extensions import override

from tranship.budget import duration
from tranship.deadlines import Deadline, within

KEEPALIVES: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 15,
    "keepalives_count": 6,
    # Without it the kernel tries for a quarter of an hour to send to a host that is gone, and keepalives
    # do not count while something is unconfirmed: https://www.postgresql.org/docs/current/libpq-connect.html
    "tcp_user_timeout": 120_000,
}
"""A peer that vanished without a word is noticed within two minutes, whether we wait or send."""
CANCEL_SECONDS = 1.0
"""How long a server may take to hear that its answer is wanted no more, before the line is cut."""
_MESSAGE_BYTES = 256
"""https://www.postgresql.org/docs/current/libpq-cancel.html#LIBPQ-PQCANCEL"""


class BoundedConnection(psycopg2.extensions.connection):
    """A connection whose calls end: at the latest when `answer_seconds` have passed without an answer.

    Args:
        answer_seconds: Set after connecting; 0 waits without end.
    """

    answer_seconds: float = 0.0

    @override
    def cursor(self, *args: Any, **options: Any) -> Any:
        options.setdefault("cursor_factory", BoundedCursor)
        return super().cursor(*args, **options)

    @override
    def commit(self) -> None:
        with bounded(self):
            super().commit()

    @override
    def rollback(self) -> None:
        with bounded(self):
            super().rollback()

    @override
    def cancel(self) -> None:
        """Refuse: the driver's call stops every thread of the process until the server answers.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("Take stoppable(), which waits without the interpreter's lock.")

    def cut(self) -> None:
        """Shut the socket down, whoever waits on it; its file descriptor stays the driver's own."""
        # A second handle of the same socket, on Windows too, where os.dup() takes files only. Its family is of no account
        # to a shutdown.
        with (
            suppress(OSError, psycopg2.InterfaceError),
            socket.fromfd(self.fileno(), socket.AF_INET, socket.SOCK_STREAM) as line,
        ):
            line.shutdown(socket.SHUT_RDWR)


@functools.cache
def _libpq() -> Any:
    """The library that the driver itself uses; `None` where its calls cannot be reached (psycopg2-binary on Windows).

    `ctypes` calls it with the interpreter's lock released: https://docs.python.org/3/library/ctypes.html#ctypes.CDLL
    """
    driver = importlib.util.find_spec("psycopg2._psycopg")
    try:
        library = ctypes.CDLL(driver.origin if driver else None)
        library.PQgetCancel.restype = ctypes.c_void_p
        library.PQgetCancel.argtypes = [ctypes.c_void_p]
        library.PQcancel.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
        library.PQfreeCancel.argtypes = [ctypes.c_void_p]
    except (OSError, AttributeError):
        return None
    return library


class _CancelRequest:
    """What a server is sent so that it stops what a connection does.

    Made by the thread that uses the connection, because no other may look into it; sent by any.
    """

    def __init__(self, connection: BoundedConnection) -> None:
        self._libpq = _libpq()
        self._request = (
            None if self._libpq is None else self._libpq.PQgetCancel(connection.pgconn_ptr)
        )
        self._lock = threading.Lock()
        self._being_sent = 0
        self._closed = False

    def send(self) -> None:
        """Blocks until the server has heard it, which a silent one never does."""
        with self._lock:
            if self._closed or not self._request:
                return
            self._being_sent += 1
        message = ctypes.create_string_buffer(_MESSAGE_BYTES)
        self._libpq.PQcancel(self._request, message, _MESSAGE_BYTES)
        with self._lock:
            self._being_sent -= 1
            self._free_where_unused()

    def close(self) -> None:
        """Nobody asks any more; what one that asks still reads from is freed by that one."""
        with self._lock:
            self._closed = True
            self._free_where_unused()

    def _free_where_unused(self) -> None:
        if self._closed and self._request and not self._being_sent:
            self._libpq.PQfreeCancel(self._request)
            self._request = None


@contextmanager
def bounded(connection: psycopg2.extensions.connection) -> Generator[Deadline]:
    """A block of one call to the server, which ends.

    Raises:
        psycopg2.OperationalError: The server said nothing for too long; the connection is lost then.
    """
    if not isinstance(connection, BoundedConnection):
        raise TypeError(f"{type(connection).__name__} has no deadline.")
    seconds = connection.answer_seconds
    with within(seconds, connection.cut) as deadline:
        try:
            yield deadline
        except psycopg2.Error as error:
            if not deadline.passed:
                raise
            raise psycopg2.OperationalError(
                f"the server said nothing for {duration(seconds)}, so the connection was given up "
                "(answer_timeout_seconds)"
            ) from error


@contextmanager
def stoppable(connection: psycopg2.extensions.connection) -> Generator[Callable[[], None]]:
    """A block whose call another thread can end for good, with the function that does so.

    It asks the server to stop, so that a long query does not go on for nobody, and then cuts the line: the server may not
    hear it, or not answer. It blocks for a second at most.

    Example:
        >>> with stoppable(connection) as give_up, on_cancel(give_up):  # doctest: +SKIP
        ...     cursor.execute("select pg_sleep(3600)")
    """
    if not isinstance(connection, BoundedConnection):
        raise TypeError(f"{type(connection).__name__} cannot be cut.")
    request = _CancelRequest(connection)

    def give_up() -> None:
        asking = threading.Thread(target=request.send, name="tranship-cancel", daemon=True)
        asking.start()
        asking.join(CANCEL_SECONDS)
        connection.cut()

    try:
        yield give_up
    finally:
        request.close()


class BoundedCursor(psycopg2.extensions.cursor):
    """A cursor of a `BoundedConnection`."""

    @override
    def execute(self, *args: Any, **options: Any) -> None:
        with bounded(self.connection):
            super().execute(*args, **options)

    @override
    def fetchmany(self, *args: Any, **options: Any) -> list[tuple[Any, ...]]:
        with bounded(self.connection):  # of a named cursor it is a statement
            return super().fetchmany(*args, **options)

    @override
    def copy_expert(self, statement: Any, file: Any, *args: Any, **options: Any) -> None:
        with bounded(self.connection) as deadline:
            if isinstance(file, Paced):
                file.deadline = deadline
            else:
                file = _Watched(file, deadline)
            super().copy_expert(statement, file, *args, **options)


@runtime_checkable
class Paced(Protocol):
    """A file of COPY that stops and starts the deadline itself, as it is called for every row."""

    deadline: Deadline | None

    def write(self, row: bytes) -> int:
        """Take a row."""
        ...


class _Watched:
    """A file of COPY: while it gives or takes rows, nobody waits for the server."""

    def __init__(self, file: Any, deadline: Deadline) -> None:
        self._file = file
        self._deadline = deadline

    def read(self, size: int = -1) -> Any:
        self._deadline.stop()
        data = self._file.read(size)
        self._deadline.start()
        return data

    def readline(self, size: int = -1) -> Any:
        return self.read(size)

    def write(self, data: Any) -> Any:
        self._deadline.stop()
        written = self._file.write(data)
        self._deadline.start()
        return written
