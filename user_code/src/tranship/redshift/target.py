"""Redshift as a target of loads."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from psycopg2 import sql
from typing_extensions import override

from tranship.errors import SchemaDriftError, TranshipError
from tranship.frames import Batches
from tranship.own_tables import table_beside
from tranship.pgsql.bookmarks import BookmarkTable
from tranship.pgsql.catalogue import has_schema
from tranship.pgsql.driver import SqlCursor, qualified
from tranship.pgsql.target import BOOKMARK_SIGNS, PgsqlTarget, check_bookmarks
from tranship.redshift.catalogue import RedshiftTable, column_names, find_table
from tranship.redshift.connection import connected
from tranship.redshift.credentials import CredentialsSource
from tranship.redshift.ddl import create_schema
from tranship.redshift.faults import translated
from tranship.redshift.history import WORDS
from tranship.redshift.identifiers import MAX_BYTES, derived_name, fold, fold_slice, fold_table
from tranship.redshift.merge import LOWER
from tranship.redshift.reconcile import constraint_drifts, reconcile
from tranship.redshift.settings import RedshiftSettings
from tranship.redshift.statements import exact_predicate
from tranship.redshift.writer import JOURNAL_SUFFIX, write
from tranship.slices import Slice
from tranship.tables import TableName, TableSchema
from tranship.target import Capabilities, refuse_own_name
from tranship.writes import Declared, Extra, WriteRequest, WriteResult

BOOKMARK_SUFFIX = "__bookmark"
# A table of somebody else's may have such a name; ours is known by its columns.
_BOOKMARK_TABLES = f"""
    select table_schema, table_name
    from svv_columns
    where right(table_name, {len(BOOKMARK_SUFFIX)}) = %s and column_name in {BOOKMARK_SIGNS}
    group by table_schema, table_name
    having count(*) = {len(BOOKMARK_SIGNS)}
    order by table_schema, table_name
"""

_PREPARING = "preparing of the load of {}"


@dataclass(frozen=True)
class RedshiftTarget(PgsqlTarget):
    """A Redshift database and its staging bucket.

    Args:
        settings: The cluster and the bucket.
        credentials: A source of credentials to share; by default one is made of the settings.
    """

    settings: RedshiftSettings
    credentials: CredentialsSource | None = None
    kind = "redshift"
    # Of two transactions that write one table the later one fails (1023):
    # https://docs.aws.amazon.com/redshift/latest/dg/c_serial_isolation.html
    capabilities = Capabilities(
        enforces_keys=False,
        longest_name_bytes=MAX_BYTES,
        folds_names=True,
        ends_second_writers=True,
    )
    lower = LOWER
    history_words = WORDS
    # https://docs.aws.amazon.com/redshift/latest/dg/r_TO_HEX.html gives the hexadecimal text of a varbyte.
    unpadded = "regexp_replace(to_hex({}), '(00)+$', '')"

    @property
    @override
    def address(self) -> str:
        return self.settings.address

    @cached_property
    def _source(self) -> CredentialsSource:
        return self.credentials or CredentialsSource(self.settings)

    @override
    def write(
        self, request: WriteRequest, batches: Batches, log: logging.Logger, extra: Extra
    ) -> WriteResult:
        return write(
            self.settings, request, batches, log=log, extra=extra, credentials=self._source
        )

    @contextmanager
    @override
    def transaction(self, doing: str, table: TableName | None = None) -> Generator[SqlCursor]:
        schema = fold_table(table).schema if table is not None else None
        with connected(self.settings, self._source) as connection:
            connection.autocommit = False
            with translated(self.settings, doing, schema=schema):
                with connection.cursor() as cursor:
                    yield cursor
                connection.commit()

    @override
    def bookmarks(self, table: TableName) -> BookmarkTable:
        """One table for each: writers of one table would end each other's transactions (1023)."""
        name = fold_table(table)
        return BookmarkTable(TableName(name.schema, derived_name(name.name, BOOKMARK_SUFFIX)))

    @override
    def bookmark_tables(self, transaction: SqlCursor) -> list[TableName]:
        transaction.execute(_BOOKMARK_TABLES, (BOOKMARK_SUFFIX,))
        return [TableName(schema, name) for schema, name in transaction.fetchall()]

    @override
    def prepare(self, table: TableName) -> None:
        refuse_own_name(self, table)
        if self._has_bookmarks(table):
            return
        bookmarks = self.bookmarks(table)
        try:
            with self.transaction(_PREPARING.format(table), table) as cursor:
                if not has_schema(cursor, bookmarks.name.schema):
                    cursor.execute(create_schema(bookmarks.name.schema))
                bookmarks.create(cursor)
        except TranshipError:
            # "if not exists" is asked when the statement begins: of two that create it at once, one is refused
            # when it commits, or by the catalogue.
            if not self._has_bookmarks(table):
                raise

    def _has_bookmarks(self, table: TableName) -> bool:
        """Whether the table of a table's bookmark is there.

        Raises:
            ConfigurationError: It is, and is somebody else's.
        """
        name = self.bookmarks(table).name
        with self.transaction(_PREPARING.format(table), table) as cursor:
            columns = column_names(cursor, name)
        if columns:
            check_bookmarks(name, columns)
        return bool(columns)

    @override
    def own_table(self, table: TableName) -> str | None:
        name = fold_table(table)
        return (
            table_beside(name, BOOKMARK_SUFFIX, "the bookmark of {}")
            or table_beside(name, JOURNAL_SUFFIX, "the journal of the writes of {}")
            or super().own_table(name)
        )

    @override
    def find(self, transaction: SqlCursor, table: TableName) -> RedshiftTable | None:
        return find_table(transaction, fold_table(table))

    @override
    def lock(self, transaction: SqlCursor, table: TableName) -> None:
        name = fold_table(table)
        journal = TableName(name.schema, derived_name(name.name, JOURNAL_SUFFIX))
        queue = journal if self.settings.write_lock == "journal" else name
        transaction.execute(sql.SQL("lock table {}").format(qualified(queue)))

    @override
    def name(self, column: str) -> str:
        return fold(column)

    @override
    def table_name(self, table: TableName) -> TableName:
        return fold_table(table)

    @override
    def folded(self, part: Slice) -> Slice:
        return fold_slice(part)

    @override
    def predicate(self, part: Slice, schema: TableSchema) -> sa.ColumnElement[bool] | None:
        return exact_predicate(part, schema)

    @override
    def seconds(self, column: sa.ColumnElement[Any], type_: pa.DataType) -> sa.ColumnElement[Any]:
        # https://docs.aws.amazon.com/redshift/latest/dg/r_DATEDIFF_function.html counts full seconds that begin between.
        start: sa.ColumnElement[Any] = sa.literal_column("timestamp '2000-01-01'")
        return sa.func.datediff(sa.literal_column("second"), start, self._wall_clock(column, type_))

    @override
    def drift(self, table: TableName, incoming: TableSchema, declared: Declared) -> list[str]:
        folded = fold_table(table)
        with self.transaction(f"looking at {table}", table) as cursor:
            existing = find_table(cursor, folded)
        drifts = [] if existing is None else constraint_drifts(incoming, existing)
        request = WriteRequest(table, declared=declared)
        try:
            reconcile(request, incoming, existing, folded, self.settings.varchar_lengths)
        except SchemaDriftError as error:
            drifts = [*error.drifts, *drifts]
        return [str(drift) for drift in drifts]
