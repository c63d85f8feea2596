"""Postgres as a target of loads."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from typing_extensions import override

from tranship.errors import SchemaDriftError
from tranship.frames import Batches
from tranship.pgsql.bookmarks import BookmarkTable
from tranship.pgsql.driver import SqlCursor
from tranship.pgsql.target import BOOKMARK_SIGNS, PgsqlTarget, check_bookmarks
from tranship.postgres.catalogue import PostgresTable, find_table
from tranship.postgres.connection import connect
from tranship.postgres.ddl import LONGEST_NAME_BYTES, ensure_schema
from tranship.postgres.faults import translated
from tranship.postgres.history import WORDS
from tranship.postgres.merge import LOWER
from tranship.postgres.reconcile import constraint_drifts, reconcile
from tranship.postgres.settings import PostgresSettings
from tranship.postgres.transaction import lock_table_name
from tranship.postgres.writer import write
from tranship.tables import TableName, TableSchema
from tranship.target import Capabilities, refuse_own_name
from tranship.writes import Declared, Extra, WriteRequest, WriteResult

BOOKMARKS = "tranship_bookmarks"
# A table of somebody else's may have such a name; ours is known by its columns.
_BOOKMARK_TABLES = f"""
    select table_schema, table_name
    from information_schema.columns
    where table_name = %s and column_name in {BOOKMARK_SIGNS}
    group by table_schema, table_name
    having count(*) = {len(BOOKMARK_SIGNS)}
    order by table_schema, table_name
"""


@dataclass(frozen=True)
class PostgresTarget(PgsqlTarget):
    """A Postgres database.

    Args:
        settings: The server.
    """

    settings: PostgresSettings
    kind = "postgres"
    capabilities = Capabilities(enforces_keys=True, longest_name_bytes=LONGEST_NAME_BYTES)
    lower = LOWER
    history_words = WORDS
    unpadded = "regexp_replace(encode({}, 'hex'), '(00)+$', '')"

    @property
    @override
    def address(self) -> str:
        return str(self.settings)

    @override
    def write(
        self, request: WriteRequest, batches: Batches, log: logging.Logger, extra: Extra
    ) -> WriteResult:
        return write(self.settings, request, batches, log=log, extra=extra)

    @contextmanager
    @override
    def transaction(self, doing: str, table: TableName | None = None) -> Generator[SqlCursor]:
        with connect(self.settings) as connection, translated(self.settings, doing, table):
            with connection.cursor() as cursor:
                yield cursor
            connection.commit()

    @override
    def bookmarks(self, table: TableName) -> BookmarkTable:
        return BookmarkTable(TableName(table.schema, BOOKMARKS))

    @override
    def bookmark_tables(self, transaction: SqlCursor) -> list[TableName]:
        transaction.execute(_BOOKMARK_TABLES, (BOOKMARKS,))
        return [TableName(schema, name) for schema, name in transaction.fetchall()]

    @override
    def prepare(self, table: TableName) -> None:
        refuse_own_name(self, table)
        bookmarks = self.bookmarks(table)
        doing = f"preparing of the load of {table}"
        with (
            connect(self.settings) as connection,
            translated(self.settings, doing, table),
        ):
            ensure_schema(connection, table.schema)
            with connection.cursor() as cursor:
                existing = find_table(cursor, bookmarks.name)
                if existing is not None:
                    check_bookmarks(bookmarks.name, [column.name for column in existing.columns])
                else:
                    # Two that create one table at once collide in the catalogue.
                    self.lock(cursor, bookmarks.name)
                    bookmarks.create(cursor)
            connection.commit()

    @override
    def own_table(self, table: TableName) -> str | None:
        if table.name == BOOKMARKS:
            return f"where the bookmarks of the schema {table.schema} are"
        return super().own_table(table)

    @override
    def find(self, transaction: SqlCursor, table: TableName) -> PostgresTable | None:
        return find_table(transaction, table)

    @override
    def lock(self, transaction: SqlCursor, table: TableName) -> None:
        lock_table_name(transaction, table, self.settings.lock_wait_seconds)

    @override
    def seconds(self, column: sa.ColumnElement[Any], type_: pa.DataType) -> sa.ColumnElement[Any]:
        since: Any = self._wall_clock(column, type_) - sa.literal_column("timestamp '2000-01-01'")
        return sa.func.floor(sa.func.date_part(sa.literal_column("'epoch'"), since))

    @override
    def drift(self, table: TableName, incoming: TableSchema, declared: Declared) -> list[str]:
        with self.transaction(f"looking at {table}", table) as cursor:
            existing = find_table(cursor, table)
        if existing is None:
            return []
        request = WriteRequest(table, declared=declared)
        drifts = constraint_drifts(request, incoming, existing)
        try:
            reconcile(request, incoming, existing)
        except SchemaDriftError as error:
            drifts = [*error.drifts, *drifts]
        return [str(drift) for drift in drifts]
