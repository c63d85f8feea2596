"""Every type of SQL Server has one exact Arrow type, or an error that says how to get past it."""

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranship.errors import ConfigurationError, UnsupportedTypeError
from tranship.sqlserver.types import (
    arrow_type,
    cast_type,
    is_large,
    require_arrow_type,
    source_type,
    wire_form,
)
from tranship.tables import Column, SourceType, TableName

TABLE = TableName("dbo", "Places")


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("bit", pa.bool_()),
        ("tinyint", pa.int16()),
        ("smallint", pa.int16()),
        ("int", pa.int32()),
        ("bigint", pa.int64()),
        ("real", pa.float32()),
        ("float", pa.float64()),
        ("money", pa.decimal128(19, 4)),
        ("smallmoney", pa.decimal128(10, 4)),
        ("date", pa.date32()),
        ("time(7)", pa.time64("us")),
        ("smalldatetime", pa.timestamp("us")),
        ("datetime", pa.timestamp("us")),
        ("datetime2(7)", pa.timestamp("us")),
        ("datetimeoffset(7)", pa.timestamp("us", "UTC")),
        ("char(3)", pa.large_string()),
        ("nvarchar(50)", pa.large_string()),
        ("nvarchar(max)", pa.large_string()),
        ("xml", pa.large_string()),
        ("uniqueidentifier", pa.large_string()),
        ("binary(4)", pa.large_binary()),
        ("varbinary(max)", pa.large_binary()),
        ("image", pa.large_binary()),
        ("rowversion", pa.binary(8)),
        ("timestamp", pa.binary(8)),
    ],
)
def test_each_type_has_one_arrow_type(declared, expected):
    assert arrow_type(SourceType.parse(declared)) == expected


@given(precision=st.integers(1, 38), data=st.data())
def test_decimals_keep_their_precision_and_scale(precision, data):
    scale = data.draw(st.integers(0, precision))
    declared = source_type("numeric", precision=precision, scale=scale)
    assert arrow_type(declared) == pa.decimal128(precision, scale)
    assert str(declared) == f"decimal({precision},{scale})"


@given(
    name=st.sampled_from(["char", "varchar", "nchar", "nvarchar", "binary", "varbinary"]),
    length=st.integers(1, 8000),
)
def test_a_source_type_survives_the_field_metadata(name, length):
    declared = source_type(name, length=length)
    column = Column("c", arrow_type(declared) or pa.null(), source_type=declared)
    assert Column.from_field(column.to_field()) == column


@pytest.mark.parametrize(
    ("catalogue", "declared"),
    [
        ({"data_type": "nvarchar", "length": -1}, "nvarchar(max)"),
        ({"data_type": "varchar", "length": 20}, "varchar(20)"),
        ({"data_type": "datetime2", "fraction": 3}, "datetime2(3)"),
        ({"data_type": "time", "fraction": 0}, "time(0)"),
        ({"data_type": "datetime", "fraction": 3}, "datetime"),
        ({"data_type": "money", "precision": 19, "scale": 4}, "money"),
        ({"data_type": "int", "precision": 10, "scale": 0}, "int"),
        ({"data_type": "float", "precision": 53}, "float"),
        ({"data_type": "timestamp"}, "rowversion"),
        ({"data_type": "sysname", "length": 128}, "nvarchar(128)"),
        ({"data_type": "text", "length": 2147483647}, "text"),
        ({"data_type": "geography", "length": -1}, "geography"),
    ],
)
def test_the_catalogue_gives_the_declared_type(catalogue, declared):
    assert str(source_type(**catalogue)) == declared


@pytest.mark.parametrize(
    "name", ["geography", "geometry", "hierarchyid", "sql_variant", "MyClrType"]
)
def test_a_type_that_cannot_be_moved_is_named_with_the_ways_out(name):
    with pytest.raises(UnsupportedTypeError) as caught:
        require_arrow_type(SourceType(name), TABLE, "Where")
    assert str(caught.value) == (
        f'The column "Where" of dbo.Places is {name}, which cannot be moved as it is. '
        'Skip it with exclude=["Where"], or read it as text with cast={"Where": "nvarchar(max)"}.'
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("geography", "that is no type of SQL Server that can be moved"),
        ("int); drop table x", "is not a column type"),
        ("varchar", "which SQL Server would cut to 30 characters. Give it a length: varchar(max)"),
    ],
)
def test_a_cast_to_something_else_is_refused(text, message):
    with pytest.raises(ConfigurationError) as caught:
        cast_type(text, TABLE, "Where")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("declared", "large"),
    [("nvarchar(max)", True), ("xml", True), ("varbinary(8000)", False), ("int", False)],
)
def test_large_types_are_those_that_may_exceed_a_page(declared, large):
    assert is_large(SourceType.parse(declared)) is large


@given(st.uuids())
def test_a_uniqueidentifier_becomes_its_canonical_lower_case(value):
    form = wire_form(SourceType("uniqueidentifier"), pa.large_string())
    fetched = pa.array([str(value).upper(), None], form.type)
    assert form.convert is not None
    assert form.convert(fetched).to_pylist() == [str(value), None]


@given(hundreds_of_nanoseconds=st.integers(0, 864_000_000_000 - 1))
def test_the_7th_digit_of_a_time_is_cut_off_and_never_rounded_up(hundreds_of_nanoseconds):
    form = wire_form(SourceType("time", precision=7), pa.time64("us"))
    assert form.convert is not None
    fetched = pa.array([hundreds_of_nanoseconds * 100], pa.time64("ns"))
    expected = dt.datetime.min + dt.timedelta(microseconds=hundreds_of_nanoseconds // 10)
    assert form.convert(fetched).to_pylist() == [expected.time()]


@given(st.lists(st.none() | st.integers(0, 255)))
def test_a_tinyint_keeps_its_value_in_a_signed_type(values):
    form = wire_form(SourceType("tinyint"), pa.int16())
    assert form.convert is not None
    assert form.convert(pa.array(values, form.type)) == pa.array(values, pa.int16())


@given(st.lists(st.none() | st.binary(min_size=8, max_size=8)))
def test_a_rowversion_has_a_fixed_size(values):
    form = wire_form(SourceType("rowversion"), pa.binary(8))
    assert form.convert is not None
    assert form.convert(pa.array(values, form.type)) == pa.array(values, pa.binary(8))
