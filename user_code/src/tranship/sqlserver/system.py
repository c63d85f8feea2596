"""SQL Server as one of the systems that `tranship.systems` lists."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import sqlalchemy as sa
from typing_extensions import override

from tranship.errors import TranshipError
from tranship.sqlserver.catalogue import (
    DEFAULT_SCHEMA,
    inspect_tables,
    present_tables,
    table_sizes,
)
from tranship.sqlserver.settings import SqlServerSettings
from tranship.systems import Catalogue, SourceSystem, SourceTable
from tranship.tables import TableName

if TYPE_CHECKING:
    from tranship.source import Source, SourceRequest


@dataclass(frozen=True)
class SqlServerCatalogue(Catalogue):
    """The tables of one database.

    Args:
        settings: Where it is.
    """

    settings: SqlServerSettings
    default_schema = DEFAULT_SCHEMA

    @property
    @override
    def database(self) -> str:
        return self.settings.database

    @property
    @override
    def address(self) -> str:
        return self.settings.address

    @property
    @override
    def user(self) -> str:
        return self.settings.user

    @override
    def present(self) -> dict[TableName, bool]:
        return present_tables(self.settings)

    @override
    def inspect(self, tables: Iterable[TableName]) -> dict[TableName, SourceTable]:
        return inspect_tables(self.settings, tables)

    @override
    def sizes(self, tables: Iterable[TableName]) -> dict[TableName, int]:
        return table_sizes(self.settings, tables)


class SqlServerSystem(SourceSystem):
    """SQL Server, which tables are copied from."""

    kind = "sqlserver"
    title = "SQL Server"
    resource = "SqlServerResource"
    prefix = "TRANSHIP_SQLSERVER_"
    schemes = frozenset({"mssql"})
    url_example = "mssql+mssqlpython://user:password@host:1433/database"
    default_schema = DEFAULT_SCHEMA
    left_out = ("dbo.sysdiagrams", "cdc.*", "sys.*", "INFORMATION_SCHEMA.*")

    @override
    def settings_of_url(self, url: sa.URL) -> SqlServerSettings:
        return SqlServerSettings.from_url(url)

    @override
    def settings_of_environment(
        self, environment: Mapping[str, str], option: str
    ) -> SqlServerSettings:
        return SqlServerSettings.from_environment(environment, self.prefix, instead=option)

    @override
    def open_source(self, settings: SqlServerSettings, request: "SourceRequest") -> "Source":
        from tranship.sqlserver.source import SqlServerSource

        return SqlServerSource.open(settings, request)

    @override
    def catalogue(
        self,
        settings: SqlServerSettings,
        *,
        connect_seconds: int | None = None,
        answer_seconds: int | None = None,
    ) -> Catalogue:
        if connect_seconds is not None:
            settings = replace(settings, connect_timeout_seconds=connect_seconds)
        if answer_seconds is not None:
            settings = replace(settings, query_timeout_seconds=answer_seconds)
        return SqlServerCatalogue(settings)

    @override
    def fingerprints(
        self,
        settings: SqlServerSettings,
        tables: Sequence[TableName],
        seen: Mapping[TableName, str] | None = None,
    ) -> tuple[dict[TableName, str], dict[TableName, TranshipError]]:
        from tranship.sqlserver import fingerprints

        return fingerprints.fingerprints(settings, tables, seen)


SYSTEM = SqlServerSystem()
