"""Where tests write in Redshift: settings with a staging prefix of their own, and a schema of their own."""

import os
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg2
from statements import Rows, rows_of

from tranship.frames import Batches
from tranship.redshift.settings import RedshiftSettings
from tranship.redshift.writer import write
from tranship.tables import TableName
from tranship.writes import WriteRequest, WriteResult

REGION = "us-east-1"


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

    def rows(self, statement: str, *values: Any) -> Rows:
        with closing(self.connect()) as connection:
            return rows_of(connection, statement.replace("{schema}", self.schema), values or None)

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


@contextmanager
def own_schema(settings: RedshiftSettings) -> Iterator[Database]:
    """A new schema, dropped at the end with all that is in it."""
    made = Database(settings, f"test_{secrets.token_hex(6)}")
    made.rows("create schema {schema}")
    yield made
    made.rows("drop schema {schema} cascade")


def _declaration(kind: str, length: int | None, precision: int | None, scale: int | None) -> str:
    if length:
        return f"{kind}({length})"
    return f"{kind}({precision},{scale})" if kind == "numeric" else kind
