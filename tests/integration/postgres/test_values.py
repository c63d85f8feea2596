"""Values survive the way in and out on both encoders, and those that cannot are named."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tranship.errors import (
    ConfigurationError,
    UnsupportedTypeError,
    ValueDoesNotFitError,
    WriteFailedError,
)
from tranship.frames import Batches
from tranship.postgres.copy_in import Encoder
from tranship.postgres.reader import read
from tranship.postgres.settings import PostgresSettings
from tranship.postgres.writer import write
from tranship.reads import ReadRequest
from tranship.tables import Column, SourceType, TableName, TableSchema
from tranship.writes import WriteRequest, WriteResult

pc: Any = pyarrow.compute
Load = Callable[..., WriteResult]
Run = Callable[..., list[tuple[Any, ...]]]

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
TRICKY = st.sampled_from(
    [
        "",
        " ",
        "\\.",
        "\\N",
        "NULL",
        '"',
        '""',
        ",",
        "\n",
        "\r\n",
        "\t",
        "'",
        'a"b\nc',
        "🐘",
        "{}",
        "\\x00",
    ]
)
KINDS: dict[str, tuple[pa.DataType, str, st.SearchStrategy[Any]]] = {
    "bit": (pa.bool_(), "bit", st.booleans()),
    "tinyint": (pa.uint8(), "tinyint", st.integers(0, 255)),
    "smallint": (pa.int16(), "smallint", st.integers(-(2**15), 2**15 - 1)),
    "int": (pa.int32(), "int", st.integers(-(2**31), 2**31 - 1)),
    "bigint": (pa.int64(), "bigint", st.integers(-(2**63), 2**63 - 1)),
    "money": (pa.decimal128(19, 4), "money", st.decimals(-922337203685477, 922337203685477, places=4)),
    "wide": (pa.decimal128(38, 10), "decimal(38,10)", st.decimals(-(10**27), 10**27, places=10)),
    "real": (pa.float32(), "real", st.floats(width=32, allow_nan=False)),
    "float": (pa.float64(), "float", st.floats(allow_nan=False)),
    "nvarchar": (pa.large_string(), "nvarchar(20)", TEXT | TRICKY),
    "max": (pa.large_string(), "nvarchar(max)", TEXT | TRICKY),
    "binary": (pa.large_binary(), "varbinary(max)", st.binary(max_size=20)),
    "uuid": (pa.large_string(), "uniqueidentifier", st.uuids().map(str)),
    "date": (pa.date32(), "date", st.dates()),
    "time": (pa.time64("us"), "time(6)", st.times()),
    "datetime2": (pa.timestamp("us"), "datetime2(6)", st.datetimes()),
    "offset": (
        pa.timestamp("us", "UTC"),
        "datetimeoffset(6)",
        st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)).map(lambda at: at.replace(tzinfo=UTC)),
    ),
}  # fmt: skip
SCHEMA = TableSchema(
    tuple(
        Column(name, type_, source_type=SourceType.parse(source))
        for name, (type_, source, _) in KINDS.items()
    )
).to_arrow()
ROWS = st.lists(
    st.tuples(*(st.none() | values for _, _, values in KINDS.values())), min_size=1, max_size=30
)


@pytest.fixture
def place(postgres_schema: str) -> TableName:
    return TableName(postgres_schema, "values")


@hypothesis_settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=ROWS)
def test_what_goes_in_comes_out(
    settings: PostgresSettings, place: TableName, encoder: Encoder, rows: list[tuple[Any, ...]]
) -> None:
    arrays = [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(SCHEMA)]
    frame = pa.table(arrays, schema=SCHEMA)
    for _ in range(2):
        write(settings, WriteRequest(place), Batches.of(frame), encoder=encoder)
    found = read(settings, ReadRequest(place)).to_table()
    expected = frame.set_column(1, "tinyint", frame["tinyint"].cast(pa.int16()))
    assert found.to_pylist() == expected.to_pylist()
    assert [field.type for field in found.schema] == [field.type for field in expected.schema]


EDGES: dict[str, tuple[pa.Array, dict[str, str], str, list[Any]]] = {
    "the first and last timestamp": (
        pa.array([datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)]), {}, "v::text",
        ["0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"],
    ),
    "the first and last date": (pa.array([date(1, 1, 1), date(9999, 12, 31)]), {}, "v::text", ["0001-01-01", "9999-12-31"]),
    "infinite floats": (pa.array([float("inf"), float("-inf"), float("nan")]), {}, "v::text", ["Infinity", "-Infinity", "NaN"]),
    "the largest unsigned": (pa.array([2**64 - 1], pa.uint64()), {}, "v::text", ["18446744073709551615"]),
    "wide decimals": (pa.array([Decimal(10**35)], pa.decimal256(70, 2)), {}, "v::text", ["1" + "0" * 35 + ".00"]),
    "the shortest texts of floats": (pa.array([0.1, 1e-7, 123.25]), {"v": "numeric(20,10)"}, "v::text", ["0.1000000000", "0.0000001000", "123.2500000000"]),
    "json of Arrow": (pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"b":1, "a":1}'])), {}, "v::text", ['{"b":1, "a":1}']),
    "bool8 of Arrow": (pa.ExtensionArray.from_storage(pa.bool8(), pa.array([0, 1, -5, None], pa.int8())), {}, "v", [False, True, True, None]),
    "uuids in a dictionary": (pa.DictionaryArray.from_arrays(pa.array([0, None], pa.int8()), pa.array([bytes(16)], pa.uuid())), {}, "v::text", ["00000000-0000-0000-0000-000000000000", None]),
    "a uuid as text": (pa.array([bytes(range(16))], pa.uuid()), {"v": "text"}, "v", ["00010203-0405-0607-0809-0a0b0c0d0e0f"]),
    "uuids in json": (pa.ListArray.from_arrays([0, 1], pa.array([bytes(16)], pa.uuid())), {}, "v->>0", ["00000000-0000-0000-0000-000000000000"]),
    "run ends": (pc.run_end_encode(pa.array(["a", "a", None])), {}, "v", ["a", "a", None]),
    "intervals": (pa.array([timedelta(days=-400, microseconds=1)], pa.duration("us")), {}, "extract(epoch from v)::text", ["-34559999.999999"]),
    "json of lists and structs": (
        pa.array([{"a": [1, None], "b": {"c": date(2024, 1, 1)}}, None]), {}, "v::text",
        ['{"a": [1, null], "b": {"c": "2024-01-01"}}', None],
    ),
    "maps": (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), {}, "v->>'k'", ["1"]),
    "dictionaries": (pa.array(["a", None, "a"]).dictionary_encode(), {}, "v", ["a", None, "a"]),
    "views of strings": (pa.array(["long enough to be out of line", ""], pa.string_view()), {}, "v", ["long enough to be out of line", ""]),
    "an all-null column": (pa.nulls(2), {}, "v", [None, None]),
    "a uuid of Arrow": (pa.array([bytes(range(16))], pa.uuid()), {}, "v::text", ["00010203-0405-0607-0809-0a0b0c0d0e0f"]),
    "uuids in braces": (pa.array(["{6F9619FF-8B86-D011-B42D-00C04FC964FF}"]), {"v": "uuid"}, "v::text", ["6f9619ff-8b86-d011-b42d-00c04fc964ff"]),
    "seconds and nanoseconds": (pa.array([1], pa.timestamp("s")), {}, "v::text", ["1970-01-01 00:00:01"]),
    "text as integer": (pa.array(["7", None]), {"v": "integer"}, "v", [7, None]),
    "integers as numeric": (pa.array([-(2**63), 7]), {"v": "numeric(30,2)"}, "v::text", ["-9223372036854775808.00", "7.00"]),
    "an empty batch": (pa.array([], pa.large_binary()), {}, "v", []),
    "an array over chunks": (pa.array([b"", b"\x00" * 3, None] * 10_000, pa.binary()), {}, "sum(length(v))::int", [30_000]),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_edges_arrive_exactly(
    name: str, place: TableName, load: Load, sql_rows: Run, encoder: Encoder
) -> None:
    array, column_types, shown, expected = EDGES[name]
    load(place, pa.table({"v": array}), column_types=column_types, encoder=encoder)
    assert [row[0] for row in sql_rows(f"select {shown} from {{}}", place)] == expected


TEXT_ONLY: dict[str, tuple[pa.Array, str, str, list[Any]]] = {
    "floats as numeric": (pa.array([0.1, 1e37, -1e-38, None]), "numeric", "v in (0.1, 1e37, -1e-38)", [True, True, True, None]),
    "addresses": (pa.array(["10.0.0.1"]), "inet", "host(v)", ["10.0.0.1"]),
    "arrays": (pa.array(["{1,2}"]), "integer[]", "v", [[1, 2]]),
    "intervals as text": (pa.array(["1 mon"]), "interval", "v::text", ["1 mon"]),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXT_ONLY)
def test_what_binary_cannot_carry_goes_as_csv(
    name: str, place: TableName, load: Load, sql_rows: Run
) -> None:
    array, type_, shown, expected = TEXT_ONLY[name]
    result = load(place, pa.table({"v": array}), column_types={"v": type_})
    assert result.details["encoder"] == "csv"
    assert [row[0] for row in sql_rows(f"select {shown} from {{}}", place)] == expected
    with pytest.raises(ConfigurationError, match='Binary COPY cannot carry "v"'):
        load(place, pa.table({"v": array}), column_types={"v": type_}, encoder=Encoder.BINARY)


MISFITS: dict[str, tuple[pa.Array, str | None, str]] = {
    "decimal overflow": (pa.array([Decimal("1.00"), Decimal("1234.56")], pa.decimal128(10, 2)), "numeric(5,2)", "Decimal('1234.56')"),
    "decimal rounding": (pa.array([None, Decimal("1.23")], pa.decimal128(10, 2)), "numeric(10,1)", "Decimal('1.23')"),
    "integer overflow": (pa.array([1, 2**31]), "integer", "2147483648"),
    "a fraction as integer": (pa.array([1.0, 1.5]), "integer", "1.5"),
    "two as boolean": (pa.array([None, 2]), "boolean", "2"),
    "a word as integer": (pa.array(["1", "one"]), "integer", "'one'"),
    "a long text": (pa.array(["ä" * 3, "ä" * 4]), "varchar(3)", "'ääää'"),
    "U+0000": (pa.array(["a", "b\0c"]), None, r"'b\x00c'"),
    "U+0000 in json": (pa.array([{"a": "x"}, {"a": "\0"}]), None, r"{'a': '\x00'}"),
    "not a uuid": (pa.array([None, "6F9619FF"]), "uuid", "'6F9619FF'"),
    "not hexadecimal": (pa.array(["0" * 32, "g" * 32]), "uuid", f"'{'g' * 32}'"),
    "too early": (pa.array([0, -62_135_596_800_000_001], pa.int64()).cast(pa.timestamp("us")), None, "0000-12-31 23:59:59.999999"),
    "too late an instant": (pa.array([0, 253_402_300_800_000_000], pa.int64()).cast(pa.timestamp("us", "Asia/Tokyo")), None, "10000-01-01"),
    "too early a date": (pa.array([0, -719_163], pa.int32()).cast(pa.date32()), None, "0000-12-31"),
    "too late a date": (pa.array([0, 2_932_897], pa.int32()).cast(pa.date32()), None, "10000-01-01"),
    "a time of day as date": (pa.array([datetime(2024, 1, 1), datetime(2024, 1, 1, 5)]), "date", "datetime.datetime(2024, 1, 1, 5, 0)"),
    "a 39th digit": (pa.array([Decimal(1), Decimal(10**38)], pa.decimal256(50, 0)), None, "Decimal('1" + "0" * 38 + "')"),
    "a 39th digit though the column is wide": (pa.array([Decimal(1), Decimal(10**60)], pa.decimal256(70, 2)), "numeric(70,2)", "Decimal('1000000000000"),
    "a float of 300 digits as numeric": (pa.array([1.0, 1e300]), "numeric", "1e+300"),
    "a text of 39 digits as numeric": (pa.array(["1", "1" * 39]), "numeric", "'" + "1" * 39 + "'"),
    "not a number as numeric": (pa.array([1.0, float("nan")]), "numeric", "nan"),
    "not a number as numeric(p,s)": (pa.array([1.0, float("nan")]), "numeric(5,2)", "nan"),
    "a rounded float as numeric(p,s)": (pa.array([0.1, 0.125]), "numeric(5,2)", "0.125"),
    "a rounded text as numeric(p,s)": (pa.array(["1.50", "1.505"]), "numeric(5,2)", "'1.505'"),
    "a rounded float as real": (pa.array([0.5, 0.1]), "real", "0.1"),
    "a rounded decimal as double precision": (pa.array([Decimal("0.1"), Decimal("0.12345678901234567890")], pa.decimal128(38, 20)), "double precision", "0.12345678901234567890"),
    "a rounded text as double precision": (pa.array(["0.1", "0.12345678901234567890"]), "double precision", "'0.12345678901234567890'"),
    "24 o'clock": (pa.array([0, 86_400_000_000], pa.int64()).cast(pa.time64("us")), None, "time"),
    "nanoseconds of a time": (pa.array([0, 1], pa.int64()).cast(pa.time64("ns")), None, "time"),
    "nanoseconds in json": (pa.array([[pd.Timestamp(0)], [pd.Timestamp(1)]], pa.list_(pa.timestamp("ns"))), None, "Timestamp"),
    "nanoseconds of a time in json": (pa.ListArray.from_arrays([0, 1, 2], pa.array([0, 1], pa.time64("ns"))), None, "time"),
    "nanoseconds": (pa.array([0, 1], pa.int64()).cast(pa.timestamp("ns")), None, "1"),
    "too many digits": (pa.array([None, datetime(2024, 1, 1, 0, 0, 0, 1)]), "timestamp(3)", "microsecond"),
    "too large a float": (pa.array([1.0, 1e300]), "real", "1e+300"),
    "infinity as numeric(p,s)": (pa.array([1.0, float("inf")]), "numeric(5,2)", "inf"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISFITS)
def test_a_value_that_does_not_fit_is_named_with_its_row(
    name: str, place: TableName, load: Load, sql_rows: Run
) -> None:
    array, type_, shown = MISFITS[name]
    column_types = {"v": type_} if type_ else {}
    load(place, pa.table({"v": array.slice(0, 1)}), column_types=column_types)
    before = sql_rows("select v::text from {}", place)
    many = pa.chunked_array([*[array.slice(0, 1)] * 1000, array, array])
    with pytest.raises(ValueDoesNotFitError) as caught:
        load(place, pa.Table.from_arrays([many], names=["v"]), column_types=column_types)
    message = str(caught.value)
    assert message.startswith(f"Row 1002 of the rows for {place} has ")
    assert 'in column "v"' in message
    assert shown in message or shown == "microsecond", message
    assert caught.value.details["row"] == 1002
    assert sql_rows("select v::text from {}", place) == before


def test_what_only_the_server_refuses_is_named_too(place: TableName, load: Load) -> None:
    with pytest.raises(
        ValueDoesNotFitError, match='near row 2, column "v": invalid input syntax for type json'
    ):
        load(place, pa.table({"v": ["{}", "{"]}), column_types={"v": "jsonb"})


def test_null_in_a_not_null_column(place: TableName, load: Load) -> None:
    load(place, pa.table({"v": [1]}, schema=pa.schema([pa.field("v", pa.int64(), nullable=False)])))
    with pytest.raises(
        ValueDoesNotFitError, match=r'column "v" is not null in the table.*\(near row 2\)'
    ):
        load(place, pa.table({"v": [1, None]}))


@pytest.mark.parametrize(
    ("array", "type_"),
    [
        (pa.array([True]), "date"),
        (pa.array([1]), "uuid"),
        (pa.array([datetime(2024, 1, 1, tzinfo=UTC)]), "timestamp"),
        (pa.array([datetime(2024, 1, 1)]), "timestamptz"),
        (pa.array([{"a": 1}]), "integer[]"),
        (pa.array([time(1)]), "timestamp"),
    ],
)
def test_a_type_that_makes_no_sense_is_refused(
    place: TableName, load: Load, array: pa.Array, type_: str
) -> None:
    with pytest.raises(UnsupportedTypeError, match=r'Column "v" of .* values cannot be put there'):
        load(place, pa.table({"v": array}), column_types={"v": type_})


def test_the_seventh_digit_of_a_time_is_dropped_like_that_of_a_datetime2(
    place: TableName, load: Load, sql_rows: Run, encoder: Encoder
) -> None:
    field = Column("v", pa.time64("ns"), source_type=SourceType.parse("time(7)")).to_field()
    frame = pa.table(
        [pa.array([86_399_123_456_700], pa.int64()).cast(pa.time64("ns"))],
        schema=pa.schema([field]),
    )
    load(place, frame, encoder=encoder)
    assert sql_rows("select v from {}", place) == [(time(23, 59, 59, 123456),)]


def test_xml_loads_where_the_server_knows_xml(
    place: TableName, load: Load, sql_rows: Run, encoder: Encoder
) -> None:
    field = Column("v", pa.large_string(), source_type=SourceType("xml")).to_field()
    frame = pa.table(
        [pa.array(['<?xml version="1.0" encoding="utf-16"?><a>ü</a>'], pa.large_string())],
        schema=pa.schema([field]),
    )
    ((knows_xml,),) = sql_rows(
        "select setting like '%libxml%' from pg_config where name = 'CONFIGURE'"
    )
    if knows_xml:
        load(place, frame, encoder=encoder)
        assert "ü" in sql_rows("select v::text from {}", place)[0][0]
    else:
        with pytest.raises(WriteFailedError, match=r"built without XML support.*column_types"):
            load(place, frame, encoder=encoder)


def test_dates_stay_dates(place: TableName, load: Load, settings: PostgresSettings) -> None:
    load(place, pa.table({"v": [date(1, 1, 1), date(9999, 12, 31)]}))
    assert read(settings, ReadRequest(place)).to_table()["v"].to_pylist() == [
        date(1, 1, 1),
        date(9999, 12, 31),
    ]


@pytest.mark.parametrize(
    ("array", "type_", "rounded"),
    [
        (pa.array([0.285, -0.125, None]), "numeric(5,2)", ["0.29", "-0.13", None]),
        (pa.array(["1.505"]), "numeric(5,2)", ["1.51"]),
        (pa.array([Decimal("1.505")]), "numeric(5,2)", ["1.51"]),
        (pa.array([0.1]), "real", ["0.1"]),
        (pa.array([2**24 + 1]), "real", ["1.6777216e+07"]),
        (
            pa.array([Decimal("0.12345678901234567890")]),
            "double precision",
            ["0.12345678901234568"],
        ),
    ],
)
def test_numbers_are_rounded_where_that_was_said(
    place: TableName, load: Load, sql_rows: Run, array: pa.Array, type_: str, rounded: list[Any]
) -> None:
    load(place, pa.table({"v": array}), column_types={"v": type_}, round=True)
    assert [row[0] for row in sql_rows("select v::text from {}", place)] == rounded


@pytest.mark.parametrize(
    ("value", "type_", "why"),
    [
        (1e300, "real", "too large"),
        (1e300, "numeric(5,2)", "more than 38 digits"),
        (1234.0, "numeric(5,2)", "more digits before the point"),
        (float("nan"), "numeric(5,2)", "finite"),
    ],
)
def test_rounding_is_no_licence_for_what_does_not_fit_at_all(
    place: TableName, load: Load, value: float, type_: str, why: str
) -> None:
    with pytest.raises(ValueDoesNotFitError, match=why):
        load(place, pa.table({"v": [value]}), column_types={"v": type_}, round=True)


def test_what_would_be_rounded_says_how_to_allow_it(place: TableName, load: Load) -> None:
    with pytest.raises(ValueDoesNotFitError) as caught:
        load(place, pa.table({"v": [0.1]}), column_types={"v": "real"})
    assert str(caught.value) == (
        f'Row 1 of the rows for {place} has 0.1 in column "v", which real cannot hold: it has digits '
        "that the type would round off. Choose a wider type in column_types, or allow it with "
        '"round": True beside them.'
    )


@pytest.mark.parametrize(
    "array",
    [
        pa.ExtensionArray.from_storage(
            pa.opaque(pa.string(), "money", "elsewhere"), pa.array(["x"])
        ),
        pa.ExtensionArray.from_storage(
            pa.fixed_shape_tensor(pa.int8(), [1]), pa.array([[1]], pa.list_(pa.int8(), 1))
        ),
    ],
    ids=["opaque", "tensor"],
)
def test_a_type_that_nobody_knows_is_refused_by_name(
    place: TableName, settings: PostgresSettings, array: pa.Array
) -> None:
    table = pa.table({"v": array})
    unchecked = Batches(table.schema, lambda: iter(table.to_batches()))
    with pytest.raises(UnsupportedTypeError, match='The column "v" is of the extension type arrow'):
        write(settings, WriteRequest(place), unchecked)
