"""SQL Server's Change Data Capture: which keys changed since a log sequence number, joined to the rows as they are now.

A job reads the log and writes changes down some seconds after their commit. How far it has come is asked for before the transaction that reads:
no snapshot holds that number back. Rows are read as they are now, so that a copy is never brought back to a state that was captured
late, and the values that captured rows lack (computed columns, long values) are there.
https://learn.microsoft.com/sql/relational-databases/track-changes/about-change-data-capture-sql-server
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from typing_extensions import override

from tranship.change_feeds import (
    ChangeFeed,
    ChangePosition,
    Changes,
    ChangesLostError,
    RecordTerms,
)
from tranship.errors import ConfigurationError
from tranship.frames import Batches
from tranship.sqlserver.capture_instances import (
    CapturedColumns,
    CaptureInstance,
    advise_instance,
    captured_columns,
    enable_database,
    instances_of,
)
from tranship.sqlserver.connection import connect, driver
from tranship.sqlserver.consistency import begin_consistent_transaction
from tranship.sqlserver.idle_connection import IdleConnection
from tranship.sqlserver.joined_changes import JoinedChanges, PartedChanges, count_of, rows_of
from tranship.sqlserver.lsns import from_bytes, increment, shown, to_literal
from tranship.sqlserver.query import Query
from tranship.sqlserver.reader import fetched
from tranship.sqlserver.statements import CompiledStatement, quoted, rows, run
from tranship.sqlserver.stopping import DriverConnection, stoppable_cursor

if TYPE_CHECKING:
    from tranship.sqlserver.source import SqlServerSource

CAPTURE_IS_LATE = timedelta(minutes=15)
"""The job writes down that it is there also where nothing changes, every few minutes: a time that is older says that it is not.
https://learn.microsoft.com/sql/relational-databases/system-tables/cdc-lsn-time-mapping-transact-sql"""
_RECORD = "cdc of object"


