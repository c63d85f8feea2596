"""Postgres as a Dagster resource: configuration at the top, plain functions underneath.

Reader and writer are imported by what calls them: every run makes the resources before its first step.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import dagster as dg
import psycopg2.extensions
from psycopg2 import sql

from tranship.config import config_of
from tranship.errors import TableNotFoundError
from tranship.frames import Batches
from tranship.postgres.connection import connect
from tranship.postgres.settings import PostgresFields, PostgresSettings
from tranship.reads import ReadRequest
from tranship.slices import Slice, WholeTable
from tranship.tables import TableName
from tranship.writes import WriteRequest, WriteResult

if TYPE_CHECKING:
    from tranship.postgres.copying import Progress


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

    def settings(self) -> PostgresSettings:
        """The same as a value that the functions of `tranship.postgres` take.

        Raises:
            ConfigurationError: A setting cannot be used.
        """
        return PostgresSettings.of(self)

    @contextmanager
    def connect(self) -> Iterator[psycopg2.extensions.connection]:
        """A psycopg2 connection, for statements of your own; see `tranship.postgres.connection.connect`."""
        with connect(self.settings()) as connection:
            yield connection

    def write(
        self,
        request: WriteRequest,
        batches: Batches,
        *,
        log: logging.Logger | None = None,
        progress: "Progress | None" = None,
    ) -> WriteResult:
        """Write rows in one transaction; see `tranship.postgres.writer.write`."""
        from tranship.postgres.writer import write

        return write(self.settings(), request, batches, log=log, progress=progress)

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

        names = None if columns is None else tuple(columns)
        return read(self.settings(), ReadRequest(table, slice or WholeTable(), names), log=log)

    def row_count(self, table: TableName) -> int:
        """How many rows a table has now.

        Raises:
            TableNotFoundError: There is no such table.
        """
        with connect(self.settings()) as connection, connection.cursor() as cursor:
            identifier = sql.Identifier(table.schema, table.name)
            cursor.execute("select to_regclass(%s) is not null", (identifier.as_string(cursor),))
            if cursor.fetchone() != (True,):
                raise TableNotFoundError(
                    f"There is no table {table} in {self.database}.",
                    "Load it first, or check its name.",
                )
            cursor.execute(sql.SQL("select count(*) from {}").format(identifier))
            counted = cursor.fetchone()
        return counted[0] if counted else 0
