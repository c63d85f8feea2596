"""Reading tables back: slices, columns, many blocks, early stops, and values that Arrow lacks."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from tranship.errors import ColumnNotFoundError, TableNotFoundError, ValueDoesNotFitError
from tranship.postgres import reader
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
    monkeypatch.setattr(reader, "BLOCK_BYTES", 10_000)


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
