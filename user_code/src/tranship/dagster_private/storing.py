"""The base of Dagster's storage and the settings it is made from.

Private because the pool of connections cannot be set (https://github.com/dagster-io/dagster/issues/33935), so that every query
opens one (https://github.com/dagster-io/dagster/issues/20325). With those settings, our storage could go.
"""

from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.config import PostgresStorageConfig, pg_config

__all__ = ["DagsterStorage", "PostgresStorageConfig", "pg_config"]
