"""A user's generator is opened, read and closed in the thread that writes, with the context that it has there."""

import contextvars
import sqlite3
import threading
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from tranship.frames import Batches
from tranship.postgres.settings import PostgresSettings
from tranship.postgres.writer import write
from tranship.tables import TableName
from tranship.writes import WriteRequest

TENANT: contextvars.ContextVar[str] = contextvars.ContextVar("tenant")


@pytest.fixture
def numbers() -> Iterator[sqlite3.Connection]:
    """A database whose connection no other thread than this may use."""
    connection = sqlite3.connect(":memory:")
    connection.execute("create table t (v integer)")
    connection.executemany("insert into t values (?)", [(number,) for number in range(50)])
    yield connection
    connection.close()


def test_a_cursor_of_sqlite_made_by_the_caller_can_be_read(
    settings: PostgresSettings, table: TableName, numbers: sqlite3.Connection, sql_rows: Any
) -> None:
    chunks = pd.read_sql("select v from t", numbers, chunksize=7)

    result = write(settings, WriteRequest(table), Batches.of(chunks))

    assert result.rows == 50
    assert sql_rows("select count(*), sum(v) from {}", table) == [(50, sum(range(50)))]


def test_all_of_a_generator_runs_in_one_thread_and_in_its_context(
    settings: PostgresSettings, table: TableName
) -> None:
    seen: list[tuple[threading.Thread, str]] = []

    def look() -> None:
        seen.append((threading.current_thread(), TENANT.get("none")))

    def frames() -> Iterator[pa.Table]:
        look()
        try:
            for number in range(3):
                yield pa.table({"v": [number]})
                look()
        finally:
            look()

    token = TENANT.set("north")
    try:
        write(settings, WriteRequest(table), Batches.of(frames()))
    finally:
        TENANT.reset(token)

    assert seen == [(threading.current_thread(), "north")] * 5


def test_a_generator_is_closed_in_its_thread_when_the_write_fails(
    settings: PostgresSettings, table: TableName
) -> None:
    closed: list[threading.Thread] = []

    def frames() -> Iterator[pa.Table]:
        try:
            while True:
                yield pa.table({"v": ["no json"]})
        finally:
            closed.append(threading.current_thread())

    generator = frames()  # held, so that nothing but the write can close it
    with pytest.raises(Exception, match="invalid input syntax for type json"):
        write(settings, WriteRequest(table, column_types={"v": "jsonb"}), Batches.of(generator))
    assert closed == [threading.current_thread()]


def test_what_is_read_ahead_finds_the_callers_context(
    settings: PostgresSettings, table: TableName
) -> None:
    seen: list[tuple[bool, str]] = []
    rows = pa.table({"v": [1]})

    def opened() -> Iterator[pa.RecordBatch]:
        seen.append((threading.current_thread() is caller, TENANT.get("none")))
        yield from rows.to_batches()

    caller = threading.current_thread()
    token = TENANT.set("north")
    try:
        write(settings, WriteRequest(table), Batches(rows.schema, opened, any_thread=True))
    finally:
        TENANT.reset(token)
    assert seen == [(False, "north")]
