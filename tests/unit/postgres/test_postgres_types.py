"""Which Postgres type a column gets, which type holds which, and how texts of types are read."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranship.errors import ConfigurationError, UnsupportedTypeError
from tranship.postgres.types import PostgresType, arrow_type, column_type, holds, widened
from tranship.tables import Column, SourceType

FROM_SQL_SERVER = [
    ("bit", pa.bool_(), "boolean"),
    ("tinyint", pa.uint8(), "smallint"),
    ("smallint", pa.int16(), "smallint"),
    ("int", pa.int32(), "integer"),
    ("bigint", pa.int64(), "bigint"),
    ("decimal(18,2)", pa.decimal128(18, 2), "numeric(18,2)"),
    ("numeric(38,10)", pa.decimal128(38, 10), "numeric(38,10)"),
    ("money", pa.decimal128(19, 4), "numeric(19,4)"),
    ("smallmoney", pa.decimal128(10, 4), "numeric(10,4)"),
    ("float", pa.float64(), "double precision"),
    ("real", pa.float32(), "real"),
    ("char(3)", pa.large_string(), "varchar(3)"),
    ("nchar(15)", pa.large_string(), "varchar(15)"),
    ("varchar(50)", pa.large_string(), "varchar(50)"),
    ("nvarchar(50)", pa.large_string(), "varchar(50)"),
    ("nvarchar(max)", pa.large_string(), "text"),
    ("varchar(max)", pa.large_string(), "text"),
    ("text", pa.large_string(), "text"),
    ("ntext", pa.large_string(), "text"),
    ("xml", pa.large_string(), "xml"),
    ("uniqueidentifier", pa.large_string(), "uuid"),
    ("binary(8)", pa.large_binary(), "bytea"),
    ("varbinary(max)", pa.large_binary(), "bytea"),
    ("image", pa.large_binary(), "bytea"),
    ("rowversion", pa.large_binary(), "bytea"),
    ("timestamp", pa.large_binary(), "bytea"),
    ("date", pa.date32(), "date"),
    ("time(3)", pa.time64("us"), "time(3)"),
    ("time(7)", pa.time64("ns"), "time"),
    ("datetime", pa.timestamp("us"), "timestamp"),
    ("smalldatetime", pa.timestamp("us"), "timestamp"),
    ("datetime2(7)", pa.timestamp("us"), "timestamp"),
    ("datetime2(3)", pa.timestamp("us"), "timestamp(3)"),
    ("datetimeoffset(0)", pa.timestamp("us", "UTC"), "timestamptz(0)"),
    ("datetimeoffset(7)", pa.timestamp("us", "UTC"), "timestamptz"),
]
FROM_ARROW = [
    (pa.uint16(), "integer"),
    (pa.uint32(), "bigint"),
    (pa.uint64(), "numeric(20,0)"),
    (pa.int8(), "smallint"),
    (pa.float16(), "real"),
    (pa.decimal128(5, -2), "numeric(7,0)"),
    (pa.decimal256(50, 3), "numeric(38,3)"),
    (pa.string_view(), "text"),
    (pa.null(), "text"),
    (pa.binary(4), "bytea"),
    (pa.uuid(), "uuid"),
    (pa.dictionary(pa.int8(), pa.string()), "text"),
    (pa.list_(pa.int32()), "jsonb"),
    (pa.struct([("a", pa.int32())]), "jsonb"),
    (pa.map_(pa.string(), pa.int32()), "jsonb"),
    (pa.duration("us"), "interval"),
    (pa.timestamp("ns", "Asia/Tokyo"), "timestamptz"),
    (pa.date64(), "date"),
    (pa.time32("s"), "time"),
]


@pytest.mark.parametrize(("source", "arrow", "expected"), FROM_SQL_SERVER)
def test_every_sql_server_type_has_its_exact_match(
    source: str, arrow: pa.DataType, expected: str
) -> None:
    column = Column("c", arrow, source_type=SourceType.parse(source))
    assert str(column_type(column)) == expected


@pytest.mark.parametrize(("arrow", "expected"), FROM_ARROW)
def test_arrow_types_without_a_source_have_a_match(arrow: pa.DataType, expected: str) -> None:
    assert str(column_type(Column("c", arrow))) == expected


def test_a_source_type_that_the_column_no_longer_has_is_passed_over() -> None:
    column = Column("c", pa.float64(), source_type=SourceType("money"))
    assert str(column_type(column)) == "double precision"


def test_a_chosen_type_wins() -> None:
    assert str(column_type(Column("c", pa.string()), {"c": "JSONB"})) == "jsonb"


def test_a_type_that_postgres_lacks_names_the_column_and_the_way_out() -> None:
    with pytest.raises(UnsupportedTypeError) as caught:
        column_type(Column("odd", pa.month_day_nano_interval()))
    assert str(caught.value) == (
        'Column "odd" is month_day_nano_interval, for which Postgres has no type. '
        'Leave it out, cast it, or choose a type: column_types={"odd": "text"}.'
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("character varying(50)", "varchar(50)"),
        ("character(3)", "char(3)"),
        ("bpchar", "bpchar"),
        ("timestamp(3) without time zone", "timestamp(3)"),
        ("timestamp(6) with time zone", "timestamptz"),
        ("NUMERIC(10)", "numeric(10,0)"),
        ("decimal ( 19 , 4 )", "numeric(19,4)"),
        ("int8", "bigint"),
        ("double precision", "double precision"),
        ("integer[]", "integer[]"),
        ('"My Enum"', '"My Enum"'),
        ('public."Mood"[]', 'public."Mood"[]'),
    ],
)
def test_types_read_the_same_however_they_are_spelled(text: str, expected: str) -> None:
    parsed = PostgresType.parse(text)
    assert str(parsed) == expected
    assert PostgresType.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    "text", ["", "text; drop table a", "text) --", "int not null", "a.b c", "numeric(1,2,3)"]
)
def test_what_is_no_type_never_reaches_a_statement(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a Postgres type"):
        PostgresType.parse(text)


@pytest.mark.parametrize(
    ("existing", "incoming", "held"),
    [
        ("bigint", "smallint", True),
        ("smallint", "integer", False),
        ("numeric(12,2)", "integer", True),
        ("numeric(11,2)", "integer", False),
        ("numeric", "numeric(38,10)", True),
        ("numeric(38,10)", "numeric", False),
        ("text", "varchar(10)", True),
        ("text", "integer", False),
        ("varchar(10)", "varchar(9)", True),
        ("varchar(10)", "varchar", False),
        ("double precision", "real", True),
        ("double precision", "bigint", False),
        ("timestamp", "date", True),
        ("timestamptz", "timestamp", False),
        ("timestamp(3)", "timestamp", False),
        ("jsonb", "text", False),
        ("uuid", "text", False),
    ],
)
def test_a_type_holds_another_only_without_loss(existing: str, incoming: str, held: bool) -> None:
    assert holds(PostgresType.parse(existing), PostgresType.parse(incoming)) is held


TYPES = st.sampled_from(
    [
        PostgresType.parse(text)
        for text in (
            "smallint", "integer", "bigint", "numeric", "numeric(10,4)", "numeric(12,2)", "real", "double precision",
            "varchar(5)", "varchar(9)", "text", "date", "timestamp(3)", "timestamp", "timestamptz", "uuid", "jsonb", "boolean",
        )
    ]
)  # fmt: skip


@given(TYPES, TYPES)
def test_a_widened_type_holds_both(existing: PostgresType, incoming: PostgresType) -> None:
    wider = widened(existing, incoming)
    if wider is None:
        assert not holds(existing, incoming)
    else:
        assert holds(wider, existing)
        assert holds(wider, incoming)


def test_the_arrow_type_of_a_wide_numeric_is_wide() -> None:
    assert arrow_type(PostgresType.parse("numeric(50,2)")) == pa.decimal256(50, 2)
    assert arrow_type(PostgresType.parse("numeric(3,5)")) == pa.decimal128(5, 5)
    assert arrow_type(PostgresType.parse("numeric(2,-3)")) == pa.decimal128(5, 0)
    assert arrow_type(PostgresType.parse("inet")) == pa.large_string()
