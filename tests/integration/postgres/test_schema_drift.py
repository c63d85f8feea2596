"""Drift: an error that names every column, or an evolution that only ever widens."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from tranship.errors import SchemaDriftError, WriteFailedError
from tranship.slices import Values
from tranship.tables import TableName
from tranship.writes import WriteMode, WriteResult

Load = Callable[..., WriteResult]
Run = Callable[..., list[tuple[Any, ...]]]

OLD = pa.table(
    {
        "id": pa.array([1], pa.int32()),
        "price": pa.array([Decimal("1.5000")], pa.decimal128(10, 4)),
        "gone": pa.array(["x"]),
        "same": pa.array([True]),
    }
)
NEW = pa.table(
    {
        "new %": pa.array(["n"]),
        "price": pa.array([Decimal("12345678.90")], pa.decimal128(12, 2)),
        "same": pa.array([False]),
        "id": pa.array([2**40], pa.int64()),
    }
)


def types(sql_rows: Run, table: TableName) -> dict[str, str]:
    return dict(
        sql_rows(
            "select attname::text, format_type(atttypid, atttypmod) from pg_attribute where attnum > 0 and "
            f"attrelid = (select oid from pg_class where relkind = 'r' and relnamespace = '{table.schema}'::regnamespace)"
        )
    )


def test_drift_is_an_error_that_names_every_column(
    table: TableName, load: Load, sql_rows: Run
) -> None:
    load(table, OLD)
    with pytest.raises(SchemaDriftError) as caught:
        load(table, NEW)
    assert str(caught.value) == (
        f"The schema of {table} has drifted: "
        '"new %" (text) is new: the table has no such column; '
        '"price" is numeric(12,2) in the incoming rows and numeric(10,4) in the table; '
        '"id" is bigint in the incoming rows and integer in the table; '
        '"gone" (text) is missing from the incoming rows. '
        'Set on_schema_change to "evolve" to add new columns, widen types, and leave columns that the rows lack at '
        "null or their default; or bring the rows back to the table's columns."
    )
    assert sql_rows("select id from {}", table) == [(1,)]


@pytest.mark.parametrize(
    ("mode", "extra", "expected"),
    [
        (WriteMode.REPLACE, {}, [(2**40, None)]),
        (WriteMode.REPLACE, {"slice": Values("id", (2**40,))}, [(1, "x"), (2**40, None)]),
        (WriteMode.REPLACE, {"slice": Values("new %", ("n",))}, [(1, "x"), (2**40, None)]),
        (WriteMode.MERGE, {"key": ("id",)}, [(1, "x"), (2**40, None)]),
    ],
)
def test_evolve_adds_and_widens_in_every_mode(
    table: TableName,
    load: Load,
    sql_rows: Run,
    mode: WriteMode,
    extra: dict[str, Any],
    expected: list[Any],
) -> None:
    load(table, OLD)
    result = load(table, NEW, mode=mode, on_schema_change="evolve", times=1, **extra)
    assert (
        result.details["evolved"]
        == '"new %" text added, "price" widened to numeric(14,4), "id" widened to bigint'
    )
    load(table, NEW, mode=mode, on_schema_change="evolve", **extra)
    assert types(sql_rows, table) == {
        "id": "bigint", "price": "numeric(14,4)", "gone": "text", "same": "boolean", "new %": "text"
    }  # fmt: skip
    assert sql_rows("select id, gone from {} order by id", table) == expected


def test_types_are_never_narrowed_but_narrower_rows_are_taken(
    table: TableName, load: Load, sql_rows: Run
) -> None:
    load(table, pa.table({"id": pa.array([1], pa.int64())}))
    load(table, pa.table({"id": pa.array([2], pa.int16())}))
    assert types(sql_rows, table) == {"id": "bigint"}
    assert sql_rows("select id from {}", table) == [(2,)]


def test_what_evolve_cannot_do_says_what_can(table: TableName, load: Load) -> None:
    load(table, pa.table({"id": [1], "at": ["x"]}))
    with pytest.raises(
        SchemaDriftError, match=r'"at" is boolean .* and text in the table. No setting allows'
    ):
        load(table, pa.table({"id": [1], "at": [True]}), on_schema_change="evolve")


def test_a_not_null_column_that_the_rows_lack_is_refused(
    table: TableName, load: Load, sql_rows: Run
) -> None:
    load(table, pa.table({"id": [1]}))
    sql_rows("alter table {} add column must text not null default 'x'", table)
    sql_rows("alter table {} alter column must drop default", table)
    with pytest.raises(SchemaDriftError, match=r'"must" \(text\) is missing'):
        load(table, pa.table({"id": [1]}), on_schema_change="evolve")


def test_an_all_null_column_fits_any_type(table: TableName, load: Load, sql_rows: Run) -> None:
    load(table, pa.table({"id": [1], "at": pa.array([True])}))
    load(table, pa.table({"id": [2], "at": pa.nulls(1)}))
    assert sql_rows("select * from {}", table) == [(2, None)]


def test_widening_under_a_view_names_the_view(table: TableName, load: Load, sql_rows: Run) -> None:
    load(table, pa.table({"id": pa.array([1], pa.int16())}))
    sql_rows(f'create view "{table.schema}".looking as select id from {{}}', table)
    with pytest.raises(WriteFailedError) as caught:
        load(table, pa.table({"id": pa.array([2], pa.int64())}), on_schema_change="evolve")
    assert "looking" in str(caught.value)
    assert "Drop what depends on the column" in str(caught.value)
    assert sql_rows("select id from {}", table) == [(1,)]


def test_a_view_is_no_target(table: TableName, load: Load, sql_rows: Run) -> None:
    sql_rows("create view {} as select 1 as id", table)
    with pytest.raises(WriteFailedError, match="is a view, not a table"):
        load(table, pa.table({"id": [1]}))


def test_chosen_types_are_used_and_kept(table: TableName, load: Load, sql_rows: Run) -> None:
    frame = pa.table(
        {
            "id": pa.array([1], pa.int64()),
            "doc": ['{"a": [1]}'],
            "u": ["6F9619FF-8B86-D011-B42D-00C04FC964FF"],
        }
    )
    load(table, frame, column_types={"id": "smallint", "doc": "jsonb", "u": "uuid"})
    assert types(sql_rows, table) == {"id": "smallint", "doc": "jsonb", "u": "uuid"}
    assert sql_rows("select doc->'a'->>0, u::text from {}", table) == [
        ("1", "6f9619ff-8b86-d011-b42d-00c04fc964ff")
    ]
