"""Wrong tries, and who must wait after too many.

Three limits, each over the last fifteen minutes. One name from one address: five. One address, whatever the names: thirty; an office
may share one. One name, whatever the addresses: fifty, and then only addresses that the user has logged in from within
the last thirty days are let try. So guessing from many machines ends soon, and cannot lock out the user whose name it is.

Names that nobody has are counted alike: nobody learns which there are.
"""

import hashlib
import sqlite3
import time
from collections.abc import Callable

WINDOW_SECONDS = 15 * 60
MOST_BY_NAME_AND_ADDRESS = 5
MOST_BY_ADDRESS = 30
MOST_BY_NAME = 50
KNOWN_SECONDS = 30 * 24 * 3600
_CLOCK_SKEW_SECONDS = 120
_MOST_ROWS = 100_000
"""So that guessing does not fill the disk."""


class Attempts:
    """The wrong tries of a state's database.

    Args:
        database: The database.
        clock: The time.
    """

    def __init__(self, database: sqlite3.Connection, clock: Callable[[], float] = time.time):
        self._database = database
        self._clock = clock

    def must_wait(self, name: str, address: str) -> bool:
        """Whether this name may not be tried from this address for now."""
        by_both = self._count("name_hash = ? and address = ?", _hash(name), address)
        if by_both >= MOST_BY_NAME_AND_ADDRESS:
            return True
        if self._count("address = ?", address) >= MOST_BY_ADDRESS:
            return True
        if self._count("name_hash = ?", _hash(name)) < MOST_BY_NAME:
            return False
        return not self._is_known(name, address)

    def failed(self, name: str, address: str) -> None:
        """Count a wrong try. Called before the password is checked, so that tries at the same time are all counted."""
        now = self._clock()
        # What lies in the future was written before the clock went back: it would count for ever.
        self._database.execute(
            "delete from failures where at < ? or at > ?",
            (now - WINDOW_SECONDS, now + _CLOCK_SKEW_SECONDS),
        )
        self._database.execute("insert into failures values (?, ?, ?)", (_hash(name), address, now))
        self._database.execute(
            "delete from failures where rowid <= (select max(rowid) from failures) - ?",
            (_MOST_ROWS,),
        )

    def succeeded(self, name: str, address: str) -> None:
        """Forget the wrong tries of a name from an address that it then logged in from, and know the address."""
        now = self._clock()
        self._database.execute(
            "delete from failures where name_hash = ? and address = ?", (_hash(name), address)
        )
        self._database.execute("delete from known_addresses where at < ?", (now - KNOWN_SECONDS,))
        self._database.execute(
            "insert or replace into known_addresses values (?, ?, ?)", (_hash(name), address, now)
        )

    def forgive(self, name: str) -> int:
        """Forget the wrong tries of a name from anywhere; gives how many."""
        return self._database.execute(
            "delete from failures where name_hash = ?", (_hash(name),)
        ).rowcount

    def _count(self, condition: str, *values: str) -> int:
        now = self._clock()
        query = f"select count(*) from failures where at > ? and at <= ? and {condition}"
        return self._database.execute(
            query, (now - WINDOW_SECONDS, now + _CLOCK_SKEW_SECONDS, *values)
        ).fetchone()[0]

    def _is_known(self, name: str, address: str) -> bool:
        query = "select 1 from known_addresses where name_hash = ? and address = ? and at > ?"
        values = (_hash(name), address, self._clock() - KNOWN_SECONDS)
        return self._database.execute(query, values).fetchone() is not None


def _hash(name: str) -> str:
    # People type passwords into the field for names: they are not kept.
    return hashlib.sha256(name.encode()).hexdigest()
