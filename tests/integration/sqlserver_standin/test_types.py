"""Every source type travels exactly, through Arrow and through Python values."""

import datetime
import uuid
from decimal import Decimal
from typing import Any

import mssql_python
import pyarrow as pa
import pymssql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from standins.sqlserver.remote import SqlServerProcess

PLAIN = [
    ("tinyint", "0", 0),
    ("tinyint", "255", 255),
    ("smallint", "-32768", -32768),
    ("int", "-2147483648", -2147483648),
    ("int", "2147483647", 2147483647),
    ("bigint", "-9223372036854775808", -9223372036854775808),
    ("bigint", "9223372036854775807", 9223372036854775807),
    ("bit", "1", True),
    ("bit", "0", False),
    (
        "decimal(38,10)",
        "-1234567890123456789012345678.0123456789",
        Decimal("-1234567890123456789012345678.0123456789"),
    ),
    ("decimal(38,0)", "99999999999999999999999999999999999999", Decimal("9" * 38)),
    ("numeric(9,2)", "-9999999.99", Decimal("-9999999.99")),
    ("decimal(19,4)", "-0.0001", Decimal("-0.0001")),
    ("money", "922337203685477.5807", Decimal("922337203685477.5807")),
    ("money", "-922337203685477.5808", Decimal("-922337203685477.5808")),
    ("smallmoney", "-214748.3648", Decimal("-214748.3648")),
    ("float", "1.7976931348623157e308", 1.7976931348623157e308),
    ("float", "-0.1e0", -0.1),
    ("real", "1.5e0", 1.5),
    ("date", "'0001-01-01'", datetime.date(1, 1, 1)),
    ("date", "'9999-12-31'", datetime.date(9999, 12, 31)),
    ("datetime", "'1753-01-01T00:00:00'", datetime.datetime(1753, 1, 1)),
    ("datetime", "'20200102 03:04:05'", datetime.datetime(2020, 1, 2, 3, 4, 5)),
    ("smalldatetime", "'2020-01-02 03:04:31'", datetime.datetime(2020, 1, 2, 3, 5)),
    ("datetime2(7)", "'0001-01-01T00:00:00'", datetime.datetime(1, 1, 1)),
    (
        "datetime2(7)",
        "'9999-12-31 23:59:59.999999'",
        datetime.datetime(9999, 12, 31, 23, 59, 59, 999999),
    ),
    ("datetime2(3)", "'2020-01-02 03:04:05.6789'", datetime.datetime(2020, 1, 2, 3, 4, 5, 679000)),
    ("datetime2(0)", "'1969-12-31 23:59:59.5'", datetime.datetime(1970, 1, 1)),
    ("char(3)", "'a'", "a  "),
    ("nchar(3)", "N'ä'", "ä  "),
    ("varchar(10)", "'été €'", "été €"),
    ("varchar(10)", "''", ""),
    ("nvarchar(10)", "N'smile 😀'", "smile 😀"),
    ("nvarchar(max)", "N''", ""),
    (
        "nvarchar(max)",
        "N'long 😀 ' + replicate(cast(N'x' as nvarchar(max)), 10000)",
        "long 😀 " + "x" * 10000,
    ),
    ("varchar(max)", "replicate(cast('y' as varchar(max)), 9000)", "y" * 9000),
    ("text", "'old'", "old"),
    ("ntext", "N'old 😀'", "old 😀"),
    ("text", "''", ""),
    ("binary(4)", "0x01FF", b"\x01\xff\x00\x00"),
    ("varbinary(4)", "0x00", b"\x00"),
    ("varbinary(max)", "0x" + "AB" * 9000, b"\xab" * 9000),
    ("image", "0x0102", b"\x01\x02"),
    ("xml", "N'<a>é😀</a>'", "<a>é😀</a>"),
]


@pytest.mark.parametrize(("declared", "literal", "expected"), PLAIN)
def test_a_value_and_its_null_come_back_as_declared(
    cursor: mssql_python.Cursor, schema: str, declared: str, literal: str, expected: object
) -> None:
    cursor.execute(f"create table {schema}.t (id int not null primary key, v {declared} null)")
    cursor.execute(
        f"insert into {schema}.t (id, v) values (1, {literal}), (2, null), (3, {literal})"
    )
    cursor.execute(f"select v from {schema}.t order by id")
    assert [row[0] for row in cursor.fetchall()] == [expected, None, expected]
    cursor.execute(f"select v from {schema}.t order by id")
    assert cursor.arrow().column(0).to_pylist() == [expected, None, expected]


