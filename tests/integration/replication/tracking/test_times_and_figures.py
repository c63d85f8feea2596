"""When rows went, how far the copy was behind, how long changes are kept, and what is said of it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.replication.conftest import Place, Replica, of
from tests.integration.replication.tracking.conftest import TRACKED, current_version

from standins.sqlserver.remote import SqlServerProcess
from tranship.bookmarks import Bookmark
from tranship.replication import tracked_changes
from tranship.replication.columns import column_changes
from tranship.replication.load import LoadReport
from tranship.replication.plan import OnDelete
from tranship.replication.verification import Verification
from tranship.sqlserver import change_record, change_tracking
from tranship.sqlserver.change_tracking import TrackedTable

MARKED = {**TRACKED, "delete": OnDelete.MARK}


@pytest.fixture
def marked(replica_of: Callable[..., Replica], place: Place) -> Replica:
    """A tracked table with ten rows, and its copy in each kind of target, where rows that go are marked."""
    made = of(replica_of().origin, place, **MARKED)
    made.load()
    return made


@pytest.fixture
def blind(server: SqlServerProcess) -> Any:
    """The login may not see the database's state."""
    server.restrict(denied=["VIEW DATABASE STATE"])
    yield
    server.restrict(denied=[])


def when_gone(made: Replica, id_: int) -> datetime:
    rows = made.place.rows(f"select _deleted_at from {{}} where id = {id_}", made.plan.target)
    return rows[0][0].astimezone(UTC)


def verified(made: Replica, bookmark: Bookmark) -> Verification:
    changes = column_changes(made.plan, made.source.schema, None)
    return Verification(made.plan, made.source, made.place.target, changes, bookmark)


# ---- when rows went ----


def test_a_row_is_marked_with_the_time_that_its_deletion_was_committed_at(marked: Replica) -> None:
    marked.origin.run("delete from {table} where id = 1")
    version = current_version(marked)
    marked.origin.run("delete from {table} where id = 2", "update {table} set amount = 1")
    committed = (
        marked.origin.connection.cursor()
        .execute(f"select commit_time from sys.dm_tran_commit_table where commit_ts = {version}")
        .fetchval()
        .replace(tzinfo=UTC)
    )
    marked.load()
    assert when_gone(marked, 1) == committed
    assert when_gone(marked, 2) >= committed
    marked.origin.run("delete from {table} where id = 3")
    marked.load()
    assert when_gone(marked, 1) == committed


