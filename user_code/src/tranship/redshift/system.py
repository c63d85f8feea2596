"""Redshift as one of the systems that `tranship.systems` lists."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from typing_extensions import override

from tranship.redshift.settings import RedshiftSettings
from tranship.systems import TargetSystem

if TYPE_CHECKING:
    from tranship.target import Target

_PORT = 5439
_NOT_STAGED = "nothing-is-staged"
"""In the place of bucket and role where an address alone is given: enough to look, to count and to keep bookmarks."""


class RedshiftSystem(TargetSystem):
    """Redshift, which tables are copied to through S3."""

    kind = "redshift"
    title = "Redshift"
    resource = "RedshiftResource"
    prefix = "TRANSHIP_REDSHIFT_"
    schemes = frozenset({"redshift"})
    keeps_history = True
    url_example = "redshift://user:password@host:5439/database"
    default_schema = "public"

    @override
    def settings_of_url(self, url: sa.URL) -> RedshiftSettings:
        sslmode = url.query.get("sslmode")
        return RedshiftSettings(
            host=url.host or "",
            port=url.port or _PORT,
            database=url.database or "",
            user=url.username or "",
            password=url.password or "",
            sslmode=str(sslmode) if sslmode else None,
            bucket_name=_NOT_STAGED,
            s3_iam_role=_NOT_STAGED,
        )

    @override
    def settings_of_environment(
        self, environment: Mapping[str, str], option: str
    ) -> RedshiftSettings:
        return RedshiftSettings.from_environment(
            environment,
            self.prefix,
            instead=option,
            bucket_name=_NOT_STAGED,
            s3_iam_role=_NOT_STAGED,
        )

    @override
    def open_target(
        self, settings: RedshiftSettings, *, lock_wait_seconds: float | None = None
    ) -> "Target":
        del lock_wait_seconds
        from tranship.redshift.target import RedshiftTarget

        return RedshiftTarget(settings)

    @override
    def target_of(self, resource: Any) -> "Target":
        from tranship.redshift.target import RedshiftTarget

        return RedshiftTarget(resource.settings(), resource.credentials())


SYSTEM = RedshiftSystem()
