"""Where the record of changes does not reach back to the copy, the whole table is loaded and the run says why."""

import re
import uuid
from collections.abc import Callable
from typing import Any

import mssql_python
import pytest
from tests.integration.replication.conftest import EVENTS, Origin, Place, Replica, of, track_changes
from tests.integration.replication.tracking.conftest import TRACKED, current_version

from standins.sqlserver.remote import SqlServerProcess
from tranship.change_feeds import ChangesLostError
from tranship.errors import ConfigurationError
from tranship.replication.plan import OnGap, OnNewSource
from tranship.sqlserver import change_tracking
from tranship.sqlserver.consistency import begin_consistent_transaction
from tranship.sqlserver.reader import fetched
from tranship.sqlserver.settings import SqlServerSettings
from tranship.sqlserver.source import SqlServerSource
from tranship.writes import OnSchemaChange


def cleaned_up(server: SqlServerProcess, made: Replica) -> None:
    made.origin.run(
        "update {table} set name = N'y' where id = 2", "delete from {table} where id = 1"
    )
    server.clean_up_changes(current_version(made))


def truncated(_: SqlServerProcess, made: Replica) -> None:
    made.origin.run("truncate table {table}")
    made.origin.add(3, 4)


def switched_off_and_on(_: SqlServerProcess, made: Replica) -> None:
    made.origin.run(
        "alter table {table} disable change_tracking", "delete from {table} where id = 1"
    )
    made.origin.run("alter table {table} enable change_tracking")


def made_anew(_: SqlServerProcess, made: Replica) -> None:
    made.origin.run("drop table {table}", EVENTS, "alter table {table} enable change_tracking")
    made.origin.add(7, 8)


def restored(server: SqlServerProcess, made: Replica) -> None:
    made.origin.run("delete from {table} where id = 1")
    server.restore_changes(max(current_version(made) - 3, 0))


def restored_where_the_login_may_not_see_it(server: SqlServerProcess, made: Replica) -> None:
    server.become(is_visible=False)
    again = of(made.origin, made.place, **TRACKED)
    again.load()
    restored(server, again)


GAPS = {
    cleaned_up: "changes are there from version [0-9]+ on, and the copy is of version [0-9]+: they were cleaned up",
    truncated: "its record of changes was begun anew at version",
    switched_off_and_on: "its record of changes was begun anew at version",
    made_anew: "the table was created anew",
    restored: "was restored from a backup",
    restored_where_the_login_may_not_see_it: "an older state was restored",
}


@pytest.mark.parametrize("gap", GAPS, ids=lambda gap: gap.__name__)
def test_a_gap_is_named_and_answered_by_the_whole_table(
    server: SqlServerProcess, replica_of: Callable[..., Replica], gap: Callable[..., None]
) -> None:
    made = replica_of()
    gap(server, made)
    again = of(made.origin, made.place, **TRACKED)  # looked up anew: the table may be another one
    report = again.load()
    again.assert_equal()
    assert report.what.startswith("the whole table")
    assert re.search(GAPS[gap], report.what), report.what
    again.origin.add(400)
    again.load()
    again.assert_equal()
    again.origin.add(500)
    report = again.load()
    again.assert_equal()
    # What was cleaned up before the restore stays so: the versions of now lie below it for a while.
    if "restored" not in gap.__name__:
        assert report.what.startswith("1 rows that changed since version")


@pytest.mark.parametrize("gap", [cleaned_up, truncated], ids=lambda gap: gap.__name__)
def test_a_gap_fails_the_load_where_the_settings_say_so(
    server: SqlServerProcess, replica_of: Callable[..., Replica], gap: Callable[..., None]
) -> None:
    made = replica_of(on_gap=OnGap.FAIL, on_new_source=OnNewSource.FAIL)
    before = made.copied()
    gap(server, made)
    with pytest.raises(ChangesLostError, match=r"Nothing was written.*full_reload") as caught:
        made.load()
    assert not caught.value.transient
    assert sorted(made.copied()) == sorted(before)
    made.load(full_reload=True)
    made.assert_equal()


def test_a_truncation_right_after_a_load_is_seen(replica_of: Callable[..., Replica]) -> None:
    # The new record begins at the very version that the copy is of, so that no comparison of versions tells.
    made = replica_of()
    assert made.bookmark is not None
    made.origin.run("truncate table {table}")
    assert current_version(made) == int(made.bookmark.cursor_value or 0)
    made.load()
    assert made.copied() == []


