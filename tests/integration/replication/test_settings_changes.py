"""Whatever a user changes in the settings, or somebody else in a table, the next load makes of it what it should."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.replication.conftest import KEYLESS, Replica

from tranship.errors import ConfigurationError, SchemaDriftError
from tranship.replication.config import ColumnSettings
from tranship.replication.plan import Mode, OnDelete
from tranship.writes import OnSchemaChange

BY_TIME = {"mode": Mode.MERGE, "cursor": "changed"}
SETTINGS_CHANGED = "the whole table, because its columns, key, cursor or condition were changed"


def test_a_table_goes_from_full_to_incremental_and_back_without_a_manual_step(
    replica: Callable[..., Replica],
) -> None:
    made = replica()
    ways: list[dict[str, Any]] = [
        {"mode": Mode.REPLACE, "cursor": None},
        BY_TIME,
        {"mode": Mode.REPLACE, "cursor": None},
        {"mode": Mode.APPEND, "cursor": "id"},
        {"mode": Mode.MERGE, "cursor": None},
        BY_TIME,
    ]
    for number, way in enumerate(ways):
        made = made.changed(**way)
        for round_ in range(2):
            made.origin.add(
                20 * number + round_, changed=f"2024-01-{number + 1:02d}T0{round_}:00:00"
            )
            if way["mode"] is not Mode.APPEND:
                # Without its time: only a load of everything finds that.
                made.origin.run(
                    "update {table} set name = N'x' where id = 0" if not round_ else "select 1"
                )
            made.load()
            made.assert_equal()


@pytest.mark.parametrize(
    ("change", "columns"),
    [
        ({"columns": ColumnSettings(rename={"name": "title"})}, "id, title, amount, changed"),
        ({"columns": ColumnSettings(exclude=["amount"])}, "id, name, changed"),
        ({"columns": ColumnSettings(include=["id", "amount"])}, "id, amount"),
        (
            {"columns": ColumnSettings(cast={"amount": "decimal(18, 4)"})},
            "id, name, amount, changed",
        ),
        ({"columns": ColumnSettings(mask={"name": "redact"})}, "id, amount, changed"),
        ({"cursor": "id"}, "id, name, amount, changed"),
        ({"key": ("id", "changed")}, "id, name, amount, changed"),
        ({"delete": OnDelete.MARK}, "id, name, amount, changed"),
    ],
    ids=["rename", "exclude", "include", "cast", "redact", "cursor", "key", "mark"],
)
def test_changed_settings_load_everything_again(
    replica: Callable[..., Replica], change: dict[str, Any], columns: str
) -> None:
    made = replica(**BY_TIME)
    made.origin.add(1, 2, 3)
    made.load()
    made.origin.run("update {table} set name = N'without its time' where id = 1")
    after = made.changed(**change)
    assert SETTINGS_CHANGED in after.load().what
    assert sorted(after.copied(columns)) == sorted(
        made.origin.rows(columns.replace("title", "name"))
    )
    assert SETTINGS_CHANGED not in after.load().what


def test_a_changed_condition_removes_the_rows_that_no_longer_meet_it(
    replica: Callable[..., Replica],
) -> None:
    made = replica(**BY_TIME)
    made.origin.add(1, 2, 3, 4)
    made.load()
    after = made.changed(where="id <> 2 and name like N'n%'")
    assert SETTINGS_CHANGED in after.load().what
    assert sorted(after.copied("id")) == [(1,), (3,), (4,)]


def test_another_masking_key_never_mixes_digests(replica: Callable[..., Replica]) -> None:
    made = replica(**BY_TIME, columns=ColumnSettings(mask={"name": "hash"}))
    made.origin.add(1, 2, name="same")
    made.origin.run("update {table} set name = N'same'")
    made.load(mask_key="one")
    (before,) = set(made.copied("name"))
    made.origin.run("insert into {table} values (3, N'same', 1, '2024-01-02')")
    made.load(mask_key="one")
    assert set(made.copied("name")) == {before}
    made.origin.run("insert into {table} values (4, N'same', 1, '2024-01-03')")
    made.load(mask_key="two")
    (after,) = set(made.copied("name"))
    assert after != before


def test_a_dropped_copy_is_loaded_again(replica: Callable[..., Replica]) -> None:
    made = replica(**BY_TIME)
    made.origin.add(1, 2, 3)
    made.load()
    made.place.rows("drop table {}", made.plan.target)
    assert f"because {made.plan.target} is gone" in made.load().what
    made.assert_equal()


def test_a_removed_bookmark_means_a_full_load(replica: Callable[..., Replica]) -> None:
    made = replica(**BY_TIME)
    made.origin.add(1, 2, 3)
    made.load()
    made.origin.run("update {table} set name = N'without its time' where id = 1")
    target = made.place.target
    with target.transaction("forgetting") as cursor:
        assert target.bookmarks(made.plan.target).remove(cursor, made.plan.target)
    assert "because it was never loaded" in made.load().what
    made.assert_equal()


def test_a_bookmark_moved_back_by_hand_is_where_the_next_load_starts(
    replica: Callable[..., Replica],
) -> None:
    made = replica(**BY_TIME)
    made.origin.add(1, changed="2024-01-01")
    made.origin.add(2, changed="2024-02-01")
    made.load()
    made.origin.run("update {table} set name = N'silently' where id = 1")
    target = made.place.target
    with target.transaction("moving back") as cursor:
        bookmarks = target.bookmarks(made.plan.target)
        assert bookmarks.set_cursor(cursor, made.plan.target, "2024-01-01T00:00:00", "by hand")
        assert not bookmarks.set_cursor(cursor, made.place.table("other"), "1", "by hand")
    assert "from the bookmark 2024-01-01T00:00:00 on" in made.load().what
    made.assert_equal()


def test_starting_from_a_value_needs_something_to_build_on(
    replica: Callable[..., Replica],
) -> None:
    made = replica(**BY_TIME)
    with pytest.raises(
        ConfigurationError, match="cannot be loaded from 2024-01-01 on: it was never loaded"
    ):
        made.load(start_from="2024-01-01")
    made.load()
    with pytest.raises(
        ConfigurationError,
        match=r"'yesterday' is no value of the cursor .changed., which is a time. Write it like 2024",
    ):
        made.load(start_from="yesterday")


# ---- the source's columns change ----


def test_a_new_column_is_an_error_that_leaves_rows_and_bookmark(
    replica: Callable[..., Replica],
) -> None:
    made = replica(**BY_TIME)
    made.origin.add(1, 2)
    made.load()
    before, rows = made.bookmark, made.copied()
    made.origin.run("alter table {table} add colour nvarchar(10)")
    made.origin.add(3, changed="2024-03-01")
    with pytest.raises(SchemaDriftError, match=r'"colour" .* is new: the table has no such column'):
        made.changed().load()
    assert made.bookmark == before
    assert made.copied() == rows


def test_a_new_column_is_added_where_the_table_may_evolve(
    replica: Callable[..., Replica],
) -> None:
    made = replica(**BY_TIME, on_schema_change=OnSchemaChange.EVOLVE)
    made.origin.add(1, 2)
    made.load()
    made.origin.run("alter table {table} add colour nvarchar(10)")
    made.origin.run("update {table} set colour = N'red', changed = '2024-03-01' where id = 2")
    after = made.changed()
    after.load()
    after.assert_equal("id, name, colour")


def test_a_type_that_no_setting_allows_says_to_drop_the_table_which_is_then_made_anew(
    replica: Callable[..., Replica],
) -> None:
    made = replica(**BY_TIME)
    made.origin.add(1, 2)
    made.load()
    masked = made.changed(columns=ColumnSettings(mask={"amount": "hash"}))
    with pytest.raises(SchemaDriftError, match=r'"amount" is text.*alter or drop the table'):
        masked.load(mask_key="secret")
    assert made.copied() != []
    made.place.rows("drop table {}", made.plan.target)
    masked.load(mask_key="secret")
    assert {len(digest) for (digest,) in masked.copied("amount")} == {64}


def test_a_table_without_key_refuses_a_cursor_that_does_not_arrive_before_it_loads(
    replica: Callable[..., Replica],
) -> None:
    made = replica(KEYLESS, mode=Mode.APPEND, cursor="changed")
    for columns, how in (
        (ColumnSettings(exclude=["changed"]), "left out"),
        (ColumnSettings(cast={"changed": "date"}), "cast"),
    ):
        with pytest.raises(
            ConfigurationError,
            match=f'"changed" of {made.plan.source} is {how}, but it is the cursor of a table without key',
        ):
            made.changed(columns=columns).load()
    assert made.place.target.schema_of(made.plan.target) is None