@pytest.mark.parametrize(
    ("declared", "arrow_type"),
    [
        ("tinyint", pa.uint8()),
        ("smallint", pa.int16()),
        ("int", pa.int32()),
        ("bigint", pa.int64()),
        ("bit", pa.bool_()),
        ("decimal(38,10)", pa.decimal128(38, 10)),
        ("money", pa.decimal128(19, 4)),
        ("smallmoney", pa.decimal128(10, 4)),
        ("float", pa.float64()),
        ("real", pa.float32()),
        ("date", pa.date32()),
        ("time(3)", pa.time64("ns")),
        ("datetime2(3)", pa.timestamp("us")),
        ("datetimeoffset(3)", pa.timestamp("us", "+00:00")),
        ("uniqueidentifier", pa.large_string()),
        ("nvarchar(5)", pa.large_string()),
        ("varbinary(5)", pa.large_binary()),
    ],
)
def test_an_empty_column_still_has_its_declared_type(
    cursor: mssql_python.Cursor, schema: str, declared: str, arrow_type: pa.DataType
) -> None:
    cursor.execute(f"create table {schema}.t (v {declared} null)")
    cursor.execute(f"select v from {schema}.t")
    found = cursor.arrow().schema.field(0).type
    if pa.types.is_timestamp(arrow_type) and arrow_type.tz:
        assert pa.types.is_timestamp(found)
        assert found.tz is not None
    else:
        assert found == arrow_type


def test_a_time_of_day_keeps_microseconds(cursor: mssql_python.Cursor) -> None:
    cursor.execute(
        "select cast('23:59:59.123456' as time(7)), cast('12:00:00.96' as time(1)), cast(null as time)"
    )
    assert (
        cursor.arrow().to_pylist()[0] == {"": datetime.time(23, 59, 59, 123456)}
        or cursor.description is not None
    )
    cursor.execute(
        "select cast('23:59:59.123456' as time(7)) a, cast('12:00:00.96' as time(1)) b, cast(null as time) c"
    )
    assert tuple(cursor.fetchall()[0]) == (
        datetime.time(23, 59, 59, 123456),
        datetime.time(12, 0, 1),
        None,
    )


def test_a_datetimeoffset_keeps_instant_and_offset(
    cursor: mssql_python.Cursor, schema: str
) -> None:
    cursor.execute(f"create table {schema}.t (v datetimeoffset(7))")
    cursor.execute(
        f"insert into {schema}.t values ('2020-01-01 18:29:59.123456 +05:30'), ('2019-12-31T19:00:00-08:00')"
    )
    cursor.execute(f"select v from {schema}.t order by v")
    second, first = (row[0] for row in cursor.fetchall())
    assert first.isoformat() == "2020-01-01T18:29:59.123456+05:30"
    assert second.isoformat() == "2019-12-31T19:00:00-08:00"
    cursor.execute(f"select count(*) from {schema}.t where v = '2020-01-01 12:59:59.123456 +00:00'")
    assert cursor.fetchval() == 1
    cursor.execute(f"select cast(v as nvarchar(40)) from {schema}.t order by v desc")
    assert cursor.fetchall()[0][0] == "2020-01-01 18:29:59.1234560 +05:30"


def test_a_datetime_is_rounded_to_a_three_hundredth_of_a_second(
    cursor: mssql_python.Cursor,
) -> None:
    cursor.execute(
        "select cast('2020-01-01 00:00:00.995' as datetime), cast('1899-12-31 23:59:59.999' as datetime)"
    )
    assert tuple(cursor.fetchall()[0]) == (
        datetime.datetime(2020, 1, 1, 0, 0, 0, 997000),
        datetime.datetime(1900, 1, 1),
    )


