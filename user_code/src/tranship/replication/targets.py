"""Where tables are copied to, in the words that a load needs: write with a bookmark, count, look, lock."""

import logging
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from psycopg2 import sql
from sqlalchemy.sql.elements import quoted_name

from tranship.frames import Batches
from tranship.names import shortened
from tranship.own_tables import name_is_taken, own_table
from tranship.postgres.statements import compiled
from tranship.replication.bookmarks import Bookmark, BookmarkTable
from tranship.replication.cursors import has_zone
from tranship.slices import Slice
from tranship.tables import TableName, TableSchema
from tranship.writes import Declared, WriteRequest, WriteResult

Extra = Callable[[Any], None]

KEYS_SUFFIX = "__keys"
"""What the table beside a table is called that its source's keys are written to."""
BOOKMARK_SIGNS = ("table_name", "cursor_value", "write_id")
"""Columns that every table of bookmarks has, and no other."""


class Target:
    """A Postgres or Redshift database; see the subclasses.

    Its methods take names as the data has them and make of them what the target makes of them.
    """

    kind: str
    enforces_keys: bool
    """Whether a primary key keeps a second row of one key out."""
    lower: str
    """What lowers A to Z in a statement, with `{}` for the text."""
    longest_name_bytes: int

    @abstractmethod
    def write(
        self, request: WriteRequest, batches: Batches, log: logging.Logger, extra: Extra
    ) -> WriteResult:
        """Write rows in one transaction, and what `extra` does in the same one."""

    @abstractmethod
    def transaction(
        self, doing: str, table: TableName | None = None
    ) -> AbstractContextManager[Any]:
        """A cursor in a transaction that is committed at the end of the block.

        Args:
            doing: What is done, for messages.
            table: What it is done to; what lies beside it is in the same schema.
        """

    @abstractmethod
    def bookmarks(self, table: TableName) -> BookmarkTable:
        """Where the bookmark of a table is kept."""

    @abstractmethod
    def prepare(self, table: TableName) -> None:
        """Create what a load needs before its first write, where it is missing: schema and bookmarks.

        Raises:
            ConfigurationError: A table of somebody else's has the name of one of ours, or the other way round.
        """

    @abstractmethod
    def schema_of(self, table: TableName) -> TableSchema | None:
        """The columns of a table as it is now; `None` where there is none."""

    @abstractmethod
    def lock(self, cursor: Any, table: TableName) -> None:
        """Take one's turn among the writers of a table, until the end of the transaction."""

    @abstractmethod
    def seconds(self, column: sa.ColumnElement[Any], type_: pa.DataType) -> sa.ColumnElement[Any]:
        """Whole seconds from the start of 2000 to a date or time, cut at each full second; with a zone, in UTC."""

    @abstractmethod
    def drift(self, table: TableName, incoming: TableSchema, declared: Declared) -> list[str]:
        """How columns and key differ from the table's, in words; nothing where it can take them as they are."""

    def own_table(self, table: TableName) -> str | None:
        """What of ours a table of that name would be; `None` where the name is free.

        Example:
            >>> Target().own_table(TableName("public", "sales__keys"))
            "the keys of public.sales, which its deletions are found with"
        """
        return table_beside(
            table, KEYS_SUFFIX, "the keys of {}, which its deletions are found with"
        )

    def name(self, column: str) -> str:
        """What the target makes of a column's name."""
        return column

    def table_name(self, table: TableName) -> TableName:
        """What the target makes of a table's name."""
        return table

    def fitting(self, table: TableName) -> TableName:
        """A table's name as it is where the target has room for it, else shortened."""
        return TableName(table.schema, shortened(table.name, self.longest_name_bytes))

    def folded(self, part: Slice) -> Slice:
        """The same slice in the target's names."""
        return part

    def predicate(self, part: Slice, schema: TableSchema) -> sa.ColumnElement[bool] | None:
        """The condition that rows of a slice meet, and no others; `None` where all do.

        Args:
            part: The slice, in the names of the data.
            schema: The table's columns, in the target's names.
        """
        return self.folded(part).predicate(schema)

    def bookmark(self, table: TableName) -> Bookmark | None:
        """How far a table was loaded; `None` where it never was."""
        with self.transaction(f"reading the bookmark of {table}", table) as cursor:
            return self.bookmarks(table).read(cursor, self.table_name(table))

    def select(
        self,
        cursor: Any,
        table: TableName,
        expressions: Sequence[sa.ColumnElement[Any]],
        part: Slice,
        schema: TableSchema,
        *,
        where: sa.ColumnElement[bool] | None = None,
    ) -> tuple[Any, ...]:
        """One row of aggregates over a part of a table.

        Args:
            cursor: Of a transaction.
            table: The table.
            expressions: The aggregates.
            part: Which of its rows.
            schema: Its columns, in the target's names.
            where: A further condition.
        """
        name = self.table_name(table)
        clause = sa.table(
            quoted_name(name.name, quote=True), schema=quoted_name(name.schema, quote=True)
        )
        statement = sa.select(*expressions).select_from(clause)
        predicate = self.predicate(part, schema)
        if predicate is not None:
            statement = statement.where(predicate)
        if where is not None:
            statement = statement.where(where)
        # Both targets speak Postgres's dialect, through one driver.
        cursor.execute(*compiled(statement))
        return cursor.fetchone()

    @staticmethod
    def _wall_clock(column: sa.ColumnElement[Any], type_: pa.DataType) -> sa.ColumnElement[Any]:
        """A date or time without a zone; one with a zone as UTC's clock shows it."""
        if has_zone(type_):
            return sa.func.timezone(sa.literal_column("'UTC'"), column)
        return sa.cast(column, sa.TIMESTAMP())

    def identifier(self, table: TableName) -> sql.Identifier:
        """A table's name, quoted."""
        name = self.table_name(table)
        return sql.Identifier(name.schema, name.name)

    def column(self, name: str) -> sa.ColumnClause[Any]:
        """A column by its name in the data, quoted."""
        return sa.column(quoted_name(self.name(name), quote=True))


def table_beside(table: TableName, suffix: str, what: str) -> str | None:
    """What a table is by its name: `what`, of the table that the name without the suffix is."""
    base = table.name.removesuffix(suffix)
    return what.format(f"{table.schema}.{base}") if base and base != table.name else None


def refuse_own_name(target: Target, table: TableName) -> None:
    """Refuse a copy that would be a table of ours.

    Raises:
        ConfigurationError: It would.
    """
    if what := target.own_table(table):
        raise own_table(table, what)


def check_bookmarks(table: TableName, columns: Sequence[str]) -> None:
    """Refuse a table of somebody else's in the place of our bookmarks.

    Raises:
        ConfigurationError: Its columns are others.
    """
    if not set(BOOKMARK_SIGNS) <= set(columns):
        raise name_is_taken(table, "a table of bookmarks", columns)
