"""The TCP connection beneath a driver's connection, so that a call that waits for a silent server can be ended.

The ODBC driver has no such way. Its query timeout sends the server a request to stop and then waits for the answer,
without end where the server is silent; SQLCancel and freeing a statement do the same. Shutting the socket down makes
every one of them return with a lost connection. The driver does not tell which socket is its own, so we look which
one has come while it connected: on Linux, by the process's own list of files.
"""

import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

_FILES = Path("/proc/self/fd")

_connecting = threading.Lock()
_lines: "WeakKeyDictionary[Any, Line]" = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Line:
    """A socket of this process.

    Args:
        descriptor: Its file descriptor, which the driver may have closed since.
        inode: What tells it from another file that got the same number.
        answer_seconds: How long a call may wait for the server; 0 is without end.
    """

    descriptor: int
    inode: int
    answer_seconds: float = 0.0

    def cut(self) -> None:
        """Shut it down, whoever waits on it; closing it stays the driver's own."""
        with suppress(OSError):
            copy = os.dup(self.descriptor)
            if os.fstat(copy).st_ino != self.inode:
                os.close(copy)
                return
            with socket.socket(fileno=copy) as line:
                line.shutdown(socket.SHUT_RDWR)


@contextmanager
def noticing(
    port: int, wait_seconds: float, answer_seconds: float
) -> Iterator[Callable[[Any], None]]:
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
        before = {line.inode for line in _lines_to(port)} if has_turn else set[int]()

        def remember(connection: Any) -> None:
            new = [line for line in _lines_to(port) if line.inode not in before]
            if has_turn and len(new) == 1:
                _lines[connection] = replace(new[0], answer_seconds=answer_seconds)

        yield remember
    finally:
        if has_turn:
            _connecting.release()


def line_of(connection: Any) -> Line | None:
    """The socket of a connection; `None` where it is not known."""
    with suppress(TypeError):  # a double of a test that cannot be referred to weakly
        return _lines.get(connection)
    return None


def cut(connection: Any) -> None:
    """End every call of a connection that waits for the server, by a lost connection."""
    line = line_of(connection)
    if line is not None:
        line.cut()


def _lines_to(port: int) -> list[Line]:
    found: list[Line] = []
    with suppress(FileNotFoundError):  # no Linux
        for file in _FILES.iterdir():
            with suppress(OSError):
                status = file.stat()
                if stat.S_ISSOCK(status.st_mode) and _peer_port(int(file.name)) == port:
                    found.append(Line(int(file.name), status.st_ino))
    return found


def _peer_port(descriptor: int) -> int | None:
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as line:
        if line.family in {socket.AF_INET, socket.AF_INET6}:
            return line.getpeername()[1]
    return None