def test_a_truncation_between_the_question_and_the_read_is_answered_in_the_same_load(
    replica_of: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = replica_of()
    made.origin.run("update {table} set name = N'y' where id = 2")

    def truncates(connection: Any) -> Any:
        monkeypatch.undo()
        made.origin.run("truncate table {table}")
        made.origin.add(3, 4)
        return begin_consistent_transaction(connection)

    monkeypatch.setattr(change_tracking, "begin_consistent_transaction", truncates)
    report = made.load()
    made.assert_equal()
    assert re.search("the whole table.*was begun anew at version", report.what)


@pytest.fixture
def just_tracked(origin: Callable[..., Origin], place: Place) -> Callable[..., Replica]:
    """A table with rows and its copy, of the very version that its record of changes began with."""

    def make(**settings: Any) -> Replica:
        made = of(origin(), place, **{**TRACKED, **settings})
        made.origin.add(*range(1, 11))
        track_changes(made.origin)
        made.load()
        return made

    return make


ANEW = {
    "truncated": ("truncate table {table}",),
    "switched off and on": (
        "alter table {table} disable change_tracking",
        "update {table} set name = N'unseen' where id = 4",
        "delete from {table} where id = 5",
        "alter table {table} enable change_tracking",
    ),
}


@pytest.mark.parametrize("way", ANEW)
@pytest.mark.parametrize("chunk_rows", [3, 100])
def test_a_record_that_begins_anew_where_it_began_is_not_taken_for_the_one_before(
    just_tracked: Callable[..., Replica], way: str, chunk_rows: int
) -> None:
    # Nothing was recorded since tracking was switched on: the new record begins with the same version as the old one.
    made = just_tracked(chunk_rows=chunk_rows)
    made.origin.run(*ANEW[way])
    made.origin.add(20)
    report = made.load()
    made.assert_equal()
    assert "with which the record of changes began" in report.what
    made.origin.add(21)
    report = made.load()
    made.assert_equal()
    assert report.what.startswith("1 rows that changed since version")


def test_where_nothing_was_recorded_yet_a_load_does_not_fail_for_a_gap(
    just_tracked: Callable[..., Replica],
) -> None:
    made = just_tracked(on_gap=OnGap.FAIL)
    assert made.load().what.startswith("the whole table")
    made.assert_equal()


def test_a_truncation_amid_the_first_chunks_is_seen(
    origin: Callable[..., Origin], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = of(origin(), place, **TRACKED, chunk_rows=3)
    made.origin.add(*range(1, 11))
    track_changes(made.origin)
    read, reads = SqlServerSource.read, iter(range(100))

    def truncates(*arguments: Any, **options: Any) -> Any:
        if next(reads) == 2:
            made.origin.run("truncate table {table}")
            made.origin.add(2, 30)
        return read(*arguments, **options)

    monkeypatch.setattr(SqlServerSource, "read", truncates)
    made.load()
    made.assert_equal()


def test_a_column_that_was_added_with_a_default_is_filled(
    replica_of: Callable[..., Replica],
) -> None:
    made = replica_of(on_schema_change=OnSchemaChange.EVOLVE)
    made.origin.run("alter table {table} add region nvarchar(10) not null default N'EU'")
    again = of(made.origin, made.place, **{**TRACKED, "on_schema_change": OnSchemaChange.EVOLVE})
    assert "region is new" in again.load().what
    again.assert_equal("id, name, region")


def test_changes_that_are_cleaned_up_while_they_are_read_are_missed_by_nobody(
    server: SqlServerProcess, replica_of: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = replica_of()
    made.origin.run("alter database current set allow_snapshot_isolation off")
    reading = "tranship.sqlserver.change_tracking.fetched"

    def cleaning(*arguments: Any, **options: Any) -> Any:
        yield from fetched(*arguments, **options)
        server.clean_up_changes(current_version(made))

    try:
        made.origin.run("update {table} set name = N'y' where id = 2")
        before = made.copied()
        monkeypatch.setattr(reading, cleaning)
        with pytest.raises(ChangesLostError, match="cleaned up"):
            made.changed(on_gap=OnGap.FAIL).load()
        assert made.copied() == before
        made.load()
        made.origin.run("update {table} set name = N'z' where id = 3")
        assert made.load().what.startswith("the whole table")
        made.assert_equal()
    finally:
        made.origin.run("alter database current set allow_snapshot_isolation on")


def test_what_must_be_switched_on_is_printed_as_it_runs(
    server: SqlServerProcess, postgres: Place
) -> None:
    connection: Any = mssql_python.connect(server.odbc(), autocommit=True)
    origin = Origin(
        SqlServerSettings.from_url(server.url()), connection, f"t_{uuid.uuid4().hex[:12]}"
    )
    origin.run(EVENTS)
    made = of(origin, postgres, **TRACKED)
    with pytest.raises(ConfigurationError, match="are not tracked") as caught:
        made.load()
    statement = caught.value.remedy.partition("run: ")[2]
    origin.run(statement)
    made.load()
    made.assert_equal()
    connection.close()
