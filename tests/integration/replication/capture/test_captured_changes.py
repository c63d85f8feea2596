"""Loads by SQL Server's Change Data Capture: the copy is the source's, deletions too."""

from collections.abc import Callable

import pytest
from tests.integration.replication.capture.conftest import CAPTURED, Captured
from tests.integration.replication.conftest import Meanwhile, Origin, Place, of
from tests.integration.replication.tracking.test_changes import CHANGES

from standins.sqlserver.remote import SqlServerProcess
from tranship.sqlserver import change_data_capture


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_since_is_in_the_copy(copy: Callable[..., Captured], change: str) -> None:
    made = copy()
    made.replica.origin.add(*range(1, 21))
    made.scan()
    made.load()
    made.run(*CHANGES[change])
    made.scan()
    report = made.replica.load()
    made.assert_equal()
    assert report.rows <= 3
    assert report.what.startswith(f"{report.rows} rows that changed since LSN ")


def test_both_targets_take_what_was_captured(
    server: SqlServerProcess, table: Callable[..., Origin], place: Place
) -> None:
    made = Captured(of(table(), place, **CAPTURED), server)
    made.enable()
    made.replica.origin.add(*range(1, 21))
    made.load()
    made.run(*CHANGES["two keys swapped"], *CHANGES["all at once"], *CHANGES["a key moved"])
    made.scan()
    made.load()
    made.assert_equal()


def test_nothing_is_missed_that_was_captured_late(copy: Callable[..., Captured]) -> None:
    made = copy()
    made.replica.origin.add(1, 2)
    made.scan()
    made.load()
    made.replica.origin.add(3)
    assert made.load().startswith("0 rows that changed")
    made.scan()
    assert made.load().startswith("1 rows that changed")
    made.assert_equal()


def test_a_change_that_the_first_load_has_seen_does_not_bring_back_the_state_before_the_next(
    copy: Callable[..., Captured],
) -> None:
    made = copy()
    made.replica.origin.add(1)
    made.run("update {table} set name = N'older' where id = 1")
    made.scan()
    other = made.again()
    made.load()
    made.run("update {table} set name = N'newest' where id = 1")
    made.load(full_reload=True)  # has what is not captured yet
    other.load()
    made.assert_equal()
    made.scan()
    made.load()
    made.assert_equal()


def test_a_database_that_is_quiet_is_no_gap_and_no_error_313(copy: Callable[..., Captured]) -> None:
    made = copy()
    made.replica.origin.add(1)
    made.scan()
    made.load()
    before = made.bookmark
    assert made.load().startswith("0 rows that changed")
    assert made.load().startswith("0 rows that changed")
    assert made.bookmark == before
    made.assert_equal()


def test_a_quiet_table_beside_a_busy_one_outlives_every_clean_up(
    copy: Callable[..., Captured],
) -> None:
    made, busy = copy(), copy()
    made.replica.origin.add(1, 2)
    made.scan()
    made.load()
    before = made.bookmark
    for number in range(3):
        busy.replica.origin.add(number)
        busy.scan()
        assert made.load().startswith("0 rows that changed")
        made.clean_up(f"dbo_{made.name}", f"dbo_{busy.name}")
    assert made.bookmark > before
    assert made.load().startswith("0 rows that changed")
    made.assert_equal()


def test_what_is_captured_between_the_place_and_the_snapshot_comes_with_the_next_load(
    copy: Callable[..., Captured], meanwhile: Meanwhile
) -> None:
    made = copy()
    made.replica.origin.add(1)
    made.scan()
    made.load()

    def happens() -> None:
        made.replica.origin.add(2)
        made.scan()

    meanwhile.before(change_data_capture, "begin_consistent_transaction", happens)
    made.load()
    made.load()
    made.assert_equal()


def test_no_primary_key_is_needed_and_a_key_may_change(copy: Callable[..., Captured]) -> None:
    made = copy("create table {table} (k int null, v int null)", key=("k",))
    made.run("insert into {table} values (1, 1), (2, 2), (3, 3)")
    made.scan()
    made.load()
    made.run("update {table} set k = k + 10 where k < 3", "delete from {table} where k = 3")
    made.scan()
    made.load()
    made.assert_equal("k, v")


def test_values_that_are_not_captured_arrive(copy: Callable[..., Captured]) -> None:
    made = copy(
        "create table {table} (id int primary key, n int, twice as (n * 2), m nvarchar(max), old ntext)"
    )
    made.run("insert into {table} (id, n, m, old) values (1, 1, N'long', N'older')")
    made.scan()
    made.load()
    made.run("update {table} set n = 5")
    made.scan()
    made.load()
    copied = made.replica.place.rows(
        "select id, n, twice, m, old from {}", made.replica.plan.target
    )
    assert copied == [(1, 5, 10, "long", "older")]


def test_a_row_that_the_condition_lets_through_no_more_goes(copy: Callable[..., Captured]) -> None:
    made = copy(where="amount < 6")
    made.replica.origin.add(*range(1, 11))
    made.scan()
    made.load()
    made.run(
        "update {table} set amount = 100 where id = 2", "update {table} set amount = 1 where id = 9"
    )
    made.scan()
    made.load()
    assert made.load().startswith("0 rows")
    assert {row[0] for row in made.replica.copied()} == {1, 3, 4, 5, 9}


def test_a_first_load_in_chunks_has_what_changed_while_it_was_read(
    copy: Callable[..., Captured], meanwhile: Meanwhile
) -> None:
    made = copy(chunk_rows=10)
    made.replica.origin.add(*range(1, 41))

    def happens() -> None:
        made.run("delete from {table} where id in (1, 39)", "update {table} set name = N'x' where id in (2, 38)")  # fmt: skip
        made.scan()

    meanwhile.in_the_stream(happens)
    made.load()
    made.load()
    made.assert_equal()


def test_a_respelled_key_of_a_text_stays_one_row(copy: Callable[..., Captured]) -> None:
    made = copy(
        "create table {table} (code nvarchar(20) collate Latin1_General_CI_AS not null, n int not null, v int, primary key (code, n))"
    )
    made.run("insert into {table} values (N'abc', 1, 1), (N'abc', 2, 2), (N'def', 1, 3)")
    made.scan()
    made.load()
    made.run("update {table} set code = N'ABC' where n = 1 and code = N'abc'", "delete from {table} where code = N'def'")  # fmt: skip
    made.scan()
    made.load()
    made.assert_equal("code, n, v")
