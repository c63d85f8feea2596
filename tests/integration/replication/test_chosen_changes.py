"""`changes: auto`: each load follows the best there is, says why, and loses nothing where that is another than before."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.replication.conftest import (
    EVENTS,
    VERSIONED,
    Origin,
    Place,
    Replica,
    of,
    track_changes,
)

from tranship.change_feeds import ChangesLostError
from tranship.replication.choice import as_loaded
from tranship.replication.columns import column_changes
from tranship.replication.load import LoadReport
from tranship.replication.plan import FollowedChanges, Mode, OnDelete, OnGap
from tranship.replication.verification import Verification

AUTO: dict[str, Any] = {
    "mode": Mode.MERGE,
    "changes": FollowedChanges.AUTO,
    "delete": OnDelete.REMOVE,
    "delete_guard": "100%",
}
CHANGED = (
    "update {table} set name = N'x', changed = '2024-02-01' where id = 3",
    "delete from {table} where id = 1",
    "insert into {table} (id, name, amount, changed) values (50, N'new', 1, '2024-02-01')",
)
SWITCH_OFF = "alter table {table} disable change_tracking"
SWITCH_ON = "alter table {table} enable change_tracking"


@pytest.fixture
def replica_of(origin: Callable[..., Origin], place: Place) -> Callable[..., Replica]:
    """A table of ten rows and its copy, not loaded yet."""

    def make(*statements: str, is_tracked: bool = False, **settings: Any) -> Replica:
        made = of(origin(*statements), place, **{**AUTO, **settings})
        track_changes(made.origin)
        if not is_tracked:
            made.origin.run(SWITCH_OFF)
        made.origin.add(*range(1, 11))
        return made

    return make


def loaded(made: Replica) -> LoadReport:
    """Load, and hold the copy against its source by eye and by its own checks."""
    report = made.load()
    made.assert_equal()
    for plan in (report.plan, as_loaded(made.plan, report.bookmark)):
        verification = Verification(
            plan,
            made.source,
            made.place.target,
            column_changes(plan, made.source.schema, None),
            report.bookmark,
        )
        assert verification.row_count().passed
        assert verification.recent_rows().passed
    return report


CHOICES = {
    "tracking": (
        VERSIONED,
        {"is_tracked": True, "cursor": "changed"},
        FollowedChanges.TRACKING,
        None,
        "the source tracks its changes, and this login may see them",
    ),
    "rowversion": (
        VERSIONED,
        {"cursor": "changed"},
        FollowedChanges.CURSOR,
        "version",
        "are not tracked; it has the rowversion version",
    ),
    "cursor": (
        EVENTS,
        {"cursor": "changed", "lookback": "2 hours"},
        FollowedChanges.CURSOR,
        "changed",
        "are not tracked; it has no rowversion, and changed is the cursor that the settings name",
    ),
    "all rows": (
        EVENTS,
        {},
        FollowedChanges.CURSOR,
        None,
        "are not tracked; it has no rowversion, and the settings name no cursor",
    ),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_the_best_way_is_followed_and_the_reason_told(
    replica_of: Callable[..., Replica], caplog: pytest.LogCaptureFixture, choice: str
) -> None:
    statement, settings, changes, cursor, why = CHOICES[choice]
    made = replica_of(statement, **settings)
    with caplog.at_level("INFO"):
        report = loaded(made)
    assert (report.plan.changes, report.plan.cursor) == (changes, cursor)
    assert why in (report.chosen_because or "")
    assert why in caplog.text
    made.origin.run(*CHANGED)
    assert not loaded(made).what.startswith("the whole table")


@pytest.mark.parametrize("table", [VERSIONED, EVENTS], ids=["rowversion", "all rows"])
def test_tracking_that_is_switched_on_later_loses_nothing(
    replica_of: Callable[..., Replica], table: str
) -> None:
    made = replica_of(table)
    loaded(made)
    made.origin.run(CHANGED[0], SWITCH_ON, *CHANGED[1:])
    report = loaded(made)
    assert report.plan.changes is FollowedChanges.TRACKING
    assert (
        report.what
        == "the whole table, because it follows the source's record of changes now, and did not until "
        "now, because the source tracks its changes, and this login may see them"
    )
    made.origin.run("update {table} set name = N'y' where id = 5")
    assert loaded(made).what.startswith("1 rows that changed since version")


@pytest.mark.parametrize("table", [VERSIONED, EVENTS], ids=["rowversion", "all rows"])
def test_tracking_that_is_switched_off_loses_nothing(
    replica_of: Callable[..., Replica], table: str
) -> None:
    made = replica_of(table, is_tracked=True)
    loaded(made)
    # What came before the record was switched off, and was not loaded yet, is in no record any more.
    made.origin.run(CHANGED[0], SWITCH_OFF, *CHANGED[1:])
    report = loaded(made)
    assert report.plan.changes is FollowedChanges.CURSOR
    assert "now, and did not until now" in report.what
    made.origin.run("delete from {table} where id = 5", SWITCH_ON)
    made.origin.run("delete from {table} where id = 6")
    assert loaded(made).plan.changes is FollowedChanges.TRACKING


def test_tracking_that_was_off_between_two_loads_loses_nothing(
    replica_of: Callable[..., Replica],
) -> None:
    made = replica_of(is_tracked=True)
    loaded(made)
    made.origin.run(SWITCH_OFF, *CHANGED, SWITCH_ON)
    assert "begun anew" in loaded(made).what


def test_a_record_that_is_no_more_fails_the_load_where_the_settings_say_so(
    replica_of: Callable[..., Replica],
) -> None:
    made = replica_of(VERSIONED, is_tracked=True, on_gap=OnGap.FAIL)
    loaded(made)
    before = sorted(made.copied())
    made.origin.run(SWITCH_OFF, *CHANGED)
    with pytest.raises(ChangesLostError, match=r"cannot any more.*Nothing was written"):
        made.load()
    assert sorted(made.copied()) == before
    made.load(full_reload=True)
    loaded(made)


def test_marked_rows_stay_where_another_way_is_chosen(replica_of: Callable[..., Replica]) -> None:
    made = replica_of(VERSIONED, is_tracked=True, delete=OnDelete.MARK)
    made.load()
    made.origin.run("delete from {table} where id = 1")
    made.load()
    marked = "select id, _deleted_at from {} where _deleted_at is not null"
    before = made.place.rows(marked, made.plan.target)
    made.origin.run(SWITCH_OFF, "delete from {table} where id = 2")
    made.load()
    after = made.place.rows(marked, made.plan.target)
    assert set(before) < set(after)
    assert {row[0] for row in after} == {1, 2}


@pytest.mark.parametrize("settings", [{"cursor": "changed"}, {}], ids=["cursor", "none"])
def test_a_copy_by_settings_that_say_the_same_goes_on(
    replica_of: Callable[..., Replica], settings: dict[str, Any]
) -> None:
    made = replica_of(**settings, changes=FollowedChanges.CURSOR)
    made.load()
    made.origin.run(*CHANGED)
    chosen = made.changed(changes=FollowedChanges.AUTO)
    assert not loaded(chosen).what.startswith("the whole table")
