"""Postgres as one of the systems that `tranship.systems` lists."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import sqlalchemy as sa
from typing_extensions import override

from tranship.postgres.settings import PostgresSettings
from tranship.systems import TargetSystem

if TYPE_CHECKING:
    from tranship.target import Target


class PostgresSystem(TargetSystem):
    """Postgres, which tables are copied to."""

    kind = "postgres"
    title = "Postgres"
    resource = "PostgresResource"
    prefix = "TRANSHIP_POSTGRES_"
    schemes = frozenset({"postgresql", "postgres"})
    url_example = "postgresql://user:password@host:5432/database"
    default_schema = "public"

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


SYSTEM = PostgresSystem()
