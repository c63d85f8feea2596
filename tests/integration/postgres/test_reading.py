"""Reading tables back: slices, columns, many blocks, early stops, and values that Arrow lacks."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tranship.errors import ColumnNotFoundError, TableNotFoundError, ValueDoesNotFitError
from tranship.postgres import copy_out
from tranship.postgres.reader import read
from tranship.postgres.settings import PostgresSettings
from tranship.reads import ReadRequest
from tranship.slices import KeyRange, Nothing, Values
from tranship.tables import TableName
from tranship.writes import WriteResult

Load = Callable[..., WriteResult]
Run = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_out, "BLOCK_BYTES", 10_000)


@pytest.mark.usefixtures("small_blocks")
def test_many_blocks_give_all_rows_again_and_again(
    settings: PostgresSettings, table: TableName, load: Load
) -> None:
    frame = pa.table(
        {
            "id": pa.array(range(5_000)),
            "note": ['line\n"two",\\.' + "x" * (n % 50) for n in range(5_000)],
        }
    )
    load(table, frame)
    batches = read(settings, ReadRequest(table))
    for _ in range(2):
        assert batches.to_table().sort_by("id").to_pylist() == frame.to_pylist()
    assert len(list(batches)) > 10


@pytest.mark.usefixtures("small_blocks")
def test_a_value_larger_than_a_block_is_read_whole(
    settings: PostgresSettings, table: TableName, load: Load
) -> None:
    frame = pa.table({"v": ["x" * 1_000_000, "\n" * 50_000, None, ""]})
    load(table, frame)
    assert read(settings, ReadRequest(table)).to_table().to_pylist() == frame.to_pylist()


@pytest.mark.usefixtures("small_blocks")
def test_a_reader_that_stops_early_leaves_no_thread_and_no_session(
    settings: PostgresSettings, table: TableName, load: Load, sql_rows: Run
) -> None:
    load(table, pa.table({"v": ["x" * 100] * 20_000}))
    before = threading.active_count()
    batches = read(replace(settings, application_name="stops early"), ReadRequest(table)).open()
    next(batches)
    batches.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert threading.active_count() == before
    for _ in range(100):
        if sql_rows(
            "select count(*) from pg_stat_activity where application_name = 'stops early'"
        ) == [(0,)]:
            break
    else:
        pytest.fail("the session is still there")


def test_columns_and_rows_are_chosen_on_the_server(
    settings: PostgresSettings, table: TableName, load: Load
) -> None:
    load(table, pa.table({"id": [1, 2, 3], "Region %": ["n", "s", None], "x": [0, 0, 0]}))
    chosen = read(
        settings, ReadRequest(table, Values("Region %", ("s", "n")), ("Region %", "id"))
    ).to_table()
    assert sorted(chosen.to_pylist(), key=lambda row: row["id"]) == [
        {"Region %": "n", "id": 1}, {"Region %": "s", "id": 2}
    ]  # fmt: skip
    assert read(settings, ReadRequest(table, KeyRange("id", 3), ("x",))).to_table().num_rows == 1
    assert read(settings, ReadRequest(table, Nothing())).to_table().num_rows == 0


def test_an_empty_table_has_its_columns(
    settings: PostgresSettings, table: TableName, load: Load
) -> None:
    load(table, pa.table({"id": pa.array([], pa.int32())}))
    assert read(settings, ReadRequest(table)).to_table().schema.names == ["id"]


def test_key_and_comments_come_with_the_rows(
    settings: PostgresSettings, table: TableName, sql_rows: Run
) -> None:
    from tranship.tables import TableSchema

    sql_rows(
        'create table {} (a int, "B b" numeric(10,2), c text[], primary key ("B b", a))', table
    )
    sql_rows("comment on table {} is 'what it is'", table)
    found = TableSchema.from_arrow(read(settings, ReadRequest(table)).schema)
    assert found.primary_key == ("B b", "a")
    assert found.comment == "what it is"
    assert [(column.name, str(column.source_type), column.nullable) for column in found.columns] == [
        ("a", "integer", False), ("B b", "numeric(10,2)", False), ("c", "None", True)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "value",
    ["'infinity'::timestamp", "'-infinity'::date", "'NaN'::numeric(5,2)", "'0044-03-15 BC'::date"],
)
def test_a_value_that_arrow_lacks_names_its_column(
    settings: PostgresSettings, table: TableName, sql_rows: Run, value: str
) -> None:
    sql_rows(f"create table {{}} as select 1 as id, {value} as odd", table)
    if "numeric" in value:
        sql_rows("alter table {} alter odd type numeric(5,2)", table)
    with pytest.raises(
        ValueDoesNotFitError,
        match='holds a value in column "odd", after row 0, that Arrow has no form for',
    ):
        read(settings, ReadRequest(table)).to_table()
    assert read(settings, ReadRequest(table, columns=("id",))).to_table().num_rows == 1


def test_a_missing_table_or_column_is_named(
    settings: PostgresSettings, table: TableName, load: Load
) -> None:
    with pytest.raises(TableNotFoundError, match=r"has no table .* in database"):
        read(settings, ReadRequest(TableName(table.schema, "no such")))
    load(table, pa.table({"id": [1]}))
    with pytest.raises(ColumnNotFoundError, match=r'No such column: "Id"\. The columns are "id"'):
        read(settings, ReadRequest(table, columns=("Id",)))


READ_AS: dict[str, tuple[str, list[str], pa.DataType, list[Any]]] = {
    "numeric of few digits": ("numeric", ["1.10", "-123.456"], pa.decimal128(38, 3), [Decimal("1.100"), Decimal("-123.456")]),
    "numeric of 38 digits": ("numeric", ["0.5", "9" * 37], pa.decimal128(38, 1), [Decimal("0.5"), Decimal("9" * 37)]),
    "numeric of 39 digits": ("numeric", ["0.5", "9" * 38], pa.decimal256(76, 1), [Decimal("0.5"), Decimal("9" * 38)]),
    "numeric of 50 declared digits": ("numeric(50,2)", ["1.5"], pa.decimal256(50, 2), [Decimal("1.50")]),
    "numeric of 77 digits": ("numeric", ["9" * 77], pa.large_string(), ["9" * 77]),
    "numeric with NaN": ("numeric", ["1.5", "NaN"], pa.large_string(), ["1.5", "NaN"]),
    "numeric without end": ("numeric", ["1.5", "-Infinity"], pa.large_string(), ["1.5", "-Infinity"]),
    "numeric without rows": ("numeric", [], pa.decimal128(38, 0), []),
    "a domain": ("{schema}.positive", ["5"], pa.int32(), [5]),
    "a domain over a domain": ("{schema}.price", ["5.25"], pa.decimal128(10, 2), [Decimal("5.25")]),
    "a domain over numbers without digits": ("{schema}.amount", ["5.25"], pa.decimal128(38, 2), [Decimal("5.25")]),
    "a domain over an array": ("{schema}.flags", ["{{t,NULL}}"], pa.list_(pa.bool_()), [[True, None]]),
    "an enumeration": ("{schema}.mood", ["ok"], pa.large_string(), ["ok"]),
    "whole numbers": ("int[]", ["{{1,NULL,3}}", "{{}}"], pa.list_(pa.int32()), [[1, None, 3], []]),
    "texts": ("text[]", [r'{{"a,b",NULL,"NULL","x\"y\\z",""," "}}'], pa.list_(pa.large_string()), [["a,b", None, "NULL", 'x"y\\z', "", " "]]),
    "decimals": ("numeric(10,2)[]", ["{{1.5}}"], pa.list_(pa.decimal128(10, 2)), [[Decimal("1.50")]]),
    "floats": ("float8[]", ["{{1.5,Infinity}}"], pa.list_(pa.float64()), [[1.5, float("inf")]]),
    "moments": ("timestamptz[]", ["{{2024-01-01 02:00:00+02}}"], pa.list_(pa.timestamp("us", "UTC")), [[datetime(2024, 1, 1, tzinfo=UTC)]]),
    "times": ("time[]", ["{{23:59:59.5}}"], pa.list_(pa.time64("us")), [[time(23, 59, 59, 500_000)]]),
    "days": ("date[]", ["{{2024-01-01}}"], pa.list_(pa.date32()), [[date(2024, 1, 1)]]),
    "bytes": ("bytea[]", [r'{{"\\x00ff"}}'], pa.list_(pa.large_binary()), [[b"\x00\xff"]]),
    "intervals": ("interval", ["1 mon"], pa.large_string(), ["1 mon"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", READ_AS)
def test_what_others_made_is_read_as_what_it_is(
    settings: PostgresSettings, table: TableName, sql_rows: Run, kind: str
) -> None:
    declared, literals, type_, expected = READ_AS[kind]
    schema = table.schema
    sql_rows(f"create domain {schema}.positive as int check (value > 0)")
    sql_rows(f"create domain {schema}.money as numeric(10,2)")
    sql_rows(f"create domain {schema}.price as {schema}.money")
    sql_rows(f"create domain {schema}.amount as numeric")
    sql_rows(f"create domain {schema}.flags as bool[]")
    sql_rows(f"create type {schema}.mood as enum ('ok', 'bad')")
    sql_rows(f"create table {{}} (id int, v {declared.format(schema=schema)})", table)
    for number, literal in enumerate(literals):
        sql_rows(f"insert into {{}} values ({number}, '{literal}')", table)
    sql_rows(f"insert into {{}} values ({len(literals)}, null)", table)

    found = read(settings, ReadRequest(table)).to_table().sort_by("id")

    assert found.schema.field("v").type == type_
    assert found["v"].to_pylist() == [*expected, None]


def test_only_the_rows_that_are_read_say_how_wide_a_number_is(
    settings: PostgresSettings, table: TableName, sql_rows: Run
) -> None:
    sql_rows("create table {} as select 1 as id, 1.5::numeric as v", table)
    sql_rows("insert into {} values (2, 'NaN')", table)

    some = read(settings, ReadRequest(table, Values("id", (1,)))).to_table()

    assert some["v"].to_pylist() == [Decimal("1.5")]


def test_what_is_read_as_text_is_said(
    settings: PostgresSettings, table: TableName, sql_rows: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="tranship.postgres")
    sql_rows(
        "create table {} as select 'NaN'::numeric as n, '1 mon'::interval as i, '{{}}'::jsonb as j, 'a' as t",
        table,
    )

    read(settings, ReadRequest(table))

    said = [record.message for record in caplog.records]
    assert said == [
        f'The column "n" of {table} is read as text: it is a numeric that holds NaN, infinities, or numbers '
        "of more than 76 digits, which no decimal does.",
        'Read as the text that Postgres prints: "i" (interval).',
    ]


@pytest.mark.parametrize(
    ("literal", "why"),
    [("{{{{1}},{{2}}}}", "has several dimensions"), ("[0:1]={{1,2}}", "does not begin at 1")],
)
def test_an_array_that_is_no_list_names_its_column(
    settings: PostgresSettings, table: TableName, sql_rows: Run, literal: str, why: str
) -> None:
    sql_rows(f"create table {{}} as select '{literal}'::int[] as v", table)

    with pytest.raises(ValueDoesNotFitError, match=rf'column "v".*{why}.*several dimensions'):
        read(settings, ReadRequest(table)).to_table()


@hypothesis_settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(numbers=st.lists(st.decimals(-(10**30), 10**30, allow_nan=False, places=6), min_size=1))
def test_numbers_without_declared_digits_come_back_as_they_are(
    settings: PostgresSettings, table: TableName, load: Load, numbers: list[Decimal]
) -> None:
    rows = pa.table({"id": range(len(numbers)), "v": pa.array(numbers, pa.decimal128(38, 6))})
    load(table, rows, times=1, column_types={"v": "numeric"})

    assert read(settings, ReadRequest(table)).to_table().sort_by("id")["v"].to_pylist() == numbers
