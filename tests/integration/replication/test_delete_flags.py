"""`delete_flag`: rows that the source marks as deleted are gone from the copy, and live again where the mark is taken back."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.replication.conftest import (
    EVENTS,
    Origin,
    Place,
    Replica,
    of,
    track_changes,
)

from tranship.delete_flags import DeleteFlag
from tranship.errors import ColumnNotFoundError, ConfigurationError
from tranship.replication.columns import column_changes
from tranship.replication.config import ColumnSettings
from tranship.replication.plan import FollowedChanges, Mode, OnDelete
from tranship.replication.verification import Verification

FLAGGED = EVENTS.replace("changed datetime2(6)", "changed datetime2(6), is_deleted bit null")
WAYS: dict[str, dict[str, Any]] = {
    "time": {"cursor": "changed", "lookback": 0},
    "all rows": {},
    "tracking": {"changes": FollowedChanges.TRACKING},
}


@pytest.fixture
def flagged(origin: Callable[..., Origin], place: Place) -> Callable[..., Replica]:
    """Rows 1 to 8, of which 7 has the mark from the beginning, 1 to 3 have null and the others 0; not loaded yet."""

    def make(way: str, *statements: str, **settings: Any) -> Replica:
        settings = {
            "mode": Mode.MERGE,
            "delete": OnDelete.REMOVE,
            "delete_guard": "100%",
            "delete_flag": DeleteFlag("is_deleted", 1),
            "columns": ColumnSettings(exclude=["is_deleted"]),
            **WAYS[way],
            **settings,
        }
        made = of(origin(*(statements or (FLAGGED,))), place, **settings)
        if way == "tracking":
            track_changes(made.origin)
        made.origin.add(*range(1, 9))
        made.origin.run(
            "update {table} set is_deleted = case id when 7 then 1 else 0 end where id > 3"
        )
        return made

    return make


def flag(made: Replica, mark: str, *ids: int, at: str = "2024-02-01") -> None:
    listed = ", ".join(map(str, ids))
    made.origin.run(
        f"update {{table}} set is_deleted = {mark}, changed = '{at}' where id in ({listed})"
    )


def live(made: Replica) -> set[int]:
    return {id_ for (id_,) in made.copied("id")}


def assert_checks_pass(made: Replica) -> None:
    bookmark = made.bookmark
    assert bookmark is not None
    changes = column_changes(made.plan, made.source.schema, None)
    verification = Verification(made.plan, made.source, made.place.target, changes, bookmark)
    findings = [
        verification.row_count(),
        verification.recent_rows(),
        verification.columns(names=True),
    ]
    assert [finding.description for finding in findings if not finding.passed] == []


@pytest.mark.parametrize("way", WAYS)
def test_flagged_rows_are_removed_and_live_again_without_the_flag(
    flagged: Callable[..., Replica], way: str
) -> None:
    made = flagged(way)
    made.load(measured=True)
    assert live(made) == {1, 2, 3, 4, 5, 6, 8}
    flag(made, "1", 8, 2)
    made.load(measured=True)
    assert live(made) == {1, 3, 4, 5, 6}
    assert_checks_pass(made)
    flag(made, "null", 8, at="2024-02-02")
    flag(made, "0", 7, at="2024-02-02")
    made.origin.run("delete from {table} where id in (1, 2)")  # with a flag and without one
    made.load(measured=True)
    assert live(made) == {3, 4, 5, 6, 7, 8}
    assert_checks_pass(made)
    made.load(full_reload=True, measured=True)
    assert live(made) == {3, 4, 5, 6, 7, 8}
    assert_checks_pass(made)


@pytest.mark.parametrize("way", WAYS)
def test_flagged_rows_are_marked_and_unmarked(flagged: Callable[..., Replica], way: str) -> None:
    made = flagged(way, delete=OnDelete.MARK)
    made.load(measured=True)
    flag(made, "1", 8, 2)
    made.load(measured=True)
    marked = "select id from {} where _deleted_at is not null order by id"
    assert made.place.rows(marked, made.plan.target) == [(2,), (8,)]
    flag(made, "0", 8, at="2024-02-02")
    made.load(measured=True)
    assert made.place.rows(marked, made.plan.target) == [(2,)]
    assert_checks_pass(made)


def test_a_flag_on_the_newest_row_is_no_cursor_that_went_back(
    flagged: Callable[..., Replica],
) -> None:
    made = flagged("time")
    made.load()
    flag(made, "1", 8, at="2024-03-01")
    assert made.load().bookmark.cursor_value == "2024-03-01T00:00:00"
    flag(made, "0", 1, at="2024-03-02")
    assert "below the bookmark" not in made.load().what
    assert live(made) == {1, 2, 3, 4, 5, 6}


def test_another_flag_loads_the_table_anew(flagged: Callable[..., Replica]) -> None:
    made = flagged("tracking")
    made.load()
    other = made.changed(delete_flag=DeleteFlag("is_deleted", 0))
    other = of(other.origin, other.place, **{name: getattr(other.plan, name) for name in (
        "mode", "delete", "delete_guard", "delete_flag", "columns", "changes")})  # fmt: skip
    assert other.load().what.startswith("the whole table")
    assert live(other) == {1, 2, 3, 7}


@pytest.mark.parametrize(
    ("column", "value", "mark", "lives"),
    [
        ("is_deleted datetime2(3) null", None, "'2024-01-01'", "null"),
        ("is_deleted nvarchar(10) null", "it's", "N'it''s'", "N'no'"),
        ("is_deleted decimal(5, 2) null", 1.5, "1.5", "1"),
        ("is_deleted tinyint not null default 0", 2, "2", "1"),
    ],
    ids=["a time", "a text", "a decimal", "a number that is never null"],
)
def test_a_flag_of_any_type(
    origin: Callable[..., Origin],
    postgres: Place,
    column: str,
    value: Any,
    mark: str,
    lives: str,
) -> None:
    made = of(
        origin(EVENTS.replace("changed datetime2(6)", f"changed datetime2(6), {column}")),
        postgres,
        mode=Mode.MERGE,
        delete=OnDelete.REMOVE,
        delete_guard="100%",
        delete_flag=DeleteFlag("is_deleted", value),
    )
    made.origin.add(1, 2, 3)
    made.load()
    flag(made, mark, 1, 2)
    made.load()
    assert live(made) == {3}
    flag(made, lives, 1)
    made.load()
    assert live(made) == {1, 3}


def test_a_flag_that_the_table_cannot_have_is_refused(flagged: Callable[..., Replica]) -> None:
    made = flagged("all rows", delete_flag=DeleteFlag("gone", 1))
    with pytest.raises(ColumnNotFoundError, match="gone"):
        made.load()
    made = flagged("all rows", delete_flag=DeleteFlag("is_deleted", "yes"))
    with pytest.raises(ConfigurationError, match=r"delete_flag of .* is 'yes'"):
        made.load()
