"""A Redshift stand-in in this process, so that tests can arm faults, and an S3 bucket with a role."""

import io
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import psycopg2
import psycopg2.extensions
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from statements import rows_of

from standins.embedded import EmbeddedPostgres
from standins.redshift import Options, RedshiftStandIn

REGION = "us-east-1"
USER, PASSWORD = "admin", "Static-Secret-1"


@dataclass(frozen=True)
class Lake:
    """A bucket of S3 and a role that may read it."""

    s3: Any
    bucket: str
    role: str
    endpoint: str

    @property
    def authorization(self) -> str:
        return f"iam_role '{self.role}'"

    def put(self, key: str, body: bytes) -> str:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def put_parquet(self, key: str, table: pa.Table, **options: Any) -> str:
        sink = io.BytesIO()
        pq.write_table(table, sink, **options)
        return self.put(key, sink.getvalue())

    def put_manifest(self, key: str, *urls: str, **changes: Any) -> str:
        entries = []
        for url in urls:
            path = url.removeprefix(f"s3://{self.bucket}/")
            size = self.s3.head_object(Bucket=self.bucket, Key=path)["ContentLength"]
            entry = {"url": url, "mandatory": True, "meta": {"content_length": size}}
            entries.append({k: v for k, v in (entry | changes).items() if v is not None})
        return self.put(key, json.dumps({"entries": entries}).encode())

    def keys(self, prefix: str) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return [item["Key"] for item in found.get("Contents", [])]

    def get(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def read_parquet(self, prefix: str) -> list[dict[str, Any]]:
        keys = [key for key in self.keys(prefix) if key.endswith(".parquet")]
        return [row for key in keys for row in pq.read_table(io.BytesIO(self.get(key))).to_pylist()]


@pytest.fixture(scope="session")
def aws_keys() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        yield


@pytest.fixture(scope="session")
def lake(s3_endpoint: str, aws_keys: None) -> Lake:
    s3 = boto3.client("s3", endpoint_url=s3_endpoint)
    iam = boto3.client("iam", endpoint_url=s3_endpoint)
    suffix = secrets.token_hex(4)
    s3.create_bucket(Bucket=f"standin-{suffix}")
    role = iam.create_role(RoleName=f"load-{suffix}", AssumeRolePolicyDocument="{}")
    return Lake(s3, f"standin-{suffix}", role["Role"]["Arn"], s3_endpoint)


@pytest.fixture(scope="session")
def shared_standin(embedded_postgres: EmbeddedPostgres, lake: Lake) -> Iterator[RedshiftStandIn]:
    database = embedded_postgres.create_database("standin")
    options = Options(database, USER, PASSWORD, s3_endpoint=lake.endpoint, default_role=lake.role)
    with RedshiftStandIn(options) as server:
        yield server


@pytest.fixture
def standin(shared_standin: RedshiftStandIn) -> Iterator[RedshiftStandIn]:
    yield shared_standin
    shared_standin.faults.clear()


Connect = Callable[..., psycopg2.extensions.connection]


@pytest.fixture
def connect(standin: RedshiftStandIn, schema: str) -> Iterator[Connect]:
    """Opens psycopg2 connections whose search path is the test's own schema."""
    opened: list[psycopg2.extensions.connection] = []

    def open_one(**changes: Any) -> psycopg2.extensions.connection:
        options = f"-c search_path={schema}"
        connection = psycopg2.connect(standin.url, options=options, **changes)
        opened.append(connection)
        return connection

    yield open_one
    for connection in opened:
        connection.close()


@pytest.fixture
def schema(standin: RedshiftStandIn) -> Iterator[str]:
    name = f"t_{secrets.token_hex(5)}"
    admin = psycopg2.connect(standin.url)
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(f"create schema {name}")
        yield name
        cursor.execute(f"drop schema {name} cascade")
    admin.close()


@dataclass
class Database:
    """One psycopg2 connection with the calls that tests need."""

    connection: psycopg2.extensions.connection

    def run(self, sql: str) -> list[tuple]:
        return rows_of(self.connection, sql)

    def refusal(self, sql: str) -> psycopg2.Error:
        """The error of a statement that must fail; the transaction is rolled back."""
        with pytest.raises(psycopg2.Error) as caught:
            self.run(sql)
        self.connection.rollback()
        return caught.value


@pytest.fixture
def database(connect: Connect) -> Database:
    return Database(connect())
