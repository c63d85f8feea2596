"""Marks of tables whose changes SQL Server tracks: a version that stands as long as nothing changed after it.

One statement asks for the versions of all tables, and one for which of them have changes after the version that they were seen at. No row of
a table is read. Whatever makes an answer doubtful is a new mark, which asks for a load, never the old one: a record that was begun anew
or does not reach back, an older state that was restored, columns that were altered, a table that cannot be asked about.
https://learn.microsoft.com/sql/relational-databases/track-changes/work-with-change-tracking-sql-server
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from tranship.errors import TranshipError
from tranship.identity import SourceIdentity
from tranship.sqlserver.catalogue_queries import about
from tranship.sqlserver.connection import driver
from tranship.sqlserver.driver_errors import driver_errors
from tranship.sqlserver.identity import identity_of, with_table
from tranship.sqlserver.inspection import if_known
from tranship.sqlserver.settings import SqlServerSettings
from tranship.sqlserver.statements import CompiledStatement, quoted_table, rows
from tranship.sqlserver.stopping import DriverConnection
from tranship.tables import TableName

_NAMES_AT_ONCE = 1000
"""Names of tables, and at most as many of schemas, are bound; a request may have 2,100."""
_TABLES_AT_ONCE = 100
_KIND = "tracked"
_MINUTES = {1: 1, 2: 60, 3: 24 * 60}
"""https://learn.microsoft.com/sql/relational-databases/system-catalog-views/change-tracking-catalog-views-sys-change-tracking-databases"""

# No row where the database tracks nothing.
_DATABASE = CompiledStatement("""
    select change_tracking_current_version(), datediff(minute, '2000-01-01', sysutcdatetime()),
           d.retention_period, d.retention_period_units
    from sys.change_tracking_databases as d
    where d.database_id = db_id()
""")
# A column that is added with a default, or altered, is no change of any row:
# https://learn.microsoft.com/sql/relational-databases/track-changes/manage-change-tracking-sql-server
# No two columns of a table ever have one column_id, also where one was dropped.
_TABLES = """
    select s.name, o.name, o.object_id, o.create_date, t.begin_version, change_tracking_min_valid_version(o.object_id),
           count_big(*), max(c.column_id), sum(cast(c.user_type_id as bigint) * c.column_id),
           sum(cast(c.max_length as bigint) * c.column_id), sum(cast(c.precision as bigint) * c.column_id),
           sum(cast(c.scale as bigint) * c.column_id)
    from sys.change_tracking_tables as t
    join sys.objects as o on o.object_id = t.object_id
    join sys.schemas as s on s.schema_id = o.schema_id
    join sys.columns as c on c.object_id = o.object_id
    where s.name in (:schemas) and o.name in (:tables)
    group by s.name, o.name, o.object_id, o.create_date, t.begin_version
"""

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class _Mark:
    """What a mark says.

    Args:
        whose: The server, the database and the table.
        columns: The table's columns.
        begin: The version that its record began with.
        version: No change after it was seen.
        minute: The server's minute when that was so.
    """

    whose: str
    columns: str
    begin: int
    version: int
    minute: int

    @classmethod
    def parse(cls, text: str | None) -> Self | None:
        """The mark of a text; `None` for one of another kind.

        Example:
            >>> _Mark.parse("tracked:5f0c63e1:3-56:0:12:14155788").version, _Mark.parse("5f0c63e1:606:2169")
            (12, None)
        """
        kind, *parts = (text or "").split(":")
        if kind != _KIND or len(parts) != 5:
            return None
        whose, columns, *numbers = parts
        return cls(whose, columns, *map(int, numbers))

    def __str__(self) -> str:
        return ":".join(
            map(str, (_KIND, self.whose, self.columns, self.begin, self.version, self.minute))
        )


@dataclass(frozen=True, slots=True)
class _Database:
    """What the server says of the database now.

    Args:
        version: The last version.
        minute: The server's minute.
        kept_minutes: How long changes are kept; `None` where that is not told.
    """

    version: int
    minute: int
    kept_minutes: int | None

    def grows_old(self, mark: _Mark) -> bool:
        """Whether half of the time that changes are kept has passed, or the clock went back.

        A load of a table without changes costs nothing, and keeps its bookmark from being cleaned up behind.
        """
        age = self.minute - mark.minute
        return age < 0 or (self.kept_minutes is not None and 2 * age >= self.kept_minutes)


@dataclass(frozen=True, slots=True)
class _Table:
    """What the server says of a tracked table now: the mark it would have if it had changes, and the oldest version of use."""

    mark: _Mark
    lowest: int

    def is_as_before(self, before: _Mark) -> bool:
        """Whether changes after an earlier mark can be had, and would tell all."""
        now = self.mark
        same = (now.whose, now.columns, now.begin) == (before.whose, before.columns, before.begin)
        return same and self.lowest <= before.version <= now.version


