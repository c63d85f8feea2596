"""Who holds what: the definitions of tables, whole tables, and rows by their keys.

docs/relational-databases/sql-server-transaction-locking-and-row-versioning-guide.md of MicrosoftDocs/sql-docs, "Lock modes" and "Lock escalation".
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from standins.sqlserver.locks.row_keys import RowKey
from standins.sqlserver.locks.waiting import Waiting, Waits

ESCALATES_AT = 5_000
"""So many rows of a table are not locked one by one, but as the whole table."""
CATALOGUE = 0
"""What stands for the system's own tables: a definition that is not committed is a locked row there."""
ANY_ROW: RowKey = ()
"""A changed row of a table whose rows cannot be told apart."""

Meets = Callable[[set[RowKey]], bool]
"""Whether a statement that reads would meet one of these rows."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What a reader keeps others from changing until its transaction ends.

    Args:
        rows: the keys; None for all rows.
        inserts: whether no rows may come between them either, as under SERIALIZABLE.
        updating: whether it means to change them (UPDLOCK), so that no other may mean to.
    """

    rows: frozenset[RowKey] | None = None
    inserts: bool = False
    updating: bool = False

    def forbids(self, rows: set[RowKey], *, inserting: bool) -> bool:
        """Whether another may not change, or insert, these rows."""
        if self.rows is None:
            return self.inserts or not inserting
        return not self.rows.isdisjoint(rows)


@dataclass(slots=True)
class _Table:
    """Of one table, by the numbers of sessions."""

    changer: int | None = None
    queued: set[int] = field(default_factory=set)
    users: set[int] = field(default_factory=set)
    writers: set[int] = field(default_factory=set)
    whole: int | None = None
    rows: dict[int, set[RowKey]] = field(default_factory=dict)
    shared: dict[int, list[Shared]] = field(default_factory=dict)

    @property
    def changing(self) -> set[int]:
        return set() if self.changer is None else {self.changer}

    def everyone(self) -> set[int]:
        """All that have a lock on the table or on rows of it."""
        return self.users | self.writers | self.changing | self.on_rows()

    def on_rows(self) -> set[int]:
        """All that hold rows, or all rows."""
        whole = set() if self.whole is None else {self.whole}
        return whole | set(self.rows) | set(self.shared)

    def forget(self, spid: int) -> None:
        self.users.discard(spid)
        self.writers.discard(spid)
        self.rows.pop(spid, None)
        self.shared.pop(spid, None)
        if self.whole == spid:
            self.whole = None
        if self.changer == spid:
            self.changer = None


