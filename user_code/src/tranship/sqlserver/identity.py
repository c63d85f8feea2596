"""Which server, database and table a connection reads, and whether that is the source that a bookmark was made of.

Names do not tell: a test database answers to the name of production, a backup is restored over its original, a table is
dropped and created again. What the server keeps for itself does, as far as a login may see it:

- `group_database_id` is the same on every replica of an availability group; where both sides have it, neither the server's
  name nor the GUID of the database's files, which replicas do not share, says anything.
  https://learn.microsoft.com/sql/relational-databases/system-catalog-views/sys-databases-transact-sql
- `database_guid` stays when a database is renamed, and is a new one when a backup is restored as another database; a database that is
  copied by its files keeps it, which is why the server's name counts beside it.
  https://learn.microsoft.com/sql/relational-databases/system-catalog-views/sys-database-recovery-status-transact-sql
- `recovery_fork_guid` changes when a backup is restored over the database, or a failover is forced.
- `service_broker_guid` and `create_date` are all there is where a login may not see the two; `create_date` also changes when a
  database is renamed, which then costs a load too many rather than one too few.
- `object_id` is another one when a table is dropped and created again. It stays when a table is renamed, truncated or its partitions are
  switched: those are not seen here.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from tranship.errors import TranshipError
from tranship.identity import SourceIdentity
from tranship.sqlserver import catalogue_queries as queries
from tranship.sqlserver.connection import driver
from tranship.sqlserver.driver_errors import driver_errors
from tranship.sqlserver.inspection import Rows, fold, if_known
from tranship.sqlserver.settings import SqlServerSettings
from tranship.sqlserver.statements import CompiledStatement, several
from tranship.sqlserver.stopping import DriverConnection
from tranship.tables import TableName

SERVER, DATABASE, CREATED = "server", "database", "database_created"
BROKER, GROUP = "service_broker", "availability_group_database"
GUID, FORK, TWINS = "database_guid", "recovery_fork", "databases_of_that_guid"
TABLE, TABLE_CREATED = "object_id", "table_created"

GRANT_TO_SEE = "grant view any database to <login>"


def identity_of(
    connection: DriverConnection, settings: SqlServerSettings, table: TableName | None = None
) -> SourceIdentity:
    """What the server tells of itself, of the database and of a table.

    Args:
        connection: Where to ask.
        settings: Where that is, for messages.
        table: The table; the database alone without one.

    Returns:
        Its parts, without what this server lacks or this login may not see.
    """
    statements = [queries.SERVER_AND_DATABASE, queries.DATABASE_IDENTITY, queries.RECOVERY_STATUS]
    if table is not None:
        statements.append(queries.about(queries.TABLE_IDENTITY, [table]))
    of_server, of_database, of_recovery, *of_table = _answers(connection, settings, statements)
    parts: dict[str, object] = {
        **_named((SERVER, DATABASE), of_server),
        **_named((CREATED, BROKER, GROUP), of_database),
        **_named((GUID, FORK, TWINS), of_recovery),
    }
    if table is not None:
        # Where names differ by case alone, the one that is spelled alike; else a server that lower-cases them in its views.
        rows = of_table[0]
        exact = [row for row in rows if (row[0], row[1]) == (table.schema, table.name)]
        parts |= _named((TABLE, TABLE_CREATED), [row[2:] for row in exact or rows])
    return SourceIdentity.of(parts)


def with_table(database: SourceIdentity, object_id: object, created: datetime) -> SourceIdentity:
    """The identity of a table of a database, of which the server told these two."""
    own = {TABLE: object_id, TABLE_CREATED: _shown(created)}
    return SourceIdentity.of({**database.as_json(), **own})


def _answers(
    connection: DriverConnection,
    settings: SqlServerSettings,
    statements: Sequence[CompiledStatement],
) -> list[Rows]:
    """The rows of each statement, in one round trip; nothing of those that the server refuses."""
    try:
        with driver_errors(driver(), settings, "asking for the identity of the source"):
            return several(connection, statements)
    except TranshipError as error:
        if error.transient:
            raise
    return [
        if_known(connection, settings, statement, "all of its identity") for statement in statements
    ]


def _named(names: Sequence[str], answer: Rows) -> dict[str, object]:
    values = answer[0] if answer else (None,) * len(names)
    return {name: _shown(value) for name, value in zip(names, values, strict=True)}


def _shown(value: Any) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def identity_counter(
    connection: DriverConnection, settings: SqlServerSettings, table: TableName, column: str
) -> Decimal | None:
    """The last value that a column which the server numbers upwards was given; `None` for any other column.

    Where it lies below values that are there, the column was reseeded or is numbered elsewhere too: new rows get numbers among or behind
    the old ones.
    """
    query = queries.about(queries.IDENTITY_COUNTER, [table])
    counters = if_known(connection, settings, query, "identity columns")
    of_column = [
        row
        for row in counters
        if fold(row[0], row[1]) == fold(table.schema, table.name)
        and row[2].lower() == column.lower()
    ]
    if not of_column:
        return None
    last, step = of_column[0][3:]
    return None if last is None or step is None or step < 0 else Decimal(last)


def difference(before: SourceIdentity, now: SourceIdentity) -> str | None:
    """Why a source is another one than it was, in words; `None` where nothing that both sides tell says so.

    Example:
        >>> before = SourceIdentity.of({SERVER: "sql1", DATABASE: "sales", TABLE: 1})
        >>> difference(before, SourceIdentity.of({SERVER: "sql2", DATABASE: "sales", TABLE: 1}))
        'it is on the server sql2, no longer on sql1'
    """
    return (
        _another_database(before, now) or _another_past(before, now) or _another_table(before, now)
    )


def _another_database(before: SourceIdentity, now: SourceIdentity) -> str | None:
    if before.agrees(now, GROUP):
        return None
    if before.differs(now, SERVER):
        return f"it is on the server {now.part(SERVER)}, no longer on {before.part(SERVER)}"
    renamed = f"it is in the database {now.part(DATABASE)}, which is another one than "
    if before.differs(now, GUID):
        return f"{renamed}{_database(before, GUID)}: its database_guid is {now.part(GUID)}"
    if before.agrees(now, GUID):
        # Renamed, unless the database of before is still there beside the one that was copied from it.
        copied = before.differs(now, DATABASE) and now.part(TWINS) not in {None, "1"}
        return f"{renamed}{before.part(DATABASE)}, of which it is a copy" if copied else None
    for part, column in ((BROKER, "service_broker_guid"), (CREATED, "create_date")):
        if before.differs(now, part):
            return f"{renamed}{_database(before, part)}: its {column} is {now.part(part)}"
    if before.differs(now, DATABASE):
        return f"{renamed}{before.part(DATABASE)}"
    return None


def _database(identity: SourceIdentity, part: str) -> str:
    return f"{identity.part(DATABASE)} of {identity.part(part)}"


def _another_past(before: SourceIdentity, now: SourceIdentity) -> str | None:
    if not before.differs(now, FORK):
        return None
    return (
        f"the database {now.part(DATABASE)} was restored from a backup, or a failover was forced: its recovery fork is "
        f"{now.part(FORK)}, and was {before.part(FORK)}"
    )


def _another_table(before: SourceIdentity, now: SourceIdentity) -> str | None:
    if not before.differs(now, TABLE):
        return None
    since = now.part(TABLE_CREATED)
    return (
        f"the table was created anew{f' at {since}' if since else ''}: its object_id is {now.part(TABLE)}, and was "
        f"{before.part(TABLE)}"
    )


def not_told(identity: SourceIdentity) -> str | None:
    """What an identity lacks, what that means, and what to grant; `None` where nothing is amiss."""
    if identity.part(FORK) is not None:
        return None
    return (
        "This login does not see sys.database_recovery_status, so a backup that is restored over the database may pass for the source "
        f"that it was. To show it: {GRANT_TO_SEE}"
    )
