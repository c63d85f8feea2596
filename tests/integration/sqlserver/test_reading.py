"""Reading: the asked rows and columns, exactly, as often as wanted."""

import datetime as dt
import logging
from decimal import Decimal

import pyarrow as pa
import pytest

from tranship.comparisons import sql_column
from tranship.errors import ColumnNotFoundError, UnsupportedTypeError, ValueDoesNotFitError
from tranship.reads import OnNul, ReadRequest
from tranship.slices import KeyRange, TimeWindow, Values, WholeTable
from tranship.sqlserver.options import ReadOptions
from tranship.sqlserver.reader import read
from tranship.tables import Column, TableName

SALES = TableName("dbo", "FactInternetSales")

EVERY_TYPE = """
    create table {table} (
        id int not null primary key, c_bit bit, c_tinyint tinyint, c_smallint smallint, c_bigint bigint,
        c_decimal decimal(38, 10), c_numeric numeric(9, 2), c_money money, c_smallmoney smallmoney,
        c_real real, c_float float, c_date date, c_time time(7), c_smalldatetime smalldatetime,
        c_datetime datetime, c_datetime2 datetime2(7), c_datetimeoffset datetimeoffset(7),
        c_char char(5), c_varchar varchar(20), c_varchar_max varchar(max), c_nchar nchar(5),
        c_nvarchar nvarchar(50), c_nvarchar_max nvarchar(max), c_binary binary(4), c_varbinary varbinary(10),
        c_varbinary_max varbinary(max), c_uniqueidentifier uniqueidentifier, c_xml xml, c_rowversion rowversion
    )
"""
A_ROW = """
    insert into {table} (
        id, c_bit, c_tinyint, c_smallint, c_bigint, c_decimal, c_numeric, c_money, c_smallmoney, c_real, c_float,
        c_date, c_time, c_smalldatetime, c_datetime, c_datetime2, c_datetimeoffset, c_char, c_varchar,
        c_varchar_max, c_nchar, c_nvarchar, c_nvarchar_max, c_binary, c_varbinary, c_varbinary_max,
        c_uniqueidentifier, c_xml
    ) values (
        1, 1, 255, -32768, 9223372036854775807, 1234567890123456789012345678.0123456789, -1234567.89,
        922337203685477.5807, -214748.3648, 1.5, 2.2250738585072014e-308,
        '9999-12-31', '23:59:59.123456', '2079-06-06 23:59:00',
        '1753-01-01 00:00:00.997', '0001-01-01 00:00:00.123456', '2024-02-29 12:00:00.5 +05:30', 'ab', 'plain',
        'long', N'zß', N'Größe 😀', N'weit', 0x01020304, 0xff, 0x00ff,
        '6F9619FF-8B86-D011-B42D-00C04FC964FF', '<a>1</a>'
    )
"""
EXPECTED = {
    "id": (pa.int32(), 1),
    "c_bit": (pa.bool_(), True),
    "c_tinyint": (pa.int16(), 255),
    "c_smallint": (pa.int16(), -32768),
    "c_bigint": (pa.int64(), 2**63 - 1),
    "c_decimal": (pa.decimal128(38, 10), Decimal("1234567890123456789012345678.0123456789")),
    "c_numeric": (pa.decimal128(9, 2), Decimal("-1234567.89")),
    "c_money": (pa.decimal128(19, 4), Decimal("922337203685477.5807")),
    "c_smallmoney": (pa.decimal128(10, 4), Decimal("-214748.3648")),
    "c_real": (pa.float32(), 1.5),
    "c_float": (pa.float64(), 2.2250738585072014e-308),
    "c_date": (pa.date32(), dt.date(9999, 12, 31)),
    "c_time": (pa.time64("us"), dt.time(23, 59, 59, 123456)),
    "c_smalldatetime": (pa.timestamp("us"), dt.datetime(2079, 6, 6, 23, 59)),
    "c_datetime": (pa.timestamp("us"), dt.datetime(1753, 1, 1, 0, 0, 0, 997000)),
    "c_datetime2": (pa.timestamp("us"), dt.datetime(1, 1, 1, 0, 0, 0, 123456)),
    "c_datetimeoffset": (
        pa.timestamp("us", "UTC"),
        dt.datetime(2024, 2, 29, 6, 30, 0, 500000, tzinfo=dt.UTC),
    ),
    "c_char": (pa.large_string(), "ab   "),
    "c_varchar": (pa.large_string(), "plain"),
    "c_varchar_max": (pa.large_string(), "long"),
    "c_nchar": (pa.large_string(), "zß   "),
    "c_nvarchar": (pa.large_string(), "Größe \U0001f600"),
    "c_nvarchar_max": (pa.large_string(), "weit"),
    "c_binary": (pa.large_binary(), b"\x01\x02\x03\x04"),
    "c_varbinary": (pa.large_binary(), b"\xff"),
    "c_varbinary_max": (pa.large_binary(), b"\x00\xff"),
    "c_uniqueidentifier": (pa.large_string(), "6f9619ff-8b86-d011-b42d-00c04fc964ff"),
    "c_xml": (pa.large_string(), "<a>1</a>"),
}


