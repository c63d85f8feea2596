"""What the catalogue's views say of tables, asked in one round trip and put together table by table.

Names of columns and tables come as INFORMATION_SCHEMA spells them; the other views are matched to them
without case, as they may lower-case names.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from tranship.errors import TranshipError
from tranship.sqlserver import catalogue_queries as queries
from tranship.sqlserver import visibility
from tranship.sqlserver.collations import equality_of
from tranship.sqlserver.connection import driver
from tranship.sqlserver.driver_errors import driver_errors
from tranship.sqlserver.settings import SqlServerSettings
from tranship.sqlserver.statements import CompiledStatement, rows, several
from tranship.sqlserver.stopping import DriverConnection
from tranship.sqlserver.types import arrow_type, source_type
from tranship.tables import Column, TableName, TableSchema

Rows = list[tuple[Any, ...]]

COMMENTS = "comments"
KEY_INDEXES = "keys by their indexes"
CONCEALED = "masked and encrypted columns"
FILTERS = "row-level security"
GENERATED = "identity and computed columns"
ESTIMATED_ROWS = "row counts"
DEFAULTS = "column defaults"

OPTIONAL = {
    COMMENTS: queries.COMMENTS,
    KEY_INDEXES: visibility.KEY_INDEXES,
    CONCEALED: visibility.CONCEALED_COLUMNS,
    FILTERS: visibility.FILTERS,
    GENERATED: queries.GENERATED,
    ESTIMATED_ROWS: queries.ESTIMATED_ROWS,
    DEFAULTS: queries.DEFAULTS,
}
"""Facts that a server may not tell, mostly from `sys` views."""
OF_SCHEMA = (COMMENTS, KEY_INDEXES, CONCEALED, FILTERS)
"""What a table's schema is made of beside its columns and key."""

_NEEDED = (queries.COLUMNS, queries.PRIMARY_KEYS)

_log = logging.getLogger(__name__)


class Answers:
    """The rows that the catalogue gave for some tables.

    Args:
        columns: Of INFORMATION_SCHEMA.COLUMNS.
        keys: The columns of primary keys, in the key's order.
        facts: The rows of each optional fact that was asked for and that the server knows.
    """

    def __init__(self, columns: Rows, keys: Rows, facts: Mapping[str, Rows]) -> None:
        self._columns: defaultdict[TableName, list[Column]] = defaultdict(list)
        for schema, name, *described in columns:
            self._columns[TableName(schema, name)].append(_column(*described))
        self._keys: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for schema, name, column in keys:
            self._keys[fold(schema, name)].append(column.lower())
        self._comments: defaultdict[tuple[str, str], dict[str | None, str]] = defaultdict(dict)
        for schema, name, column, comment in facts.get(COMMENTS, []):
            self._comments[fold(schema, name)][column.lower() if column else None] = comment
        self._generated: defaultdict[tuple[str, str], dict[str, bool]] = defaultdict(dict)
        for schema, name, column, identity, _ in facts.get(GENERATED, []):
            self._generated[fold(schema, name)][column.lower()] = bool(identity)
        self._estimates = estimates(facts.get(ESTIMATED_ROWS, []))
        self._hidden = visibility.HiddenFacts(
            facts.get(KEY_INDEXES), facts.get(CONCEALED), facts.get(FILTERS)
        )
        self._defaults: defaultdict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        for schema, name, column, default in facts.get(DEFAULTS, []):
            self._defaults[fold(schema, name)][column] = default

    def schema(self, table: TableName) -> TableSchema | None:
        """Columns, key and comments; `None` for a table that has no columns by this exact name."""
        columns = self._columns.get(table)
        if columns is None:
            return None
        folded = fold(table.schema, table.name)
        comments = self._comments[folded]
        described = tuple(
            replace(column, comment=comments.get(column.name.lower())) for column in columns
        )
        return TableSchema(
            described,
            _spelled(self._keys[folded] or self._hidden.key(folded), described),
            comments.get(None),
            self._hidden.visibility(folded, [column.name for column in described]),
        )

    def identity(self, table: TableName) -> tuple[str, ...]:
        """The columns that the server numbers itself."""
        return self._made_by_server(table, identity=True)

    def computed(self, table: TableName) -> tuple[str, ...]:
        """The columns that the server computes from others."""
        return self._made_by_server(table, identity=False)

    def defaults(self, table: TableName) -> dict[str, str]:
        """What the server fills columns with where a row names no value, by column."""
        return dict(self._defaults[fold(table.schema, table.name)])

    def estimated_rows(self, table: TableName) -> int | None:
        """Rows by the server's own books."""
        return self._estimates.get(fold(table.schema, table.name))

    def _made_by_server(self, table: TableName, *, identity: bool) -> tuple[str, ...]:
        made = self._generated[fold(table.schema, table.name)]
        names = (column.name for column in self._columns.get(table, []))
        return tuple(name for name in names if made.get(name.lower()) is identity)


