"""T-SQL's transactions on DuckDB's: nested counts, isolation levels, and errors that leave the transaction open."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import duckdb

from standins.sqlserver.errors import SqlError, transaction_doomed
from standins.sqlserver.tracking.recording import Recorder

if TYPE_CHECKING:
    from standins.sqlserver.database import AlteredTables

REPLAY_LIMIT = 20_000


class Isolation(StrEnum):
    """The isolation levels of T-SQL."""

    READ_UNCOMMITTED = "read uncommitted"
    READ_COMMITTED = "read committed"
    REPEATABLE_READ = "repeatable read"
    SERIALIZABLE = "serializable"
    SNAPSHOT = "snapshot"


_PER_STATEMENT = {Isolation.READ_UNCOMMITTED, Isolation.READ_COMMITTED}


@dataclass(frozen=True, slots=True)
class _Written:
    sql: str
    parameters: dict[str, object]
    rows: int


class Transactions:
    """One session's transaction.

    Under READ COMMITTED each statement must see what others committed before it, so DuckDB's transaction (which reads one
    snapshot) only begins with the first write. DuckDB ends a transaction at any error, T-SQL does not: the writes so far are
    run again in a new one. Where that could give other values (identity, newid, getdate) the transaction is doomed instead
    (3930), which is an honest refusal.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, recorder: Recorder, altered: "AlteredTables"
    ) -> None:
        self._connection = connection
        self.recorder = recorder
        self._all_altered = altered
        self._altered: set[str] = set()
        self.snapshot_clock: int | None = None
        """What the clock of `AlteredTables` showed when this transaction's snapshot was taken."""
        self.depth = 0
        self.isolation = Isolation.READ_COMMITTED
        self.began_as = Isolation.READ_COMMITTED
        self._open = False
        self._written: list[_Written] | None = []
        self._doomed = ""
        self.lost = False

    @property
    def state(self) -> int:
        """`xact_state()`."""
        return 0 if not self.depth else -1 if self._doomed else 1

    @property
    def has_written(self) -> bool:
        """Whether the transaction changed anything yet."""
        return self._written is None or bool(self._written)

    def begin(self) -> None:
        """BEGIN TRANSACTION; a second one only counts."""
        if not self.depth:
            self.began_as = self.isolation
        self.depth += 1

    def commit(self) -> None:
        """COMMIT.

        Raises:
            SqlError: 3902 no transaction, 3930 doomed, 3960 or 1205 a conflict.
        """
        if not self.depth:
            raise SqlError(
                3902, "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION."
            )
        if self._doomed:
            cause = self._doomed
            self.rollback()
            self.lost = True
            raise transaction_doomed(cause)
        if self.depth > 1:
            self.depth -= 1
            return
        if self._open:
            try:
                self._commit()
            except duckdb.Error:
                self._reset()
                self.lost = True
                raise
        self._reset()

    def rollback(self) -> None:
        """ROLLBACK of everything, however deep."""
        if self._open:
            self._connection.execute("rollback")
        self._reset()

    def _reset(self) -> None:
        self.depth, self._open, self._doomed, self._written = 0, False, "", []
        self.snapshot_clock = None
        self._forget()

    def _forget(self) -> None:
        self.recorder.discard()
        self._altered.clear()

    def _commit(self) -> None:
        self.recorder.commit(self._connection)
        if self._altered:
            self._all_altered.altered(self._altered)
        self._altered.clear()

    def alters(self, table: str) -> None:
        """The open transaction, or the statement that runs, defines a table anew; by schema and name."""
        self._altered.add(table)

    def enter(self, *, writes: bool) -> None:
        """Called before each statement that touches data.

        Raises:
            SqlError: 3930 in a doomed transaction, 3951 when SNAPSHOT was chosen too late.
        """
        if not self.depth:
            if writes:
                self.recorder.begin(self._connection)
            return
        if self._doomed:
            raise transaction_doomed(self._doomed)
        if self.isolation == Isolation.SNAPSHOT and self.began_as != Isolation.SNAPSHOT:
            raise SqlError(
                3951,
                "Transaction failed because the statement was run under snapshot isolation but the transaction did not start in snapshot isolation. You cannot "
                "change the isolation level of the transaction to snapshot after the transaction has started unless the transaction was originally started under "
                "snapshot isolation level.",
            )
        if not self._open and (writes or self.isolation not in _PER_STATEMENT):
            if self.isolation == Isolation.SNAPSHOT:
                self.snapshot_clock = self._all_altered.clock
            self.recorder.begin(self._connection)
            self._open = True

    def wrote(
        self, sql: str, parameters: dict[str, object], rows: int, *, repeatable: bool
    ) -> None:
        """Called after a successful write; commits it where no transaction is open."""
        if not self.depth:
            self._commit()
            return
        if self._written is None:
            return
        if not repeatable or len(self._written) >= REPLAY_LIMIT:
            self._written = None
        else:
            self._written.append(_Written(sql, parameters, rows))

    def failed(self, *, writing: bool, conflict: bool) -> None:
        """Called after a statement failed in DuckDB, which has given up its transaction."""
        if not self.depth:
            if writing:
                self._connection.execute("rollback")
                self._forget()
            return
        if conflict:
            self.rollback()
            self.lost = True
            return
        if not self._open:
            return
        self._connection.execute("rollback")
        self._open = False
        if self._written == [] and self.isolation in _PER_STATEMENT:
            return
        if self._written is None or self.isolation not in _PER_STATEMENT:
            self._doomed = "an earlier error ended it, and its writes cannot be repeated"
            return
        self._replay(self._written)

    def _replay(self, written: list[_Written]) -> None:
        try:
            self.recorder.begin(self._connection)
            for change in written:
                rows = self._connection.execute(change.sql, change.parameters).fetchall()[0][0]
                if rows != change.rows:
                    raise duckdb.TransactionException("another session changed the rows meanwhile")
        except duckdb.Error as failure:
            self._connection.execute("rollback")
            self._doomed = f"an earlier error ended it, and repeating its writes failed: {failure}"
            return
        self._open = True
