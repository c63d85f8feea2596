"""What pandas keeps as Python objects is moved as it is, or refused with column, row and reason."""

import decimal
import enum
import ipaddress
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from value_kinds import arrow_takes_uuid_objects

from tranship.errors import TranshipError, UnsupportedTypeError
from tranship.frames import Batches

EAST = timezone(timedelta(hours=2))
NOON, LATER = datetime(2024, 1, 1, 12), datetime(2024, 1, 1, 12, tzinfo=UTC)


class Colour(enum.Enum):
    RED = "red"


class Word(enum.StrEnum):
    RED = "red"


def frame_of(values: list[Any]) -> pd.DataFrame:
    return pd.DataFrame({"id": range(len(values)), "v": pd.Series(values, dtype=object)})


CHANGED: dict[str, tuple[list[Any], int, str]] = {
    "a datetime beside a date": ([date(2024, 1, 1), NOON], 2, "beside datetime.date(2024, 1, 1)"),
    "a date beside a datetime": ([NOON, date(2024, 1, 1)], 2, "row 2 is datetime.date(2024, 1, 1)"),
    "a naive moment beside an aware one": ([LATER, NOON], 2, "Arrow would make"),
    "an aware moment beside a naive one": ([NOON, LATER], 2, "Arrow would make"),
    "a zone of a time": ([time(1), time(1, tzinfo=UTC)], 2, "Arrow would make datetime.time(1, 0)"),
    "a decimal that is no number": ([Decimal(1), Decimal("NaN")], 2, "decimals in a table are finite"),
    "a signalling decimal": ([Decimal("sNaN")], 1, "decimals in a table are finite"),
    "an infinite decimal": ([Decimal("Infinity")], 1, "decimals in a table are finite"),
    "a decimal beside a float": ([0.5, Decimal("0.1")], 2, "beside 0.5 in another row"),
    "a dict without a key": ([{"a": 1, "b": 2}, {"a": 1}], 2, "Arrow would make {'a': 1, 'b': None}"),
    "a dict with another key": ([{"a": 1}, {"b": 2}], 1, "Arrow would make {'a': 1, 'b': None}"),
    "a dict in a list without a key": ([[{"a": 1}, {}]], 1, "Arrow would make"),
    "a date beside a datetime in a list": ([[date(2024, 1, 1), NOON]], 1, "Arrow would make"),
    "a number that is none in a list": ([[1.0, float("nan")]], 1, "Arrow would make [1.0, None]"),
    "a text beside bytes": ([b"a", "b"], 2, "beside b'a' in another row"),
    "a text beside a number": ([1, "a"], 2, "beside 1 in another row"),
    "a truth beside a number": ([1, True], 2, "row 2 is True"),
    "a set": ([{1, 2}], 1, "a set has no order"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHANGED)
def test_what_arrow_would_change_is_refused_with_row_and_reason(kind: str):
    values, row, why = CHANGED[kind]

    with pytest.raises(UnsupportedTypeError) as refused:
        Batches.of(frame_of(values))

    message = str(refused.value)
    assert message.startswith('The column "v" of the frame has no type that can be moved: row ')
    assert f"row {row} is " in message
    assert why in message
    assert refused.value.details["column"] == "v"


NO_FORM: dict[str, Any] = {
    "a complex number": pd.Series([1j]),
    "an enumeration": pd.Series([Colour.RED], dtype=object),
    "an address": pd.Series([ipaddress.ip_address("10.0.0.1")], dtype=object),
    "an interval object": pd.Series([pd.Interval(0, 1, closed="left")], dtype=object),
    "a sparse column": pd.Series(pd.arrays.SparseArray([0, 1])),
    "mixed categories": pd.Series(pd.Categorical([1, "a"])),
    "dates beside datetimes as categories": pd.Series(
        pd.Categorical(pd.Series([date(2024, 1, 1), NOON], dtype=object))
    ),
    "half a pair": pd.Series(["a", "b\ud800"], dtype=object),
    "half a pair in a list": pd.Series([["\udc00"]], dtype=object),
    "a 39th digit": pd.Series([10**38, 1], dtype=object),
}
EXTENSIONS: dict[str, Any] = {
    "periods": pd.Series(pd.period_range("2024-01", periods=2, freq="M")),
    "intervals": pd.Series(pd.interval_range(0, 2, closed="left")),
    "periods as categories": pd.Series(
        pd.Categorical(pd.period_range("2024-01", periods=2, freq="M"))
    ),
    "cuts": pd.cut(pd.Series([1, 2]), 2),
}


@pytest.mark.filterwarnings("ignore:Series.values returning")  # pyarrow's own call
@pytest.mark.parametrize("kind", NO_FORM | EXTENSIONS)
def test_what_has_no_form_in_arrow_is_refused_by_column(kind: str):
    frame = pd.DataFrame({"id": 1, "v": (NO_FORM | EXTENSIONS)[kind]})

    with pytest.raises(TranshipError) as refused:
        Batches.of(frame).to_table()

    assert 'The column "v"' in str(refused.value)
    is_told = "extension type" in str(refused.value)
    # Before pyarrow 24 the categories are looked at first, which Arrow has no form for either.
    assert is_told == (kind in EXTENSIONS) or kind == "periods as categories"


def test_half_a_pair_of_a_text_is_called_that():
    with pytest.raises(UnsupportedTypeError) as refused:
        Batches.of(pd.DataFrame({"v": pd.Series(["\ud800"], dtype=object)})).to_table()

    assert str(refused.value) == (
        'The column "v" of the frame has no type that can be moved: a text holds half of a UTF-16 '
        "pair, the lone surrogate '\\ud800', which is no character. "
        "Give all its values one type: frame.astype, frame.cast."
    )


EXACT: dict[str, tuple[list[Any], pa.DataType]] = {
    "whole numbers beyond 64 bits": ([2**70, -1], pa.decimal128(38, 0)),
    "unsigned numbers": ([2**63, 1], pa.uint64()),
    "numbers beside whole ones": ([Decimal("1.1"), 2], pa.decimal128(2, 1)),
    "floats beside whole ones": ([1.5, 2], pa.float64()),
    "moments of several zones": ([LATER, LATER.astimezone(EAST)], pa.timestamp("us", "UTC")),
    "nanoseconds": ([pd.Timestamp("2024-01-01 00:00:00.000000005"), NOON], pa.timestamp("ns")),
    "spans of nanoseconds": ([pd.Timedelta(5, "ns")], pa.duration("ns")),
    "words of an enumeration": ([Word.RED], pa.string()),
    "bytes of several kinds": ([bytearray(b"a"), b"b"], pa.binary()),
    "numbers of NumPy": ([np.int8(1), 5], pa.int64()),
    "tuples": ([(1, 2)], pa.list_(pa.int64())),
    "arrays": ([np.array([1, 2])], pa.list_(pa.int64())),
}
UUIDS = [UUID(int=1)]
if arrow_takes_uuid_objects():
    EXACT["UUIDs"] = (UUIDS, pa.uuid())


def test_uuids_that_an_older_arrow_has_no_form_for_are_refused():
    frame = frame_of([*UUIDS, None])
    if arrow_takes_uuid_objects():
        assert Batches.of(frame).to_table().num_rows == len(UUIDS) + 1
        return
    with pytest.raises(UnsupportedTypeError, match='The column "v" of the frame has no type'):
        Batches.of(frame)


@pytest.mark.parametrize("kind", EXACT)
def test_what_arrow_has_a_form_for_keeps_its_value(kind: str):
    values, type_ = EXACT[kind]

    table = Batches.of(frame_of([*values, None])).to_table()

    assert table.schema.field("v").type == type_
    for value, kept in zip(values, table["v"].to_pylist(), strict=False):
        assert (list(value) if isinstance(value, tuple | np.ndarray) else value) == kept


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**40), 10**40),
    st.floats(),
    st.decimals(allow_nan=True, allow_infinity=True),
    st.text(st.characters(), max_size=3),
    st.binary(max_size=3),
    st.dates(),
    st.datetimes() | st.datetimes(timezones=st.sampled_from([UTC, EAST])),
    st.times() | st.times(timezones=st.just(UTC)),
    st.timedeltas(timedelta(days=-1000), timedelta(days=1000)),
    st.uuids(),
)
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(
    st.sampled_from("ab"), SCALARS, max_size=2
)  # fmt: skip


def kept(value: Any) -> Any:
    """A value with its kind, so that 1, 1.0, True and a date at midnight are four things."""
    if isinstance(value, dict):
        return {name: kept(one) for name, one in value.items()}
    if isinstance(value, list):
        return [kept(one) for one in value]
    if value is None or (isinstance(value, float) and value != value):
        return None
    number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    return ("number" if number else type(value).__name__.replace("Timestamp", "datetime"), value)


@given(values=st.lists(VALUES, min_size=1, max_size=4))
def test_any_objects_arrive_as_they_were_or_not_at_all(values: list[Any]):
    try:
        table = Batches.of(frame_of(values)).to_table()
    except TranshipError as refused:
        assert '"v"' in str(refused)  # noqa: PT017 - most draws are refused, and each by name
        return
    with decimal.localcontext(prec=80):
        assert [kept(value) for value in table["v"].to_pylist()] == [
            kept(value) for value in values
        ]


@given(offset=st.integers(0, 3))
def test_a_value_that_fails_late_is_named_with_its_row(offset: int):
    texts = ["a"] * 4
    texts[offset] = "\udfff"

    with pytest.raises(UnsupportedTypeError, match='column "v"'):
        Batches.of(frame_of(texts)).to_table()