def test_every_type_arrives_exactly_and_nulls_stay_nulls(settings, table):
    name = table(EVERY_TYPE, A_ROW, "insert into {table} (id) values (2)")
    batches = read(settings, ReadRequest(name), ReadOptions(order_by=("id",)))
    full, empty = batches.to_table().to_pylist()
    version = full.pop("c_rowversion")
    assert full == {column: value for column, (_, value) in EXPECTED.items()}
    assert isinstance(version, bytes)
    assert len(version) == 8
    assert empty.pop("c_rowversion") > version
    assert empty == {**dict.fromkeys(EXPECTED), "id": 2}
    assert {field.name: field.type for field in batches.schema} == {
        **{column: type_ for column, (type_, _) in EXPECTED.items()},
        "c_rowversion": pa.binary(8),
    }


def test_each_field_carries_its_source_type(settings, table):
    schema = read(settings, ReadRequest(table(EVERY_TYPE))).schema
    declared = {field.name: str(Column.from_field(field).source_type) for field in schema}
    assert declared["c_money"] == "money"
    assert declared["c_decimal"] == "decimal(38,10)"
    assert declared["c_datetimeoffset"] == "datetimeoffset(7)"
    assert declared["c_nvarchar_max"] == "nvarchar(max)"
    assert declared["c_char"] == "char(5)"
    assert declared["c_rowversion"] == "rowversion"


def test_an_empty_table_has_a_schema_and_no_batches(settings, table):
    batches = read(settings, ReadRequest(table("create table {table} (Id int, Note nvarchar(9))")))
    assert list(batches) == []
    assert batches.schema.names == ["Id", "Note"]


def test_a_table_can_be_read_again_and_shows_its_new_rows(settings, table, sqlserver_connection):
    name = table("create table {table} (Id int)", "insert into {table} values (1)")
    batches = read(settings, ReadRequest(name))
    assert batches.replayable
    assert batches.to_table().num_rows == 1
    sqlserver_connection.cursor().execute(f"insert into dbo.[{name.name}] values (2)")
    sqlserver_connection.commit()
    assert batches.to_table().num_rows == 2


def test_only_the_asked_columns_of_the_asked_rows_come(settings):
    request = ReadRequest(
        TableName("dbo", "DimProductCategory"),
        KeyRange("ProductCategoryKey", 2, 4),
        columns=("EnglishProductCategoryName", "ProductCategoryKey"),
    )
    batches = read(settings, request, ReadOptions(order_by=("ProductCategoryKey",)))
    assert batches.to_table().to_pylist() == [
        {"EnglishProductCategoryName": "Components", "ProductCategoryKey": 2},
        {"EnglishProductCategoryName": "Clothing", "ProductCategoryKey": 3},
    ]


def test_names_and_values_that_need_quoting_survive(settings, table):
    name = table(
        "create table {table} ([select] int, [a b % ?] nvarchar(30), [Größe]]x] nvarchar(9))",
        "insert into {table} values (1, N'100% ? it''s', N'x'), (2, N'other', N'y')",
    )
    request = ReadRequest(name, Values("a b % ?", ("100% ? it's",)))
    assert read(settings, request).to_table().to_pylist() == [
        {"select": 1, "a b % ?": "100% ? it's", "Größe]x": "x"}
    ]


def test_a_window_of_time_is_read_by_its_instants(settings, table):
    name = table(
        "create table {table} (Id int, At datetimeoffset)",
        "insert into {table} values (1, '2024-01-01 05:59:59 +00:00'), (2, '2024-01-01 00:00:00 -06:00'), "
        "(3, '2024-01-02 06:00:00 +00:00')",
    )
    day = TimeWindow(
        "At",
        dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=-6))),
        dt.datetime(2024, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=-6))),
    )
    assert read(settings, ReadRequest(name, day)).to_table()["Id"].to_pylist() == [2]


