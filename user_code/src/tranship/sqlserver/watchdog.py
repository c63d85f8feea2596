"""A process beside this one that shuts a socket down, for calls in which nobody here can.

mssql-python keeps the interpreter's lock while it fetches rows with long values, so that a server which falls silent in the middle
of them stops every thread of the process, those that watch its deadlines too. So while such rows are read, a small process
has the same socket and is told when a call begins and ends; where one does not end in time, it shuts the socket down, and
the driver returns with a lost connection.
"""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress

END_SECONDS = 5.0
"""How long it may take to end, once it is told to."""
_BEGINS, _ENDS = b"b", b"e"

_PROGRAM = """
import os, select, socket, sys, time
line, seconds = socket.socket(fileno=int(sys.argv[1])), float(sys.argv[2])
until = None
while True:
    left = None if until is None else max(until - time.monotonic(), 0)
    if not select.select([0], [], [], left)[0]:
        line.shutdown(socket.SHUT_RDWR)
        sys.exit(3)
    said = os.read(0, 4096)
    if not said:
        sys.exit(0)
    until = time.monotonic() + seconds if said.endswith(b"b") else None
"""


class Watchdog:
    """The process, for one socket.

    Args:
        descriptor: The socket's file descriptor.
        seconds: How long a call may take.
    """

    def __init__(self, descriptor: int, seconds: float) -> None:
        # Without site-packages and the user's settings: it needs nothing of them, and starts in a few milliseconds.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, str(descriptor), str(seconds)],
            stdin=subprocess.PIPE,
            pass_fds=(descriptor,),
        )

    @contextmanager
    def call(self) -> Generator[None]:
        """A call that is cut short where it takes too long."""
        self._tell(_BEGINS)
        try:
            yield
        finally:
            self._tell(_ENDS)

    @property
    def has_cut(self) -> bool:
        """Whether a call took too long."""
        if self._process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.5)  # it ends as soon as it has cut
        return self._process.returncode == 3

    def close(self) -> None:
        """End it."""
        pipe = self._process.stdin
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(END_SECONDS)

    def _tell(self, what: bytes) -> None:
        # It is gone where it has cut the line, or where somebody ended it.
        if self._process.stdin is not None:
            with suppress(OSError):
                os.write(self._process.stdin.fileno(), what)