@pytest.mark.usefixtures("blind")
def test_without_the_right_to_see_it_the_time_is_the_load_s_and_the_grant_is_printed(
    marked: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    marked.origin.run("delete from {table} where id = 1")
    before = marked.place.rows("select current_timestamp")[0][0].astimezone(UTC)
    with caplog.at_level("INFO"):
        report = marked.load()
    assert when_gone(marked, 1) >= before
    assert "grant view database state to" in caplog.text
    assert "seconds_behind" not in report.figures
    assert report.figures["versions_behind"] == 1


def test_a_time_that_is_known_no_more_is_the_load_s(
    marked: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = "(select commit_ts, commit_time from sys.dm_tran_commit_table where 1 = 0)"
    monkeypatch.setattr(change_tracking, "_COMMITS", none)
    monkeypatch.setattr(TrackedTable, "_sees_commits", lambda _: True)
    marked.origin.run("delete from {table} where id = 1")
    before = marked.place.rows("select current_timestamp")[0][0].astimezone(UTC)
    report = marked.load()
    assert when_gone(marked, 1) >= before
    assert "seconds_behind" not in report.figures


# ---- figures ----


def test_a_load_tells_how_far_the_copy_was_behind_and_what_changed(
    replica_of: Callable[..., Replica],
) -> None:
    made = replica_of()
    before = current_version(made)
    made.origin.add(50, 51)
    made.origin.run(
        "update {table} set name = N'x' where id in (3, 4, 5)", "delete from {table} where id = 1"
    )
    behind = current_version(made) - before
    figures = dict(made.load().figures)
    assert figures.pop("seconds_behind") >= 0
    assert figures == {
        "versions_behind": behind,
        "changes_inserted": 2,
        "changes_updated": 3,
        "changes_deleted": 1,
    }
    figures = made.load().figures
    assert (figures["versions_behind"], figures["seconds_behind"]) == (0, 0)


# ---- gaps and retention ----


def test_a_gap_fails_a_check_until_a_load_has_its_changes_again(
    server: SqlServerProcess, replica_of: Callable[..., Replica]
) -> None:
    made = replica_of()
    made.origin.run("update {table} set name = N'y' where id = 2")
    server.clean_up_changes(current_version(made))
    finding = verified(made, made.load().bookmark).changes_without_a_gap()
    assert not finding.passed
    assert finding.is_warning
    assert "changes are there from version" in finding.description
    assert "which keeps changes for 2 days" in finding.description
    assert "hours_since_the_load_before" in finding.facts
    made.origin.add(60)
    assert verified(made, made.load().bookmark).changes_without_a_gap().passed


def earlier(report: LoadReport, span: timedelta) -> Bookmark:
    """The bookmark as if the load had been so long ago, by the source's clock."""
    facts = dict(report.bookmark.facts)
    at = datetime.fromisoformat(facts["change_record_at"])
    facts["change_record_at"] = (at - span).isoformat()
    return replace(report.bookmark, facts=facts)


def test_half_of_the_retention_without_a_load_is_warned_of(
    replica_of: Callable[..., Replica],
) -> None:
    made = replica_of()
    report = made.load()
    assert verified(made, report.bookmark).retention_headroom().passed
    assert verified(made, earlier(report, timedelta(hours=23))).retention_headroom().passed
    finding = verified(made, earlier(report, timedelta(hours=31))).retention_headroom()
    assert (finding.passed, finding.is_warning) == (False, True)
    assert finding.description.startswith(
        "1.3 days passed since the last load, 65% of the 2 days that the source keeps changes for"
    )
    assert "alter database current set change_tracking" in finding.description
    facts = {**report.bookmark.facts, "seconds_since_the_load_before": 40 * 3600}
    finding = verified(made, replace(report.bookmark, facts=facts)).retention_headroom()
    assert finding.description.startswith("1.7 days passed between the last two loads, 83% of")
    finding = verified(made, earlier(report, timedelta(hours=-3))).retention_headroom()
    assert finding.description.startswith("Unknown: what the source's clock showed")


def test_changes_that_are_never_cleaned_up_leave_all_the_time(
    replica_of: Callable[..., Replica],
) -> None:
    made = replica_of()
    report = made.load()
    run = made.origin.run
    run("alter database current set change_tracking (auto_cleanup = off)")
    try:
        long_ago = earlier(report, timedelta(days=300))
        assert verified(made, long_ago).retention_headroom().passed
    finally:
        run("alter database current set change_tracking (auto_cleanup = on)")


def test_a_full_load_that_takes_longer_than_changes_are_kept_is_warned_of_before_it_begins(
    replica_of: Callable[..., Replica],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = replica_of()
    made.load(full_reload=True)
    assert "clean" not in caplog.text
    monkeypatch.setattr(tracked_changes, "_ROWS_PER_SECOND", 0.00001)
    made.load(full_reload=True)
    assert "About 10 rows of" in caplog.text
    assert "take 11.6 days" in caplog.text
    assert "the source keeps changes for 2 days" in caplog.text


# ---- a known fault ----


def test_a_build_that_may_record_changes_in_the_wrong_order_is_told_once_in_a_load(
    replica_of: Callable[..., Replica],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = replica_of()
    fixed = {15: ((15, 0, 9000, 0), "2019 CU99")}
    monkeypatch.setattr(change_record, "_FIXED_IN", fixed)
    made.load(full_reload=True)
    assert caplog.text.count("KB4135113") == 1
