"""Which server, database and table a connection reads, and texts that change when a table's rows do: whether it is the source that it was.

Names do not tell: a test database answers to the name of production, a backup is restored over its original, a table is dropped and
created again. What the server keeps for itself does, as far as a role may see it:

- `system_identifier` is given to a cluster when it is made. Its physical replicas and backups have the same one; a cluster that was filled
  from a dump, and after `pg_upgrade`, has another one. https://www.postgresql.org/docs/current/functions-info.html
- the timeline grows when a backup was restored, up to its end or to a moment, and when a standby was promoted: rows that were loaded may not be
  there any more, and new ones get numbers that were given out before. https://www.postgresql.org/docs/current/continuous-archiving.html
- the `oid` of a database stays when it is renamed, and is another one where it was created again, also from a template.
- the `oid` of a table is another one when it was dropped and created again. It stays when the table is renamed, truncated, or written anew by
  `vacuum full`, `cluster` or `alter table`, as its `relfilenode` does not; so that is no part of the identity: most of these change no row, and
  what `truncate` takes away is seen in the rows. When a table was created Postgres does not tell.

A sensor of changes compares fingerprints: the server reads the table and hashes each row: SHA-256 over the text of the whole row, summed in two numbers of 112 bits together. Two states
of a table have the same text in one case of 2^112, also where many rows change in the same way.

What would be had without reading does not hold: the counters of `pg_stat_user_tables` come late, are reset, and are lost in a crash
(https://www.postgresql.org/docs/current/monitoring-stats.html); the places and transactions of rows (`ctid`, `xmin`) say nothing of a
column that was added with a default or of a label that was renamed, neither of which touches a row, and views have none
(https://www.postgresql.org/docs/current/ddl-system-columns.html).
"""

from collections.abc import Sequence
from typing import Any

from psycopg2 import sql

from tranship.errors import ConnectionFailedError, TranshipError
from tranship.grants import quoted
from tranship.identity import SourceIdentity
from tranship.pgsql.driver import SqlCursor
from tranship.postgres.copy_out import TEXT_FORMS
from tranship.postgres.settings import PostgresSettings
from tranship.postgres.snapshots import one_moment
from tranship.postgres.source_catalogue import Relation, relations_of
from tranship.postgres.source_faults import columns_denied, reading
from tranship.tables import TableName

SYSTEM, TIMELINE = "system_identifier", "timeline"
DATABASE, DATABASE_OID, TABLE_OID = "database", "database_oid", "table_oid"

_SYSTEM_FUNCTION, _TIMELINE_FUNCTION = "pg_control_system()", "pg_control_checkpoint()"
# A function that a statement names is checked also where it is not called, so what may be called is asked for first.
_ALLOWED = """
    select coalesce(has_function_privilege(to_regprocedure(%s), 'execute'), false),
           coalesce(has_function_privilege(to_regprocedure(%s), 'execute'), false),
           pg_is_in_recovery(),
           coalesce(has_function_privilege(to_regprocedure('pg_walfile_name(pg_lsn)'), 'execute')
                    and has_function_privilege(to_regprocedure('pg_current_wal_lsn()'), 'execute'), false)
"""
_DATABASE = "select d.datname::text, d.oid from pg_database d where d.datname = current_database()"
_TABLE = """
    select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = %s and c.relname = %s
"""
# The control file has a promoted server's new timeline only after its next checkpoint; the name of a WAL file begins with it at once.
_TIMELINE_OF_WAL = "select ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int"
_TIMELINE_OF_CONTROL_FILE = "select timeline_id from pg_control_checkpoint()"


def identity_of(cursor: SqlCursor, table: TableName) -> SourceIdentity:
    """What the server tells of itself, of the database and of a table, without what this role may not see."""
    cursor.execute(_ALLOWED, (_SYSTEM_FUNCTION, _TIMELINE_FUNCTION))
    sees_system, sees_control, recovers, sees_wal = cursor.fetchone() or (False,) * 4
    parts: dict[str, object] = {SYSTEM: None, TIMELINE: None}
    if sees_system:
        parts[SYSTEM] = _value(cursor, "select system_identifier from pg_control_system()")
    if sees_wal and not recovers:
        parts[TIMELINE] = _value(cursor, _TIMELINE_OF_WAL)
    elif sees_control:
        parts[TIMELINE] = _value(cursor, _TIMELINE_OF_CONTROL_FILE)
    cursor.execute(_DATABASE)
    parts[DATABASE], parts[DATABASE_OID] = cursor.fetchone() or (None, None)
    parts[TABLE_OID] = _value(cursor, _TABLE, (table.schema, table.name))
    return SourceIdentity.of(parts)