def test_a_datetime_is_compared_with_finer_types_by_all_that_it_counts(
    cursor: mssql_python.Cursor, schema: str
) -> None:
    """Under compatibility level 130 and higher: .333 is .3333333 then.

    https://learn.microsoft.com/sql/database-engine/breaking-changes-to-database-engine-features-in-sql-server-2016
    """
    cursor.execute(f"create table {schema}.t (v datetime not null)")
    cursor.execute(f"insert into {schema}.t values ('2016-10-23T12:45:37.333')")
    cursor.execute(f"select cast(cast(v as datetime2) as varchar(40)) from {schema}.t")
    assert cursor.fetchval() == "2016-10-23 12:45:37.3333333"
    for bound, found in (
        ("cast('2016-10-23T12:45:37.333' as datetime)", 1),
        ("cast('2016-10-23T12:45:37.333' as datetime2(3))", 0),
        ("cast('2016-10-23T12:45:37.333333' as datetime2(6))", 0),
        ("cast('2016-10-23T12:45:37.3333333' as datetime2(7))", 1),
    ):
        cursor.execute(f"select count(*) from {schema}.t where v <= {bound}")
        assert cursor.fetchval() == found, bound


def test_a_datetime_is_read_from_no_more_than_three_digits(cursor: mssql_python.Cursor) -> None:
    with pytest.raises(mssql_python.Error, match="Conversion failed when converting date"):
        cursor.execute("select cast('2024-01-01T00:00:00.8333' as datetime)").fetchall()


@pytest.mark.parametrize("declared", ["datetime2(7)", "datetimeoffset(7)"])
def test_the_seventh_digit_is_kept_and_compared(
    cursor: mssql_python.Cursor, schema: str, declared: str
) -> None:
    key = "" if "offset" in declared else " primary key"
    cursor.execute(f"create table {schema}.t (v {declared} not null{key})")
    values = [
        "0001-01-01T00:00:00.0000000", "2024-01-01T00:00:00.1234568", "2024-01-01T00:00:00.1234569",
        "9999-12-31T23:59:59.9999999",
    ]  # fmt: skip
    literals = ", ".join(f"('{value}')" for value in values)
    cursor.execute(f"insert into {schema}.t values {literals}")
    zone = "+00:00" if "offset" in declared else ""
    cursor.execute(f"select convert(varchar(40), v, 126) from {schema}.t order by v")
    assert [row[0] for row in cursor.fetchall()] == [one + zone for one in values]
    cursor.execute(f"select count(*) from {schema}.t where v <= '{values[1]}'")
    assert cursor.fetchval() == 2
    cursor.execute(f"select convert(varchar(40), max(v), 126) from {schema}.t")
    assert cursor.fetchval() == values[-1] + zone
    # The driver has no place for it, and cuts it off.
    cursor.execute(f"select v from {schema}.t where v = '{values[2]}'")
    shown: Any = cursor.arrow().column(0).to_pylist()[0]
    assert (shown.second, shown.microsecond) == (0, 123456)


def test_a_text_is_rounded_to_the_digits_of_its_type(cursor: mssql_python.Cursor) -> None:
    text = "'2024-01-01T00:00:00.1234565'"
    cursor.execute(
        f"select cast({text} as datetime2(6)), cast({text} as datetime2(3)), cast({text} as datetime2(0))"
    )
    assert [value.microsecond for value in cursor.fetchall()[0]] == [123457, 123000, 0]


def test_a_uniqueidentifier_keeps_its_bytes(cursor: mssql_python.Cursor) -> None:
    cursor.execute("select cast('6F9619FF-8B86-D011-B42D-00C04FC964FF' as uniqueidentifier)")
    assert cursor.fetchval() == uuid.UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff")


def test_a_nul_character_travels_both_ways(cursor: mssql_python.Cursor, schema: str) -> None:
    cursor.execute(f"create table {schema}.t (v nvarchar(10))")
    cursor.execute(f"insert into {schema}.t values (?)", "a\0b")
    cursor.execute(f"insert into {schema}.t values (N'c' + nchar(0))")
    cursor.execute(f"select v, len(v) from {schema}.t order by v")
    assert cursor.arrow().to_pydict() == {"v": ["a\0b", "c\0"], "": [3, 2]}


