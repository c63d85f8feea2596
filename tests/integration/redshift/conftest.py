"""A Redshift to write to, a bucket to stage in, and a stand-in whose connections a test can cut."""

import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
import psycopg2
import pyarrow as pa
import pytest

from standins.embedded import EmbeddedPostgres
from standins.redshift.faults import Faults
from standins.redshift.server import Options, RedshiftStandIn
from tranship.frames import Batches
from tranship.redshift.settings import RedshiftSettings
from tranship.redshift.writer import write
from tranship.tables import TableName
from tranship.writes import WriteRequest, WriteResult

REGION = "us-east-1"
ROLE = "tranship-test-copy"
TRUST = '{"Version": "2012-10-17", "Statement": []}'


@pytest.fixture(scope="session", autouse=True)
def aws_environment() -> Iterator[None]:
    """Keys for moto, where no real ones are set."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            if name not in os.environ:
                patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", os.environ.get("AWS_DEFAULT_REGION", REGION))
        yield


@pytest.fixture(scope="session")
def s3(s3_endpoint: str, aws_environment: None) -> Any:
    return boto3.client("s3", endpoint_url=s3_endpoint)


@pytest.fixture(scope="session")
def bucket(s3: Any) -> str:
    """The bucket that tests stage in."""
    given = os.environ.get("TRANSHIP_TEST_REDSHIFT_BUCKET")
    if given:
        return given
    name = f"tranship-test-{secrets.token_hex(6)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def iam_role(s3_endpoint: str, aws_environment: None) -> str:
    """The role that Redshift reads the bucket with."""
    given = os.environ.get("TRANSHIP_TEST_REDSHIFT_IAM_ROLE")
    if given:
        return given
    iam = boto3.client("iam", endpoint_url=s3_endpoint)
    name = f"{ROLE}-{secrets.token_hex(4)}"
    return iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]


def settings_of(url: str, bucket: str, role: str, s3_endpoint: str) -> RedshiftSettings:
    parts = urlsplit(url)
    return RedshiftSettings(
        region_name=os.environ.get("AWS_DEFAULT_REGION", REGION),
        host=parts.hostname,
        port=parts.port or 5439,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=parts.path.lstrip("/"),
        bucket_name=bucket,
        s3_iam_role=role,
        s3_endpoint_url=s3_endpoint,
        aws_endpoint_url=s3_endpoint,
        s3_prefix=f"staging-{secrets.token_hex(4)}",
    )


@pytest.fixture
def settings(redshift_url: str, bucket: str, iam_role: str, s3_endpoint: str) -> RedshiftSettings:
    return settings_of(redshift_url, bucket, iam_role, s3_endpoint)


class Database:
    """A schema of a test's own, and the few statements that tests look at it with."""

    def __init__(self, settings: RedshiftSettings, schema: str):
        self.settings = settings
        self.schema = schema

    def connect(self) -> Any:
        opened = psycopg2.connect(
            host=self.settings.host,
            port=self.settings.port,
            user=self.settings.user,
            password=self.settings.password,
            dbname=self.settings.database,
        )
        opened.autocommit = True
        return opened

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement.replace("{schema}", self.schema), values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def table(self, name: str = "sales") -> TableName:
        return TableName(self.schema, name)

    def write(self, data: Any, name: str = "sales", **request: Any) -> WriteResult:
        return write(self.settings, WriteRequest(self.table(name), **request), Batches.of(data))

    def types(self, name: str = "sales") -> dict[str, str]:
        found = self.rows(
            """
            select column_name, data_type, character_maximum_length, numeric_precision, numeric_scale
            from svv_columns where table_schema = %s and table_name = %s order by ordinal_position
            """,
            self.schema,
            name,
        )
        return {column: _declaration(*rest) for column, *rest in found}


def _declaration(kind: str, length: int | None, precision: int | None, scale: int | None) -> str:
    if length:
        return f"{kind}({length})"
    return f"{kind}({precision},{scale})" if kind == "numeric" else kind


@pytest.fixture
def database(settings: RedshiftSettings) -> Iterator[Database]:
    """A schema of the test's own, dropped afterwards."""
    made = Database(settings, f"test_{secrets.token_hex(6)}")
    made.rows("create schema {schema}")
    yield made
    made.rows("drop schema {schema} cascade")


@pytest.fixture
def staged_keys(s3: Any, bucket: str, settings: RedshiftSettings) -> Callable[[], list[str]]:
    """The keys under this test's staging prefix."""

    def keys() -> list[str]:
        found = s3.list_objects_v2(Bucket=bucket, Prefix=settings.s3_prefix + "/")
        return [item["Key"] for item in found.get("Contents", ())]

    return keys


@pytest.fixture(scope="session")
def standin(
    embedded_postgres: EmbeddedPostgres, s3_endpoint: str, aws_environment: None
) -> Iterator[RedshiftStandIn]:
    """A stand-in in this process, whose faults a test can arm."""
    backend = embedded_postgres.create_database("redshift_faults")
    parts = urlsplit(backend)
    options = Options(
        postgres=backend,
        user=parts.username or "postgres",
        password=unquote(parts.password or ""),
        s3_endpoint=s3_endpoint,
    )
    with RedshiftStandIn(options) as running:
        yield running


@pytest.fixture
def faults(standin: RedshiftStandIn) -> Iterator[Faults]:
    yield standin.faults
    standin.faults.clear()


@pytest.fixture
def faulty(
    standin: RedshiftStandIn, bucket: str, iam_role: str, s3_endpoint: str
) -> Iterator[Database]:
    """A schema of the test's own behind the stand-in of `faults`."""
    made = Database(
        replace(settings_of(standin.url, bucket, iam_role, s3_endpoint), attempts=3),
        f"test_{secrets.token_hex(6)}",
    )
    made.rows("create schema {schema}")
    yield made
    made.rows("drop schema {schema} cascade")


@pytest.fixture
def sales() -> pa.Table:
    return pa.table(
        {
            "Id": pa.array([1, 2, 3], pa.int32()),
            "Region": ["north", "north", "south"],
            "Amount": pa.array([10, 20, 30], pa.int64()),
        }
    )
