"""The tags by which Dagster marks runs: retries, partitions, backfills, containers.

Private because Dagster exports no constants for them. Their texts are as good as public, as they are stored and shown in the UI;
Dagster's own Airflow library writes them out once more (https://github.com/dagster-io/dagster/pull/25761). No issue asks for it.
"""

from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    AUTO_RETRY_RUN_ID_TAG,
    BACKFILL_ID_TAG,
    DOCKER_IMAGE_TAG,
    MAX_RETRIES_TAG,
    PARTITION_NAME_TAG,
    RUN_FAILURE_REASON_TAG,
    WILL_RETRY_TAG,
)

__all__ = [
    "ASSET_PARTITION_RANGE_END_TAG",
    "ASSET_PARTITION_RANGE_START_TAG",
    "AUTO_RETRY_RUN_ID_TAG",
    "BACKFILL_ID_TAG",
    "DOCKER_IMAGE_TAG",
    "MAX_RETRIES_TAG",
    "PARTITION_NAME_TAG",
    "RUN_FAILURE_REASON_TAG",
    "WILL_RETRY_TAG",
]
