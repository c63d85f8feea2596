"""Whether a Postgres has sent something while rows are sent to it: during a COPY that is an error.

Looking at the socket is not enough. Whenever a send would block, libpq reads what has come meanwhile into a buffer of its own, which no
call of it shows before the COPY's end (`pqSendSome` in https://github.com/postgres/postgres/blob/REL_17_STABLE/src/interfaces/libpq/fe-misc.c):
an error that comes while the server is the slower side would be seen after the whole source was read for nothing. The kernel counts
what was received, whoever has read it.
"""

import selectors
import socket
import sys
from contextlib import suppress

from tranship.pgsql.driver import SqlConnection

_TCP_INFO_BYTES = 136
_BYTES_RECEIVED = slice(128, 136)
"""`tcpi_bytes_received`, since Linux 4.1: https://github.com/torvalds/linux/blob/v6.6/include/uapi/linux/tcp.h"""


class Incoming:
    """What a server has sent since this was made.

    Elsewhere than over TCP on Linux only what still lies in the socket is seen.

    Args:
        connection: One whose answers have all been read.

    Example:
        >>> incoming = Incoming(connection)  # doctest: +SKIP
        >>> incoming.is_there()  # doctest: +SKIP
        False
    """

    def __init__(self, connection: SqlConnection) -> None:
        # A second handle of the same socket; its family is of no account to the questions asked of it.
        self._line = socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        # One that holds no file of its own, so that nobody has to close it; Windows has no poll().
        self._unread = getattr(selectors, "PollSelector", selectors.SelectSelector)()
        self._unread.register(self._line, selectors.EVENT_READ)
        self._before = self._received()

    def is_there(self) -> bool:
        """Whether anything has come, or the connection is gone."""
        return bool(self._unread.select(0)) or self._received() != self._before

    def close(self) -> None:
        """Close the second handle; the connection stays open."""
        self._line.close()

    def _received(self) -> int:
        with suppress(OSError, AttributeError):
            info = self._line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
            return int.from_bytes(info[_BYTES_RECEIVED], sys.byteorder)
        return 0