def tracking_marks(
    connection: DriverConnection,
    settings: SqlServerSettings,
    tables: Sequence[TableName],
    seen: Mapping[TableName, str],
) -> dict[TableName, str]:
    """The marks of those of some tables that are tracked, and that this login may ask about.

    Args:
        connection: Where to ask.
        settings: Where that is, for messages.
        tables: The tables.
        seen: The mark of each table that was looked at before. A table without changes since keeps it.

    Raises:
        TransientError: The connection was lost.
    """
    # Before the tables: a change that is committed between the two comes after the version of its mark.
    database = _database(if_known(connection, settings, _DATABASE, "Change Tracking"))
    if database is None:
        return {}
    now = dict(_tables(connection, settings, tables, database))
    marks = {table: str(state.mark) for table, state in now.items()}
    unchanged: dict[TableName, _Mark] = {}
    for table, state in now.items():
        before = _Mark.parse(seen.get(table))
        if before is not None and state.is_as_before(before):
            unchanged[table] = before
    asked = {
        table: before for table, before in unchanged.items() if before.version < database.version
    }
    changed = _changed(connection, settings, asked)
    return marks | {
        table: str(before)
        for table, before in unchanged.items()
        if table not in asked or (table not in changed and not database.grows_old(before))
    }


def _database(answer: Sequence[tuple[Any, ...]]) -> _Database | None:
    if not answer or answer[0][0] is None:
        return None
    version, minute, period, unit = answer[0]
    kept = None if period is None or unit not in _MINUTES else int(period) * _MINUTES[unit]
    return _Database(int(version), int(minute), kept)


def _tables(
    connection: DriverConnection,
    settings: SqlServerSettings,
    tables: Sequence[TableName],
    database: _Database,
) -> Iterator[tuple[TableName, _Table]]:
    """The tables whose records tell; not those whose oldest version is null, which this login may not ask about."""
    wanted = set(tables)
    of_database = identity_of(connection, settings)
    for part in _parts(sorted(wanted, key=str), _NAMES_AT_ONCE):
        answer = if_known(connection, settings, about(_TABLES, part), "tracked tables")
        for schema, name, object_id, created, begin, lowest, *columns in answer:
            table = TableName(schema, name)
            if table not in wanted or lowest is None or begin is None:
                continue
            # With nothing recorded yet in all of the database, a record that begins anew looks like the one before.
            if database.version > int(begin):
                whose: SourceIdentity = with_table(of_database, object_id, created)
                shape = "-".join(map(str, columns))
                mark = _Mark(whose.token, shape, int(begin), database.version, database.minute)
                yield table, _Table(mark, int(lowest))


def _changed(
    connection: DriverConnection, settings: SqlServerSettings, asked: Mapping[TableName, _Mark]
) -> set[TableName]:
    """Those of the tables that have changes after their marks, or that the server refuses to tell of."""
    changed: set[TableName] = set()
    for part in _parts(list(asked), _TABLES_AT_ONCE):
        try:
            with driver_errors(driver(), settings, "looking for tracked changes"):
                changed |= _with_changes(connection, asked, part)
        except TranshipError as error:
            if error.transient:
                raise
            changed |= (
                set(part) if len(part) == 1 else _one_by_one(connection, settings, asked, part)
            )
    return changed


def _one_by_one(
    connection: DriverConnection,
    settings: SqlServerSettings,
    asked: Mapping[TableName, _Mark],
    tables: Sequence[TableName],
) -> set[TableName]:
    """The same where the server refuses to tell of one of them, such as one that is dropped meanwhile."""
    changed: set[TableName] = set()
    for table in tables:
        changed |= _changed(connection, settings, {table: asked[table]})
    return changed


def _with_changes(
    connection: DriverConnection, asked: Mapping[TableName, _Mark], tables: Sequence[TableName]
) -> set[TableName]:
    # A version is a literal or a variable: https://learn.microsoft.com/sql/relational-databases/system-functions/changetable-transact-sql
    # Those of quiet tables stay as they are, and so does the statement, of which the server keeps the plan.
    statement = " union all ".join(
        f"select {number} where exists (select 1 from changetable(changes {quoted_table(table)}, {asked[table].version:d}) as c)"
        for number, table in enumerate(tables)
    )
    return {tables[number] for (number,) in rows(connection, CompiledStatement(statement))}


def _parts(items: Sequence[Part], size: int) -> Iterator[Sequence[Part]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
