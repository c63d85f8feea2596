"""A later batch either holds exactly what the first one's types can hold, or is refused by name."""

import contextlib
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranship.errors import BatchDoesNotFitError
from tranship.frames import Batches
from tranship.tables import Column, SourceType, TableSchema


def stream(*frames: Any, **settings: Any) -> Batches:
    return Batches.of(iter(frames), **settings)


def refusal(*frames: Any, **settings: Any) -> str:
    """The message with which a stream of these frames ends."""
    with pytest.raises(BatchDoesNotFitError) as refused:
        stream(*frames, **settings).to_table()
    return str(refused.value)


def column(values: list[Any], type_: pa.DataType | None = None) -> pa.Table:
    return pa.table({"x": pa.array(values, type_)})


def test_columns_that_come_and_go_are_named_with_the_batch():
    first = pa.table({"id": [1], "name": ["a"]})

    assert refusal(first, first, pa.table({"id": [1], "Name": ["a"]})) == (
        'Batch 3 does not have the columns of the first one: "name" is missing, "Name" is new. '
        "Give every batch the same columns."
    )


def test_a_column_that_comes_twice_is_named():
    twice = pa.table([pa.array([1])] * 3, names=["x", "y", "y"])

    assert refusal(pa.table({"x": [1], "y": [2]}), twice) == (
        'Batch 2 does not have the columns of the first one: "y" is there more than once. '
        "Give every batch the same columns."
    )


def test_columns_in_another_order_are_put_in_the_first_ones():
    batches = stream(pa.table({"a": [1], "b": ["x"]}), pa.table({"b": ["y"], "a": [2]}))

    assert batches.to_table().to_pydict() == {"a": [1, 2], "b": ["x", "y"]}


NAIVE = datetime(2024, 1, 1, 12)
AWARE = datetime(2024, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (column([1]), column(["7"])),
        (column(["a"]), column([7])),
        (column([1]), column([True])),
        (column([True]), column([5])),
        (column([True]), column(["true"])),
        (column([NAIVE]), column([AWARE], pa.timestamp("us", "UTC"))),
        (column([AWARE], pa.timestamp("us", "UTC")), column([NAIVE])),
        (column([NAIVE]), column([5])),
        (column([date(2024, 1, 1)]), column([NAIVE])),
        (column([0.5], pa.float32()), column([0.1])),
        (column([0.5]), column([Decimal("12345678901234567890.1")])),
        (column([Decimal("1.1")]), column([0.123])),
        (column([b"a"]), column(["a"])),
        (column([[True]]), column([[5]])),
        (column([{"a": 1}]), column([{"a": "1"}])),
    ],
    ids=lambda table: str(table.schema.types[0]),
)
def test_another_kind_of_value_is_refused_never_turned_into_the_first(first, later):
    (first_type,), (later_type,) = first.schema.types, later.schema.types

    assert refusal(first, first, later) == (
        f'"x" is {first_type} in the first batch and {later_type} in batch 3. '
        "Give every batch the same types."
    )


@pytest.mark.parametrize(
    ("first", "later", "why"),
    [
        (column([1], pa.int8()), column([300]), "Integer value 300 not in range: -128 to 127"),
        (column([1]), column([1.5]), r"Float value 1\.50* was truncated converting to int64"),
        (
            column([Decimal("22.2")]),
            column([Decimal("2.22")]),
            r"Rescaling Decimal(128)? value would cause data loss",
        ),
        (
            column([0.5]),
            column([2**53 + 1]),
            "Integer value 9007199254740993 not in range: -9007199254740992 to 9007199254740992",
        ),
    ],
)
def test_a_value_that_the_first_batchs_type_cannot_hold_is_refused(first, later, why: str):
    (first_type,), (later_type,) = first.schema.types, later.schema.types

    before = (
        f'"x" is {first_type} in the first batch and {later_type} in batch 2, '
        "and its values do not fit: "
    )
    # The reason is in the words of several versions of Arrow.
    expected = re.escape(before) + why + re.escape(". Give every batch the same types.")
    assert re.fullmatch(expected, refusal(first, later))


