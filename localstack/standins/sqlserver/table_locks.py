"""Locks on whole tables: who changes the definition of one waits for those that wrote to it, and they wait for it.

Rows are not locked (README.md); this much is needed so that no transaction writes to a table across the moment its tracking begins.
docs/relational-databases/sql-server-transaction-locking-and-row-versioning-guide.md of MicrosoftDocs/sql-docs, "Schema locks".
"""

import threading
import time
from collections.abc import Callable
from typing import Protocol

from standins.sqlserver.errors import SqlError

Holders = Callable[[], set[int]]
_LOOK_SECONDS = 0.05
"""How often a waiting session looks whether its client has given up."""


class Waiting(Protocol):
    """What of a session counts here."""

    spid: int
    lock_timeout: int
    """In milliseconds; -1 for ever."""

    def stop_if_cancelled(self) -> None:
        """Called while the session waits; raises where its client has given up."""


class TableLocks:
    """The tables that open transactions wrote to, or whose definitions they change; by session number."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._writers: dict[int, set[int]] = {}
        self._changers: dict[int, int] = {}
        self._queued: dict[int, set[int]] = {}
        self._waiting: dict[int, set[int]] = {}

    def write(self, session: Waiting, table: int) -> None:
        """The session is about to change rows of a table.

        Raises:
            SqlError: 1222 when it waited longer than it wants to, 1205 when the other waits for it.
        """
        with self._changed:
            if session.spid not in self._writers.get(table, ()):
                # Who waits to change the definition comes first, or it would never have its turn.
                self._wait(session, lambda: self._changing(table) | self._queued.get(table, set()))
            self._writers.setdefault(table, set()).add(session.spid)

    def change_definition(self, session: Waiting, table: int) -> None:
        """The session is about to change a table's definition.

        Raises:
            SqlError: 1222 or 1205, as for `write`.
        """
        with self._changed:
            queue = self._queued.setdefault(table, set())
            queue.add(session.spid)
            try:
                self._wait(session, lambda: self._writers.get(table, set()) | self._changing(table))
            finally:
                queue.discard(session.spid)
                self._changed.notify_all()
            self._changers[table] = session.spid

    def _changing(self, table: int) -> set[int]:
        return {self._changers[table]} if table in self._changers else set()

    def release(self, spid: int) -> None:
        """The session's transaction is over."""
        with self._changed:
            for table in [table for table, spids in self._writers.items() if spid in spids]:
                self._writers[table].discard(spid)
                if not self._writers[table]:
                    del self._writers[table]
            for table in [table for table, owner in self._changers.items() if owner == spid]:
                del self._changers[table]
            self._changed.notify_all()

    def _wait(self, session: Waiting, holders: Holders) -> None:
        until = None if session.lock_timeout < 0 else time.monotonic() + session.lock_timeout / 1000
        try:
            while others := holders() - {session.spid}:
                self._waiting[session.spid] = others
                if session.spid in self._reached(others):
                    raise SqlError(
                        1205,
                        f"Transaction (Process ID {session.spid}) was deadlocked on lock resources with another process and has been chosen as "
                        "the deadlock victim. Rerun the transaction.",
                        13,
                        51,
                    )
                if until is not None and time.monotonic() >= until:
                    raise SqlError(1222, "Lock request time out period exceeded.", 16, 51)
                session.stop_if_cancelled()
                self._changed.wait(_LOOK_SECONDS)
        finally:
            self._waiting.pop(session.spid, None)

    def _reached(self, spids: set[int]) -> set[int]:
        """All that these wait for, over however many others."""
        reached: set[int] = set()
        ahead = list(spids)
        while ahead:
            for spid in self._waiting.get(ahead.pop(), set()) - reached:
                reached.add(spid)
                ahead.append(spid)
        return reached