@dataclass(frozen=True, slots=True)
class _Reached:
    """How far the capture job has come.

    Args:
        lsn: The last commit that it has written down; `None` where it has never run.
        time: When that was, by the server's clock.
        now: What the server's clock shows.
    """

    lsn: int | None
    time: datetime | None
    now: datetime

    def late(self) -> str | None:
        """What to tell of a job that has stood still for long, in figures; `None` where it works."""
        if self.lsn is None:
            return "the capture job has written down no commit of this database yet"
        if self.time is None or self.now - self.time < CAPTURE_IS_LATE:
            return None
        minutes = int((self.now - self.time).total_seconds() // 60)
        return f"the capture job has come to {shown(self.lsn)} of {self.time:%Y-%m-%d %H:%M:%S}, {minutes:,} minutes ago by the server's clock"


@dataclass(frozen=True)
class CapturedTable(ChangeFeed):
    """The captured changes of one table in a SQL Server.

    Args:
        source: The table.
        columns: The columns of its rows that are copied.
    """

    source: "SqlServerSource"
    columns: tuple[str, ...]

    @property
    @override
    def is_immediate(self) -> bool:
        return False

    @override
    def position(self) -> ChangePosition:
        """Where the job is, or where the newest instance begins, if it has not come there.

        Whatever was committed before an instance began is in the table by now; what comes later is captured.
        """
        with self._connection(self.source.idle) as connection:
            instances = self._usable(connection)
            reached = self._reached(connection)
        begins = [instance.lowest - 1 for instance in instances]
        return ChangePosition(max([reached.lsn or 0, *begins]), self._record(instances))

    @override
    def terms(self) -> RecordTerms:
        # Of the clean-up job's retention only an owner may know; 3 days are the default.
        # https://learn.microsoft.com/sql/relational-databases/system-stored-procedures/sys-sp-cdc-help-jobs-transact-sql
        return RecordTerms(remedy="the database's owner sees it with exec sys.sp_cdc_help_jobs")

    @override
    def gap(self, since: ChangePosition) -> str | None:
        with self._connection(self.source.idle) as connection:
            instances = self._usable(connection)
            return self._gap(since, instances, self._reached(connection))

    @override
    def count(self, since: ChangePosition) -> int:
        with self._connection(self.source.idle) as connection:
            instance = _covering(self._usable(connection), since)
            reached = self._reached(connection)
            if instance is None or reached.lsn is None or reached.lsn <= since.version:
                return 0
            keys = self._changed_keys(instance, since, reached.lsn, is_quiet=False)
            statement = CompiledStatement(f"select count_big(*) from {keys} as c")
            return int(rows(connection, statement)[0][0])

    @override
    def name_of(self, position: ChangePosition) -> str:
        return shown(position.version)

    @override
    @contextmanager
    def changes(
        self, since: ChangePosition, columns: Sequence[str], *, log: Any = None
    ) -> Generator[Changes]:
        with self._connection(keep=None) as connection:
            instances = self._usable(connection)
            reached = self._reached(connection)
            if (gap := self._gap(since, instances, reached)) is not None:
                raise self._lost(gap)
            instance = _covering(instances, since)
            assert instance is not None
            if log is not None and (late := reached.late()) is not None:
                log.warning(
                    "%s may be behind: %s. What was committed since is in no copy, and the log of the database grows. Is SQL Server "
                    "Agent running? Its owner sees the job with: exec sys.sp_cdc_help_jobs; and starts it with: "
                    "exec sys.sp_cdc_start_job @job_type = N'capture'",
                    self.source.table,
                    late,
                )
            # Nothing is behind the last position where the job stands still; there is no such interval, and asking for it is an error.
            is_quiet = reached.lsn is None or reached.lsn <= since.version
            up_to = since.version if reached.lsn is None else max(reached.lsn, since.version)
            seen = begin_consistent_transaction(connection)
            if log is not None and (note := seen.note(self.source.table, 1)) is not None:
                log.info("%s", note)
            query = JoinedChanges(
                self.source, self._changed_keys(instance, since, up_to, is_quiet=is_quiet)
            ).query(columns)
            row_count = int(rows(connection, count_of(self.source))[0][0])
            with closing(self._read(connection, query, since, instance)) as stream:
                parted = PartedChanges(stream, query.schema.select(columns), self.source.key)
                yield Changes(
                    ChangePosition(up_to, self._record(instances)),
                    Batches(parted.key_schema, parted.deleted_keys, replayable=False),
                    Batches(parted.schema.to_arrow(), parted.rows, replayable=False),
                    row_count,
                )

    # ---- what can be had ----

    @contextmanager
    def _connection(self, keep: IdleConnection | None) -> Generator[DriverConnection]:
        with connect(
            self.source.settings,
            doing=f"asking for the captured changes of {self.source.table}",
            reuse=self.source.idle,
            keep=keep,
        ) as connection:
            yield connection

    def _reached(self, connection: DriverConnection) -> _Reached:
        # https://learn.microsoft.com/sql/relational-databases/system-functions/sys-fn-cdc-get-max-lsn-transact-sql
        ((lsn, time, now),) = rows(connection, CompiledStatement(_REACHED))
        return _Reached(None if lsn is None else from_bytes(lsn), time, now)

    def _usable(self, connection: DriverConnection) -> tuple[CaptureInstance, ...]:
        """The instances that tell of every change of the columns that are copied.

        Raises:
            ConfigurationError: There are none, with the statements that change that.
        """
        source, table = self.source, self.source.table
        if not source.key:
            raise ConfigurationError(
                f"{table} has no primary key, and its settings name no key to tell rows apart by.",
                "Name the key: key: [id].",
            )
        found = captured_columns(connection, table)
        if not found.database_is_on:
            raise ConfigurationError(
                f"The database of {table} captures no changes.",
                f"Let a member of sysadmin (of db_owner on Azure SQL) run: {enable_database()}; "
                f"then the database's owner, with SQL Server Agent running: {advise_instance(table)}",
            )
        if not found.table_is_on:
            raise ConfigurationError(
                f"The changes of {table} are not captured.",
                f"Let the database's owner run, with SQL Server Agent running: {advise_instance(table)}",
            )
        wrong = [name for name in source.key if name in found.misspelled]
        if wrong:
            # https://learn.microsoft.com/sql/relational-databases/track-changes/known-issues-and-errors-change-data-capture
            raise ConfigurationError(
                f"The key of {table} has {', '.join(wrong)} in another collation than its database: of such texts Change Data Capture may keep "
                "other characters than there are, and the rows would not be found.",
                "Follow another record (changes: tracking) or a cursor; or make the column nvarchar.",
            )
        instances = instances_of(connection, table)
        if not instances:
            user = quoted(source.settings.user or "<login>")
            raise ConfigurationError(
                f"The login may not see the captured changes of {table}.",
                "Let the database's owner put it into the role that gates them (role_name of exec sys.sp_cdc_help_change_data_capture): "
                f"alter role [<role>] add member {user}; and let it read all captured columns of the table.",
            )
        needed = self._needed(found)
        usable = tuple(one for one in instances if one.columns.issuperset(needed.values()))
        if not usable:
            raise self._lacking(needed, instances)
        return usable

    def _needed(self, found: CapturedColumns) -> Mapping[str, int]:
        """The columns whose changes have to be captured: an update of others leaves no trace.

        A computed column changes with others, and a condition may ask for any: then all of them count.
        """
        asked = {*self.source.key, *self.columns}
        if self.source.condition or asked & found.computed:
            return found.stored
        return {name: number for name, number in found.stored.items() if name in asked}

    def _lacking(
        self, needed: Mapping[str, int], instances: Sequence[CaptureInstance]
    ) -> ConfigurationError:
        table = self.source.table
        newest = max(instances, key=lambda instance: instance.created)
        missing = ", ".join(name for name, number in needed.items() if number not in newest.columns)
        oldest = min(instances, key=lambda instance: instance.created)
        drop = oldest.advise_drop(table) + "; " if len(instances) > 1 else ""
        return ConfigurationError(
            f"The capture instance {newest.name} of {table} does not capture {missing}: an instance keeps the columns that the table had "
            "when it was made, and an update of others would not arrive.",
            f"Let the database's owner make another: {drop}{advise_instance(table, beside=instances)}; "
            "or leave these columns out of the copy (columns: exclude), with a condition or computed columns that need them.",
            details={"columns": missing},
        )

    def _gap(
        self, since: ChangePosition, instances: Sequence[CaptureInstance], reached: _Reached
    ) -> str | None:
        """Why changes since a place cannot be had, of instances that have the columns."""
        if since.record != self._record(instances):
            return (
                f"the copy follows {since.record}, and the table is {self._record(instances)} now: it was made anew, or another "
                "record of changes was followed until now"
            )
        # Of an instance that the job has not come to yet, the place right before its begin is one, too.
        newest = max(instance.lowest for instance in instances)
        if since.version > (reached.lsn or 0) and since.version >= newest:
            told = "nothing" if reached.lsn is None else shown(reached.lsn)
            return f"the copy is of {shown(since.version)}, and the database has captured {told}: an older state was restored"
        if _covering(instances, since) is None:
            named = " and ".join(
                f"{instance.name} has changes from {shown(instance.lowest)} on"
                for instance in instances
            )
            return (
                f"{named}, and the copy is of {shown(since.version)}: those between were cleaned up (which sys.sp_cdc_help_jobs tells "
                "the retention of), or the instance was made anew, as when Change Data Capture is switched off and on, or after the copy"
            )
        return None

    def _record(self, instances: Sequence[CaptureInstance]) -> str:
        return f"{_RECORD} {instances[0].source_id}"

    def _lost(self, gap: str) -> ChangesLostError:
        return ChangesLostError(
            f"The captured changes of {self.source.table} cannot be had: {gap}.",
            "Run the load again: it reloads the table.",
        )

    # ---- rows ----

    def _all_changes(self, instance: CaptureInstance, since: ChangePosition, up_to: int) -> str:
        # Both ends belong to the interval, and old images too: an update of a key tells of the old key in them only.
        # https://learn.microsoft.com/sql/relational-databases/system-functions/cdc-fn-cdc-get-all-changes-capture-instance-transact-sql
        first, last = to_literal(increment(since.version)), to_literal(up_to)
        return f"cdc.{quoted(instance.all_changes)}({first}, {last}, N'all update old')"

    def _changed_keys(
        self, instance: CaptureInstance, since: ChangePosition, up_to: int, *, is_quiet: bool
    ) -> str:
        key = ", ".join(map(quoted, self.source.key))
        if is_quiet:
            return f"(select {key} from {rows_of(self.source)}{' and' if self.source.condition else ' where'} 1 = 0)"
        return f"(select distinct {key} from {self._all_changes(instance, since, up_to)} as a)"

    def _read(
        self,
        connection: DriverConnection,
        query: Query,
        since: ChangePosition,
        instance: CaptureInstance,
    ) -> Generator[pa.RecordBatch]:
        options = self.source.read_options(query.schema.names)
        with stoppable_cursor(connection) as cursor:
            try:
                run(cursor, query.select())
            except driver().exceptions.Exception as error:
                # 313, which names neither the bounds nor the cause: what was there when it was asked for is cleaned up.
                # https://learn.microsoft.com/sql/relational-databases/track-changes/work-with-change-data-sql-server
                if _BAD_INTERVAL not in str(error):
                    raise
                raise self._lost(
                    f"{shown(increment(since.version))} is below what {instance.name} has left (the server says: an insufficient number "
                    "of arguments were supplied, Msg 313): it was cleaned up a moment ago"
                ) from None
            yield from fetched(cursor, query, options)
        # The function of an instance may read without a snapshot: what was cleaned up while it was read is missing from it.
        ((lowest,),) = rows(connection, CompiledStatement(_LOWEST, (instance.name,)))
        if not 0 < from_bytes(lowest) <= increment(since.version):
            raise self._lost(
                f"{instance.name} has changes from {shown(from_bytes(lowest))} on, and the copy is of {shown(since.version)}: they were "
                "cleaned up while they were read"
            )


_REACHED = "select sys.fn_cdc_get_max_lsn(), sys.fn_cdc_map_lsn_to_time(sys.fn_cdc_get_max_lsn()), getdate()"
_LOWEST = "select sys.fn_cdc_get_min_lsn(?)"
_BAD_INTERVAL = "fn_cdc_get_all_changes_ "


def _covering(
    instances: Sequence[CaptureInstance], since: ChangePosition
) -> CaptureInstance | None:
    """The newest instance that has every change since a place: where two overlap, the one that stays."""
    whole = [one for one in instances if one.lowest <= increment(since.version)]
    return max(whole, key=lambda instance: instance.created, default=None)
