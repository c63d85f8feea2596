"""Short texts that change when a table's rows do: what a sensor of changes compares.

The server reads the table and hashes each row: SHA-256 over the text of the whole row, summed in two numbers of 112 bits together. Two states
of a table have the same text in one case of 2^112, also where many rows change in the same way.

What would be had without reading does not hold: the counters of `pg_stat_user_tables` come late, are reset, and are lost in a crash
(https://www.postgresql.org/docs/current/monitoring-stats.html); the places and transactions of rows (`ctid`, `xmin`) say nothing of a
column that was added with a default or of a label that was renamed, neither of which touches a row, and views have none
(https://www.postgresql.org/docs/current/ddl-system-columns.html).
"""

from collections.abc import Sequence

import psycopg2.extensions
from psycopg2 import sql

from tranship.errors import ConnectionFailedError, TranshipError
from tranship.postgres.copy_out import TEXT_FORMS
from tranship.postgres.identity import identity_of
from tranship.postgres.settings import PostgresSettings
from tranship.postgres.snapshots import one_moment
from tranship.postgres.source_catalogue import Relation, relations_of
from tranship.postgres.source_faults import columns_denied, reading
from tranship.tables import TableName

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


def _mark(cursor: psycopg2.extensions.cursor, settings: PostgresSettings, table: TableName) -> str:
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
