"""What lists and structs may hold on their way into a SUPER."""

from datetime import date, datetime, time
from decimal import Decimal

import pyarrow as pa
import pytest

from tranship.errors import UnsupportedTypeError
from tranship.exactness import MisfitError
from tranship.redshift.nested import check_inner_types, check_inner_values

NESTINGS = [
    pa.list_,
    pa.large_list,
    lambda inner: pa.list_(inner, 1),
    lambda inner: pa.struct([("n", pa.int8()), ("v", inner)]),
    lambda inner: pa.map_(pa.string(), inner),
    lambda inner: pa.list_(pa.struct([("v", pa.list_(inner))])),
]
REFUSED = [
    pa.binary(), pa.binary(4), pa.large_binary(), pa.duration("us"), pa.uuid(), pa.bool8(),
    pa.month_day_nano_interval(), pa.dense_union([pa.field("a", pa.int8())]),
    pa.run_end_encoded(pa.int32(), pa.string()), pa.struct([]), pa.dictionary(pa.int8(), pa.binary()),
]  # fmt: skip
TAKEN = [
    pa.null(), pa.bool_(), pa.int8(), pa.uint64(), pa.float32(), pa.decimal128(38, 3), pa.date32(), pa.timestamp("us"),
    pa.timestamp("us", "Asia/Kathmandu"), pa.time64("us"), pa.string(), pa.large_string(), pa.json_(),
    pa.dictionary(pa.int8(), pa.string()),
]  # fmt: skip


@pytest.mark.parametrize("nest", NESTINGS)
@pytest.mark.parametrize("inner", REFUSED, ids=str)
def test_what_a_super_has_no_value_for_is_refused_by_column(nest, inner):
    with pytest.raises(UnsupportedTypeError, match='"tags"'):
        check_inner_types("tags", nest(inner))


@pytest.mark.parametrize("nest", NESTINGS)
@pytest.mark.parametrize("inner", TAKEN, ids=str)
def test_what_json_can_say_is_taken(nest, inner):
    check_inner_types("tags", nest(inner))


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ([1.5, None], [float("nan")]),
        ([], [0.5, float("-inf")]),
        ({"a": {"b": [1.0]}}, {"a": {"b": [1.0, float("inf")]}}),
    ],
)
def test_a_row_with_a_number_that_json_cannot_say_is_named(good, bad):
    with pytest.raises(MisfitError, match="JSON") as caught:
        check_inner_values(pa.array([good, None, good, bad, good]).slice(1))
    assert caught.value.index == 2


def test_days_that_no_reader_could_give_back_are_named():
    far = pa.ListArray.from_arrays([0, 1, 2], pa.array([0, 10_000_000], pa.date32()))
    with pytest.raises(MisfitError, match="1 and 9999") as caught:
        check_inner_values(far)
    assert caught.value.index == 1


def test_texts_that_are_no_utf_8_are_named():
    offsets = pa.array([0, 1, 2], pa.int32()).buffers()[1]
    texts = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"a\xff")])
    with pytest.raises(MisfitError, match="UTF8") as caught:
        check_inner_values(pa.StructArray.from_arrays([texts], ["t"]))
    assert caught.value.index == 1


def test_everything_else_passes():
    rows = [{"d": date(1, 1, 1), "t": time(1), "s": datetime(9999, 12, 31), "n": [Decimal("1.10")]}]
    check_inner_values(pa.array([*rows, None]))
    check_inner_values(pa.array([[("a", 0.5)], None], pa.map_(pa.string(), pa.float64())))
