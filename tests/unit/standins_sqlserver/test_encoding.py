"""Columns are encoded as MS-TDS describes; sliced batches and NULLs make no difference."""

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from standins.sqlserver.encoding import encode_rows
from standins.sqlserver.errors import SqlError
from standins.sqlserver.types import MAX, SqlType


def encoded(values: list, kind: SqlType, arrow: pa.DataType) -> bytes:
    return encode_rows(pa.record_batch({"c": pa.array(values, arrow)}), [kind])


@pytest.mark.parametrize(
    ("values", "kind", "arrow", "expected"),
    [
        ([1, None, -2], SqlType("int"), pa.int32(), "d10401000000 d100 d104feffffff"),
        ([None, None], SqlType("bigint"), pa.int64(), "d100 d100"),
        ([True, False], SqlType("bit"), pa.bool_(), "d10101 d10100"),
        (["a€", None, ""], SqlType("nvarchar", 5), pa.string(), "d104006100ac20 d1ffff d10000"),
        (["😀"], SqlType("nvarchar", 2), pa.string(), "d104003dd800de"),
        (["€?", "日"], SqlType("varchar", 5), pa.string(), "d10200803f d101003f"),
        (
            ["a", None, ""],
            SqlType("nvarchar", MAX),
            pa.string(),
            "d1 0200000000000000 02000000 6100 00000000 d1 ffffffffffffffff d1 0000000000000000 00000000",
        ),
        (
            [Decimal("-1.50")],
            SqlType("decimal", precision=5, scale=2),
            pa.decimal128(5, 2),
            "d1 05 00 96000000",
        ),
        (
            [Decimal("1.0000"), Decimal("-0.0001")],
            SqlType("money"),
            pa.decimal128(19, 4),
            "d108 00000000 10270000 d108 ffffffff ffffffff",
        ),
        ([0, 719162], SqlType("date"), pa.date32(), None),
        ([b"\x01\x02"], SqlType("varbinary", 4), pa.binary(), "d102000102"),
    ],
)
def test_bytes_are_those_of_the_protocol(
    values: list, kind: SqlType, arrow: pa.DataType, expected: str | None
) -> None:
    if expected is None:
        assert encoded(values, kind, arrow).hex() == "d103" + "3af90a" + "d103" + "74f215"
    else:
        assert encoded(values, kind, arrow).hex() == expected.replace(" ", "")


def test_a_value_that_does_not_fit_its_type_is_an_error_not_a_broken_stream() -> None:
    with pytest.raises(SqlError, match="would be truncated"):
        encoded(["abc"], SqlType("nvarchar", 2), pa.string())


@given(
    rows=st.lists(
        st.tuples(st.none() | st.integers(-(2**31), 2**31 - 1), st.none() | st.text(max_size=9)),
        min_size=1,
        max_size=30,
    ),
    cut=st.integers(0, 30),
)
def test_a_slice_of_a_batch_is_encoded_like_a_batch_of_its_own(rows: list[tuple], cut: int) -> None:
    kinds = [SqlType("int"), SqlType("nvarchar", 100)]

    def batch(part: list[tuple]) -> pa.RecordBatch:
        return pa.record_batch(
            {
                "a": pa.array([r[0] for r in part], pa.int32()),
                "b": pa.array([r[1] for r in part], pa.string()),
            }
        )

    whole = batch(rows)
    cut = min(cut, len(rows))
    parts = encode_rows(whole.slice(0, cut), kinds) + encode_rows(whole.slice(cut), kinds)
    assert parts == encode_rows(whole, kinds)
    assert parts == b"".join(encode_rows(batch([row]), kinds) for row in rows)