class TableLocks:
    """The locks of a database; sessions are known by their numbers."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waits = Waits(self._changed)
        self._tables: dict[int, _Table] = {}
        self._generation = 0
        self.definitions = 0
        """How often a table's definition was let go by who changed it."""

    def _table(self, table: int) -> _Table:
        return self._tables.setdefault(table, _Table())

    # -- definitions
    def use(self, session: Waiting, tables: Iterable[int]) -> bool:
        """A statement is about to use these tables (Sch-S); until it ends, nobody changes their definitions.

        Returns:
            Whether it waited, so that their definitions may be others now.

        Raises:
            SqlError: 1222 when it waited for as long as it wants to, 1205 when it is the victim of a deadlock.
        """
        waited = False
        with self._changed:
            for number in tables:
                waited |= self._waits.wait(
                    session, lambda number=number: self._before(session.spid, number)
                )
                self._table(number).users.add(session.spid)
        return waited

    def _before(self, spid: int, table: int) -> set[int]:
        """Who changes the definition; and who waits for that, if the session is new to the table, or that would never have its turn."""
        entry = self._tables.get(table)
        if entry is None:
            return set()
        return entry.changing | (set() if spid in entry.everyone() else entry.queued)

    def write(self, session: Waiting, table: int) -> bool:
        """The session is about to change rows of a table (IX), to the end of its transaction.

        Returns:
            Whether it waited.

        Raises:
            SqlError: 1222 or 1205, as for `use`.
        """
        waited = self.use(session, [table])
        with self._changed:
            self._table(table).writers.add(session.spid)
        return waited

    def change_definition(self, session: Waiting, table: int) -> bool:
        """The session is about to change a table's definition (Sch-M), to the end of its transaction.

        Returns:
            Whether it waited.

        Raises:
            SqlError: 1222 or 1205, as for `use`.
        """
        with self._changed:
            entry = self._table(table)
            entry.queued.add(session.spid)
            try:
                waited = self._waits.wait(session, entry.everyone)
            finally:
                entry.queued.discard(session.spid)
                self._changed.notify_all()
            entry.changer = session.spid
            self._table(CATALOGUE).rows.setdefault(session.spid, set()).add((str(table),))
            self._generation += 1
        return waited

    # -- rows
    def read(self, session: Waiting, table: int, meets: Meets | None = None) -> bool:
        """Wait until no row that the session would meet is changed and not committed.

        Args:
            session: Who reads.
            table: The table.
            meets: Which rows it would meet; by default all.

        Returns:
            Whether it waited.

        Raises:
            SqlError: 1222 or 1205, as for `use`.
        """
        entry = self._tables.get(table)
        if entry is None or not entry.on_rows() - {session.spid}:
            return False
        seen, owners = -1, set[int]()

        def holders() -> set[int]:
            nonlocal seen, owners
            if seen != self._generation:
                entry = self._tables.get(table, _Table())
                owners = {
                    spid
                    for spid, rows in entry.rows.items()
                    if spid != session.spid and (meets is None or meets(rows))
                }
                owners |= set() if entry.whole is None else {entry.whole}
                seen = self._generation
            return owners

        with self._changed:
            return self._waits.wait(session, holders)

    def share(self, session: Waiting, table: int, shared: Shared) -> None:
        """Keep others from changing what the session has read, to the end of its transaction.

        Raises:
            SqlError: 1222 or 1205, as for `use`.
        """

        def holders() -> set[int]:
            entry = self._tables.get(table, _Table())
            changed = {
                spid
                for spid, rows in entry.rows.items()
                if shared.rows is None or not shared.rows.isdisjoint(rows)
            }
            whole = set() if entry.whole is None else {entry.whole}
            rivals = {
                spid
                for spid, theirs in entry.shared.items()
                if shared.updating and any(_both_update(shared, other) for other in theirs)
            }
            return changed | whole | rivals

        with self._changed:
            self._waits.wait(session, holders)
            self._table(table).shared.setdefault(session.spid, []).append(shared)
            self._generation += 1

    def take_whole(self, session: Waiting, table: int, *, wait: bool = False) -> bool:
        """Lock all rows of a table for a statement that changes some, where nobody else holds any; see `keep`.

        Returns:
            Whether it did.

        Raises:
            SqlError: 1222 or 1205, as for `use`; only where it waits.
        """
        with self._changed:
            if self._table(table).on_rows() - {session.spid}:
                if not wait:
                    return False
                self._waits.wait(session, lambda: self._tables.get(table, _Table()).on_rows())
            self._table(table).whole = session.spid
            self._generation += 1
        return True

    def keep(self, spid: int, table: int, rows: set[RowKey] | None, *, escalated: bool) -> None:
        """Of the whole table that a statement locked, keep what it changed.

        Args:
            spid: Whose statement.
            table: The table.
            rows: The keys of what was changed, old and new; None for all rows.
            escalated: Whether the whole table was locked before.
        """
        with self._changed:
            entry = self._table(table)
            if rows is not None and len(rows) < ESCALATES_AT and not escalated:
                entry.whole = None
            if rows:
                entry.rows.setdefault(spid, set()).update(rows)
            self._generation += 1
            self._changed.notify_all()

    def has_whole(self, spid: int, table: int) -> bool:
        """Whether the session has locked all rows of a table."""
        entry = self._tables.get(table)
        return entry is not None and entry.whole == spid

    def claim(
        self, session: Waiting, table: int, rows: set[RowKey], *, inserting: bool = False
    ) -> bool:
        """Lock rows of a table, to the end of the transaction; or those with these keys that will be there.

        Returns:
            Whether it waited.

        Raises:
            SqlError: 1222 or 1205, as for `use`.
        """

        def holders() -> set[int]:
            entry = self._tables.get(table, _Table())
            found = {
                spid
                for spid, theirs in entry.rows.items()
                if spid != session.spid and not rows.isdisjoint(theirs)
            }
            found |= {
                spid
                for spid, shared in entry.shared.items()
                if any(one.forbids(rows, inserting=inserting) for one in shared)
            }
            return found | (set() if entry.whole is None else {entry.whole})

        with self._changed:
            waited = self._waits.wait(session, holders)
            if rows:
                self._table(table).rows.setdefault(session.spid, set()).update(rows)
                self._generation += 1
        return waited

    def of_others(self, spid: int, table: int) -> set[RowKey]:
        """The rows that other sessions have locked."""
        with self._changed:
            rows = self._tables.get(table, _Table()).rows
            return set[RowKey]().union(*(keys for other, keys in rows.items() if other != spid))

    @property
    def waiting(self) -> int:
        """How many sessions wait for a lock now."""
        with self._changed:
            return self._waits.count

    # -- ends
    def end_statement(self, spid: int) -> None:
        """The session's statement is over, its transaction is not."""
        with self._changed:
            for table in self._tables.values():
                table.users.discard(spid)
            self._tell()

    def release(self, spid: int) -> None:
        """The session's transaction is over."""
        with self._changed:
            for table in self._tables.values():
                self.definitions += table.changer == spid
                table.forget(spid)
            self._generation += 1
            self._tell()

    def _tell(self) -> None:
        unused = [
            number
            for number, table in self._tables.items()
            if not table.queued and not table.everyone()
        ]
        for number in unused:
            del self._tables[number]
        self._changed.notify_all()


def _both_update(one: Shared, other: Shared) -> bool:
    if not other.updating:
        return False
    return one.rows is None or other.rows is None or not one.rows.isdisjoint(other.rows)
