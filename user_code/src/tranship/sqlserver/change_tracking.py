"""SQL Server's Change Tracking: which keys changed since a version, joined to the rows as they are now.

Versions are given at COMMIT, so that a long transaction keeps nothing back and nothing is read twice. Position, changes and rows are
asked for in one SNAPSHOT transaction, as Microsoft recommends, or, where the database does not allow that, in the order that
it documents for such databases: the position first, whether it was still valid last.
https://learn.microsoft.com/sql/relational-databases/track-changes/work-with-change-tracking-sql-server
"""

from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from typing_extensions import override

from tranship.change_feeds import (
    ChangeFeed,
    ChangePosition,
    Changes,
    ChangesLostError,
    Lag,
    RecordTerms,
)
from tranship.errors import ConfigurationError, TranshipError
from tranship.frames import Batches
from tranship.sqlserver.change_record import ChangeRecord, record_of, record_question
from tranship.sqlserver.connection import connect, driver
from tranship.sqlserver.consistency import Consistency, begin_consistent_transaction
from tranship.sqlserver.driver_errors import driver_errors
from tranship.sqlserver.joined_changes import (
    INSERTED,
    UPDATED,
    JoinedChanges,
    PartedChanges,
    count_of,
)
from tranship.sqlserver.query import Query
from tranship.sqlserver.reader import fetched
from tranship.sqlserver.statements import CompiledStatement, quoted, quoted_table, rows, run
from tranship.sqlserver.stopping import stoppable_cursor
from tranship.sqlserver.tracking_advice import ALLOW_SNAPSHOTS, TRACK_DATABASE

if TYPE_CHECKING:
    from tranship.sqlserver.source import SqlServerSource

_COMMITS = "sys.dm_tran_commit_table"
"""When each version was committed, as long as it is kept; to who may view the database's state.

The times are UTC's, as the script shows with which Microsoft looks whether cleanup lags: it holds them against getutcdate().
https://learn.microsoft.com/sql/relational-databases/system-dynamic-management-views/change-tracking-sys-dm-tran-commit-table
https://learn.microsoft.com/intune/configmgr/core/understand/troubleshoot/sql-performance
"""


