"""SQL Server's Change Tracking: which keys changed since a version, joined to the rows as they are now.

Versions are given at COMMIT, so that a long transaction keeps nothing back and nothing is read twice. Position, changes and rows are
asked for in one SNAPSHOT transaction, as Microsoft recommends, or, where the database does not allow that, in the order that
it documents for such databases: the position first, whether it was still valid last.
https://learn.microsoft.com/sql/relational-databases/track-changes/work-with-change-tracking-sql-server
"""

# pyarrow-stubs leave out the types of what an array of any type holds.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from typing_extensions import override

from tranship.change_feeds import ChangeFeed, ChangePosition, Changes, ChangesLostError
from tranship.errors import ConfigurationError
from tranship.frames import Batches
from tranship.reads import ReadRequest
from tranship.sqlserver.connection import connect
from tranship.sqlserver.consistency import Consistency, begin_consistent_transaction
from tranship.sqlserver.query import Query, build_query
from tranship.sqlserver.reader import fetched
from tranship.sqlserver.statements import CompiledStatement, quoted, quoted_table, rows, run
from tranship.sqlserver.stopping import stoppable_cursor
from tranship.sqlserver.tracking_advice import ALLOW_SNAPSHOTS, TRACK_DATABASE
from tranship.tables import Column, SourceType, TableSchema

if TYPE_CHECKING:
    from tranship.sqlserver.source import SqlServerSource

_IS_PRESENT = "__is_present"
_UNITS = {1: "minute", 2: "hour", 3: "day"}
"""https://learn.microsoft.com/sql/relational-databases/system-catalog-views/change-tracking-catalog-views-sys-change-tracking-databases"""


@dataclass(frozen=True, slots=True)
class _Record:
    """What the server says of a table's record of changes at a moment.

    Args:
        current: The database's last version; `None` where it tracks nothing.
        lowest: The oldest version that changes can be had since; `None` where this login may not know.
        begin: The version that the record began with; `None` where the table is not tracked.
        is_granted: Whether this login may read it.
        retention: How long changes are kept, in words.
    """

    current: int | None
    lowest: int | None
    begin: int | None
    is_granted: bool
    retention: str | None

    @property
    def position(self) -> ChangePosition:
        return ChangePosition(int(self.current or 0), str(self.begin))

    def gap(self, since: ChangePosition) -> str | None:
        """Why changes since a place cannot be had."""
        if str(self.begin) != since.record:
            return (
                f"its record of changes was begun anew at version {self.begin}, and the copy is of version {since.version} of the "
                "one before: the table was truncated, or tracking was switched off and on"
            )
        if self.current is not None and since.version > self.current:
            return (
                f"the copy is of version {since.version}, and the database is at version {self.current}: an older state was "
                "restored, or a failover lost changes"
            )
        if self.lowest is not None and since.version < self.lowest:
            kept = f", which keeps changes for {self.retention}" if self.retention else ""
            return (
                f"changes are there from version {self.lowest} on, and the copy is of version {since.version}: they were cleaned "
                f"up{kept}"
            )
        return None

    def doubt(self, since: ChangePosition) -> str | None:
        """Why changes since a place may not tell all.

        TRUNCATE, and tracking that is switched off and on, make a record begin anew at the database's version, which they do
        not move: where the one before began there too, nothing tells the two apart.
        """
        if self.begin is None or since.version > self.begin:
            return None
        return (
            f"the copy is of version {since.version}, with which the record of changes began: whether the table was truncated, or "
            "tracking was switched off and on since, cannot be told"
        )


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
            query = self._query(since, columns)
            row_count = int(
                rows(connection, CompiledStatement(f"select count_big(*) from {self._rows}"))[0][0]
            )
            with closing(self._read(connection, query, since, seen)) as stream:
                parted = _Parted(stream, query.schema.select(columns), self._key)
                yield Changes(
                    record.position,
                    Batches(parted.key_schema, parted.deleted_keys, replayable=False),
                    Batches(parted.schema.to_arrow(), parted.rows, replayable=False),
                    row_count,
                )

    # ---- the record ----

    def _record(self) -> _Record:
        return self._checked(self.source.ask(self._question))

    @property
    def _question(self) -> CompiledStatement:
        return CompiledStatement(_RECORD, (self._quoted, self._quoted))

    def _checked(self, answer: Sequence[tuple[Any, ...]]) -> _Record:
        """What the server says, if changes can be read.

        Raises:
            ConfigurationError: They cannot, with the statements that change that.
        """
        record = _record_of(answer)
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

    def _refuse_gap(self, record: _Record, since: ChangePosition) -> None:
        if (gap := record.gap(since)) is not None:
            raise ChangesLostError(
                f"The changes of {self.source.table} cannot be had: {gap}.",
                "Run the load again: it reloads the table.",
            )

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

    def _query(self, since: ChangePosition, columns: Sequence[str]) -> Query:
        """All that changed: keys of rows that are gone first, then rows."""
        request = ReadRequest(self.source.table, columns=tuple(columns))
        built = build_query(request, self.source.schema, self.source.read_options(columns))
        is_present = Column(_IS_PRESENT, pa.int32(), nullable=False, source_type=SourceType("int"))
        schema = TableSchema((is_present, *built.schema.columns), built.schema.primary_key)
        return replace(
            built,
            schema=schema,
            predicate=None,
            rows_of=self._joined(since, columns),
            order_by=(_IS_PRESENT,),
        )

    def _joined(self, since: ChangePosition, columns: Sequence[str]) -> str:
        """The changes with their rows. Keys are told by the record where there is no row: it spells them as they were."""
        key = self._key
        needed = list(dict.fromkeys([*key, *columns]))
        row = f"(select {', '.join(map(quoted, needed))} from {self._rows})"
        same = " and ".join(f"t.{quoted(name)} = c.{quoted(name)}" for name in key)
        gone = f"t.{quoted(key[0])} is null"
        shown = [
            f"case when {gone} then c.{quoted(name)} else t.{quoted(name)} end as {quoted(name)}"
            if name in key
            else f"t.{quoted(name)}"
            for name in needed
        ]
        return (
            f"(select case when {gone} then 0 else 1 end as {quoted(_IS_PRESENT)}, {', '.join(shown)} "
            f"from {self._changetable(since)} as c left join {row} as t on {same}) as changed"
        )

    def _changetable(self, since: ChangePosition) -> str:
        # A version is a literal or a variable: https://learn.microsoft.com/sql/relational-databases/system-functions/changetable-transact-sql
        return f"changetable(changes {self._quoted}, {since.version:d})"

    @property
    def _rows(self) -> str:
        where = self.source.request.where
        return f"{self._quoted} where ({where})" if where else self._quoted

    @property
    def _key(self) -> tuple[str, ...]:
        return self.source.key

    @property
    def _quoted(self) -> str:
        return quoted_table(self.source.table)