def ask(
    connection: DriverConnection,
    settings: SqlServerSettings,
    tables: Iterable[TableName],
    facts: Sequence[str],
) -> Answers:
    """What the catalogue says of tables: their columns and keys, and the optional facts asked for.

    One round trip; where the server refuses it, which it does as a whole when it lacks a single view,
    each question is asked by itself. A fact that is refused is missing, never the table.

    Args:
        connection: Where to ask.
        settings: Where that is, for messages.
        tables: About which tables.
        facts: Which of `OPTIONAL`.
    """
    names = list(tables)
    needed = [queries.about(query, names) for query in _NEEDED]
    optional = {fact: queries.about(OPTIONAL[fact], names) for fact in facts}
    try:
        with driver_errors(driver(), settings, "reading the catalogue"):
            columns, keys, *rest = several(connection, [*needed, *optional.values()])
            return Answers(columns, keys, dict(zip(optional, rest, strict=True)))
    except TranshipError as error:
        if error.transient:
            raise
    columns, keys = (rows(connection, statement) for statement in needed)
    return Answers(
        columns,
        keys,
        {
            fact: answer
            for fact, question in optional.items()
            if (answer := known(connection, settings, question, fact)) is not None
        },
    )


def if_known(
    connection: DriverConnection,
    settings: SqlServerSettings,
    statement: CompiledStatement,
    what: str,
) -> Rows:
    """Rows of a `sys` view; none, and a line in the log, where the server has no such view."""
    return known(connection, settings, statement, what) or []


def known(
    connection: DriverConnection,
    settings: SqlServerSettings,
    statement: CompiledStatement,
    what: str,
) -> Rows | None:
    """The same, but `None` where the server has no such view: no row tells that there is nothing."""
    try:
        with driver_errors(driver(), settings, f"reading {what}"):
            return rows(connection, statement)
    except TranshipError as error:
        if error.transient:
            raise
        _log.info("%s does not tell %s: %s", settings.address, what, error)
        return None


def estimates(counts: Rows) -> dict[tuple[str, str], int]:
    """The server's own count of rows by folded name, where it keeps one."""
    return {fold(schema, name): int(count) for schema, name, count in counts if count is not None}


def fold(schema: str, name: str) -> tuple[str, str]:
    """A table's name as it is matched between views."""
    return schema.lower(), name.lower()


def _column(
    name: str,
    nullable: str,
    data_type: str,
    length: int | None,
    precision: int | None,
    scale: int | None,
    fraction: int | None,
    collation: str | None,
) -> Column:
    """A column by what INFORMATION_SCHEMA.COLUMNS says of it."""
    source = source_type(
        data_type, length=length, precision=precision, scale=scale, fraction=fraction
    )
    return Column(
        name,
        arrow_type(source) or pa.null(),
        nullable == "YES",
        source,
        equality=equality_of(collation, source),
    )


def _spelled(folded: Sequence[str], columns: Sequence[Column]) -> tuple[str, ...]:
    """A key's columns as the table spells them; no key where one of them is not told."""
    spelling = {column.name.lower(): column.name for column in columns}
    named = tuple(spelling[name] for name in folded if name in spelling)
    return named if len(named) == len(folded) else ()