def test_a_datetime_finds_its_own_row_again(settings, table):
    name = table(
        "create table {table} (Id int, At datetime)",
        "insert into {table} values (1, '2024-01-01 00:00:00.003'), (2, '2024-01-01 00:00:00.007')",
    )
    latest = max(row["At"] for row in read(settings, ReadRequest(name)).to_table().to_pylist())
    again = read(settings, ReadRequest(name, KeyRange("At", latest)))
    assert again.to_table()["Id"].to_pylist() == [2]


@pytest.mark.parametrize(
    "where", [sql_column("Id") > 1, "Id > 1 and Note <> 'a: ?%'"], ids=["expression", "text"]
)
def test_a_condition_of_the_users_own_narrows_the_rows(settings, table, where):
    name = table(
        "create table {table} (Id int, Note nvarchar(9))",
        "insert into {table} values (1, 'x'), (2, 'y'), (3, 'z')",
    )
    request = ReadRequest(name, KeyRange("Id", 0, 3))
    assert read(settings, request, ReadOptions(where=where)).to_table()["Id"].to_pylist() == [2]


def test_a_type_that_cannot_be_moved_can_be_skipped(settings, table):
    name = table(
        "create table {table} (Id int, Place geography)", "insert into {table} (Id) values (1)"
    )
    with pytest.raises(UnsupportedTypeError) as caught:
        read(settings, ReadRequest(name))
    assert f'The column "Place" of {name} is geography' in str(caught.value)
    skipped = read(settings, ReadRequest(name), ReadOptions(exclude=("Place",)))
    assert skipped.to_table().to_pylist() == [{"Id": 1}]


def test_a_cast_reads_a_column_as_another_type(settings, table):
    name = table("create table {table} (Id int)", "insert into {table} values (7)")
    batches = read(settings, ReadRequest(name), ReadOptions(cast={"Id": "nvarchar(10)"}))
    assert batches.to_table().to_pylist() == [{"Id": "7"}]


def test_a_missing_column_is_named_with_those_that_are_there(settings, table):
    name = table("create table {table} (Id int, Note nvarchar(9))")
    with pytest.raises(ColumnNotFoundError) as caught:
        read(settings, ReadRequest(name, columns=("Id", "Nots")))
    assert str(caught.value) == 'No such column: "Nots". The columns are "Id", "Note".'


@pytest.fixture
def with_nul(table) -> TableName:
    return table(
        "create table {table} (Id int primary key, Note nvarchar(20))",
        "insert into {table} values (1, N'fine'), (2, N'a' + nchar(0) + N'b'), (3, N'fine')",
    )


def test_a_nul_in_a_text_is_an_error_that_says_where(settings, with_nul):
    batches = read(settings, ReadRequest(with_nul), ReadOptions(order_by=("Id",)))
    with pytest.raises(ValueDoesNotFitError) as caught:
        batches.to_table()
    assert f'The column "Note" of {with_nul} holds the character U+0000 in row 2' in str(
        caught.value
    )


@pytest.mark.parametrize(("policy", "text"), [(OnNul.STRIP, "ab"), (OnNul.KEEP, "a\x00b")])
def test_a_nul_can_be_stripped_or_kept(settings, with_nul, policy, text):
    options = ReadOptions(order_by=("Id",), on_nul=policy)
    found = read(settings, ReadRequest(with_nul), options).to_table()["Note"].to_pylist()
    assert found == ["fine", text, "fine"]


def test_large_values_come_in_short_batches(settings, table):
    name = table(
        "create table {table} (Id int primary key, Body nvarchar(max))",
        *(
            f"insert into {{table}} values ({number}, replicate(cast('x' as nvarchar(max)), 100000))"
            for number in range(40)
        ),
    )
    options = ReadOptions(batch_bytes=1_000_000)
    sizes = [batch.num_rows for batch in read(settings, ReadRequest(name), options)]
    assert sum(sizes) == 40
    batches = list(
        read(settings, ReadRequest(name), ReadOptions(batch_bytes=1_000_000, batch_rows=4))
    )
    assert max(batch.num_rows for batch in batches) <= 4
    assert {len(row["Body"]) for batch in batches for row in batch.to_pylist()} == {100_000}


def test_the_log_says_where_rows_may_change_under_the_read(settings, caplog):
    caplog.set_level(logging.INFO, logger="tranship.sqlserver")
    request = ReadRequest(TableName("dbo", "DimProduct"), WholeTable(), ("ProductKey",))
    list(read(settings, request, ReadOptions(parts=2)))
    notes = [record.message for record in caplog.records if "is read under" in record.message]
    assert len(notes) == 1
    assert notes[0].startswith("dbo.DimProduct is read under ")
