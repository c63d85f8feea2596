"""Rows that are marked as gone stay while everything is loaded anew, and are told where they cannot."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.replication.conftest import (
    KEYLESS,
    Origin,
    Place,
    Replica,
    of,
    track_changes,
)

from tranship.replication.config import ColumnSettings
from tranship.replication.plan import FollowedChanges, Mode, OnDelete
from tranship.writes import OnSchemaChange

MARKED = {"mode": Mode.MERGE, "delete": OnDelete.MARK, "delete_guard": "100%"}
WAYS: dict[str, dict[str, Any]] = {
    "time": {"cursor": "changed"},
    "all rows": {},
    "tracking": {"changes": FollowedChanges.TRACKING},
}


@pytest.fixture
def marked(origin: Callable[..., Origin], place: Place) -> Callable[..., Replica]:
    """A copy of rows 1 to 6, of which 2 is marked as gone; no load knows yet that 3 is gone too."""

    def make(way: str = "time", **settings: Any) -> Replica:
        made = of(origin(), place, **{**MARKED, **WAYS[way], **settings})
        if way == "tracking":
            track_changes(made.origin)
        made.origin.add(*range(1, 7))
        made.load()
        made.origin.run("delete from {table} where id = 2")
        made.load()
        made.origin.run("delete from {table} where id = 3")
        return made

    return make


def again(made: Replica, **settings: Any) -> Replica:
    """The same copy by other settings, with its source looked up anew."""
    return of(made.origin, made.place, **{**MARKED, **settings})


def when_gone(made: Replica) -> dict[int, Any]:
    rows = made.place.rows("select id, _deleted_at from {}", made.plan.target)
    return {id_: when for id_, when in rows if when is not None}


@pytest.mark.parametrize("way", WAYS)
def test_a_full_reload_keeps_what_was_marked_and_marks_what_is_gone(
    marked: Callable[..., Replica], way: str
) -> None:
    made = marked(way)
    before = when_gone(made)
    assert set(before) == {2}
    made.load(full_reload=True)
    after = when_gone(made)
    assert set(after) == {2, 3}
    assert after[2] == before[2]
    made.load(full_reload=True)
    assert when_gone(made) == after
    made.origin.add(2, 3, name="back")
    made.load(full_reload=True)
    assert when_gone(made) == {}
    made.assert_equal()


@pytest.mark.parametrize("way", ["time", "tracking"])
def test_a_source_without_rows_leaves_a_copy_of_marked_ones(
    marked: Callable[..., Replica], way: str
) -> None:
    made = marked(way)
    before = when_gone(made)
    made.origin.run("delete from {table}")
    made.load(full_reload=True, allow_deletes=True)
    after = when_gone(made)
    assert set(after) == set(range(1, 7))
    assert after[2] == before[2]


def test_other_settings_keep_them_as_long_as_the_key_means_the_same(
    marked: Callable[..., Replica],
) -> None:
    made = marked()
    before = when_gone(made)
    columns = ColumnSettings(exclude=["amount"])
    changed = again(made, cursor="changed", columns=columns, where="id < 6")
    changed.load()
    assert when_gone(changed)[2] == before[2]
    assert set(when_gone(changed)) == {2, 3, 6}
    copied = changed.place.target.schema_of(changed.plan.target)
    assert copied is not None
    assert list(copied.names) == ["id", "name", "changed", "_deleted_at"]


def test_another_way_to_know_what_changed_keeps_them(marked: Callable[..., Replica]) -> None:
    made = marked()
    before = when_gone(made)
    track_changes(made.origin)
    changed = again(made, changes=FollowedChanges.TRACKING)
    assert changed.load().what.startswith("the whole table")
    after = when_gone(changed)
    assert after[2] == before[2]
    assert set(after) == {2, 3}


def test_a_key_that_means_something_else_lets_them_go_and_says_so(
    marked: Callable[..., Replica], caplog: pytest.LogCaptureFixture
) -> None:
    made = marked()
    columns = ColumnSettings(mask={"id": "hash"})
    changed = again(made, cursor="changed", columns=columns, on_schema_change="rebuild")
    with caplog.at_level("WARNING"):
        changed.load(mask_key="secret")
    assert "1 rows of" in caplog.text
    assert "are lost with this full load: its key is another one than it was" in caplog.text
    assert changed.place.rows("select count(*) from {}", made.plan.target) == [(4,)]


def test_columns_that_cannot_be_changed_in_place_let_them_go_and_say_so(
    marked: Callable[..., Replica], caplog: pytest.LogCaptureFixture
) -> None:
    made = marked(on_schema_change=OnSchemaChange.REBUILD)
    made.origin.run(
        "alter table {table} drop column name", "alter table {table} add name date null"
    )
    rebuilt = again(made, cursor="changed", on_schema_change=OnSchemaChange.REBUILD)
    with caplog.at_level("WARNING"):
        rebuilt.load()
    assert "are lost with this full load: columns cannot be changed in place" in caplog.text
    assert rebuilt.place.rows("select count(*) from {}", made.plan.target) == [(4,)]


def test_a_key_that_may_be_null_is_loaded_as_before(
    origin: Callable[..., Origin], postgres: Place
) -> None:
    made = of(origin(KEYLESS.replace("id int not null", "id int")), postgres, **MARKED, key=("id",))
    made.origin.add(1, 2)
    made.origin.run("update {table} set id = null where id = 2")
    made.load()
    made.load(full_reload=True)
    made.assert_equal()
