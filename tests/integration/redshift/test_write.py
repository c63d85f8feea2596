"""What a write to Redshift promises: the rows asked for, all of them, and no others touched."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest

from tranship.equality import Alphabet, TextEquality
from tranship.errors import (
    ColumnNotFoundError,
    ConfigurationError,
    RowsOutsideSliceError,
    ValueDoesNotFitError,
    WriteFailedError,
)
from tranship.frames import Batches
from tranship.redshift.ddl import TableLayout
from tranship.redshift.writer import RedshiftWriteRequest, write
from tranship.slices import AllOf, AnyOf, KeyRange, TimeWindow, Values
from tranship.tables import Column, SourceType, TableSchema
from tranship.writes import WriteMode, WriteRequest

ALL = "select id, region, amount from {schema}.sales order by id, amount"


def frame(ids, region, amount=0):
    count = len(ids)
    return pa.table(
        {
            "Id": pa.array(ids, pa.int32()),
            "Region": [region] * count,
            "Amount": pa.array([amount] * count, pa.int64()),
        }
    )


# ---- modes ----


def test_replacing_a_table_twice_gives_the_same_rows(database, sales, staged_keys):
    for _ in range(2):
        result = database.write(sales)
        assert result.rows == 3
        assert database.rows(ALL) == [(1, "north", 10), (2, "north", 20), (3, "south", 30)]
    assert staged_keys() == []


def test_replacing_a_partition_twice_leaves_the_others(database, sales):
    database.write(sales)
    for _ in range(2):
        database.write(frame([7, 8], "north"), slice=Values("Region", ("north",)))
        assert database.rows(ALL) == [(3, "south", 30), (7, "north", 0), (8, "north", 0)]


def test_replacing_several_partitions_at_once_leaves_the_others(database, sales):
    database.write(pa.concat_tables([sales, frame([9], "west")]))
    part = Values("Region", ("north", "south"))
    for _ in range(2):
        database.write(frame([5], "south"), slice=part)
        assert database.rows(ALL) == [(5, "south", 0), (9, "west", 0)]


def test_replacing_a_multi_partition_leaves_its_neighbours(database, sales):
    database.write(sales)
    part = AllOf((Values("Region", ("north",)), Values("Id", (1,))))
    for _ in range(2):
        database.write(frame([1], "north", 99), slice=part)
        assert database.rows(ALL) == [(1, "north", 99), (2, "north", 20), (3, "south", 30)]


def test_replacing_a_key_range_leaves_what_is_outside(database):
    database.write(frame([1, 5, 6, 10], "a"))
    for _ in range(2):
        database.write(frame([7], "b"), slice=KeyRange("Id", 5, 10))
        assert database.rows(ALL) == [(1, "a", 0), (7, "b", 0), (10, "a", 0)]


def test_replacing_a_range_with_gaps_leaves_the_gap(database):
    database.write(frame([1, 2, 3, 4], "a"))
    part = AnyOf((KeyRange("Id", 1, 2), KeyRange("Id", 3, 4)))
    for _ in range(2):
        database.write(frame([3], "b"), slice=part)
        assert database.rows(ALL) == [(2, "a", 0), (3, "b", 0), (4, "a", 0)]


def test_replacing_a_day_leaves_the_next_one(database):
    def days(*values):
        return pa.table({"At": pa.array(values, pa.timestamp("us"))})

    first, second = datetime(2024, 1, 1, 23, 59), datetime(2024, 1, 2)
    database.write(days(first, second))
    part = TimeWindow("At", datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC))
    for _ in range(2):
        database.write(days(datetime(2024, 1, 1, 12)), slice=part)
        assert database.rows("select at from {schema}.sales order by 1") == [
            (datetime(2024, 1, 1, 12),),
            (second,),
        ]


def test_an_empty_frame_replaces_its_slice_with_nothing(database, sales, staged_keys):
    database.write(sales)
    for _ in range(2):
        result = database.write(sales.slice(0, 0), slice=Values("Region", ("north",)))
        assert result.rows == 0
        assert database.rows(ALL) == [(3, "south", 30)]
    assert staged_keys() == []


def test_appending_twice_adds_the_rows_twice(database, sales):
    for times in (1, 2):
        database.write(sales, mode=WriteMode.APPEND)
        assert len(database.rows(ALL)) == 3 * times


def test_merging_twice_updates_and_inserts_by_key(database, sales):
    database.write(sales)
    incoming = pa.concat_tables([frame([2], "east", 5), frame([4], "west", 6)])
    for _ in range(2):
        database.write(incoming, mode=WriteMode.MERGE, key=("Id",))
        assert database.rows(ALL) == [
            (1, "north", 10),
            (2, "east", 5),
            (3, "south", 30),
            (4, "west", 6),
        ]


def test_merging_rows_that_are_all_key_adds_only_new_ones(database):
    links = pa.table({"a": [1, 1], "b": [1, 2]})
    for _ in range(2):
        database.write(links, mode=WriteMode.MERGE, key=("a", "b"))
        assert database.rows("select a, b from {schema}.sales order by 1, 2") == [(1, 1), (1, 2)]


@pytest.mark.parametrize("other", ["text", "number"])
def test_rows_are_merged_by_times_of_day_too(database, other):
    """Redshift cannot load them as such: they wait as texts."""
    second = {"text": ["a", "a", "b"], "number": [1, 1, 2]}[other]
    times = [time(0), time(23, 59, 59, 999999), time(0)]
    spelled = TextEquality("CI", case=False, alphabets=(Alphabet.SIGNS, Alphabet.LETTERS))
    rule = spelled if other == "text" else None
    column = Column("b", pa.large_string() if rule else pa.int64(), equality=rule)
    schema = pa.schema(
        [pa.field("a", pa.time64("us")), column.to_field(), pa.field("n", pa.int64())]
    )
    for n in (1, 2):
        rows = [times, [one.upper() if n == 2 and rule else one for one in second], [n] * 3]
        arrays = [pa.array(values, field.type) for values, field in zip(rows, schema, strict=True)]
        table = pa.Table.from_arrays(arrays, schema=schema)
        for _ in range(2):
            database.write(table, mode=WriteMode.MERGE, key=("a", "b"))
        assert database.rows("select n from {schema}.sales") == [(n,)] * 3


def test_merging_two_rows_of_one_key_names_the_key(database, sales):
    database.write(sales)
    with pytest.raises(WriteFailedError, match=r"2 of its rows have the key id 7\."):
        database.write(frame([7, 7], "x"), mode=WriteMode.MERGE, key=("Id",))
    assert len(database.rows(ALL)) == 3


def test_merging_a_null_key_names_the_row(database, sales):
    with pytest.raises(ValueDoesNotFitError, match='Row 2 of the data has null in "Id"'):
        database.write(frame([1, None], "x"), mode=WriteMode.MERGE, key=("Id",))


def test_a_key_that_is_not_a_column_is_named(database, sales):
    with pytest.raises(ColumnNotFoundError, match='No such column: "nr"'):
        database.write(sales, mode=WriteMode.MERGE, key=("nr",))


def test_rows_outside_of_the_partition_are_refused_and_nothing_is_written(
    database, sales, staged_keys
):
    database.write(sales)
    with pytest.raises(RowsOutsideSliceError) as caught:
        database.write(sales, slice=Values("Region", ("north",)))
    assert "Row 3 does not belong to" in str(caught.value)
    assert "\"region\" is 'south'" in str(caught.value)
    assert len(database.rows(ALL)) == 3
    assert staged_keys() == []


def test_the_transaction_takes_a_bookmark_with_it(database, sales):
    database.rows("create table {schema}.bookmarks (name varchar(10), at int)")

    def mark(cursor):
        cursor.execute(f"insert into {database.schema}.bookmarks values ('sales', 3)")

    write(database.settings, WriteRequest(database.table()), Batches.of(sales), extra=mark)
    assert database.rows("select * from {schema}.bookmarks") == [("sales", 3)]

    def fail(cursor):
        mark(cursor)
        raise RuntimeError("the bookmark cannot be written")

    with pytest.raises(RuntimeError):
        write(
            database.settings,
            WriteRequest(database.table()),
            Batches.of(sales.slice(0, 1)),
            extra=fail,
        )
    assert database.rows("select count(*) from {schema}.bookmarks") == [(1,)]
    assert len(database.rows(ALL)) == 3


# ---- types ----


def test_types_come_from_arrow_and_the_source(database):
    schema = TableSchema(
        (
            Column("Key", pa.int32(), nullable=False),
            Column("Name", pa.string(), source_type=SourceType.parse("nvarchar(50)")),
            Column("Note", pa.string()),
            Column("Price", pa.decimal128(19, 4), source_type=SourceType.parse("money")),
            Column("Small", pa.uint8()),
            Column("Huge", pa.uint64()),
            Column("Ratio", pa.float64()),
            Column("Flag", pa.bool_()),
            Column("Day", pa.date32()),
            Column("At", pa.timestamp("ms")),
            Column("Instant", pa.timestamp("ns", "US/Central")),
            Column("Hour", pa.time64("us")),
            Column("Raw", pa.binary()),
            Column("Tags", pa.list_(pa.string())),
            Column("Kind", pa.dictionary(pa.int8(), pa.string())),
        )
    )
    values = {
        "Key": 1,
        "Name": "Ä",
        "Note": "é" * 20,
        "Price": Decimal("12.3400"),
        "Small": 255,
        "Huge": 2**64 - 1,
        "Ratio": 0.1,
        "Flag": True,
        "Day": date(2024, 2, 29),
        "At": datetime(2024, 1, 1, 1, 2, 3, 4000),
        "Instant": datetime(2024, 1, 1, 12, tzinfo=UTC),
        "Hour": time(23, 59, 59, 123456),
        "Raw": b"\x00\xff",
        "Tags": ["a", "b"],
        "Kind": "x",
    }
    nulls = dict.fromkeys(values) | {"Key": 2}
    data = pa.Table.from_pylist([values, nulls], schema=schema.to_arrow())
    for _ in range(2):
        database.write(data)
        assert database.types() == {
            "key": "integer",
            "name": "character varying(200)",
            "note": "character varying(128)",
            "price": "numeric(19,4)",
            "small": "smallint",
            "huge": "numeric(20,0)",
            "ratio": "double precision",
            "flag": "boolean",
            "day": "date",
            "at": "timestamp without time zone",
            "instant": "timestamp with time zone",
            "hour": "time without time zone",
            "raw": "binary varying(16)",
            "tags": "super",
            "kind": "character varying(16)",
        } | {"raw": database.types()["raw"]}
        first, second = database.rows("select * from {schema}.sales order by key")
        assert list(first[:12]) == list(values.values())[:12]
        assert first[12].removeprefix("\\x") == "00ff"
        assert list(first[13:]) == ['["a", "b"]', "x"]
        assert second == (2, *[None] * 14)


def test_column_types_and_varchar_lengths_win_over_measured_ones(database, sales):
    settings = replace(database.settings, varchar_lengths={"Region": 300})
    request = WriteRequest(database.table(), column_types={"Amount": "decimal(12,2)"})
    write(settings, request, Batches.of(sales))
    assert database.types() == {
        "id": "integer",
        "region": "character varying(300)",
        "amount": "numeric(12,2)",
    }


def test_column_types_of_no_column_are_refused(database, sales):
    with pytest.raises(ConfigurationError, match='column_types names "nope"'):
        database.write(sales, column_types={"nope": "int"})


def test_a_new_table_gets_the_layout_and_comments(database):
    data = TableSchema(
        (Column("Id", pa.int32(), comment="Order number"), Column("Day", pa.date32())),
        comment="One row per order",
    )
    request = RedshiftWriteRequest(
        database.table(),
        layout=TableLayout(distkey="Id", sortkey=("Day", "Id"), encodings={"Id": "az64"}),
    )
    row = pa.Table.from_pylist([{"Id": 1, "Day": date(2024, 1, 1)}], schema=data.to_arrow())
    write(database.settings, request, Batches.of(row))
    found = database.rows(
        'select diststyle, sortkey1, sortkey_num from svv_table_info where "schema" = %s '
        "and \"table\" = 'sales'",
        database.schema,
    )
    assert found == [("KEY(id)", "day", 2)]
    remarks = database.rows(
        "select remarks from svv_columns where table_schema = %s and table_name = 'sales' "
        "and column_name = 'id'",
        database.schema,
    )
    assert remarks == [("Order number",)]


# ---- staging ----


def test_many_parts_are_loaded_by_one_copy_and_removed(database, staged_keys):
    data = pa.table({"id": pa.array(range(900_000)), "noise": pa.array(range(900_000))})
    settings = replace(database.settings, max_part_bytes=1_000_000, compression="none")
    result = write(settings, WriteRequest(database.table()), Batches.of(data))
    assert int(result.details["s3_files"]) > 2
    assert result.rows == 900_000
    assert database.rows("select count(*), sum(noise) from {schema}.sales") == [
        (900_000, sum(range(900_000)))
    ]
    assert staged_keys() == []


def test_kept_files_are_listed_by_the_manifest(database, sales, s3, staged_keys):
    settings = replace(database.settings, keep_files=True)
    result = write(settings, WriteRequest(database.table()), Batches.of(sales))
    keys = staged_keys()
    assert [key.rsplit("/", 1)[1] for key in keys] == ["manifest", "part-00000.parquet"]
    assert result.details["s3_manifest"] == f"s3://{settings.bucket_name}/{keys[0]}"


def test_files_of_a_neighbouring_prefix_are_neither_loaded_nor_removed(
    database, sales, s3, bucket, settings
):
    stray = [
        f"{settings.s3_prefix}/{database.schema}.sales/part-00000.parquet",
        f"{settings.s3_prefix}/{database.schema}.sales10/part-00000.parquet",
    ]
    for key in stray:
        s3.put_object(Bucket=bucket, Key=key, Body=b"not Parquet")
    own = replace(database.settings, stale_file_hours=0)
    write(own, WriteRequest(database.table()), Batches.of(sales))
    assert len(database.rows(ALL)) == 3
    left = s3.list_objects_v2(Bucket=bucket, Prefix=f"{settings.s3_prefix}/{database.schema}.sales")
    # Older than the limit under the table's own prefix: a dead write's. The neighbour's stays.
    assert [item["Key"] for item in left["Contents"]] == stray[1:]


def test_columns_in_another_order_reach_their_own_columns(database, sales):
    database.write(sales)
    database.write(sales.select(["Amount", "Id", "Region"]))
    assert database.rows(ALL) == [(1, "north", 10), (2, "north", 20), (3, "south", 30)]


def test_an_identity_column_is_filled_by_the_table(database, sales):
    database.rows(
        "create table {schema}.sales (nr bigint identity(1,1), id int, region varchar(20), amount bigint)"
    )
    database.write(sales)
    assert database.rows("select count(distinct nr) from {schema}.sales") == [(3,)]


# ---- concurrency ----


def test_two_writers_of_one_partition_both_succeed_and_never_mix(database, sales):
    database.write(sales)
    part = Values("Region", ("north",))
    results: list[int] = []

    def rewrite(amount):
        data = frame(list(range(100 * amount, 100 * amount + 50)), "north", amount)
        result = write(
            database.settings,
            WriteRequest(database.table(), slice=part),
            Batches.of(data),
        )
        results.append(result.rows)

    threads = [threading.Thread(target=rewrite, args=(amount,)) for amount in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [50, 50, 50]
    amounts = database.rows("select distinct amount from {schema}.sales where region = 'north'")
    assert len(amounts) == 1
    assert database.rows("select count(*) from {schema}.sales") == [(51,)]


def test_first_writers_of_a_table_all_succeed(database):
    def append(amount):
        return write(
            database.settings,
            WriteRequest(database.table(), mode=WriteMode.APPEND),
            Batches.of(frame([amount], "north", amount)),
        )

    with ThreadPoolExecutor(3) as writers:
        assert [result.rows for result in writers.map(append, (1, 2, 3))] == [1, 1, 1]
    assert [row[0] for row in database.rows(ALL)] == [1, 2, 3]


def test_writers_can_queue_on_the_table_itself(database, sales):
    settings = replace(database.settings, write_lock="table")
    for _ in range(2):
        write(settings, WriteRequest(database.table()), Batches.of(sales))
    assert len(database.rows(ALL)) == 3
    tables = database.rows(
        "select distinct table_name from svv_columns where table_schema = %s", database.schema
    )
    assert tables == [("sales",)]


def test_a_cursor_of_sqlite_made_by_the_caller_can_be_read(database):
    with closing(sqlite3.connect(":memory:")) as numbers:
        numbers.execute("create table t (v integer)")
        numbers.executemany("insert into t values (?)", [(number,) for number in range(50)])
        chunks = pd.read_sql("select v from t", numbers, chunksize=7)

        write(database.settings, WriteRequest(database.table("n")), Batches.of(chunks))

    assert database.rows("select count(*), sum(v) from {schema}.n") == [(50, sum(range(50)))]