def test_types_without_a_wire_form_are_declared_and_read_as_text(
    cursor: mssql_python.Cursor, schema: str
) -> None:
    cursor.execute(
        f"create table {schema}.t (a sql_variant, b hierarchyid, c geography, d geometry)"
    )
    cursor.execute(f"insert into {schema}.t values (N'1', N'/1/', N'POINT (1 2)', null)")
    cursor.execute(
        f"select name, type_name(user_type_id) from sys.columns where object_id = object_id('{schema}.t') order by column_id"
    )
    assert [tuple(row) for row in cursor.fetchall()] == [
        ("a", "sql_variant"),
        ("b", "hierarchyid"),
        ("c", "geography"),
        ("d", "geometry"),
    ]
    cursor.execute(f"select cast(b as nvarchar(max)), cast(c as nvarchar(max)) from {schema}.t")
    assert tuple(cursor.fetchall()[0]) == ("/1/", "POINT (1 2)")
    with pytest.raises(mssql_python.Error, match="column of type geography"):
        cursor.execute(f"select c from {schema}.t")


def test_parameters_of_every_kind_come_back(cursor: mssql_python.Cursor) -> None:
    values = [
        True, 5, -5, 2**40, 1.25, Decimal("12345678901234567890.1234"), "é😀", "", b"\x00\xff", datetime.date(1753, 1, 1),
        datetime.datetime(9999, 12, 31, 23, 59, 59, 999999), datetime.time(1, 2, 3), uuid.UUID(int=7), None, "x" * 5000,
    ]  # fmt: skip
    cursor.execute(f"select {', '.join('?' for _ in values)}", *values)
    assert list(cursor.fetchall()[0]) == values


def test_a_value_longer_than_its_type_is_never_sent(cursor: mssql_python.Cursor) -> None:
    cursor.execute("select cast('abcdef' as varchar(3)), left('abcdef', 2), 'a' + 'b'")
    assert tuple(cursor.fetchall()[0]) == ("abc", "ab", "ab")


SPANS = st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59))
ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none()
        | st.decimals(
            allow_nan=False, allow_infinity=False, places=10, min_value=-(10**27), max_value=10**27
        ),
        st.none() | st.text(st.characters(codec="utf-16"), max_size=30),
        st.none() | st.binary(max_size=20),
        st.none() | SPANS,
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
    ),
    max_size=40,
)


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=ROWS)
def test_loaded_rows_are_read_back_exactly(
    server: SqlServerProcess, cursor: mssql_python.Cursor, schema: str, rows: list[tuple]
) -> None:
    server.execute(f"drop table if exists {schema}.t")
    server.execute(
        f"create table {schema}.t (id int not null primary key, i bigint, d decimal(38,10), s nvarchar(60), b varbinary(20), t datetime2(6), f float)"
    )
    kinds = [
        pa.int64(),
        pa.decimal128(38, 10),
        pa.string(),
        pa.binary(),
        pa.timestamp("us"),
        pa.float64(),
    ]
    columns = [pa.array([row[index] for row in rows], kind) for index, kind in enumerate(kinds)]
    batch = pa.RecordBatch.from_arrays(
        [pa.array(range(len(rows)), pa.int32()), *columns], ["id", *"idsbtf"]
    )
    server.load(f"{schema}.t", [batch])
    cursor.execute(f"select i, d, s, b, t, f from {schema}.t order by id")
    assert [tuple(row.values()) for row in cursor.arrow().to_pylist()] == rows


def test_pymssql_reads_the_same_values(server: SqlServerProcess, schema: str) -> None:
    server.execute(
        f"create table {schema}.t (a money, b nvarchar(max), c datetime, d decimal(38,10), e varbinary(max), f bit, g text)"
    )
    server.execute(
        f"insert into {schema}.t values (-1.5, N'é😀', '2020-01-02 03:04:05', -0.0000000001, 0x00FF, 1, 'x'), (null, null, null, null, null, null, null)"
    )
    with pymssql.connect(
        "127.0.0.1", "sa", "Correct-Horse-1", "AdventureWorksDW", port=str(server.port)
    ) as connection:
        cursor = connection.cursor()
        cursor.execute(f"select * from {schema}.t")
        first, second = cursor.fetchall()
    assert first == (
        Decimal("-1.5000"),
        "é😀",
        datetime.datetime(2020, 1, 2, 3, 4, 5),
        Decimal("-1E-10"),
        b"\x00\xff",
        True,
        "x",
    )
    assert second == (None,) * 7
