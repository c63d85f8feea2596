"""A history has every state that a load saw, on both targets, and changes by nothing else."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.replication.conftest import EVENTS, Origin, Place, track_changes
from tests.integration.replication.history.conftest import Kept

from tranship.replication.plan import FollowedChanges, Mode, OnDelete

WAYS: dict[str, dict[str, Any]] = {
    "replace": {"mode": Mode.REPLACE},
    "merge by time": {"mode": Mode.MERGE, "cursor": "changed", "delete": OnDelete.REMOVE},
    "merge without cursor": {"mode": Mode.MERGE, "delete": OnDelete.REMOVE},
    "merge, marked": {"mode": Mode.MERGE, "cursor": "changed", "delete": OnDelete.MARK},
    "tracking": {
        "mode": Mode.MERGE,
        "changes": FollowedChanges.TRACKING,
        "delete": OnDelete.REMOVE,
        "delete_guard": "100%",
    },
}
WAYS |= {
    f"{way}, alone": {**WAYS[way], "alone": True}
    for way in ("replace", "merge by time", "tracking")
}


@pytest.fixture(params=WAYS)
def kept(request: pytest.FixtureRequest, origin: Callable[..., Origin], place: Place) -> Kept:
    """A table with a history beside its copy, in each way of loading, not loaded yet."""
    made = origin(EVENTS)
    if request.param.startswith("tracking"):
        track_changes(made)
    return Kept.of(made, place, **WAYS[request.param])


def test_a_row_that_changes_ends_one_version_and_begins_another(kept: Kept) -> None:
    kept.origin.add(1, 2)
    first = kept.load()
    assert (first.opened, first.closed) == (2, 0)
    kept.origin.run("update {table} set name = N'other', changed = '2024-01-02' where id = 1")
    second = kept.load()
    assert (second.opened, second.closed) == (1, 1)
    one, other, untouched = kept.versions("id, name")
    assert (one.row, other.row, untouched.row) == ((1, "n1"), (1, "other"), (2, "n2"))
    assert one.valid_to == other.valid_from
    assert one.valid_from == untouched.valid_from < other.valid_from
    assert (one.is_current, other.is_current, untouched.is_current) == (False, True, True)
    assert other.valid_to is None is untouched.valid_to
    kept.assert_as_the_copy()


def test_a_load_that_is_repeated_changes_nothing(kept: Kept) -> None:
    kept.origin.add(1, 2, 3)
    kept.load()
    before = kept.versions()
    assert (kept.load().opened, kept.load().closed) == (0, 0)
    report = kept.load(full_reload=True)
    assert (report.opened, report.closed) == (0, 0)
    assert kept.versions() == before


def test_a_row_that_goes_ends_its_version_and_one_that_returns_begins_another(kept: Kept) -> None:
    kept.origin.add(1, 2, 3)
    kept.load()
    kept.origin.run("delete from {table} where id = 2")
    gone = kept.load()
    assert (gone.opened, gone.closed) == (0, 1)
    kept.assert_as_the_copy()
    kept.origin.run("delete from {table} where id = 3")
    assert kept.load(full_reload=True).closed == 1
    kept.assert_as_the_copy()
    kept.origin.add(2, changed="2024-01-02")
    back = kept.load()
    assert (back.opened, back.closed) == (1, 0)
    earlier, later = [version for version in kept.versions() if version.row[0] == 2]
    assert earlier.valid_to is not None
    assert earlier.valid_to < later.valid_from
    assert later.valid_to is None
    kept.assert_as_the_copy()
