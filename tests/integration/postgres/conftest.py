"""A place of its own for each test, and the few verbs that the Postgres tests share."""

from collections.abc import Callable
from typing import Any

import psycopg2
import psycopg2.extensions
import pyarrow as pa
import pytest
from psycopg2 import sql
from statements import Rows, rows_of

from tranship.frames import Batches
from tranship.postgres.copy_in import Encoder
from tranship.postgres.settings import PostgresSettings
from tranship.postgres.writer import write
from tranship.tables import TableName
from tranship.writes import WriteRequest, WriteResult


@pytest.fixture
def settings(postgres_url: str) -> PostgresSettings:
    return PostgresSettings.from_url(postgres_url)


@pytest.fixture
def table(postgres_schema: str) -> TableName:
    """A name with all that an unquoted name could stumble over."""
    return TableName(postgres_schema, 'Ta"ble % select ü')


@pytest.fixture
def sql_rows(postgres_connection: psycopg2.extensions.connection) -> Callable[..., Rows]:
    """Run a statement outside of any write; `{}` stands for quoted tables. Gives the rows, if any."""
    postgres_connection.autocommit = True

    def run(statement: str, *tables: TableName) -> Rows:
        names = [sql.Identifier(table.schema, table.name) for table in tables]
        return rows_of(postgres_connection, sql.SQL(statement).format(*names))

    return run


@pytest.fixture(params=[Encoder.BINARY, Encoder.CSV], ids=str)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return request.param


@pytest.fixture
def load(settings: PostgresSettings) -> Callable[..., WriteResult]:
    """Write a frame, and write it again: every write must bear repetition."""

    def twice(
        table: TableName,
        frame: pa.Table,
        *,
        times: int = 2,
        encoder: Encoder = Encoder.AUTO,
        **request: Any,
    ) -> WriteResult:
        wanted = WriteRequest(table, **request)
        result = None
        for _ in range(times):
            result = write(settings, wanted, Batches.of(frame), encoder=encoder)
        assert result is not None
        return result

    return twice
