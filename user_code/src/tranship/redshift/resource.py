"""Redshift as a Dagster resource: for assets that run SQL of their own, read, or write in steps.

Reader and writer are imported by what calls them: every run makes the resources before its first step.
"""

import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import dagster as dg

from tranship.frames import Batches
from tranship.patterns import select_tables
from tranship.pgsql.driver import SqlConnection, SqlCursor
from tranship.reads import ReadRequest
from tranship.redshift.config import RedshiftConfig
from tranship.redshift.connection import connected
from tranship.redshift.faults import translated
from tranship.slices import Slice
from tranship.tables import TableName
from tranship.writes import WriteRequest, WriteResult

if TYPE_CHECKING:
    from tranship.writes import Extra, Progress


class RedshiftResource(RedshiftConfig, dg.ConfigurableResource[Any]):
    """A Redshift database and its staging bucket.

    Example:
        ```python
        @dg.asset
        def refreshed(redshift: RedshiftResource) -> None:
            with redshift.transaction() as cursor:
                cursor.execute("refresh materialized view sales_by_month")
        ```
    """

    system: ClassVar[str] = "redshift"
    """What `tranship.systems` calls it."""

    @contextmanager
    def connect(self) -> Generator[SqlConnection]:
        """A psycopg2 connection for statements of your own; a transaction is rolled back unless it was committed.

        Raises:
            TranshipError: Redshift cannot be reached, or refused a statement.
        """
        settings = self.settings()
        with connected(settings, self.credentials()) as connection:
            connection.autocommit = False
            with translated(settings, "statement"):
                yield connection

    @contextmanager
    def transaction(self) -> Generator[SqlCursor]:
        """A psycopg2 cursor in a transaction: committed at the end of the block, rolled back on an error.

        Raises:
            TranshipError: Redshift cannot be reached, or refused a statement.
        """
        with self.connect() as connection, connection.cursor() as cursor:
            yield cursor
            connection.commit()

    def tables(
        self,
        patterns: Sequence[str] = ("public.*",),
        *,
        exclude: Sequence[str] = (),
        views: bool = False,
    ) -> list[TableName]:
        """The tables that match a pattern and no excluded one, ours beside them included (`..__writes`, `..__bookmark`).

        Args:
            patterns: Names or wildcards, as `tranship.patterns.select_tables` takes them.
            exclude: Patterns of tables to leave out.
            views: Whether views count as tables.

        Raises:
            TableNotFoundError: A pattern without wildcards names no table.

        Example:
            >>> redshift.tables(["sales.*"], exclude=["sales.*_old"])  # doctest: +SKIP
        """
        from tranship.redshift.catalogue import present_tables

        with self.connect() as connection, connection.cursor() as cursor:
            present = present_tables(cursor)
        names = [name for name, is_view in present.items() if views or not is_view]
        return select_tables(
            names, patterns, exclude=exclude, database=self.database, default_schema="public"
        )

    def write(
        self,
        request: WriteRequest,
        frame: object,
        *,
        log: logging.Logger | None = None,
        progress: "Progress | None" = None,
        extra: "Extra | None" = None,
    ) -> WriteResult:
        """Write rows in one transaction: see `tranship.redshift.writer.write`.

        Args:
            request: The table, and how it is written.
            frame: The rows: `Batches`, or whatever `Batches.of` takes.
            log: Where it is said what is done.
            progress: Called with the rows and bytes that have been staged so far.
            extra: What else belongs into the transaction.

        Example:
            >>> redshift.write(WriteRequest(TableName("sales", "facts")), frame).rows  # doctest: +SKIP
        """
        from tranship.redshift.writer import write

        return write(
            self.settings(),
            request,
            Batches.of(frame),
            log=log,
            progress=progress,
            extra=extra,
            credentials=self.credentials(),
        )

    def read(
        self,
        table: TableName,
        slice: Slice | None = None,  # noqa: A002 - the word of the whole library
        *,
        columns: Sequence[str] | None = None,
        log: logging.Logger | None = None,
    ) -> Batches:
        """The rows of a table as batches: see `tranship.redshift.reader.read`."""
        from tranship.redshift.reader import read

        request = ReadRequest.of(table, slice, columns)
        return read(self.settings(), request, log=log, credentials=self.credentials())

    def row_count(self, table: TableName, slice: Slice | None = None) -> int:  # noqa: A002
        """How many rows a table or a slice of it has now; see `tranship.redshift.reader.row_count`."""
        from tranship.redshift.reader import row_count

        request = ReadRequest.of(table, slice)
        return row_count(self.settings(), request, credentials=self.credentials())