_RECORD = """
    select change_tracking_current_version(), change_tracking_min_valid_version(o.object_id), t.begin_version,
           has_perms_by_name(?, 'OBJECT', 'VIEW CHANGE TRACKING'), d.retention_period, d.retention_period_units
    from sys.objects as o
    left join sys.change_tracking_tables as t on t.object_id = o.object_id
    left join sys.change_tracking_databases as d on d.database_id = db_id()
    where o.object_id = object_id(?)
"""


def _record_of(answer: Sequence[tuple[Any, ...]]) -> _Record:
    if not answer:
        return _Record(None, None, None, is_granted=False, retention=None)
    current, lowest, begin, granted, period, unit = answer[0]
    return _Record(
        None if current is None else int(current),
        None if lowest is None else int(lowest),
        None if begin is None else int(begin),
        is_granted=granted is None or bool(granted),
        retention=None if period is None or unit not in _UNITS else _in_words(period, unit),
    )


def _in_words(period: int, unit: int) -> str:
    return f"{period} {_UNITS[unit]}{'' if period == 1 else 's'}"


class _Parted:
    """One stream of changes as two: the keys of rows that are gone, which come first, and the rows.

    Args:
        stream: The changes, those of rows that are gone first.
        schema: The columns of the rows.
        key: The key columns.
    """

    def __init__(
        self, stream: Iterator[pa.RecordBatch], schema: TableSchema, key: Sequence[str]
    ) -> None:
        self.schema = schema
        keys = TableSchema(tuple(schema.column(name) for name in key), tuple(key))
        self.key_schema = keys.to_arrow()
        self._key = list(key)
        self._stream = stream
        self._left: pa.RecordBatch | None = None

    def deleted_keys(self) -> Iterator[pa.RecordBatch]:
        """The keys of rows that are gone."""
        for batch in self._stream:
            gone = batch.column(_IS_PRESENT).to_pylist().count(0)
            if gone:
                yield batch.slice(0, gone).select(self._key).cast(self.key_schema)
            if gone < batch.num_rows:
                self._left = batch.slice(gone)
                return

    def rows(self) -> Iterator[pa.RecordBatch]:
        """The rows; those that are gone are passed over where nobody asked for them."""
        if self._left is None:
            for _ in self.deleted_keys():
                pass
        names, schema = self.schema.names, self.schema.to_arrow()
        left, self._left = self._left, None
        if left is None:
            return
        yield left.select(names).cast(schema)
        for batch in self._stream:
            yield batch.select(names).cast(schema)
