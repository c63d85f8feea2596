"""The fields that the Redshift resource and IO managers share, as Dagster configuration.

The article's fields keep their names: `region_name`, `cluster_identifier`, `user`, `database`, `host`, `port`,
`s3_iam_role`, `bucket_name`.
"""

import dagster as dg
from pydantic import PrivateAttr

from tranship.config import config_of
from tranship.redshift.credentials import CredentialsSource
from tranship.redshift.settings import RedshiftFields, RedshiftSettings


class RedshiftConfig(config_of(RedshiftFields), dg.Config):  # pyright: ignore[reportGeneralTypeIssues] - both are frozen
    """Where Redshift and its staging bucket are."""

    _source: CredentialsSource | None = PrivateAttr(default=None)

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
