"""Who waits for whom: lock timeouts, clients that give up, and deadlocks with their victims."""

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

    @property
    def spid(self) -> int:
        """The session's number."""
        ...

    @property
    def lock_timeout(self) -> int:
        """In milliseconds; -1 for ever."""
        ...

    @property
    def deadlock_priority(self) -> int:
        """From -10 to 10; of those in a deadlock the one with the lowest gives way."""
        ...

    def stop_if_cancelled(self) -> None:
        """Called while the session waits; raises where its client has given up."""


def lock_timeout() -> SqlError:
    """1222: the statement waited for as long as its session wants to.

    docs/relational-databases/errors-events/mssqlserver-1222-database-engine-error.md of MicrosoftDocs/sql-docs.
    """
    return SqlError(1222, "Lock request time out period exceeded.", 16, 51)


def deadlock_victim(spid: int) -> SqlError:
    """1205: the session's transaction is rolled back, so that the others can go on.

    docs/relational-databases/errors-events/mssqlserver-1205-database-engine-error.md of MicrosoftDocs/sql-docs.
    """
    return SqlError(
        1205,
        f"Transaction (Process ID {spid}) was deadlocked on lock resources with another process and has been chosen as the deadlock victim. "
        "Rerun the transaction.",
        13,
        51,
    )


class Waits:
    """The sessions that wait, each for those that hold what it wants.

    Args:
        changed: What guards all locks; told whenever a lock is let go.
    """

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._waiting: dict[int, set[int]] = {}
        self._sessions: dict[int, Waiting] = {}
        self._victims: set[int] = set()

    @property
    def count(self) -> int:
        """How many sessions wait."""
        return len(self._waiting)

    def wait(self, session: Waiting, holders: Holders) -> bool:
        """Wait until nobody but the session holds it; the caller holds the guard. Tells whether it had to.

        Args:
            session: Who waits.
            holders: Who holds what it wants, as it is when it is asked.

        Raises:
            SqlError: 1222 when it waited for as long as it wants to, 1205 when it is the victim of a deadlock.
        """
        others = holders() - {session.spid}
        if not others:
            return False
        until = None if session.lock_timeout < 0 else time.monotonic() + session.lock_timeout / 1000
        self._sessions[session.spid] = session
        try:
            while others:
                self._waiting[session.spid] = others
                self._choose_victim(session)
                if until is not None and time.monotonic() >= until:
                    raise lock_timeout()
                session.stop_if_cancelled()
                self._changed.wait(_LOOK_SECONDS)
                others = holders() - {session.spid}
        finally:
            del self._waiting[session.spid], self._sessions[session.spid]
            self._victims.discard(session.spid)
        return True

    def _choose_victim(self, session: Waiting) -> None:
        """Break the circle that the session closes, if it closes one: at the lowest priority, else at the session itself."""
        if session.spid not in self._victims:
            circle = {
                spid
                for spid in self._reached({session.spid})
                if session.spid in self._reached({spid})
            }
            if session.spid not in circle or circle & self._victims:
                return
            victim = min(
                circle,
                key=lambda spid: (self._sessions[spid].deadlock_priority, spid != session.spid),
            )
            self._victims.add(victim)
            if victim != session.spid:
                self._changed.notify_all()
                return
        raise deadlock_victim(session.spid)

    def _reached(self, spids: set[int]) -> set[int]:
        """All that these wait for, over however many others."""
        reached: set[int] = set()
        ahead = list(spids)
        while ahead:
            for spid in self._waiting.get(ahead.pop(), set()) - reached:
                reached.add(spid)
                ahead.append(spid)
        return reached
