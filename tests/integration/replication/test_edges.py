"""Rows at the edge of a load: equal values, late ones, those that arrive meanwhile, purged ones, none at all."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.replication.conftest import KEYLESS, VERSIONED, Meanwhile, Replica

from tranship.replication.plan import Mode
from tranship.sqlserver.source import SqlServerSource

BY_TIME = {"mode": Mode.MERGE, "cursor": "changed"}
KEYLESS_BY_TIME = {"mode": Mode.APPEND, "cursor": "changed"}

VALUES = {
    "tinyint": ("3", "200", "255"),
    "bigint": ("-9223372036854775808", "0", "9223372036854775807"),
    "decimal(3, 1)": ("-99.9", "0.1", "99.9"),
    "money": ("1.0001", "1.0002", "922337203685477.5807"),
    "date": ("'0001-01-01'", "'2024-02-29'", "'9999-12-31'"),
    "datetime": (
        "'2024-01-01T00:00:00.003'",
        "'2024-01-01T00:00:00.007'",
        "'2024-01-01T00:00:00.010'",
    ),
    "datetime2(7)": (
        "'2024-01-01T00:00:00.1234560'",
        "'2024-01-01T00:00:00.1234569'",
        "'9999-12-31T23:59:59.9999999'",
    ),
    "datetimeoffset(7)": (
        "'2024-01-01T00:00:00.1234560+02:00'",
        "'2023-12-31T22:00:00.1234579+00:00'",
        "'2024-01-01T12:00:00.1234579-05:00'",
    ),
}


@pytest.mark.parametrize("type_", VALUES)
def test_rows_with_equal_values_at_the_edge_are_not_lost(
    replica: Callable[..., Replica], type_: str
) -> None:
    made = replica(
        f"create table {{table}} (id int, at {type_} not null)",
        **(KEYLESS_BY_TIME | {"cursor": "at"}),
    )
    first, second, third = VALUES[type_]
    for number, values in enumerate([(first, second), (second, third), (third, third), ()]):
        for position, value in enumerate(values):
            made.origin.run(f"insert into {{table}} values ({10 * number + position}, {value})")
        made.load()
        made.assert_equal("id")


@pytest.mark.parametrize("type_", VALUES)
def test_a_lookback_never_leaves_the_range_of_its_type(
    replica: Callable[..., Replica], type_: str
) -> None:
    made = replica(
        f"create table {{table}} (id int not null primary key, at {type_} not null)",
        mode=Mode.MERGE,
        cursor="at",
    )
    first, second, _ = VALUES[type_]
    made.origin.run(f"insert into {{table}} values (1, {first})")
    made.load()
    made.origin.run(f"insert into {{table}} values (2, {first}), (3, {second})")
    made.load()
    made.assert_equal("id")


# ---- while a load runs ----


@pytest.mark.parametrize("ddl", [None, KEYLESS], ids=["with key", "without key"])
@pytest.mark.parametrize("is_first", [True, False], ids=["first load", "next load"])
def test_rows_that_arrive_while_a_load_runs_are_taken_by_it_or_the_next(
    replica: Callable[..., Replica], meanwhile: Meanwhile, ddl: str | None, is_first: bool
) -> None:
    made = replica(*filter(None, [ddl]), **(KEYLESS_BY_TIME if ddl else BY_TIME))
    made.origin.add(*range(40), changed="2024-01-01T00:00:00")
    if not is_first:
        made.load()
        made.origin.add(*range(100, 140), changed="2024-01-01T00:00:01")
    edge = f"2024-01-01T00:00:0{0 if is_first else 1}"
    meanwhile.after(SqlServerSource, "highest", lambda: made.origin.add(200, 201, changed=edge))
    meanwhile.before(
        SqlServerSource, "read", lambda: made.origin.add(202, changed="2024-01-01T00:00:02")
    )
    meanwhile.in_the_stream(lambda: made.origin.add(203, 204, changed=edge))
    made.load()
    made.origin.add(205, changed="2024-01-01T00:00:02")
    made.load()
    made.assert_equal()


def test_a_row_changed_while_it_is_read_has_its_last_values_after_the_next_load(
    replica: Callable[..., Replica], meanwhile: Meanwhile
) -> None:
    made = replica(VERSIONED, mode=Mode.MERGE, cursor="version")
    made.origin.add(*range(40))
    change = "update {table} set name = N'changed' where id in (0, 39)"
    meanwhile.in_the_stream(lambda: made.origin.run(change))
    made.load()
    made.load()
    made.assert_equal()


# ---- late rows ----


def test_rows_committed_late_are_taken_within_the_lookback(
    replica: Callable[..., Replica],
) -> None:
    made = replica(**BY_TIME, lookback="15 minutes")  # the column has no default
    made.origin.add(1, changed="2024-01-01T12:00:00")
    made.load()
    made.origin.add(2, changed="2024-01-01T11:45:00")
    made.origin.add(3, changed="2024-01-01T11:44:59")
    made.load()
    assert sorted(made.copied("id")) == [(1,), (2,)]
    made.load(full_reload=True)
    made.assert_equal()


def test_rows_of_a_transaction_that_was_open_during_a_load_are_not_lost(
    replica: Callable[..., Replica], connect_to_source: Callable[..., Any]
) -> None:
    made = replica(VERSIONED, mode=Mode.MERGE, cursor="version")
    made.origin.add(1, 2)
    made.load()
    slow = connect_to_source(autocommit=False)
    slow.cursor().execute(
        made.origin.spelled("insert into {table} (id, name, amount) values (50, N'slow', 1)")
    )
    made.origin.add(*range(60, 80))
    # Where writers lock out readers, the load waits for the slow transaction to end.
    loading = threading.Thread(target=made.load)
    loading.start()
    loading.join(3)
    slow.commit()
    loading.join()
    made.load()
    made.assert_equal()


@pytest.mark.source_can("min_active_rowversion")
def test_a_rowversion_load_reads_only_what_changed(replica: Callable[..., Replica]) -> None:
    made = replica(VERSIONED, mode=Mode.MERGE, cursor="version")
    made.origin.add(*range(40))
    made.load()
    made.origin.run("update {table} set name = N'changed' where id in (3, 5)")
    report = made.load()
    made.assert_equal()
    reached = made.source.highest(made_cursor(made))
    assert report.rows == (2 if reached.is_final else 40)


def made_cursor(made: Replica) -> Any:
    from tranship.replication.cursors import cursor_of

    return cursor_of(made.plan, made.source.schema, has_key=True)


# ---- rows without a value ----


@pytest.mark.parametrize("ddl", [None, KEYLESS], ids=["with key", "without key"])
def test_rows_without_a_cursor_value_are_read_by_every_load(
    replica: Callable[..., Replica], ddl: str | None
) -> None:
    made = replica(*filter(None, [ddl]), **(KEYLESS_BY_TIME if ddl else BY_TIME))
    unset = "update {table} set changed = null where id in (1, 41)"
    made.origin.add(1, 2, 3)
    made.origin.run(unset)
    made.load()
    made.origin.add(41, 42, changed="2024-01-01T00:01:00")
    made.origin.run(unset)
    made.load()
    made.load()
    made.assert_equal()


def test_a_cursor_without_any_value_loads_everything_each_time(
    replica: Callable[..., Replica],
) -> None:
    made = replica(KEYLESS, **KEYLESS_BY_TIME)
    for ids in ((1, 2), (3,), ()):
        made.origin.add(*ids, changed="2024-01-01") if ids else None
        made.origin.run("update {table} set changed = null")
        made.load()
        made.assert_equal()
    assert made.bookmark is not None
    assert made.bookmark.cursor_value is None


# ---- no rows ----


@pytest.mark.parametrize("ddl", [None, KEYLESS], ids=["with key", "without key"])
def test_an_empty_source_makes_an_empty_copy_that_rows_come_to_later(
    replica: Callable[..., Replica], ddl: str | None
) -> None:
    made = replica(*filter(None, [ddl]), **(KEYLESS_BY_TIME if ddl else BY_TIME))
    made.load()
    assert made.copied() == []
    made.load()
    made.origin.add(1, 2)
    made.load()
    made.assert_equal()


# ---- purged rows ----


@pytest.mark.parametrize("lookback", [None, "1 hour"])
@pytest.mark.parametrize("with_null", [False, True], ids=["", "with null"])
def test_rows_of_the_edge_that_the_source_purged_stay_in_a_copy_without_key(
    replica: Callable[..., Replica], lookback: str | None, with_null: bool
) -> None:
    made = replica(KEYLESS, **KEYLESS_BY_TIME, lookback=lookback)
    made.origin.add(1, 2, changed="2024-01-01T00:00:01")
    made.origin.add(3, 4, changed="2024-01-01T00:00:02")
    if with_null:
        made.origin.add(9)
        made.origin.run("update {table} set changed = null where id = 9")
    made.load()
    made.origin.run("delete from {table} where changed is not null")
    made.origin.add(5, 6, changed="2024-01-01T00:00:03")
    made.load()
    made.load()
    assert sorted(made.copied("id")) == [(id_,) for id_ in (1, 2, 3, 4, 5, 6, *([9] * with_null))]


# ---- by hand ----


def test_a_load_can_start_from_an_earlier_value(replica: Callable[..., Replica]) -> None:
    made = replica(**BY_TIME)
    made.origin.add(1, changed="2024-01-01")
    made.origin.add(2, changed="2024-02-01")
    made.load()
    made.origin.run("update {table} set name = N'silently' where id = 1")
    made.load()
    assert made.copied("name") != made.origin.rows("name")
    made.load(start_from="2024-01-01")
    made.assert_equal()
    assert made.bookmark is not None
    assert made.bookmark.cursor_value == "2024-02-01T00:00:00"


def test_a_start_beyond_all_rows_does_not_move_the_bookmark_there(
    replica: Callable[..., Replica],
) -> None:
    made = replica(**BY_TIME)
    made.origin.add(1, changed="2024-01-01")
    made.load()
    made.load(start_from="2030-01-01")
    made.origin.add(2, changed="2024-01-02")
    made.load()
    made.assert_equal()
