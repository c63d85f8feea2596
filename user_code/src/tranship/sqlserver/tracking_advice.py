"""What it takes that SQL Server records a table's changes, for somebody who has not decided how to copy it yet.

What is asked for needs no more rights than to see the table. A server without Change Tracking (Babelfish) says nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tranship.sqlserver import catalogue_queries as queries
from tranship.sqlserver.inspection import fold, if_known
from tranship.sqlserver.settings import SqlServerSettings
from tranship.sqlserver.statements import CompiledStatement, quoted, quoted_table
from tranship.sqlserver.stopping import DriverConnection
from tranship.systems import ChangeRecord
from tranship.tables import TableName, TableSchema

TRACK_DATABASE = (
    "alter database current set change_tracking = on (change_retention = 7 days, auto_cleanup = on)"
)
ALLOW_SNAPSHOTS = "alter database current set allow_snapshot_isolation on"

# https://learn.microsoft.com/sql/t-sql/functions/serverproperty-transact-sql has the numbers; Change Tracking is of SQL Server, Azure SQL
# Database and Managed Instance: https://learn.microsoft.com/sql/relational-databases/track-changes/about-change-tracking-sql-server
_WITHOUT_TRACKING = {
    6: "a dedicated SQL pool of Azure Synapse Analytics",
    11: "a serverless SQL pool of Azure Synapse Analytics",
}
_READ_ONLY = "READ_ONLY"
_SNAPSHOTS_ALLOWED = 1

# A right on all tables of the database is had on each; one that is had on some is asked for by each table.
_DATABASE = CompiledStatement("""
    select change_tracking_current_version(), cast(serverproperty('EngineEdition') as int),
           cast(databasepropertyex(db_name(), 'Updateability') as nvarchar(20)), d.snapshot_isolation_state, d.group_database_id
    from sys.databases as d
    where d.name = db_name()
""")
_TRACKED = """
    select s.name, o.name, t.begin_version,
           has_perms_by_name('[' + replace(s.name, ']', ']]') + '].[' + replace(o.name, ']', ']]') + ']',
                             'OBJECT', 'VIEW CHANGE TRACKING')
    from sys.objects as o
    join sys.schemas as s on s.schema_id = o.schema_id
    left join sys.change_tracking_tables as t on t.object_id = o.object_id
    where o.type = 'U' and s.name in (:schemas) and o.name in (:tables)
"""
_PARTITIONS = """
    select s.name, o.name, max(p.partition_number)
    from sys.partitions as p
    join sys.objects as o on o.object_id = p.object_id
    join sys.schemas as s on s.schema_id = o.schema_id
    where p.index_id in (0, 1) and s.name in (:schemas) and o.name in (:tables)
    group by s.name, o.name
