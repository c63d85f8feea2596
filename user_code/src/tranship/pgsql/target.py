"""What Postgres and Redshift share as targets, because both speak Postgres's dialect through one driver."""

from abc import abstractmethod
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import pyarrow as pa
import sqlalchemy as sa
from psycopg2 import sql
from typing_extensions import override

from tranship.bookmarks import Bookmark
from tranship.comparisons import sql_table
from tranship.cursors import has_zone
from tranship.equality import Rules
from tranship.history import HistoryRequest, KeptHistory
from tranship.own_tables import name_is_taken
from tranship.pgsql.bookmarks import BookmarkTable
from tranship.pgsql.catalogue import ExistingTable
from tranship.pgsql.compared_keys import ComparedKeys
from tranship.pgsql.driver import SqlCursor, compiled, one_row
from tranship.pgsql.history import HistoryTable
from tranship.pgsql.history_columns import HistoryWords
from tranship.pgsql.keys import fold
from tranship.slices import Slice
from tranship.tables import TableName, TableSchema
from tranship.target import StagedKeys, Target

BOOKMARK_SIGNS = ("table_name", "cursor_value", "write_id")
"""Columns that every table of bookmarks has, and no other."""


class PgsqlTarget(Target):
    """A target whose transactions are cursors of psycopg2."""

    lower: ClassVar[str]
    """What lowers A to Z in a statement, with `{}` for the text."""
    unpadded: ClassVar[str]
    """What makes one text of all bytes that differ by zeros at their end only, with `{}` for the bytes."""
    history_words: ClassVar[HistoryWords]

    @abstractmethod
    def find(self, transaction: SqlCursor, table: TableName) -> ExistingTable[Any] | None:
        """A table as the catalogue shows it; `None` where there is none."""

    @override
    def schema_of(self, table: TableName) -> TableSchema | None:
        with self.transaction(f"looking at {table}", table) as cursor:
            existing = self.find(cursor, table)
            return None if existing is None else existing.schema()

    @abstractmethod
    @override
    def bookmarks(self, table: TableName) -> BookmarkTable: ...

    @abstractmethod
    def bookmark_tables(self, transaction: SqlCursor) -> list[TableName]:
        """The tables of bookmarks that there are, known by their columns too."""

    @override
    def all_bookmarks(self, transaction: SqlCursor, schema: str | None = None) -> list[Bookmark]:
        bookmarks = [
            bookmark
            for table in self.bookmark_tables(transaction)
            if schema is None or table.schema.lower() == schema.lower()
            for bookmark in BookmarkTable(table).read_all(transaction)
        ]
        return sorted(bookmarks, key=lambda bookmark: bookmark.table)

    @override
    def bookmark_if_kept(self, table: TableName) -> Bookmark | None:
        has_table = self.schema_of(self.bookmarks(table).name) is not None
        return self.bookmark(table) if has_table else None

    @abstractmethod
    @override
    def transaction(
        self, doing: str, table: TableName | None = None
    ) -> AbstractContextManager[SqlCursor]: ...

    @override
    def is_empty(self, table: TableName) -> bool:
        with self.transaction(f"looking at {table}", table) as cursor:
            cursor.execute(sql.SQL("select 1 from {} limit 1").format(self.identifier(table)))
            return cursor.fetchone() is None

    @override
    def drop_columns(
        self, transaction: SqlCursor, table: TableName, columns: Sequence[str]
    ) -> None:
        for column in columns:
            transaction.execute(
                sql.SQL("alter table {} drop column {}").format(
                    self.identifier(table), sql.Identifier(column)
                )
            )

    @override
    def staged_keys(
        self,
        table: TableName,
        key: tuple[str, ...],
        rules: Rules,
        mark: str | None,
        since: str | None = None,
    ) -> StagedKeys:
        return ComparedKeys(self, table, key, rules, mark, since)

    @override
    def history(self, request: HistoryRequest) -> KeptHistory:
        return HistoryTable(self, request)

    @override
    def count_duplicate_keys(
        self,
        table: TableName,
        key: tuple[str, ...],
        rules: Rules,
        zero_padded: Collection[str] = (),
    ) -> tuple[int, int]:
        columns = sql.SQL(", ").join(
            sql.SQL(self.unpadded).format(sql.Identifier(self.name(name)))
            if name in zero_padded
            else fold(sql.Identifier(self.name(name)), rules.get(name), self.lower)
            for name in key
        )
        with self.transaction(f"looking for keys that come twice in {table}", table) as cursor:
            cursor.execute(
                sql.SQL(
                    "select count(*), coalesce(sum(times), 0) from "
                    "(select count(*) as times from {} group by {} having count(*) > 1) as twice"
                ).format(self.identifier(table), columns)
            )
            keys, rows = one_row(cursor)
        return int(keys), int(rows)

    @override
    def select(
        self,
        transaction: SqlCursor,
        table: TableName,
        expressions: Sequence[sa.ColumnElement[Any]],
        part: Slice,
        schema: TableSchema,
        *,
        where: sa.ColumnElement[bool] | None = None,
    ) -> tuple[Any, ...]:
        clause = sql_table(self.table_name(table))
        statement = sa.select(*expressions).select_from(clause)
        predicate = self.predicate(part, schema)
        if predicate is not None:
            statement = statement.where(predicate)
        if where is not None:
            statement = statement.where(where)
        transaction.execute(*compiled(statement))
        return one_row(transaction)

    def identifier(self, table: TableName) -> sql.Identifier:
        """A table's name, quoted."""
        name = self.table_name(table)
        return sql.Identifier(name.schema, name.name)

    @staticmethod
    def _wall_clock(column: sa.ColumnElement[Any], type_: pa.DataType) -> sa.ColumnElement[Any]:
        """A date or time without a zone; one with a zone as UTC's clock shows it."""
        if has_zone(type_):
            return sa.func.timezone(sa.literal_column("'UTC'"), column)
        return sa.cast(column, sa.TIMESTAMP())


def check_bookmarks(table: TableName, columns: Sequence[str]) -> None:
    """Refuse a table of somebody else's in the place of our bookmarks.

    Raises:
        ConfigurationError: Its columns are others.
    """
    if not set(BOOKMARK_SIGNS) <= set(columns):
        raise name_is_taken(table, "a table of bookmarks", columns)