@dataclass(frozen=True)
class TrackedTable(ChangeFeed):
    """The record of one table's changes in a SQL Server.

    Args:
        source: The table.
    """

    source: "SqlServerSource"

    @override
    def position(self) -> ChangePosition:
        return self._record().position

    @override
    def terms(self) -> RecordTerms:
        login = quoted(self.source.settings.user or "<login>")
        return replace(
            self._record().terms,
            times_remedy=f"Let the database's owner run: grant view database state to {login}",
        )

    @override
    def gap(self, since: ChangePosition) -> str | None:
        return self._record().gap(since)

    @override
    def doubt(self, since: ChangePosition) -> str | None:
        return self._record().doubt(since)

    @override
    def count(self, since: ChangePosition) -> int:
        statement = CompiledStatement(f"select count_big(*) from {self._changetable(since)} as c")
        return int(self.source.ask(statement)[0][0])

    @override
    @contextmanager
    def changes(
        self, since: ChangePosition, columns: Sequence[str], *, log: Any = None
    ) -> Generator[Changes]:
        commits = self._sees_commits()
        with connect(
            self.source.settings,
            doing=f"reading the changes of {self.source.table}",
            reuse=self.source.idle,
        ) as connection:
            seen = begin_consistent_transaction(connection)
            if seen is not Consistency.SNAPSHOT and log is not None:
                log.info(
                    "The changes of %s are read under %s: a row that changes meanwhile is read as it is then, and comes "
                    "again with the next load. To read one moment: alter database current set allow_snapshot_isolation on",
                    self.source.table,
                    seen,
                )
            record = self._checked(rows(connection, self._question))
            self._refuse_gap(record, since)
            query = self._query(since, columns, with_times=commits)
            lag = self._lag(connection, record, since, with_times=commits)
            row_count = int(rows(connection, count_of(self.source))[0][0])
            with closing(self._read(connection, query, since, seen)) as stream:
                parted = PartedChanges(
                    stream, query.schema.select(columns), self.source.key, has_times=commits
                )
                yield Changes(
                    record.position,
                    Batches(parted.key_schema, parted.deleted_keys, replayable=False),
                    Batches(parted.schema.to_arrow(), parted.rows, replayable=False),
                    row_count,
                    lag,
                    parted.counts,
                )

    # ---- the record ----

    def _record(self) -> ChangeRecord:
        return self._checked(self.source.ask(self._question))

    @property
    def _question(self) -> CompiledStatement:
        return record_question(self._quoted)

    def _checked(self, answer: Sequence[tuple[Any, ...]]) -> ChangeRecord:
        """What the server says, if changes can be read.

        Raises:
            ConfigurationError: They cannot, with the statements that change that.
        """
        record = record_of(answer)
        table = self.source.table
        if self.source.key != self.source.schema.primary_key or not self.source.key:
            raise ConfigurationError(
                f"Change Tracking tells rows of {table} apart by the table's primary key "
                f"({', '.join(self.source.schema.primary_key) or 'it has none'}), and the settings name another key.",
                "Leave key out; for a table without a primary key, name a cursor instead of changes.",
            )
        if record.current is None:
            raise ConfigurationError(
                f"The database of {table} does not track changes.",
                f"Let its owner run: {TRACK_DATABASE}; alter table {self._quoted} enable change_tracking; {ALLOW_SNAPSHOTS}",
            )
        if not record.is_granted:
            login = self.source.settings.user or "<login>"
            raise ConfigurationError(
                f"The login may not see the changes of {table}.",
                f"Let the table's owner run: grant view change tracking on {self._quoted} to {quoted(login)}",
            )
        if record.begin is None:
            raise ConfigurationError(
                f"The changes of {table} are not tracked.",
                f"Let its owner run: alter table {self._quoted} enable change_tracking",
            )
        return record

    def _refuse_gap(self, record: ChangeRecord, since: ChangePosition) -> None:
        if (gap := record.gap(since)) is not None:
            raise ChangesLostError(
                f"The changes of {self.source.table} cannot be had: {gap}.",
                "Run the load again: it reloads the table.",
            )

    # ---- when ----

    def _sees_commits(self) -> bool:
        """Whether it can be asked when a version was committed."""
        if not self._record().sees_commits:
            return False
        try:
            with driver_errors(
                driver(), self.source.settings, "asking when versions were committed"
            ):
                self.source.ask(CompiledStatement(f"select top (1) commit_time from {_COMMITS}"))
        except TranshipError as error:
            if error.transient:
                raise
            return False
        return True

    def _lag(
        self, connection: Any, record: ChangeRecord, since: ChangePosition, *, with_times: bool
    ) -> Lag:
        versions = (record.current or 0) - since.version
        if not with_times:
            return Lag(versions)
        # The oldest of the last changes of each row: a change that a later one of its row covers is older still.
        oldest = f"(select min(c.sys_change_version) from {self._changetable(since)} as c)"
        answer = rows(
            connection,
            CompiledStatement(
                f"select {oldest}, (select max(datediff_big(millisecond, m.commit_time, sysutcdatetime())) "
                f"from {_COMMITS} as m where m.commit_ts = {oldest})"
            ),
        )
        version, milliseconds = answer[0]
        if version is None:
            return Lag(versions, 0.0)
        return Lag(versions, None if milliseconds is None else max(milliseconds, 0) / 1000)

    # ---- rows ----

    def _read(
        self, connection: Any, query: Query, since: ChangePosition, seen: Consistency
    ) -> Generator[pa.RecordBatch]:
        options = self.source.read_options(query.schema.names)
        with stoppable_cursor(connection) as cursor:
            run(cursor, query.select())
            yield from fetched(cursor, query, options)
        if seen is not Consistency.SNAPSHOT:
            # What was cleaned up while it was read is missing from it.
            self._refuse_gap(self._checked(rows(connection, self._question)), since)

    def _query(self, since: ChangePosition, columns: Sequence[str], *, with_times: bool) -> Query:
        """All that changed: keys of rows that are gone first, then rows."""
        joined = JoinedChanges(
            self.source,
            self._changetable(since),
            kind=f"case when c.sys_change_operation = 'I' then {INSERTED} else {UPDATED} end",
        )
        if with_times:
            joined = replace(
                joined,
                # A time that is still to come is none in UTC.
                went="case when m.commit_time <= sysutcdatetime() then m.commit_time end",
                beside=f" left join {_COMMITS} as m on m.commit_ts = c.sys_change_version",
            )
        return joined.query(columns)

    def _changetable(self, since: ChangePosition) -> str:
        # A version is a literal or a variable: https://learn.microsoft.com/sql/relational-databases/system-functions/changetable-transact-sql
        return f"changetable(changes {self._quoted}, {since.version:d})"

    @property
    def _quoted(self) -> str:
        return quoted_table(self.source.table)
