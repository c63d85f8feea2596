"""What tables a SQL Server has and what their columns are, in few queries however many tables.

INFORMATION_SCHEMA comes first: it resolves alias types, keeps the case of names, and is what other
speakers of TDS (Babelfish) have too, where SQLAlchemy's reflection finds no keys. The `sys` views add
what it lacks; where one is missing, that fact is missing too (and logged), never the table.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from tranship.patterns import select_tables, table_not_found
from tranship.sqlserver import catalogue_queries as queries
from tranship.sqlserver.connection import connect
from tranship.sqlserver.idle_connection import IdleConnection
from tranship.sqlserver.inspection import (
    ESTIMATED_ROWS,
    OF_SCHEMA,
    OPTIONAL,
    ask,
    estimates,
    fold,
    if_known,
)
from tranship.sqlserver.settings import SqlServerSettings
from tranship.sqlserver.statements import rows
from tranship.sqlserver.stopping import DriverConnection
from tranship.sqlserver.tracking_advice import tracking_advice
from tranship.systems import SourceTable
from tranship.tables import TableName, TableSchema

if TYPE_CHECKING:
    import sqlalchemy as sa


DEFAULT_SCHEMA = "dbo"

_TABLES_PER_QUERY = 110
"""Nine questions go out together, each with schema and table names bound; a request may have 2,100."""

_PAGE_BYTES = 8192

# What SQL Server itself writes as text; of other types of .NET nobody knows what their text means.
_READ_AS_TEXT = {
    "geography": "nvarchar(max)",
    "geometry": "nvarchar(max)",
    "hierarchyid": "nvarchar(4000)",
    "sql_variant": "nvarchar(4000)",
}
# Of the functions of the clock, these give the time of the server's zone without an offset
# (https://learn.microsoft.com/sql/t-sql/functions/date-and-time-data-types-and-functions-transact-sql).
_LOCAL = re.compile(r"\b(getdate|sysdatetime|current_timestamp|sysdatetimeoffset)\b", re.IGNORECASE)


def list_tables(
    settings: SqlServerSettings,
    patterns: Sequence[str] = ("dbo.*",),
    *,
    exclude: Sequence[str] = (),
    views: bool = False,
) -> list[TableName]:
    """The tables whose `schema.name` matches a pattern, in order of their names.

    Args:
        settings: Where to look.
        patterns: Names or wildcards (`*`, `?`, `[ab]`), such as `dbo.Dim*` or `*.*`. One without a
            dot means the schema `dbo`. Case matters only on a server whose names differ by it alone.
        exclude: Patterns of tables to leave out.
        views: Whether views count as tables.

    Raises:
        TableNotFoundError: A pattern without wildcards names no table.
        ConnectionFailedError: The server cannot be reached or refuses the login.

    Example:
        >>> list_tables(settings, ["dbo.Dim*", "sales.Orders"], exclude=["*.*_old"])  # doctest: +SKIP
    """
    with connect(settings, doing="listing tables") as connection:
        present = _tables(connection)
    names = [name for name, is_view in present.items() if views or not is_view]
    return select_tables(names, patterns, exclude=exclude, database=settings.database)


def present_tables(settings: SqlServerSettings) -> dict[TableName, bool]:
    """Every table and view that the login may see, and whether it is a view.

    Raises:
        ConnectionFailedError: The server cannot be reached or refuses the login.
    """
    with connect(settings, doing="listing tables") as connection:
        return _tables(connection)


def describe(
    settings: SqlServerSettings, table: TableName, *, idle: IdleConnection | None = None
) -> TableSchema:
    """A table's columns, primary key and comments: all that reading it takes, in one round trip.

    A column that cannot be moved has the Arrow type `null`, and its `source_type` says why.

    Args:
        settings: Where the table is.
        table: Its name, as the server spells it.
        idle: Where the connection is taken from and left to who reads the table next.

    Raises:
        TableNotFoundError: There is no such table; the message has names that are close.
        ConnectionFailedError: The server cannot be reached or refuses the login.

    Example:
        >>> describe(settings, TableName("dbo", "DimProduct")).primary_key  # doctest: +SKIP
        ('ProductKey',)
    """
    with connect(settings, doing="reading the catalogue", reuse=idle, keep=idle) as connection:
        return describe_over(connection, settings, [table])[table]


def describe_many(
    settings: SqlServerSettings, tables: Iterable[TableName]
) -> dict[TableName, TableSchema]:
    """The same for several tables, over one connection and in the same number of queries.

    Raises:
        TableNotFoundError: One of them does not exist.
    """
    names = list(dict.fromkeys(tables))
    with connect(settings, doing="reading the catalogue") as connection:
        return describe_over(connection, settings, names)


def describe_over(
    connection: DriverConnection, settings: SqlServerSettings, tables: Sequence[TableName]
) -> dict[TableName, TableSchema]:
    """The same over a connection that is open.

    Raises:
        TableNotFoundError: One of them does not exist.
    """
    schemas: dict[TableName, TableSchema | None] = {}
    for part in _parts(tables):
        answers = ask(connection, settings, part, OF_SCHEMA)
        schemas.update({name: answers.schema(name) for name in part})
    if None in schemas.values():
        # Only now it matters which tables there are.
        present = _tables(connection)
        for name in tables:
            if schemas[name] is None and name not in present:
                raise table_not_found(name, list(present), settings.database)
    return {name: schema or TableSchema(()) for name, schema in schemas.items()}


def row_count_estimate(
    settings: SqlServerSettings, table: TableName, *, idle: IdleConnection | None = None
) -> int | None:
    """Rows by the server's own books, without counting; `None` for a view, or where it keeps none.

    Args:
        settings: Where the table is.
        table: Its name, as the server spells it.
        idle: Where the connection is taken from and left to who reads the table next.

    Raises:
        TableNotFoundError: There is no such table.
    """
    with connect(settings, doing="reading the catalogue", reuse=idle, keep=idle) as connection:
        is_view = _is_view(connection, settings, [table])[table]
        query = queries.about(queries.ESTIMATED_ROWS, [table])
        counted = estimates(if_known(connection, settings, query, ESTIMATED_ROWS))
    return None if is_view else counted.get(fold(table.schema, table.name))


def inspect_table(settings: SqlServerSettings, table: TableName) -> SourceTable:
    """Everything the catalogue knows of one table; `describe` is quicker where its answer will do.

    Raises:
        TableNotFoundError: There is no such table; the message has names that are close.
    """
    return inspect_tables(settings, [table])[table]


def inspect_tables(
    settings: SqlServerSettings, tables: Iterable[TableName]
) -> dict[TableName, SourceTable]:
    """Everything the catalogue knows of several tables, in the order they are named.

    Raises:
        TableNotFoundError: One of them does not exist; the message has names that are close.
    """
    names = list(dict.fromkeys(tables))
    inspected: dict[TableName, SourceTable] = {}
    with connect(settings, doing="reading the catalogue") as connection:
        is_view = _is_view(connection, settings, names)
        for part in _parts(names):
            answers = ask(connection, settings, part, tuple(OPTIONAL))
            advice = tracking_advice(connection, settings, part)
            for name in part:
                schema = answers.schema(name) or TableSchema(())
                defaults = answers.defaults(name)
                inspected[name] = SourceTable(
                    name=name,
                    schema=schema,
                    is_view=is_view[name],
                    identity=answers.identity(name),
                    computed=answers.computed(name),
                    estimated_rows=None if is_view[name] else answers.estimated_rows(name),
                    defaults=defaults,
                    local_clocks=tuple(
                        column for column, default in defaults.items() if is_local_clock(default)
                    ),
                    readable_as=readable_as(schema),
                    change_record=advice.record(name, schema, settings.user or "<login>"),
                )
    return inspected


def readable_as(schema: TableSchema) -> dict[str, str]:
    """Types to read columns as that cannot be moved as they are, by column."""
    return {
        column.name: _READ_AS_TEXT[column.source_type.name]
        for column in schema.columns
        if column.source_type is not None and column.source_type.name in _READ_AS_TEXT
    }


def table_sizes(settings: SqlServerSettings, tables: Iterable[TableName]) -> dict[TableName, int]:
    """Bytes that tables take on the server with their indexes, for those it tells of.

    Example:
        >>> table_sizes(settings, [TableName("dbo", "FactInternetSales")])  # doctest: +SKIP
        {TableName(schema='dbo', name='FactInternetSales'): 20250624}
    """
    names = list(tables)
    pages: dict[tuple[str, str], int] = {}
    with connect(settings, doing="reading the catalogue") as connection:
        for part in _parts(names):
            query = queries.about(queries.SIZES, part)
            for schema, name, count in if_known(connection, settings, query, "sizes"):
                pages[fold(schema, name)] = int(count or 0)
    folded = {table: fold(table.schema, table.name) for table in names}
    return {table: pages[key] * _PAGE_BYTES for table, key in folded.items() if key in pages}


def _tables(connection: DriverConnection) -> dict[TableName, bool]:
    """Every table and view, and whether it is a view."""
    return {
        TableName(schema, name): kind == "VIEW"
        for schema, name, kind in rows(connection, queries.TABLES)
    }


def _is_view(
    connection: DriverConnection, settings: SqlServerSettings, tables: Sequence[TableName]
) -> dict[TableName, bool]:
    """Whether each of the tables is a view.

    Raises:
        TableNotFoundError: One of them does not exist; the message has names that are close.
    """
    present = _tables(connection)
    for name in tables:
        if name not in present:
            raise table_not_found(name, list(present), settings.database)
    return {name: present[name] for name in tables}


def _parts(tables: Sequence[TableName]) -> Iterator[Sequence[TableName]]:
    """The tables, so many at a time as a statement can be asked about."""
    for start in range(0, len(tables), _TABLES_PER_QUERY):
        yield tables[start : start + _TABLES_PER_QUERY]


def is_local_clock(default: str | None) -> bool:
    """Whether a column's default is the server's own wall clock.

    Example:
        >>> is_local_clock("(getdate())"), is_local_clock("(sysutcdatetime())"), is_local_clock(None)
        (True, False, False)
    """
    return default is not None and _LOCAL.search(default) is not None


def column_default(table: TableName, column: str) -> "sa.TextClause":
    """The question for a column's default."""
    import sqlalchemy as sa

    return sa.text(
        "select COLUMN_DEFAULT from INFORMATION_SCHEMA.COLUMNS "
        "where TABLE_SCHEMA = :schema and TABLE_NAME = :table and COLUMN_NAME = :column"
    ).bindparams(schema=table.schema, table=table.name, column=column)
