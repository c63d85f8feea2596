"""The fields that the Redshift resource and IO managers share, as Dagster configuration.

The article's fields keep their names: `region_name`, `cluster_identifier`, `user`, `database`, `host`, `port`,
`s3_iam_role`, `bucket_name`.
"""

from collections.abc import Mapping
from typing import Any, Self

import dagster as dg
from pydantic import PrivateAttr

from tranship.config import config_of, of_environment
from tranship.redshift.credentials import CredentialsSource
from tranship.redshift.settings import RedshiftFields, RedshiftSettings


class RedshiftConfig(config_of(RedshiftFields), dg.Config):  # pyright: ignore[reportGeneralTypeIssues] - both are frozen
    """Where Redshift and its staging bucket are."""

    _source: CredentialsSource | None = PrivateAttr(default=None)

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str], *, prefix: str = "TRANSHIP_REDSHIFT_", **given: Any
    ) -> Self:
        """The Redshift that a deployment's variables name: each setting has one, its own name in capitals.

        Args:
            environment: The variables, `os.environ` usually.
            prefix: What stands before their names.
            given: Settings that the variables need not give, by name.

        Raises:
            ConfigurationError: A variable has no value that can be used.

        Example:
            >>> from tranship import RedshiftResource
            >>> RedshiftResource.from_environment({}, bucket_name="stage", connect_timeout_seconds=5).bucket_name
            'stage'
        """
        return cls(**of_environment(RedshiftSettings, environment, prefix, **given))

    def settings(self) -> RedshiftSettings:
        """These fields as the library's own settings.

        Raises:
            ConfigurationError: They contradict each other.
        """
        return RedshiftSettings.of(self)

    def credentials(self) -> CredentialsSource:
        """One source of credentials for everything this object does."""
        if self._source is None:
            self._source = CredentialsSource(self.settings())
        return self._source
