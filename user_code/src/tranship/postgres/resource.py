"""Postgres as a Dagster resource: configuration at the top, plain functions underneath.

Reader and writer are imported by what calls them: every run makes the resources before its first step.
"""

import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Self

import dagster as dg

from tranship.config import config_of, of_environment
from tranship.frames import Batches
from tranship.pgsql.driver import SqlConnection
from tranship.postgres.connection import connect
from tranship.postgres.settings import PostgresFields, PostgresSettings
from tranship.reads import ReadRequest
from tranship.slices import Slice
from tranship.tables import TableName
from tranship.writes import WriteRequest, WriteResult

if TYPE_CHECKING:
    from tranship.writes import Progress


class PostgresResource(config_of(PostgresFields), dg.ConfigurableResource[Any]):  # pyright: ignore[reportGeneralTypeIssues] - both are frozen
    """A Postgres database to write to and read from.

    Example:
        >>> import dagster as dg
        >>> PostgresResource(
        ...     host="warehouse.example.com",
        ...     database="warehouse",
        ...     user="etl",
        ...     password=dg.EnvVar("POSTGRES_PASSWORD"),
        ... )  # doctest: +SKIP
    """

    system: ClassVar[str] = "postgres"
    """What `tranship.systems` calls it."""

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str], *, prefix: str = "TRANSHIP_POSTGRES_", **given: Any
    ) -> Self:
        """The Postgres that a deployment's variables name: each setting has one, its own name in capitals.

        Args:
            environment: The variables, `os.environ` usually.
            prefix: What stands before their names.
            given: Settings that the variables need not give, by name.

        Raises:
            ConfigurationError: A variable has no value that can be used.

        Example:
            >>> PostgresResource.from_environment({"TRANSHIP_POSTGRES_PORT": "5433"}).port
            5433
        """
        return cls(**of_environment(PostgresSettings, environment, prefix, **given))

    def settings(self) -> PostgresSettings:
        """The same as a value that the functions of `tranship.postgres` take.

        Raises:
            ConfigurationError: A setting cannot be used.
        """
        return PostgresSettings.of(self)

    @contextmanager
    def connect(self) -> Generator[SqlConnection]:
        """A psycopg2 connection, for statements of your own; see `tranship.postgres.connection.connect`."""
        with connect(self.settings()) as connection:
            yield connection

    def tables(
        self,
        patterns: Sequence[str] = ("public.*",),
        *,
        exclude: Sequence[str] = (),
        views: bool = False,
    ) -> list[TableName]:
        """The tables that match a pattern and no excluded one, ours beside them included (`tranship_bookmarks`).

        Args:
            patterns: Names or wildcards, as `tranship.patterns.select_tables` takes them.
            exclude: Patterns of tables to leave out.
            views: Whether views count as tables.

        Raises:
            TableNotFoundError: A pattern without wildcards names no table.

        Example:
            >>> postgres.tables(["staging.*"], exclude=["staging.*_old"])  # doctest: +SKIP
        """
        from tranship.postgres.source_catalogue import PostgresCatalogue

        return PostgresCatalogue(self.settings()).matching(patterns, exclude=exclude, views=views)

    def write(
        self,
        request: WriteRequest,
        frame: object,
        *,
        log: logging.Logger | None = None,
        progress: "Progress | None" = None,
    ) -> WriteResult:
        """Write rows in one transaction; see `tranship.postgres.writer.write`.

        Args:
            request: The table, and how it is written.
            frame: The rows: `Batches`, or whatever `Batches.of` takes.
            log: Where it is said what is done.
            progress: Called with the rows and bytes that have been written so far.

        Example:
            >>> postgres.write(WriteRequest(TableName("staging", "customers")), frame).rows  # doctest: +SKIP
        """
        from tranship.postgres.writer import write

        return write(self.settings(), request, Batches.of(frame), log=log, progress=progress)

    def read(
        self,
        table: TableName,
        slice: Slice | None = None,  # noqa: A002 - the word of the whole library
        *,
        columns: Sequence[str] | None = None,
        log: logging.Logger | None = None,
    ) -> Batches:
        """The rows of a table as batches; see `tranship.postgres.reader.read`."""
        from tranship.postgres.reader import read

        return read(self.settings(), ReadRequest.of(table, slice, columns), log=log)

    def row_count(self, table: TableName, slice: Slice | None = None) -> int:  # noqa: A002
        """How many rows a table or a slice of it has now; see `tranship.postgres.reader.row_count`."""
        from tranship.postgres.reader import row_count

        return row_count(self.settings(), ReadRequest.of(table, slice))
