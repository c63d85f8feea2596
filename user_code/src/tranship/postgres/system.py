"""Postgres as one of the systems that `tranship.systems` lists."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import sqlalchemy as sa
from typing_extensions import override

from tranship.errors import TranshipError
from tranship.postgres.settings import PostgresSettings
from tranship.systems import Catalogue, SourceSystem, TargetSystem
from tranship.tables import TableName

if TYPE_CHECKING:
    from tranship.source import Source, SourceRequest
    from tranship.target import Target


class PostgresSystem(SourceSystem, TargetSystem):
    """Postgres, which tables are copied from and to."""

    kind = "postgres"
    title = "Postgres"
    resource = "PostgresResource"
    prefix = "TRANSHIP_POSTGRES_"
    schemes = frozenset({"postgresql", "postgres"})
    keeps_history = True
    url_example = "postgresql://user:password@host:5432/database"
    default_schema = "public"
    left_out = ("*.tranship_bookmarks", "*.*__keys")

    @override
    def settings_of_url(self, url: sa.URL) -> PostgresSettings:
        return PostgresSettings.from_url(url.render_as_string(hide_password=False))

    @override
    def settings_of_environment(
        self, environment: Mapping[str, str], option: str
    ) -> PostgresSettings:
        return PostgresSettings.from_environment(environment, self.prefix, instead=option)

    @override
    def open_target(
        self, settings: PostgresSettings, *, lock_wait_seconds: float | None = None
    ) -> "Target":
        from tranship.postgres.target import PostgresTarget

        if lock_wait_seconds is not None:
            settings = replace(settings, lock_wait_seconds=lock_wait_seconds)
        return PostgresTarget(settings)

    @override
    def open_source(self, settings: PostgresSettings, request: "SourceRequest") -> "Source":
        from tranship.postgres.source import PostgresSource

        return PostgresSource.open(settings, request)

    @override
    def catalogue(
        self,
        settings: PostgresSettings,
        *,
        connect_seconds: int | None = None,
        answer_seconds: int | None = None,
    ) -> Catalogue:
        from tranship.postgres.source_catalogue import PostgresCatalogue

        if connect_seconds is not None:
            settings = replace(settings, connect_timeout_seconds=connect_seconds)
        if answer_seconds is not None:
            settings = replace(
                settings,
                answer_timeout_seconds=answer_seconds,
                statement_timeout_seconds=answer_seconds,
            )
        return PostgresCatalogue(settings)

    @override
    def fingerprints(
        self,
        settings: PostgresSettings,
        tables: Sequence[TableName],
        seen: Mapping[TableName, str] | None = None,
    ) -> tuple[dict[TableName, str], dict[TableName, TranshipError]]:
        from tranship.postgres.identity import fingerprints

        del seen  # Postgres keeps no record of changes to ask for.
        return fingerprints(settings, tables)


SYSTEM = PostgresSystem()
