"""T-SQL's transactions on DuckDB's: nested counts, isolation levels, and errors that leave the transaction open."""

from typing import TYPE_CHECKING

import duckdb

from standins.sqlserver.errors import SqlError, transaction_doomed
from standins.sqlserver.locks.commits import Changed, Commits
from standins.sqlserver.locks.reads import Isolation
from standins.sqlserver.locks.waiting import deadlock_victim
from standins.sqlserver.locks.write_set import WriteSet, Written
from standins.sqlserver.tracking.recording import Recorder

if TYPE_CHECKING:
    from standins.sqlserver.database import AlteredTables


class Transactions:
    """One session's transaction.

    DuckDB's transaction reads one snapshot. Under SNAPSHOT that is what is wanted. Everywhere else each statement must see what others
    committed before it, so DuckDB's transaction only begins with the first write, and where others have committed since, it is given up and
    the rows that it wrote are written again in a new one: they are locked, so nobody else has touched them. The same is done after an error,
    which ends DuckDB's transaction and not T-SQL's. Where it cannot be done (definitions, very many rows) the transaction is doomed by an error
    (3930), and the victim of a deadlock (1205) where it would write over what others committed: honest refusals.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        recorder: Recorder,
        altered: "AlteredTables",
        commits: Commits,
        spid: int,
    ) -> None:
        self._connection = connection
        self.recorder = recorder
        self._all_altered = altered
        self._altered: set[str] = set()
        self.snapshot_clock: int | None = None
        """What the clock of `AlteredTables` showed when this transaction's snapshot was taken."""
        self._commits = commits
        self._spid = spid
        self._snapshot = 0
        self._changed: dict[int, Changed] = {}
        self.depth = 0
        self.isolation = Isolation.READ_COMMITTED
        self.began_as = Isolation.READ_COMMITTED
        self._open = False
        self._in_engine = False
        self._written = WriteSet()
        self._doomed = ""
        self.lost = False

    @property
    def state(self) -> int:
        """`xact_state()`."""
        return 0 if not self.depth else -1 if self._doomed else 1

    @property
    def has_written(self) -> bool:
        """Whether the transaction changed anything yet."""
        return bool(self._written)

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
        self._roll_back()
        self._reset()

    def _reset(self) -> None:
        self.depth, self._open, self._doomed, self._written = 0, False, "", WriteSet()
        self.snapshot_clock = None
        self._forget()

    def _forget(self) -> None:
        self.recorder.discard()
        self._altered.clear()
        self._changed.clear()
        self._commits.forget(self._spid)

    def _begin(self) -> None:
        """Begin DuckDB's transaction, with a snapshot of all that is committed."""
        with self._commits.turn():
            self.recorder.begin(self._connection)
            self._snapshot = self._commits.snapshot(self._spid)
            self._in_engine = True

    def _roll_back(self) -> None:
        if self._in_engine:
            self._in_engine = False
            self._connection.execute("rollback")

    def _commit(self) -> None:
        with self._commits.turn():
            self.recorder.commit(self._connection)
            self._in_engine = False
            self._commits.committed(self._spid, self._changed)
        if self._altered:
            self._all_altered.altered(self._altered)
        self._altered.clear()
        self._changed.clear()

    # -- what others committed
    @property
    def keeps_snapshot(self) -> bool:
        """Whether all statements read as of one moment."""
        return bool(self.depth) and self.began_as == Isolation.SNAPSHOT

    @property
    def is_watched(self) -> bool:
        """Whether it counts which rows are changed: for later statements, or for snapshots that others have open."""
        return bool(self.depth) or self._commits.are_watched(self._spid)

    def freshen(self) -> None:
        """Have the next statement see what others committed; written rows stay."""
        if (
            self._open
            and not self.keeps_snapshot
            and self._written.is_whole
            and not self._doomed
            and self._commits.count > self._snapshot
        ):
            self._roll_back()
            self._write_again()

    def freshen_statement(self) -> None:
        """The same for a statement that has begun DuckDB's transaction and changed nothing yet."""
        if self.depth:
            self.freshen()
        elif self._commits.count > self._snapshot:
            self._roll_back()
            self._begin()

    def check_table(self, table: int) -> None:
        """Called before rows of a table are changed, or its definition.

        Raises:
            SqlError: 1205, others committed changes of it that this transaction cannot be shown.
        """
        if self.keeps_snapshot or self._written.is_whole:
            return
        if self._commits.changed_table(table, self._snapshot):
            raise deadlock_victim(self._spid)

    def sees(self, table: int, rows: Changed) -> bool:
        """Whether these rows are as others left them, for all that this transaction reads."""
        return not self._commits.changed_rows(table, rows, self._snapshot)

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
                self._begin()
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
        if not self._open and (writes or self.isolation == Isolation.SNAPSHOT):
            if self.isolation == Isolation.SNAPSHOT:
                self.snapshot_clock = self._all_altered.clock
            self._begin()
            self._open = True

    def wrote(self, written: Written | None, changed: dict[int, Changed] | None = None) -> None:
        """Called after a successful write; commits it where no transaction is open.

        Args:
            written: the rows it wrote; None where that is not known, as of definitions.
            changed: the rows of others that it changed or removed, by table; None for any.
        """
        for table, rows in (changed or {}).items():
            before = self._changed.get(table, set())
            self._changed[table] = None if rows is None or before is None else before | rows
        if not self.depth:
            self._commit()
        elif written is None:
            self._written.give_up()
        else:
            self._written.add(written)

    def failed(self, *, writing: bool, conflict: bool) -> None:
        """Called after a statement failed in DuckDB, which has given up its transaction."""
        if not self.depth:
            if writing:
                self._roll_back()
                self._forget()
            return
        if conflict:
            self.rollback()
            self.lost = True
            return
        if not self._open:
            return
        self._roll_back()
        self._open = False
        if self.keeps_snapshot:
            self._doomed = "an earlier error ended it, and its snapshot cannot be had again"
        elif not self._written.is_whole:
            self._doomed = "an earlier error ended it, and its writes cannot be repeated"
        elif self._written:
            self._write_again()

    def _write_again(self) -> None:
        self._open = False
        try:
            self._begin()
            self._written.write(self._connection)
        except duckdb.Error as failure:
            self._roll_back()
            self._doomed = f"its writes cannot be repeated: {failure}"
            return
        self._open = True
