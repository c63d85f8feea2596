"""SQL Server as a Dagster resource: configuration at the top, plain functions underneath.

What reads and counts is imported by what calls it: every run makes the resources before its first step.
"""

import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Self

import dagster as dg

from tranship.config import config_of, of_environment
from tranship.errors import TranshipError
from tranship.frames import Batches
from tranship.reads import ReadRequest
from tranship.slices import Slice
from tranship.sqlserver import catalogue
from tranship.sqlserver.connection import connect
from tranship.sqlserver.options import ReadOptions
from tranship.sqlserver.settings import SqlServerFields, SqlServerSettings
from tranship.tables import TableName, TableSchema

if TYPE_CHECKING:
    from mssql_python import Connection


class SqlServerResource(config_of(SqlServerFields), dg.ConfigurableResource[Any]):  # pyright: ignore[reportGeneralTypeIssues] - both are frozen
    """A SQL Server to read from.

    Example:
        >>> import dagster as dg
        >>> SqlServerResource(
        ...     host="db.example.com",
        ...     database="AdventureWorksDW",
        ...     user="etl",
        ...     password=dg.EnvVar("SQLSERVER_PASSWORD"),
        ... )  # doctest: +SKIP
    """

    system: ClassVar[str] = "sqlserver"
    """What `tranship.systems` calls it."""

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str], *, prefix: str = "TRANSHIP_SQLSERVER_", **given: Any
    ) -> Self:
        """The SQL Server that a deployment's variables name: each setting has one, its own name in capitals.

        Args:
            environment: The variables, `os.environ` usually.
            prefix: What stands before their names.
            given: Settings that the variables need not give, by name.

        Raises:
            ConfigurationError: A variable has no value that can be used.

        Example:
            >>> SqlServerResource.from_environment({"TRANSHIP_SQLSERVER_PORT": "1434"}).port
            1434
        """
        return cls(**of_environment(SqlServerSettings, environment, prefix, **given))

    def settings(self) -> SqlServerSettings:
        """The same as a value that the functions of `tranship.sqlserver` take.

        Raises:
            ConfigurationError: A setting is missing or contradicts another one.
        """
        return SqlServerSettings.of(self)

    @contextmanager
    def connect(self) -> Generator["Connection"]:
        """A connection of the driver's own (`mssql_python.Connection`), for statements of your own.

        Each statement is its own transaction. See `tranship.sqlserver.connection.connect`.
        """
        with connect(self.settings(), doing="running your statements") as connection:
            yield connection

    def tables(
        self,
        patterns: Sequence[str] = ("dbo.*",),
        *,
        exclude: Sequence[str] = (),
        views: bool = False,
    ) -> list[TableName]:
        """The tables that match; see `tranship.sqlserver.catalogue.list_tables`."""
        return catalogue.list_tables(self.settings(), patterns, exclude=exclude, views=views)

    def describe(self, table: TableName) -> TableSchema:
        """A table's columns, key and comments; see `tranship.sqlserver.catalogue.describe`."""
        return catalogue.describe(self.settings(), table)

    def read(
        self,
        table: TableName,
        slice: Slice | None = None,  # noqa: A002 - the word of the whole library
        *,
        columns: Sequence[str] | None = None,
        options: ReadOptions | None = None,
        schema: TableSchema | None = None,
        log: logging.Logger | None = None,
    ) -> Batches:
        """The rows of a table as a stream of batches; see `tranship.sqlserver.reader.read`.

        Example:
            >>> sqlserver.read(TableName("dbo", "DimProduct"), columns=["ProductKey"])  # doctest: +SKIP
        """
        from tranship.sqlserver import reader

        request = ReadRequest.of(table, slice, columns)
        return reader.read(self.settings(), request, options, schema=schema, log=log)

    def row_count(self, table: TableName, slice: Slice | None = None) -> int:  # noqa: A002
        """How many rows a table or a slice of it has now; see `tranship.sqlserver.reader.row_count`."""
        from tranship.sqlserver import reader

        return reader.row_count(self.settings(), ReadRequest.of(table, slice))

    def fingerprint(self, table: TableName) -> str:
        """A text that changes when the rows do; see `tranship.sqlserver.fingerprints`."""
        from tranship.sqlserver import fingerprints

        return fingerprints.fingerprint(self.settings(), table)

    def fingerprints(
        self, tables: Sequence[TableName], seen: Mapping[TableName, str] | None = None
    ) -> tuple[dict[TableName, str], dict[TableName, TranshipError]]:
        """The same of several tables over one connection, and why others have none.

        Args:
            tables: The tables.
            seen: The texts of an earlier look, `{}` at the first: where the server tracks changes it is asked for those since.
        """
        from tranship.sqlserver import fingerprints

        return fingerprints.fingerprints(self.settings(), tables, seen)