def _value(cursor: SqlCursor, query: str, values: tuple[Any, ...] | None = None) -> Any:
    cursor.execute(query, values)
    row = cursor.fetchone()
    return None if row is None else row[0]


def difference(before: SourceIdentity, now: SourceIdentity) -> str | None:
    """Why a source is another one than it was, in words; `None` where nothing that both sides tell says so.

    Example:
        >>> before = SourceIdentity.of({SYSTEM: 7, DATABASE: "sales", DATABASE_OID: 5, TABLE_OID: 16400})
        >>> difference(before, SourceIdentity.of({SYSTEM: 7, DATABASE: "sales", DATABASE_OID: 5, TABLE_OID: 16512}))
        'the table was created anew: its oid is 16512, and was 16400'
    """
    if before.differs(now, SYSTEM):
        return f"it is on another server: its system_identifier is {now.part(SYSTEM)}, and was {before.part(SYSTEM)}"
    if before.differs(now, DATABASE_OID):
        return (
            f"it is in the database {now.part(DATABASE)} of oid {now.part(DATABASE_OID)}, which is another one than "
            f"{before.part(DATABASE)} of oid {before.part(DATABASE_OID)}"
        )
    if before.differs(now, TIMELINE):
        return (
            f"the server was restored from a backup, or a standby was promoted: its timeline is {now.part(TIMELINE)}, and was "
            f"{before.part(TIMELINE)}"
        )
    if before.differs(now, TABLE_OID):
        return f"the table was created anew: its oid is {now.part(TABLE_OID)}, and was {before.part(TABLE_OID)}"
    return None


def identity_gaps(identity: SourceIdentity, user: str) -> str | None:
    """What an identity lacks, what that means, and what to grant; `None` where nothing is amiss."""
    hidden = {SYSTEM: _SYSTEM_FUNCTION, TIMELINE: _TIMELINE_FUNCTION}
    hidden_parts = {part: name for part, name in hidden.items() if identity.part(part) is None}
    if not hidden_parts:
        return None
    grants = " ".join(
        f"grant execute on function {name} to {quoted(user)};" for name in hidden_parts.values()
    )
    meaning = (
        "another server whose database and table have the same oids"
        if SYSTEM in hidden_parts
        else "a backup that is restored over the server"
    )
    return (
        f"This role may not ask for the {' and the '.join(hidden_parts)} of the server, so {meaning} may pass for the source that it was. "
        f"To show it: {grants}"
    )


_HALF = "sum(('x' || encode(substr(h.row, {}, 7), 'hex'))::bit(56)::bigint)"
_HASHES = (
    f"select count(*), {_HALF.format(1)}, {_HALF.format(8)} "
    "from (select sha256(convert_to(row({})::text, 'UTF8')) as row from {}) as h"
)


def fingerprints(
    settings: PostgresSettings, tables: Sequence[TableName]
) -> tuple[dict[TableName, str], dict[TableName, TranshipError]]:
    """The texts of several tables.

    A text also says whose rows they are: it changes where another server, database or table answers to the names.

    Returns:
        The texts, and why there is none for the other tables: one that is gone does not stand in the way of the rest.

    Raises:
        ConnectionFailedError: The server cannot be reached or refuses the login.
        TransientError: The connection was lost.
    """
    marks: dict[TableName, str] = {}
    refused: dict[TableName, TranshipError] = {}
    for table in tables:
        try:
            # Each in a transaction of its own: one over all of them would keep the server from cleaning up meanwhile.
            with (
                one_moment(settings) as connection,
                reading(settings, f"look for changes of {table}", table),
                connection.cursor() as cursor,
            ):
                marks[table] = _mark(cursor, settings, table)
        except TranshipError as error:
            if error.transient or isinstance(error, ConnectionFailedError):
                raise
            refused[table] = error
    return marks, refused


def _mark(cursor: SqlCursor, settings: PostgresSettings, table: TableName) -> str:
    relation = relations_of(cursor, settings, [table])[table]
    if set(relation.unreadable) == set(relation.schema.names):
        raise columns_denied(table, relation.unreadable, settings.user)
    whose = identity_of(cursor, table).token
    cursor.execute(TEXT_FORMS)
    cursor.execute(_row_hashes(table, relation))
    values = cursor.fetchone() or ()
    return ":".join([whose, *("-" if value is None else str(value) for value in values)])


def _row_hashes(table: TableName, relation: Relation) -> sql.Composable:
    """The statement that counts the rows and adds up their hashes, over the columns that this role may select."""
    names = [name for name in relation.schema.names if name not in relation.unreadable]
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    return sql.SQL(_HASHES).format(columns, sql.Identifier(table.schema, table.name))