@pytest.mark.parametrize(
    ("first", "later", "expected"),
    [
        (column([1]), column([2], pa.int8()), [1, 2]),
        (column([1], pa.int8()), column([2]), [1, 2]),
        (column([1]), pd.DataFrame({"x": [2, None]}), [1, 2, None]),
        (pd.DataFrame({"x": [1.5, None]}), column([2]), [1.5, None, 2.0]),
        (column([0.5]), column([0.1], pa.float32()), [0.5, 0.10000000149011612]),
        (column([Decimal("1.10")]), column([Decimal("2.2")]), [Decimal("1.10"), Decimal("2.20")]),
        (column(["a"]), pl.DataFrame({"x": ["b"]}), ["a", "b"]),
        (column(["a"]), column(["b"], pa.string_view()), ["a", "b"]),
        (column(["a"]), pd.DataFrame({"x": pd.Categorical(["b"])}), ["a", "b"]),
        (pd.DataFrame({"x": pd.Categorical(["a"])}), column(["b"]), ["a", "b"]),
        (column([NAIVE]), column([NAIVE], pa.timestamp("ns")), [NAIVE, NAIVE]),
        (column([AWARE]), column([AWARE], pa.timestamp("us", "US/Central")), [AWARE, AWARE]),
        (column([b"a"]), column([b"b"], pa.large_binary()), [b"a", b"b"]),
        (column([1]), column([None], pa.null()), [1, None]),
        (column([[1]]), column([[2]], pa.large_list(pa.int8())), [[1], [2]]),
    ],
)
def test_values_that_fit_exactly_take_the_first_batchs_type(first, later, expected):
    batches = stream(first, later)

    table = batches.to_table()

    assert table["x"].to_pylist() == expected
    assert table.schema.types == batches.schema.types == Batches.of(first).schema.types


NUMBERS = [
    (pa.int8(), st.integers(-128, 127)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float32(), st.floats(width=32, allow_nan=False)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.decimal128(9, 2), st.decimals(-1_000_000, 1_000_000, places=2)),
    (pa.decimal128(38, 4), st.decimals(-(10**12), 10**12, places=4)),
]


@given(data=st.data())
def test_a_number_arrives_exactly_or_not_at_all(data: st.DataObject):
    first_type, _ = data.draw(st.sampled_from(NUMBERS))
    later_type, values = data.draw(st.sampled_from(NUMBERS))
    numbers = data.draw(st.lists(values, min_size=1, max_size=3))

    with contextlib.suppress(BatchDoesNotFitError):
        table = stream(column([], first_type), column(numbers, later_type)).to_table()
        assert table["x"].to_pylist() == numbers
        return

    assert first_type != later_type


def test_a_column_that_was_all_null_at_first_says_how_to_declare_it():
    first = pd.DataFrame({"x": [None, None]}, dtype=object)

    assert refusal(first, pl.DataFrame({"x": ["a"]})) == (
        '"x" was all null in the first batch and is large_string in batch 2. '
        "Declare the types: give the first frame's column a type, or pass a schema."
    )


def test_a_declared_schema_lets_the_first_batch_be_all_null():
    first = pd.DataFrame({"x": [None, None]}, dtype=object)
    schema = pa.schema([("x", pa.string())])

    table = stream(first, pl.DataFrame({"x": ["a"]}), schema=schema).to_table()

    assert table == pa.table({"x": [None, None, "a"]}, schema=schema)


def test_nulls_in_a_column_declared_not_null_are_counted():
    schema = pa.schema([pa.field("x", pa.int64(), nullable=False)])

    assert refusal(column([1]), column([1, None, None]), schema=schema) == (
        'Batch 2 has 2 null(s) in "x", which is declared not null. '
        "Fill them, or declare the column nullable."
    )


def test_a_batch_counts_from_the_first_of_the_stream_not_of_its_frame():
    two_batches = pa.Table.from_batches(column([1]).to_batches() * 2)

    assert '"x" is int64 in the first batch and string in batch 3.' in refusal(
        two_batches, column(["a"])
    )


def test_a_schemas_source_types_reach_every_batch():
    schema = TableSchema(
        (Column("id", pa.int64(), source_type=SourceType.parse("bigint")),), primary_key=("id",)
    ).to_arrow()

    batches = Batches.of(
        iter([pd.DataFrame({"id": [1]}), pl.DataFrame({"id": [2]})]), schema=schema
    )

    assert [TableSchema.from_arrow(batch.schema) for batch in batches] == [
        TableSchema.from_arrow(schema)
    ] * 2
