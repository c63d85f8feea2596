"""What tables a SQL Server has and what their columns are, in few queries however many tables.

INFORMATION_SCHEMA comes first: it resolves alias types, keeps the case of names, and is what other
speakers of TDS (Babelfish) have too, where SQLAlchemy's reflection finds no keys. The `sys` views add
what it lacks; where one is missing, that fact is missing too (and logged), never the table.
"""

import difflib
import fnmatch
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from tranship.errors import TableNotFoundError, TranshipError
from tranship.sqlserver import catalogue_queries as queries
from tranship.sqlserver.connection import connect, driver
from tranship.sqlserver.driver_errors import driver_errors
from tranship.sqlserver.settings import SqlServerSettings
from tranship.sqlserver.statements import rows
from tranship.sqlserver.types import arrow_type, source_type
from tranship.tables import Column, TableName, TableSchema

DEFAULT_SCHEMA = "dbo"

_TABLES_PER_QUERY = 500
"""Schema and table names are bound values, of which a statement may have 2,100."""

_PAGE_BYTES = 8192

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A table or view of the source, with what its schema in Arrow terms has no place for.

    Args:
        name: Its name, as the server spells it.
        schema: Columns, primary key, comments. A column that cannot be moved has the Arrow type
            `null`, and its `source_type` says why.
        is_view: Whether it is a view.
        identity: The columns that the server numbers itself.
        computed: The columns that the server computes from others.
        estimated_rows: Rows by the server's own books; `None` for a view, or where it keeps none.
    """

    name: TableName
    schema: TableSchema
    is_view: bool = False
    identity: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()
    estimated_rows: int | None = None


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


def select_tables(
    present: Sequence[TableName],
    patterns: Sequence[str],
    *,
    exclude: Sequence[str] = (),
    database: str = "",
) -> list[TableName]:
    """Those of the tables that match a pattern and no excluded one.

    Raises:
        TableNotFoundError: A pattern without wildcards names no table.

    Example:
        >>> select_tables([TableName("dbo", "DimDate"), TableName("dbo", "Fact")], ["Dim*"])
        [TableName(schema='dbo', name='DimDate')]
    """
    chosen: set[TableName] = set()
    for pattern in patterns:
        matches = _matching(present, pattern)
        if not matches and not any(sign in pattern for sign in "*?["):
            raise table_not_found(
                TableName.parse(pattern, default_schema=DEFAULT_SCHEMA), present, database
            )
        chosen.update(matches)
    for pattern in exclude:
        chosen.difference_update(_matching(present, pattern))
    return sorted(chosen)


def _matching(present: Sequence[TableName], pattern: str) -> list[TableName]:
    exact = [table for table in present if str(table) == pattern]
    if exact:
        return exact
    full = pattern if "." in pattern else f"{DEFAULT_SCHEMA}.{pattern}"
    return [table for table in present if fnmatch.fnmatchcase(str(table).lower(), full.lower())]


def describe(settings: SqlServerSettings, table: TableName) -> TableSchema:
    """A table's columns, primary key and comments.

    A column that cannot be moved has the Arrow type `null`, and its `source_type` says why.

    Raises:
        TableNotFoundError: There is no such table; the message has names that are close.
        ConnectionFailedError: The server cannot be reached or refuses the login.

    Example:
        >>> describe(settings, TableName("dbo", "DimProduct")).primary_key  # doctest: +SKIP
        ('ProductKey',)
    """
    return inspect_table(settings, table).schema


def describe_many(
    settings: SqlServerSettings, tables: Iterable[TableName]
) -> dict[TableName, TableSchema]:
    """The same for several tables, over one connection and in the same number of queries.

    Raises:
        TableNotFoundError: One of them does not exist.
    """
    return {name: found.schema for name, found in inspect_tables(settings, tables).items()}


def row_count_estimate(settings: SqlServerSettings, table: TableName) -> int | None:
    """Rows by the server's own books, without counting; `None` for a view, or where it keeps none.

    Raises:
        TableNotFoundError: There is no such table.
    """
    return inspect_table(settings, table).estimated_rows


def inspect_table(settings: SqlServerSettings, table: TableName) -> SourceTable:
    """Everything the catalogue knows of one table.

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
    wanted = list(dict.fromkeys(tables))
    found: dict[TableName, SourceTable] = {}
    with connect(settings, doing="reading the catalogue") as connection:
        present = _tables(connection)
        for name in wanted:
            if name not in present:
                raise table_not_found(name, list(present), settings.database)
        for start in range(0, len(wanted), _TABLES_PER_QUERY):
            part = {name: present[name] for name in wanted[start : start + _TABLES_PER_QUERY]}
            found.update(_inspect(connection, settings, part))
    return found


