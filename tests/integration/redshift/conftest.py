"""A schema of each test's own, in Redshift and in a stand-in whose connections a test can cut."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from redshift_places import Database, own_schema, settings_of

from standins.redshift.server import RedshiftStandIn
from tranship.redshift.settings import RedshiftSettings


@pytest.fixture
def settings(redshift_url: str, bucket: str, iam_role: str, s3_endpoint: str) -> RedshiftSettings:
    return settings_of(redshift_url, bucket, iam_role, s3_endpoint)


@pytest.fixture
def database(settings: RedshiftSettings) -> Iterator[Database]:
    """A schema of the test's own, dropped afterwards."""
    with own_schema(settings) as made:
        yield made


@pytest.fixture
def staged_keys(s3: Any, bucket: str, settings: RedshiftSettings) -> Callable[[], list[str]]:
    """The keys under this test's staging prefix."""

    def keys() -> list[str]:
        found = s3.list_objects_v2(Bucket=bucket, Prefix=settings.s3_prefix + "/")
        return [item["Key"] for item in found.get("Contents", ())]

    return keys


@pytest.fixture
def faulty(
    standin: RedshiftStandIn, bucket: str, iam_role: str, s3_endpoint: str
) -> Iterator[Database]:
    """A schema of the test's own behind the stand-in of `faults`."""
    settings = replace(settings_of(standin.url, bucket, iam_role, s3_endpoint), attempts=3)
    with own_schema(settings) as made:
        yield made


@pytest.fixture
def sales() -> pa.Table:
    return pa.table(
        {
            "Id": pa.array([1, 2, 3], pa.int32()),
            "Region": ["north", "north", "south"],
            "Amount": pa.array([10, 20, 30], pa.int64()),
        }
    )
