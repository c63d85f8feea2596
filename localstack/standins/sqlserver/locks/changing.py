"""The locks of a statement that changes rows, and what is kept of what it wrote.

Where nobody else holds a row of the table, the statement locks the whole table while it runs and keeps the rows that it changed. Else it asks first
which rows those will be, and locks them one by one.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from standins.sqlserver import failures
from standins.sqlserver.errors import SqlError
from standins.sqlserver.locks.commits import Changed
from standins.sqlserver.locks.reads import Access
from standins.sqlserver.locks.row_keys import (
    LOCKED_KEYS,
    RowKey,
    key_columns,
    keys_of,
    stored_columns,
)
from standins.sqlserver.locks.table_locks import ANY_ROW
from standins.sqlserver.locks.write_set import Written
from standins.sqlserver.tracking.recording import ACTION
from standins.sqlserver.typed import identifier

if TYPE_CHECKING:
    import duckdb

    from standins.sqlserver.catalogue import TableDefinition
    from standins.sqlserver.expressions import Environment
    from standins.sqlserver.locks.statements import StatementLocks
    from standins.sqlserver.state import SessionState


@dataclass(frozen=True, slots=True)
class RowChange:
    """Which rows a statement changes, and how to know them.

    Args:
        table: the table.
        operation: I, U, D; M where each row tells it.
        scan: how it looks for rows; None where it only inserts.
        going: a query for the keys of the rows that it changes or deletes, and for the rows where the table has no key; empty for I and M.
        coming: a query for the keys that it gives, where they can be known before; empty where they cannot.
        moves: whether it changes keys, so that what it returns does not show the old ones.
        returns_keys: whether the statement returns the keys of what it changed.
        returns_rows: whether it returns the rows behind them.
    """

    table: "TableDefinition"
    operation: str
    scan: Access | None = None
    going: str = ""
    coming: str = ""
    moves: bool = False
    returns_keys: bool = False
    returns_rows: bool = False

    @property
    def has_key(self) -> bool:
        """Whether rows can be told apart."""
        return bool(key_columns(self.table))


@dataclass(slots=True)
class ChangingLocks:
    """The locks of one such statement, from before it runs until it is known what it did."""

    change: RowChange
    session: "SessionState"
    connection: "duckdb.DuckDBPyConnection"
    statement: "StatementLocks"
    environment: "Environment"
    _whole: bool = False
    _had_whole: bool = False
    _went: set[RowKey] = field(default_factory=set)
    _came: set[RowKey] = field(default_factory=set)
    _gone: pa.Table | None = None

    @property
    def _number(self) -> int:
        return self.change.table.object_id

    def take(self) -> None:
        """Lock what the statement changes, and have it see what is committed there.

        Raises:
            SqlError: 1222, 1205; 3960 under SNAPSHOT, another has committed a change of a row.
        """
        session, transactions, change = self.session, self.session.transactions, self.change
        self._had_whole = session.locks.has_whole(session.spid, self._number)
        scans = change.operation == "M" or (change.operation != "I" and not change.has_key)
        while True:
            if session.locks.take_whole(session, self._number, wait=scans):
                self._whole = True
                transactions.freshen_statement()
                transactions.check_table(self._number)
                break
            self._wait_for_scan()
            transactions.freshen_statement()
            transactions.check_table(self._number)
            if self._claim() and transactions.sees(self._number, self._went | self._came):
                break
            if transactions.keeps_snapshot and not transactions.sees(self._number, self._went):
                raise update_conflict(change.table, session)
        if change.moves or (change.operation == "U" and not change.has_key):
            self._ask_going()

    def _wait_for_scan(self) -> None:
        scan = self.change.scan
        if scan is not None:
            self.session.locks.read(
                self.session,
                self._number,
                lambda rows: self.statement.meets(scan, rows, self.environment),
            )

    def _claim(self) -> bool:
        """Lock the rows one by one; tells whether all of them were free."""
        locks, session = self.session.locks, self.session
        self._ask_going()
        self._came = self._keys(self.change.coming)
        waited = locks.claim(session, self._number, self._went)
        return not locks.claim(session, self._number, self._came, inserting=True) and not waited

    def _ask_going(self) -> None:
        if self.change.going:
            found = self._found(self.change.going)
            self._went = keys_of(found[LOCKED_KEYS])
            self._gone = found.drop_columns([LOCKED_KEYS]) if not self.change.has_key else None

    def _keys(self, query: str) -> set[RowKey]:
        return keys_of(self._found(query)[LOCKED_KEYS]) if query else set()

    def _found(self, query: str) -> pa.Table:
        used = self.environment.used(query)
        return self.connection.sql(query, params=used or None).to_arrow_table()

    def done(self, rows: int, result: pa.Table | None) -> "Done":
        """The statement has run: keep locks on what it changed.

        Args:
            rows: How many rows it changed.
            result: What it returned; None where it returned nothing.

        Raises:
            SqlError: 3960 under SNAPSHOT, another has committed a change of a row.
        """
        change, transactions = self.change, self.session.transactions
        keys: list[RowKey] | None = None
        if (
            result is not None
            and change.returns_keys
            and not (change.operation == "M" and change.moves)
        ):
            keys = [tuple(key or ()) for key in result[LOCKED_KEYS].to_pylist()]
        changed: Changed = None
        if change.operation == "I" or not rows:
            changed = set()
        elif change.has_key and keys is not None:
            changed = self._went.union(keys)
        if transactions.keeps_snapshot and not transactions.sees(self._number, changed):
            raise update_conflict(change.table, self.session)
        if transactions.depth:
            self._keep(rows, keys)
        written = None
        if result is not None and keys is not None and change.returns_rows:
            written = self._written(result, keys)
        return Done(written, {self._number: changed})

    def _keep(self, rows: int, keys: list[RowKey] | None) -> None:
        locks, spid = self.session.locks, self.session.spid
        kept = self._went.union(keys or ())
        if not self.change.has_key:
            kept = {ANY_ROW} if rows else set[RowKey]()
        if self._whole:
            every = keys is None if self.change.has_key else self.change.operation == "M"
            locks.keep(
                spid, self._number, None if rows and every else kept, escalated=self._had_whole
            )
            self._whole = False
        else:
            locks.claim(self.session, self._number, kept, inserting=True)

    def _written(self, result: pa.Table, keys: list[RowKey]) -> Written:
        """What the statement wrote, as rows."""
        change, table = self.change, self.change.table
        columns = stored_columns(table)
        first = result.schema.get_field_index(LOCKED_KEYS) + 1
        rows = result.select(range(first, first + len(columns)))
        rows = rows.rename_columns([column.name for column in columns])
        if change.operation == "D":
            return Written(table, set(keys)) if change.has_key else Written(table, None, gone=rows)
        if change.operation == "M":
            stays = pc.not_equal(result[ACTION], pa.scalar("DELETE"))
            if not change.has_key:
                # An update's old row is not told, so it could not be taken away again.
                return Written(table, None, emptied=True, new=self._all_rows())
            new, kept = (
                rows.filter(stays),
                [key for key, stay in zip(keys, stays.to_pylist(), strict=True) if stay],
            )
            return Written(table, set(keys), new=new, new_keys=tuple(kept))
        if not change.has_key:
            return Written(table, None, gone=self._gone, new=rows)
        return Written(table, self._went.union(keys), new=rows, new_keys=tuple(keys))

    def _all_rows(self) -> pa.Table:
        names = ", ".join(identifier(column.name) for column in stored_columns(self.change.table))
        return self.connection.sql(f"select {names} from {self.change.table.sql}").to_arrow_table()

    def give_up(self) -> None:
        """The statement has failed: nothing was changed."""
        if self._whole and self.session.transactions.depth:
            self.session.locks.keep(
                self.session.spid, self._number, set(), escalated=self._had_whole
            )


@dataclass(frozen=True, slots=True)
class Done:
    """What a statement did.

    Args:
        written: the rows it wrote; None where that is not known.
        changed: the rows of others that it changed or removed, by table.
    """

    written: Written | None
    changed: dict[int, Changed]


def update_conflict(table: "TableDefinition", session: "SessionState") -> SqlError:
    """3960: under SNAPSHOT, the row is not any more as the transaction sees it."""
    return failures.update_conflict(table.full_name, session.database)