"""


@dataclass(frozen=True, slots=True)
class DatabaseTracking:
    """What the server says of the database.

    Args:
        is_on: Whether it tracks changes.
        edition: The server's `EngineEdition`.
        is_read_only: Whether nothing can be written here.
        has_replicas: Whether it is in an availability group.
        allows_snapshots: Whether it allows snapshot isolation.
    """

    is_on: bool = False
    edition: int = 3
    is_read_only: bool = False
    has_replicas: bool = False
    allows_snapshots: bool = True

    @property
    def refusal(self) -> str | None:
        """Why changes of no table of it can be followed from here."""
        if self.edition in _WITHOUT_TRACKING:
            return f"The server is {_WITHOUT_TRACKING[self.edition]}, which has no Change Tracking."
        if self.is_read_only and self.has_replicas:
            # https://learn.microsoft.com/sql/relational-databases/errors-events/mssqlserver-22117-database-engine-error
            return "This is a secondary replica, on which Change Tracking cannot be read: name the primary one as the source."
        if self.is_read_only and not self.is_on:
            return "The database is read-only here, so Change Tracking has to be switched on where it is written."
        return None

    @property
    def statements(self) -> Iterator[str]:
        """What its owner has to run."""
        if not self.is_on:
            yield TRACK_DATABASE
        if not self.allows_snapshots:
            yield ALLOW_SNAPSHOTS


@dataclass(frozen=True, slots=True)
class TableTracking:
    """What the server says of a table.

    Args:
        is_on: Whether its changes are tracked.
        is_granted: Whether this login may see them.
        is_partitioned: Whether it has several partitions.
    """

    is_on: bool = False
    is_granted: bool = False
    is_partitioned: bool = False


@dataclass(frozen=True, slots=True)
class TrackingAdvice:
    """What the server says of Change Tracking for some tables.

    Args:
        database: Of the database; `None` where the server does not know of it.
        tables: Of the tables, by their names without case.
    """

    database: DatabaseTracking | None = None
    tables: Mapping[tuple[str, str], TableTracking] = field(
        default_factory=dict[tuple[str, str], TableTracking]
    )

    def record(self, table: TableName, schema: TableSchema, login: str) -> ChangeRecord | None:
        """What a table's record of changes is, or takes; `None` where there is nothing to say.

        Args:
            table: The table.
            schema: Its columns and key.
            login: Who is to be granted a right.
        """
        tracking = self.tables.get(fold(table.schema, table.name))
        if self.database is None or tracking is None:
            return None
        if (refusal := self.database.refusal or _refusal(schema, tracking)) is not None:
            return ChangeRecord(refusal=refusal)
        if self.database.is_on and tracking.is_on and tracking.is_granted:
            return ChangeRecord(is_readable=True)
        statements = list(self.database.statements)
        if not tracking.is_on:
            statements.append(f"alter table {quoted_table(table)} enable change_tracking")
        if not tracking.is_granted:
            statements.append(
                f"grant view change tracking on {quoted_table(table)} to {quoted(login)}"
            )
        return ChangeRecord(statements=tuple(statements))


def _refusal(schema: TableSchema, tracking: TableTracking) -> str | None:
    """Why a table's changes cannot be tracked.

    https://learn.microsoft.com/sql/t-sql/statements/alter-table-transact-sql
    """
    if tracking.is_on:
        return None
    key = [schema.column(name) for name in schema.primary_key]
    if not key:
        return "Change Tracking needs a primary key, which it does not have."
    kinds = {column.name: column.source_type.name for column in key if column.source_type}
    if versions := [name for name, kind in kinds.items() if kind == "rowversion"]:
        return f"Change Tracking takes no primary key with a rowversion, such as {versions[0]}."
    if hidden := set(schema.primary_key) & set(schema.visibility.encrypted):
        return (
            f"Change Tracking takes no primary key with an encrypted column, such as {min(hidden)}."
        )
    if tracking.is_partitioned:
        return (
            "It is partitioned, and partitions of a table with Change Tracking cannot be switched in or out: only where none ever "
            "are, it may be switched on."
        )
    return None


def tracking_advice(
    connection: DriverConnection, settings: SqlServerSettings, tables: Sequence[TableName]
) -> TrackingAdvice:
    """What the server says of Change Tracking for some tables.

    Args:
        connection: Where to ask.
        settings: Where that is, for messages.
        tables: The tables.
    """
    of_database = if_known(connection, settings, _DATABASE, "Change Tracking")
    if not of_database:
        return TrackingAdvice()
    tracked = if_known(connection, settings, queries.about(_TRACKED, tables), "tracked tables")
    partitions = if_known(connection, settings, queries.about(_PARTITIONS, tables), "partitions")
    last = {fold(schema, name): number for schema, name, number in partitions}
    return TrackingAdvice(
        _database(*of_database[0]),
        {
            fold(schema, name): TableTracking(
                is_on=begin is not None,
                is_granted=bool(granted),
                is_partitioned=(last.get(fold(schema, name)) or 1) > 1,
            )
            for schema, name, begin, granted in tracked
        },
    )


def _database(
    version: int | None, edition: int | None, updates: str | None, snapshots: int | None, group: Any
) -> DatabaseTracking:
    return DatabaseTracking(
        is_on=version is not None,
        edition=edition or 0,
        is_read_only=updates == _READ_ONLY,
        has_replicas=group is not None,
        allows_snapshots=snapshots == _SNAPSHOTS_ALLOWED,
    )
