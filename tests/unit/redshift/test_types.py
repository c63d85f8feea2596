"""Which Redshift type holds which column, and what fits into what."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranship.errors import ConfigurationError, UnsupportedTypeError
from tranship.redshift.types import MAX_VARCHAR_BYTES, RedshiftType, type_for, varchar_width
from tranship.tables import Column, SourceType


@pytest.mark.parametrize(
    ("arrow", "expected"),
    [
        (pa.bool_(), "boolean"),
        (pa.int8(), "smallint"),
        (pa.uint8(), "smallint"),
        (pa.int16(), "smallint"),
        (pa.uint16(), "integer"),
        (pa.int32(), "integer"),
        (pa.uint32(), "bigint"),
        (pa.int64(), "bigint"),
        (pa.uint64(), "decimal(20,0)"),
        (pa.float16(), "real"),
        (pa.float32(), "real"),
        (pa.float64(), "double precision"),
        (pa.decimal128(19, 4), "decimal(19,4)"),
        (pa.decimal256(38, 10), "decimal(38,10)"),
        (pa.decimal128(5, -2), "decimal(7,0)"),
        (pa.date32(), "date"),
        (pa.date64(), "date"),
        (pa.timestamp("s"), "timestamp"),
        (pa.timestamp("ns", "Europe/Berlin"), "timestamptz"),
        (pa.time32("s"), "time"),
        (pa.list_(pa.int32()), "super"),
        (pa.struct([("a", pa.int32())]), "super"),
        (pa.map_(pa.string(), pa.int32()), "super"),
        (pa.binary(16), "varbyte(16)"),
        (pa.string_view(), "varchar"),
        (pa.dictionary(pa.int32(), pa.large_string()), "varchar"),
    ],
)
def test_every_arrow_type_has_its_redshift_type(arrow, expected):
    assert str(type_for(Column("c", arrow))) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("nvarchar(50)", "varchar(200)"),
        ("nchar(1)", "varchar(4)"),
        ("varchar(8000)", "varchar(32000)"),
        ("nvarchar(4000)", "varchar(16000)"),
        ("uniqueidentifier", "varchar(36)"),
        ("nvarchar(max)", "varchar"),
        ("xml", "varchar"),
    ],
)
def test_the_source_sizes_texts_in_bytes(source, expected):
    column = Column("c", pa.string(), source_type=SourceType.parse(source))
    assert str(type_for(column)) == expected


@pytest.mark.parametrize(
    "arrow", [pa.duration("s"), pa.decimal256(39, 2), pa.decimal128(38, 38), pa.null()]
)
def test_types_that_redshift_lacks_are_refused_by_column(arrow):
    with pytest.raises(UnsupportedTypeError, match='"amount"'):
        type_for(Column("amount", arrow))


@given(st.integers(1, MAX_VARCHAR_BYTES))
def test_a_measured_width_leaves_room_and_stays_within_the_limit(size):
    width = varchar_width(size)
    assert size <= width <= MAX_VARCHAR_BYTES
    assert width >= min(2 * size, MAX_VARCHAR_BYTES)
    assert width <= max(16, 4 * size)


@given(
    st.sampled_from(["smallint", "integer", "bigint", "real", "double precision", "date", "super"])
    | st.integers(1, MAX_VARCHAR_BYTES).map(lambda n: f"varchar({n})")
    | st.integers(1, 38).flatmap(lambda p: st.integers(0, p).map(lambda s: f"decimal({p},{s})"))
)
def test_a_type_reads_back_from_its_own_text_and_holds_itself(text):
    parsed = RedshiftType.parse(text)
    assert str(parsed) == text
    assert parsed.holds(parsed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("character varying(20)", "varchar(20)"),
        ("TEXT", "varchar(256)"),
        ("varchar(max)", "varchar(65535)"),
        ("numeric", "decimal(18,0)"),
        ("timestamp without time zone", "timestamp"),
        ("int8", "bigint"),
        ("binary varying", "varbyte(64000)"),
    ],
)
def test_aliases_are_the_types_they_stand_for(text, expected):
    assert str(RedshiftType.parse(text)) == expected


@pytest.mark.parametrize("text", ["varchar(0)", "varchar(65536)", "char(5000)", "1nt", "a;b"])
def test_what_is_no_type_is_refused(text):
    with pytest.raises(ConfigurationError):
        RedshiftType.parse(text)


@pytest.mark.parametrize(
    ("there", "incoming", "fits"),
    [
        ("bigint", "integer", True),
        ("integer", "bigint", False),
        ("decimal(19,0)", "bigint", True),
        ("decimal(18,0)", "bigint", False),
        ("decimal(18,4)", "decimal(10,2)", True),
        ("decimal(10,4)", "decimal(10,2)", False),
        ("double precision", "real", True),
        ("real", "double precision", False),
        ("varchar(10)", "char(20)", True),
        ("super", "varchar(10)", True),
        ("timestamp", "timestamptz", False),
        ("date", "timestamp", False),
        ("varchar(10)", "integer", False),
    ],
)
def test_a_column_holds_what_loses_nothing_in_it(there, incoming, fits):
    assert RedshiftType.parse(there).holds(RedshiftType.parse(incoming)) is fits
