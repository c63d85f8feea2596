"""Partitions, appends and merges: what is replaced, what stays, and what is refused."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from tranship.errors import ColumnNotFoundError, RowsOutsideSliceError, WriteFailedError
from tranship.postgres.copy_in import Encoder
from tranship.slices import AllOf, KeyRange, TimeWindow, Values
from tranship.tables import TableName
from tranship.writes import WriteMode, WriteResult

Load = Callable[..., WriteResult]
Run = Callable[..., list[tuple[Any, ...]]]


def sales(*rows: tuple[int, str | None, date]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ([], [], [])
    arrays = [
        pa.array(list(values), type_)
        for values, type_ in zip(columns, (pa.int64(), pa.string(), pa.date32()), strict=True)
    ]
    return pa.table(arrays, names=["id", "Region %", "day"])


MONDAY, TUESDAY = date(2024, 1, 1), date(2024, 1, 2)
CENTRAL = ZoneInfo("US/Central")
ON_TUESDAY = TimeWindow(
    "day", datetime(2024, 1, 2, tzinfo=CENTRAL), datetime(2024, 1, 3, tzinfo=CENTRAL)
)


def test_replacing_a_partition_twice_leaves_the_others(
    table: TableName, load: Load, sql_rows: Run, encoder: Encoder
) -> None:
    load(
        table,
        sales((1, "n", MONDAY)),
        slice=TimeWindow("day", datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)),
    )
    load(table, sales((2, "n", TUESDAY), (3, "s", TUESDAY)), slice=ON_TUESDAY)
    result = load(table, sales((4, "w", TUESDAY)), slice=ON_TUESDAY, encoder=encoder)
    assert sql_rows("select * from {} order by id", table) == [(1, "n", MONDAY), (4, "w", TUESDAY)]
    assert (result.details["method"], result.details["rows_deleted"]) == ("deleted and inserted", 1)


def test_static_partitions_meet_names_with_percent_signs(
    table: TableName, load: Load, sql_rows: Run
) -> None:
    load(table, sales((1, "100%", MONDAY), (2, "s", MONDAY)))
    load(table, sales((3, "100%", MONDAY)), slice=Values("Region %", ("100%",)))
    assert sql_rows("select id from {} order by id", table) == [(2,), (3,)]


def test_an_empty_frame_empties_the_slice_only(table: TableName, load: Load, sql_rows: Run) -> None:
    load(table, sales((1, "n", MONDAY), (2, "n", TUESDAY)))
    load(table, sales(), slice=KeyRange("id", 2))
    assert sql_rows("select id from {}", table) == [(1,)]


def test_one_key_of_a_multi_partition(table: TableName, load: Load, sql_rows: Run) -> None:
    load(table, sales((1, "n", TUESDAY), (2, "s", TUESDAY), (3, "n", MONDAY)))
    load(table, sales((4, "n", TUESDAY)), slice=AllOf((ON_TUESDAY, Values("Region %", ("n",)))))
    assert sql_rows("select id from {} order by id", table) == [(2,), (3,), (4,)]


def test_a_table_made_for_a_partition_has_an_index_on_its_column(
    table: TableName, load: Load, sql_rows: Run
) -> None:
    load(table, sales((1, "n", TUESDAY)), slice=ON_TUESDAY)
    indexes = sql_rows(f"select indexdef from pg_indexes where schemaname = '{table.schema}'")
    assert [definition.endswith("(day)") for (definition,) in indexes] == [True]


@pytest.mark.parametrize("there", [True, False])
def test_rows_outside_the_slice_are_refused_before_they_are_sent(
    table: TableName, load: Load, sql_rows: Run, there: bool
) -> None:
    if there:
        load(table, sales((1, "n", TUESDAY)))
    with pytest.raises(RowsOutsideSliceError) as caught:
        load(table, sales((2, "n", TUESDAY), (3, "n", MONDAY), (4, None, MONDAY)), slice=ON_TUESDAY)
    assert str(caught.value) == (
        f'2 of 3 rows for {table} do not belong to the slice 2024-01-02T00:00:00-06:00 <= "day" < '
        '2024-01-03T00:00:00-06:00: the first is row 2 with "day" = datetime.date(2024, 1, 1). Filter the rows to '
        "the partition, or correct partition_expr. They would not be replaced when this partition runs again."
    )
    if there:
        assert sql_rows("select id from {}", table) == [(1,)]


def test_a_slice_on_a_column_that_is_not_there(table: TableName, load: Load) -> None:
    with pytest.raises(ColumnNotFoundError, match='No such column: "Day"'):
        load(table, sales((1, "n", MONDAY)), slice=Values("Day", ("2024-01-01",)))


def test_append_adds_its_rows_each_time(table: TableName, load: Load, sql_rows: Run) -> None:
    result = load(table, sales((1, "n", MONDAY)), mode=WriteMode.APPEND)
    assert sql_rows("select id from {}", table) == [(1,), (1,)]
    assert result.details["method"] == "appended"


@pytest.mark.parametrize("indexed", [True, False])
def test_merging_twice_gives_the_same_rows(
    table: TableName, load: Load, sql_rows: Run, indexed: bool, encoder: Encoder
) -> None:
    load(table, sales((1, "n", MONDAY), (2, "s", MONDAY)))
    if indexed:
        sql_rows("create unique index on {} (day, id)", table)
    frame = sales((2, None, MONDAY), (3, "w", TUESDAY))
    first = load(table, frame, mode="merge", key=("id", "day"), times=1, encoder=encoder)
    assert (first.details["rows_updated"], first.details["rows_inserted"]) == (1, 1)
    again = load(table, frame, mode=WriteMode.MERGE, key=("id", "day"), times=1)
    assert (again.details["rows_updated"], again.details["rows_inserted"]) == (0, 0)
    assert sql_rows("select * from {} order by id", table) == [
        (1, "n", MONDAY), (2, None, MONDAY), (3, "w", TUESDAY)
    ]  # fmt: skip


def test_merging_into_nothing_creates_the_table_with_its_key(
    table: TableName, load: Load, sql_rows: Run
) -> None:
    load(table, sales((1, "n", MONDAY)), mode=WriteMode.MERGE, key=("id",))
    indexes = sql_rows(f"select indexdef from pg_indexes where schemaname = '{table.schema}'")
    assert "UNIQUE" in indexes[0][0]
    assert sql_rows("select id from {}", table) == [(1,)]


def test_merging_compares_json_and_keeps_columns_that_the_rows_lack(
    table: TableName, load: Load, sql_rows: Run
) -> None:
    frame = pa.table({"id": [1], "note": ['{"a": 1}']})
    load(table, frame, mode=WriteMode.MERGE, key=("id",), column_types={"note": "json"})
    sql_rows("alter table {} add column kept text default 'yes'", table)
    load(table, pa.table({"id": [1], "note": ['{"a": 2}']}), mode=WriteMode.MERGE, key=("id",),
         column_types={"note": "json"}, on_schema_change="evolve")  # fmt: skip
    assert sql_rows("select id, note::text, kept from {}", table) == [(1, '{"a": 2}', "yes")]


def test_a_key_that_comes_twice_is_named(table: TableName, load: Load, sql_rows: Run) -> None:
    load(table, sales((1, "n", MONDAY)))
    with pytest.raises(WriteFailedError) as caught:
        load(table, sales((7, "n", MONDAY), (7, "s", MONDAY)), mode=WriteMode.MERGE, key=("id",))
    assert str(caught.value) == (
        f'The incoming rows for {table} have the same key more than once: "id" = 7 comes 2 times. '
        "Remove the duplicates, or name more key columns."
    )
    assert sql_rows("select id from {}", table) == [(1,)]


def test_a_null_key_is_refused(table: TableName, load: Load) -> None:
    with pytest.raises(
        WriteFailedError, match=r'1 of the incoming rows .* have null in the key \("Region %"\)'
    ):
        load(table, sales((1, None, MONDAY)), mode=WriteMode.MERGE, key=("Region %",))
