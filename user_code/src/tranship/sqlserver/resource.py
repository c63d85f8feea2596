"""SQL Server as a Dagster resource: configuration at the top, plain functions underneath.

What reads and counts is imported by what calls it: every run makes the resources before its first step.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg
from pydantic import Field

from tranship.errors import TranshipError
from tranship.frames import Batches
from tranship.reads import ReadRequest
from tranship.slices import Slice, WholeTable
from tranship.sqlserver import catalogue
from tranship.sqlserver.connection import connect
from tranship.sqlserver.options import ReadOptions
from tranship.sqlserver.settings import DEFAULT_PORT, SqlServerSettings, encrypt_of, intent_of
from tranship.tables import TableName, TableSchema


class SqlServerResource(dg.ConfigurableResource[Any]):
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

    host: str = Field(description="Host name or address, without instance or port.")
    port: int = Field(default=DEFAULT_PORT, description="TCP port.")
    database: str = Field(description="The database to read.")
    user: str = Field(
        default="",
        description="SQL Server login. It needs SELECT on the tables, no more. Empty where driver_keywords name "
        "another way in: Authentication or Trusted_Connection.",
    )
    password: str = Field(
        default="", repr=False, description="The login's password. Give it as an EnvVar."
    )
    encrypt: str = Field(
        default="yes",
        description="yes (TLS, certificate verified), strict (TDS 8, SQL Server 2022 and later), or no.",
    )
    trust_server_certificate: bool = Field(
        default=False,
        description="Accept any certificate. The stock SQL Server container signs its own. To verify one of "
        "your own authority instead, set SSL_CERT_FILE to its PEM file.",
    )
    connect_timeout_seconds: int = Field(
        default=10, description="How long to wait for the server to answer and log in."
    )
    query_timeout_seconds: int = Field(
        default=0, description="How long a query may take until its first row; 0 is no limit."
    )
    answer_timeout_seconds: int = Field(
        default=7200,
        description="How long the server may say nothing before the connection is cut and the read tried again; "
        "0 is no limit.",
    )
    application_intent: str = Field(
        default="ReadWrite",
        description="ReadOnly lets an availability group send the connection to a replica.",
    )
    driver_keywords: dict[str, str] = Field(
        default={}, description='Further ODBC keywords, such as {"MultiSubnetFailover": "yes"}.'
    )

    def settings(self) -> SqlServerSettings:
        """The same as a value that the functions of `tranship.sqlserver` take.

        Raises:
            ConfigurationError: A setting is missing or contradicts another one.
        """
        return SqlServerSettings(
            host=self.host,
            port=self.port,
            database=self.database,
            user=self.user,
            password=self.password,
            encrypt=encrypt_of(self.encrypt),
            trust_server_certificate=self.trust_server_certificate,
            connect_timeout_seconds=self.connect_timeout_seconds,
            query_timeout_seconds=self.query_timeout_seconds,
            answer_timeout_seconds=self.answer_timeout_seconds,
            application_intent=intent_of(self.application_intent),
            driver_keywords=self.driver_keywords,
        )

    @contextmanager
    def connect(self) -> Iterator[Any]:
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

        request = ReadRequest(
            table, slice or WholeTable(), None if columns is None else tuple(columns)
        )
        return reader.read(self.settings(), request, options, schema=schema, log=log)

    def row_count(self, table: TableName, slice: Slice | None = None) -> int:  # noqa: A002
        """How many rows a table or a slice of it has now; see `tranship.sqlserver.counting.row_count`."""
        from tranship.sqlserver import counting

        return counting.row_count(self.settings(), ReadRequest(table, slice or WholeTable()))

    def fingerprint(self, table: TableName) -> str:
        """A text that changes when the rows do; see `tranship.sqlserver.fingerprints`."""
        from tranship.sqlserver import fingerprints

        return fingerprints.fingerprint(self.settings(), table)

    def fingerprints(
        self, tables: Sequence[TableName]
    ) -> tuple[dict[TableName, str], dict[TableName, TranshipError]]:
        """The same of several tables over one connection, and why others have none."""
        from tranship.sqlserver import fingerprints

        return fingerprints.fingerprints(self.settings(), tables)
