"""What tables a SQL Server has and what their columns are, in few queries however many tables.

INFORMATION_SCHEMA comes first: it resolves alias types, keeps the case of names, and is what other
speakers of TDS (Babelfish) have too, where SQLAlchemy's reflection finds no keys. The `sys` views add
what it lacks; where one is missing, that fact is missing too (and logged), never the table.
"""

import difflib
import fnmatch
import glob
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tranship.errors import TableNotFoundError
from tranship.sqlserver import catalogue_queries as queries
from tranship.sqlserver.connection import connect
from tranship.sqlserver.handover import Handover
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
from tranship.tables import TableName, TableSchema

DEFAULT_SCHEMA = "dbo"

_TABLES_PER_QUERY = 110
"""Nine questions go out together, each with schema and table names bound; a request may have 2,100."""

_PAGE_BYTES = 8192

_BRACKETED = re.compile(r"\[((?:[^\]]|\]\])+)\]")


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
        defaults: What the server fills columns with where a row names no value, by column.
    """

    name: TableName
    schema: TableSchema
    is_view: bool = False
    identity: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()
    estimated_rows: int | None = None
    defaults: Mapping[str, str] = field(default_factory=dict)


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
        if not matches and not has_wildcards(pattern):
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
    schema, name = _pattern_parts(pattern)
    return [
        table
        for table in present
        if fnmatch.fnmatchcase(table.schema.lower(), schema.lower())
        and fnmatch.fnmatchcase(table.name.lower(), name.lower())
    ]


def has_wildcards(text: str) -> bool:
    """Whether a table's name has wildcards; what stands in brackets, as a whole part, is a name as it is.

    Example:
        >>> [has_wildcards(text) for text in ("dbo.Dim*", "dbo.[DF]im", "dbo.[Order Details]", "*.[A*]")]
        [True, True, False, True]
    """
    return any(sign in part for part in _plain_parts(text) for sign in "*?[")


def _plain_parts(text: str) -> list[str]:
    """The parts of a name that do not stand in brackets."""
    return [part for part in _name_parts(text) if not _BRACKETED.fullmatch(part)]


def _name_parts(text: str) -> list[str]:
    """The schema's part and the table's, or the table's alone; brackets and all."""
    bracketed = _BRACKETED.match(text)
    if bracketed and text[bracketed.end() : bracketed.end() + 1] == ".":
        return [bracketed[0], text[bracketed.end() + 1 :]]
    if bracketed and bracketed.end() == len(text):
        return [text]
    # Of a pattern's dots the first one ends the schema: names have dots more often than schemas do.
    return text.split(".", 1)


def _pattern_parts(pattern: str) -> tuple[str, str]:
    """What the schema and the table's name have to match."""
    parts = [
        glob.escape(bracketed[1].replace("]]", "]"))
        if (bracketed := _BRACKETED.fullmatch(part))
        else part
        for part in _name_parts(pattern)
    ]
    return (parts[0], parts[1]) if len(parts) == 2 else (DEFAULT_SCHEMA, parts[0])


def describe(
    settings: SqlServerSettings, table: TableName, *, handover: Handover | None = None
) -> TableSchema:
    """A table's columns, primary key and comments: all that reading it takes, in one round trip.

    A column that cannot be moved has the Arrow type `null`, and its `source_type` says why.

    Args:
        settings: Where the table is.
        table: Its name, as the server spells it.
        handover: Where the connection is taken from and left to who reads the table next.

    Raises:
        TableNotFoundError: There is no such table; the message has names that are close.
        ConnectionFailedError: The server cannot be reached or refuses the login.

    Example:
        >>> describe(settings, TableName("dbo", "DimProduct")).primary_key  # doctest: +SKIP
        ('ProductKey',)
    """
    with connect(
        settings, doing="reading the catalogue", taking=handover, leaving=handover
    ) as connection:
        return describe_over(connection, settings, [table])[table]


def describe_many(
    settings: SqlServerSettings, tables: Iterable[TableName]
) -> dict[TableName, TableSchema]:
    """The same for several tables, over one connection and in the same number of queries.

    Raises:
        TableNotFoundError: One of them does not exist.
    """
    wanted = list(dict.fromkeys(tables))
    with connect(settings, doing="reading the catalogue") as connection:
        return describe_over(connection, settings, wanted)


def describe_over(
    connection: Any, settings: SqlServerSettings, tables: Sequence[TableName]
) -> dict[TableName, TableSchema]:
    """The same over a connection that is open.

    Raises:
        TableNotFoundError: One of them does not exist.
    """
    found: dict[TableName, TableSchema | None] = {}
    for part in _parts(tables):
        answers = ask(connection, settings, part, OF_SCHEMA)
        found.update({name: answers.schema(name) for name in part})
    if None in found.values():
        # Only now it matters which tables there are.
        present = _tables(connection)
        for name in tables:
            if found[name] is None and name not in present:
                raise table_not_found(name, list(present), settings.database)
    return {name: schema or TableSchema(()) for name, schema in found.items()}


def row_count_estimate(
    settings: SqlServerSettings, table: TableName, *, handover: Handover | None = None
) -> int | None:
    """Rows by the server's own books, without counting; `None` for a view, or where it keeps none.

    Args:
        settings: Where the table is.
        table: Its name, as the server spells it.
        handover: Where the connection is taken from and left to who reads the table next.

    Raises:
        TableNotFoundError: There is no such table.
    """
    with connect(
        settings, doing="reading the catalogue", taking=handover, leaving=handover
    ) as connection:
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
    wanted = list(dict.fromkeys(tables))
    found: dict[TableName, SourceTable] = {}
    with connect(settings, doing="reading the catalogue") as connection:
        is_view = _is_view(connection, settings, wanted)
        for part in _parts(wanted):
            answers = ask(connection, settings, part, tuple(OPTIONAL))
            for name in part:
                found[name] = SourceTable(
                    name=name,
                    schema=answers.schema(name) or TableSchema(()),
                    is_view=is_view[name],
                    identity=answers.identity(name),
                    computed=answers.computed(name),
                    estimated_rows=None if is_view[name] else answers.estimated_rows(name),
                    defaults=answers.defaults(name),
                )
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
        for part in _parts(wanted):
            query = queries.about(queries.SIZES, part)
            for schema, name, count in if_known(connection, settings, query, "sizes"):
                pages[fold(schema, name)] = int(count or 0)
    folded = {table: fold(table.schema, table.name) for table in wanted}
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


def _is_view(
    connection: Any, settings: SqlServerSettings, tables: Sequence[TableName]
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
