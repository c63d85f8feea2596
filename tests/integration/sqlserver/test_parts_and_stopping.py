"""Several connections at once, and every way a read can end before its last row."""

import threading
import time
from collections import Counter
from collections.abc import Generator
from dataclasses import replace
from typing import Any, cast

import pyarrow as pa
import pytest

from tranship.errors import TransientError, ValueDoesNotFitError
from tranship.frames import Batches
from tranship.reads import ReadRequest
from tranship.slices import KeyRange
from tranship.sqlserver.options import ReadOptions
from tranship.sqlserver.reader import read
from tranship.tables import TableName

SALES = TableName("dbo", "FactInternetSales")
IN_SMALL_STEPS = ReadOptions(part_column="OrderDateKey", batch_rows=500, queue_bytes=1)


def wait_until(condition, seconds: float = 3.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def values(batches: Batches, column: str) -> list[Any]:
    return sorted(row[column] for row in batches.to_table().to_pylist())


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


@pytest.mark.parametrize("column", ["OrderDateKey", "SalesOrderNumber", "OrderDate", "SalesAmount"])
def test_parts_give_each_row_once(settings, column):
    request = ReadRequest(SALES, columns=("SalesOrderNumber", "SalesOrderLineNumber"))
    whole = read(settings, request).to_table().to_pylist()
    parts = read(settings, request, ReadOptions(parts=4, part_column=column)).to_table().to_pylist()
    assert Counter(map(str, parts)) == Counter(map(str, whole))


def test_rows_without_a_key_are_in_one_part(settings, table):
    name = table(
        "create table {table} (Id int, K int)",
        "insert into {table} values (1, null), (2, 1), (3, 2), (4, 1000), (5, null), (6, 1001)",
    )
    options = ReadOptions(parts=3, part_column="K")
    assert values(read(settings, ReadRequest(name), options), "Id") == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]


def test_parts_stay_within_the_slice(settings):
    request = ReadRequest(TableName("dbo", "DimProduct"), KeyRange("ProductKey", 100, 200))
    found = values(read(settings, request, ReadOptions(parts=3)), "ProductKey")
    assert found == values(read(settings, request), "ProductKey")
    assert len(found) == 100


def test_parts_of_an_empty_table_are_none(settings, table):
    name = table("create table {table} (Id int primary key)")
    assert list(read(settings, ReadRequest(name), ReadOptions(parts=4))) == []


@pytest.mark.parametrize("parts", [1, 3])
def test_a_consumer_that_stops_ends_the_queries_and_closes_the_connections(
    through_cable, cable, parts
):
    options = replace(IN_SMALL_STEPS, parts=parts)
    batches = read(through_cable, ReadRequest(SALES), options).open()
    next(batches)
    started = time.monotonic()
    cast("Generator[pa.RecordBatch, None, None]", batches).close()
    assert time.monotonic() - started < 30
    assert readers() == []
    wait_until(lambda: cable.connections == 0)


@pytest.mark.parametrize("parts", [1, 3])
def test_a_server_that_vanishes_in_mid_read_is_a_passing_fault(through_cable, cable, parts):
    options = replace(IN_SMALL_STEPS, parts=parts)
    batches = read(through_cable, ReadRequest(SALES), options).open()
    next(batches)
    cable.pull()
    started = time.monotonic()
    with pytest.raises(TransientError, match=r"was lost while reading dbo\.FactInternetSales"):
        for _ in batches:
            pass
    assert time.monotonic() - started < 30
    assert readers() == []


def test_an_error_in_one_part_stops_the_others_and_is_raised_once(through_cable, cable, table):
    name = table(
        "create table {table} (Id int primary key, Note nvarchar(20))",
        "insert into {table} select ProductKey, N'fine' from dbo.DimProduct where ProductKey <= 400",
        "update {table} set Note = N'a' + nchar(0) where Id = 399",
    )
    options = ReadOptions(parts=3, batch_rows=20, queue_bytes=1)
    with pytest.raises(ValueDoesNotFitError, match=r"U\+0000 in row \d+"):
        list(read(through_cable, ReadRequest(name), options))
    assert readers() == []
    wait_until(lambda: cable.connections == 0)


def test_an_iterator_that_is_dropped_leaves_no_thread_and_no_connection(through_cable, cable):
    batches = iter(read(through_cable, ReadRequest(SALES), IN_SMALL_STEPS))
    next(batches)
    del batches
    wait_until(lambda: readers() == [] and cable.connections == 0)