def table_sizes(settings: SqlServerSettings, tables: Iterable[TableName]) -> dict[TableName, int]:
    """Bytes that tables take on the server with their indexes, for those it tells of.

    Example:
        >>> table_sizes(settings, [TableName("dbo", "FactInternetSales")])  # doctest: +SKIP
        {TableName(schema='dbo', name='FactInternetSales'): 20250624}
    """
    wanted = list(tables)
    pages: dict[tuple[str, str], int] = {}
    with connect(settings, doing="reading the catalogue") as connection:
        for start in range(0, len(wanted), _TABLES_PER_QUERY):
            query = _about(queries.SIZES, wanted[start : start + _TABLES_PER_QUERY])
            for schema, name, count in _if_known(connection, settings, query, "sizes"):
                pages[_fold(schema, name)] = int(count or 0)
    folded = {table: _fold(table.schema, table.name) for table in wanted}
    return {table: pages[key] * _PAGE_BYTES for table, key in folded.items() if key in pages}


def table_not_found(
    table: TableName, present: Sequence[TableName], database: str
) -> TableNotFoundError:
    """The error for a table that is not there, with the names that are close to it."""
    by_folded = {str(name).lower(): str(name) for name in present}
    close = difflib.get_close_matches(str(table).lower(), by_folded, n=3, cutoff=0.6)
    same_name = [str(name) for name in present if name.name.lower() == table.name.lower()]
    near = list(dict.fromkeys([*same_name, *(by_folded[folded] for folded in close)]))
    remedy = (
        f"Did you mean {' or '.join(near)}?"
        if near
        else "Check the spelling, the schema, and what this login may see."
    )
    where = f' in the database "{database}"' if database else ""
    return TableNotFoundError(f"There is no table {table}{where}.", remedy)


def _tables(connection: Any) -> dict[TableName, bool]:
    """Every table and view, and whether it is a view."""
    return {
        TableName(schema, name): kind == "VIEW"
        for schema, name, kind in rows(connection, queries.TABLES)
    }


def _inspect(
    connection: Any, settings: SqlServerSettings, tables: dict[TableName, bool]
) -> Iterator[tuple[TableName, SourceTable]]:
    columns: defaultdict[TableName, list[Column]] = defaultdict(list)
    for schema, name, column, nullable, *type_ in rows(connection, _about(queries.COLUMNS, tables)):
        data_type, length, precision, scale, fraction = type_
        source = source_type(
            data_type, length=length, precision=precision, scale=scale, fraction=fraction
        )
        columns[TableName(schema, name)].append(
            Column(column, arrow_type(source) or pa.null(), nullable == "YES", source)
        )
    # From here on by folded names: see catalogue_queries.
    keys: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for schema, name, column in rows(connection, _about(queries.PRIMARY_KEYS, tables)):
        keys[_fold(schema, name)].append(column.lower())
    generated: defaultdict[tuple[str, str], dict[str, bool]] = defaultdict(dict)
    for schema, name, column, identity, _ in _if_known(
        connection, settings, _about(queries.GENERATED, tables), "identity and computed columns"
    ):
        generated[_fold(schema, name)][column.lower()] = bool(identity)
    estimates = {
        _fold(schema, name): int(count)
        for schema, name, count in _if_known(
            connection, settings, _about(queries.ESTIMATED_ROWS, tables), "row counts"
        )
        if count is not None
    }
    comments: dict[tuple[str, str], dict[str | None, str]] = defaultdict(dict)
    for schema, name, column, comment in _if_known(
        connection, settings, _about(queries.COMMENTS, tables), "comments"
    ):
        comments[_fold(schema, name)][column.lower() if column else None] = comment

    for name, is_view in tables.items():
        folded = _fold(name.schema, name.name)
        said, made = comments[folded], generated[folded]
        described = tuple(
            replace(column, comment=said.get(column.name.lower())) for column in columns[name]
        )
        yield (
            name,
            SourceTable(
                name=name,
                schema=TableSchema(described, _spelled(keys[folded], described), said.get(None)),
                is_view=is_view,
                identity=tuple(one.name for one in described if made.get(one.name.lower()) is True),
                computed=tuple(
                    one.name for one in described if made.get(one.name.lower()) is False
                ),
                estimated_rows=None if is_view else estimates.get(folded),
            ),
        )


def _about(query: sa.TextClause, tables: Iterable[TableName]) -> sa.TextClause:
    """A query with its names bound. Pairs are not bound, so it may answer for more than was asked."""
    names = list(tables)
    return query.bindparams(
        schemas=sorted({table.schema for table in names}),
        tables=sorted({table.name for table in names}),
    )


def _if_known(
    connection: Any, settings: SqlServerSettings, query: sa.TextClause, what: str
) -> list[tuple[Any, ...]]:
    """Rows of a `sys` view; none, and a line in the log, where the server has no such view."""
    try:
        with driver_errors(driver(), settings, f"reading {what}"):
            return rows(connection, query)
    except TranshipError as error:
        if error.transient:
            raise
        _log.info("%s does not tell %s: %s", settings.address, what, error)
        return []


def _spelled(folded: Sequence[str], columns: Sequence[Column]) -> tuple[str, ...]:
    """A key's columns as the table spells them; no key where one of them is not told."""
    spelling = {column.name.lower(): column.name for column in columns}
    named = tuple(spelling[name] for name in folded if name in spelling)
    return named if len(named) == len(folded) else ()


def _fold(schema: str, name: str) -> tuple[str, str]:
    return schema.lower(), name.lower()
