"""Rows amount to the same in a stream of batches and in SQL."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql import psycopg2

from tranship.comparisons import sql_column
from tranship.frames import Batches
from tranship.replication.column_statistics import (
    ColumnStatistics,
    MeasuredBatches,
    comparable,
    differences,
    expressions,
    statistics_of,
)

_DATABASE = duckdb.connect(config={"threads": 1})
_DATABASE.execute("set timezone = 'UTC'")

TYPES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.uint8(): st.integers(0, 255),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.decimal128(19, 4): st.decimals(
        min_value=-(10**14), max_value=10**14, places=4, allow_nan=False, allow_infinity=False
    ),
    pa.float64(): st.floats(allow_nan=False, allow_infinity=False),
    pa.float32(): st.floats(allow_nan=False, allow_infinity=False, width=32),
    pa.date32(): st.dates(),
    pa.timestamp("us"): st.datetimes(),
    pa.timestamp("us", "UTC"): st.datetimes(
        min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC)
    ),
    pa.large_string(): st.text(max_size=3),
    pa.bool_(): st.booleans(),
}


@pytest.mark.parametrize("type_", TYPES, ids=str)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_what_passes_by_amounts_to_what_sql_makes_of_it(
    type_: pa.DataType, data: st.DataObject
) -> None:
    batches = data.draw(st.lists(st.lists(st.none() | TYPES[type_], max_size=5), max_size=4))
    schema = pa.schema({"a % b": type_})
    table = pa.Table.from_batches(
        [pa.record_batch([pa.array(values, type_)], schema=schema) for values in batches], schema
    )
    measured = MeasuredBatches(Batches(schema, lambda: iter(table.to_batches())), ("a % b",))
    for _ in measured.batches():
        pass
    columns = {"a % b": type_}
    asked = sa.select(*expressions(columns, sql_column, sa.func.count)).select_from(
        sa.table("incoming")
    )
    cursor = _DATABASE.cursor()
    cursor.register("incoming", table)
    statement = str(asked.compile(dialect=psycopg2.dialect(paramstyle="qmark")))
    row = cursor.execute(statement).fetchone()
    assert row is not None
    assert measured.rows == table.num_rows
    assert measured.statistics() == statistics_of(columns, row)


def test_a_second_pass_counts_anew() -> None:
    measured = MeasuredBatches(Batches.of(pa.table({"id": [1, 2]})), ("id",))
    for _ in range(2):
        assert len(list(measured.batches())) == 1
    assert measured.rows == 2
    assert measured.statistics()["id"] == {"count": "2", "sum": "3", "min": "1", "max": "2"}


def test_a_stream_without_rows_has_facts_too() -> None:
    measured = MeasuredBatches(Batches.of(pa.table({"id": pa.array([], pa.int32())})), ("id",))
    list(measured.batches())
    assert measured.statistics()["id"] == {"count": "0", "sum": None, "min": None, "max": None}
    assert measured.rows == 0


def test_sums_of_bigints_do_not_wrap_around() -> None:
    measured = MeasuredBatches(Batches.of(pa.table({"id": pa.array([2**63 - 1] * 3)})), ("id",))
    list(measured.batches())
    assert measured.statistics()["id"]["sum"] == str(3 * (2**63 - 1))


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        ((Decimal("1.50"), Decimal("1.5"), 1.5), pa.decimal128(9, 2)),
        ((100, Decimal("1E+2"), Decimal(100)), pa.int32()),
        ((0, Decimal("-0.00"), Decimal("0.0")), pa.decimal128(9, 2)),
        ((datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1)), pa.timestamp("us", "UTC")),
        ((0.1, 0.10000000149011612), pa.float32()),
        ((0.0, -0.0, 0), pa.float32()),
        ((0.0, -0.0, 0), pa.float64()),
        ((date(2024, 1, 1),), pa.date32()),
    ],
)
def test_one_value_has_one_spelling(values: tuple[Any, ...], type_: pa.DataType) -> None:
    assert len({comparable(value, type_) for value in values}) == 1


def test_differences_are_told_in_words() -> None:
    expected: dict[str, ColumnStatistics] = {
        "a": {"count": "2", "sum": "3"},
        "b": {"count": "2"},
        "c": {"count": "1"},
    }
    found: dict[str, ColumnStatistics] = {"a": {"count": "2", "sum": "4"}, "b": {"count": "2"}}
    assert differences(expected, found) == {
        "a": "sum is 4, and was 3 in the source",
        "c": "count is None, and was 1 in the source",
    }
