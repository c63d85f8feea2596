"""Values come back from pandas, polars and pyarrow as they went in."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranship.errors import ConfigurationError
from tranship.frames import Batches

CENTRAL = ZoneInfo("US/Central")
BOTH_SIDES_OF_THE_CLOCK_CHANGE = [
    datetime(2024, 11, 3, 6, 30, tzinfo=UTC).astimezone(CENTRAL),
    datetime(2024, 11, 3, 7, 30, tzinfo=UTC).astimezone(CENTRAL),
]
COLUMNS: list[tuple[pa.DataType, list[Any]]] = [
    (pa.int8(), [-128, 127]),
    (pa.int64(), [2**63 - 1, -(2**63)]),
    (pa.uint8(), [0, 255]),
    (pa.decimal128(19, 4), [Decimal("922337203685477.5807"), Decimal("-0.0001")]),
    (pa.decimal128(38, 10), [Decimal("1234567890123456789012345678.0123456789")]),
    (pa.float64(), [0.1, -0.0, 1e308]),
    (pa.float32(), [0.5]),
    (pa.bool_(), [True, False]),
    (pa.date32(), [date(1, 1, 1), date(9999, 12, 31)]),
    (pa.timestamp("us"), [datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)]),
    (pa.timestamp("us", "UTC"), [datetime(2024, 2, 29, 12, tzinfo=UTC)]),
    (pa.timestamp("us", "US/Central"), BOTH_SIDES_OF_THE_CLOCK_CHANGE),
    (pa.timestamp("ns"), [datetime(2024, 2, 29, 12, 0, 0, 1)]),
    (pa.duration("us"), [timedelta(microseconds=1)]),
    (pa.large_string(), ["", "a", "Größe 🚢"]),
    (pa.large_binary(), [b"", b"\x00\xff"]),
    (pa.null(), []),
]
ONLY_PANDAS: list[tuple[pa.DataType, list[Any]]] = [
    (pa.string(), ["a"]),
    (pa.binary(), [b"a"]),
    (pa.time64("us"), [time(23, 59, 59, 999999)]),
    (pa.timestamp("s"), [datetime(2024, 1, 1)]),
    (pa.dictionary(pa.int8(), pa.string()), ["a", "b", "a"]),
]


def table_of(type_: pa.DataType, values: list[Any]) -> pa.Table:
    return pa.table({"x": pa.array([*values, None], type_)})


@pytest.mark.parametrize(("type_", "values"), [*COLUMNS, *ONLY_PANDAS], ids=str)
def test_a_trip_through_pandas_changes_neither_type_nor_value(type_: pa.DataType, values):
    table = table_of(type_, values)

    frame = Batches.of(table).to_pandas()

    assert Batches.of(frame).to_table() == table


@pytest.mark.parametrize(("type_", "values"), COLUMNS, ids=str)
def test_a_trip_through_polars_changes_neither_type_nor_value(type_: pa.DataType, values):
    table = table_of(type_, values)

    frame = Batches.of(table).to_polars()

    assert Batches.of(frame).to_table() == table


@pytest.mark.parametrize(
    ("type_", "values", "wider"),
    [
        (pa.string(), ["a"], pa.large_string()),
        (pa.binary(), [b"a"], pa.large_binary()),
        (pa.time64("us"), [time(23, 59, 59, 999999)], pa.time64("ns")),
        (pa.timestamp("s"), [datetime(2024, 1, 1)], pa.timestamp("ms")),
    ],
)
def test_a_type_that_polars_lacks_comes_back_wider_with_the_same_values(type_, values, wider):
    table = table_of(type_, values)

    returned = Batches.of(Batches.of(table).to_polars()).to_table()

    assert returned == table.cast(pa.schema([("x", wider)]))


@given(
    rows=st.lists(
        st.tuples(
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.decimals(-(10**14), 10**14, places=4),
            st.none() | st.text(max_size=3),
            st.none() | st.datetimes(),
        ),
        max_size=5,
    )
)
def test_any_rows_come_back_from_both_libraries(rows: list[tuple[Any, ...]]):
    schema = pa.schema(
        [
            ("i", pa.int64()),
            ("d", pa.decimal128(19, 4)),
            ("s", pa.large_string()),
            ("t", pa.timestamp("us")),
        ]
    )
    table = pa.Table.from_pylist(
        [dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema
    )

    batches = Batches.of(table)

    assert Batches.of(batches.to_pandas()).to_table() == table
    assert Batches.of(batches.to_polars()).to_table() == table


def test_not_a_number_and_null_stay_apart():
    table = pa.table({"x": pa.array([float("nan"), None])})

    for frame in (Batches.of(table).to_pandas(), Batches.of(table).to_polars()):
        returned = Batches.of(frame).to_table()["x"]
        assert returned.null_count == 1
        assert str(returned[0].as_py()) == "nan"


def test_columns_stay_columns_though_pandas_once_had_them_as_its_index():
    indexed = pa.Table.from_pandas(pd.DataFrame({"id": [7], "n": [1]}).set_index("id"))

    assert list(Batches.of(indexed).to_pandas().columns) == ["n", "id"]


@pytest.mark.filterwarnings("ignore:Series.values returning")  # pyarrow's own call
def test_ordinary_pandas_columns_get_the_type_of_their_values():
    frame = pd.DataFrame(
        {
            "int": pd.Series([1, None], dtype="Int64"),
            "text": ["a", None],
            "price": [Decimal("1.10"), None],
            "day": [date(2024, 1, 1), None],
            "at": pd.to_datetime(["2024-01-01", None]).tz_localize("US/Central"),
            "flag": pd.Series([True, None], dtype="boolean"),
            "kind": pd.Categorical(["a", None]),
        }
    )

    table = Batches.of(frame).to_table()

    assert table.to_pylist() == [
        {
            "int": 1,
            "text": "a",
            "price": Decimal("1.10"),
            "day": date(2024, 1, 1),
            "at": datetime(2024, 1, 1, tzinfo=CENTRAL),
            "flag": True,
            "kind": "a",
        },
        dict.fromkeys(frame.columns),
    ]
    assert table.schema.field("price").type == pa.decimal128(3, 2)
    assert pa.types.is_timestamp(table.schema.field("at").type)


TABLE = pa.table({"id": [1, 2]})


@pytest.mark.parametrize(
    "annotation",
    [pd.DataFrame, pl.DataFrame, pl.LazyFrame, pa.Table, pa.RecordBatchReader, Batches],
)
def test_rows_come_as_the_type_that_is_asked_for(annotation: Any):
    loaded = Batches.of(TABLE).to(annotation)

    assert isinstance(loaded, annotation)
    assert Batches.of(loaded).to_table() == TABLE


@pytest.mark.parametrize("annotation", [dict, "pandas.DataFrame", pa.RecordBatch])
def test_a_type_that_holds_no_table_is_refused_with_those_that_do(annotation: Any):
    with pytest.raises(ConfigurationError) as refused:
        Batches.of(TABLE).to(annotation)

    assert str(refused.value) == (
        f"A table cannot be loaded as {annotation!r}. Annotate the parameter as pandas.DataFrame, "
        "polars.DataFrame, polars.LazyFrame, pyarrow.Table, pyarrow.RecordBatchReader, or Batches "
        "to iterate over record batches."
    )
