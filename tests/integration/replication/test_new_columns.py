"""A column that the source gets after the first load arrives in the rows that were loaded before, too."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.replication.conftest import KEYLESS, Meanwhile, Origin, Place, Replica, of

from tranship.replication.chunks import Backfill
from tranship.replication.columns import column_changes
from tranship.replication.config import ColumnSettings, PartitionSettings
from tranship.replication.plan import Mode
from tranship.replication.verification import Verification
from tranship.replication.writing import BookmarkedWrites
from tranship.slices import Values
from tranship.writes import OnSchemaChange

EVOLVE: dict[str, Any] = {"on_schema_change": OnSchemaChange.EVOLVE}
BY_TIME: dict[str, Any] = {"mode": Mode.MERGE, "cursor": "changed", **EVOLVE}
APPENDED: dict[str, Any] = {"mode": Mode.APPEND, "cursor": "changed", **EVOLVE}
COLUMNS = "id, name, amount, changed, region"
ADD = "alter table {table} add region nvarchar(10) null"
FILL = "update {table} set region = N'EU'"


@pytest.fixture
def loaded(origin: Callable[..., Origin], place: Place) -> Callable[..., Replica]:
    """A table of six rows that was loaded, and then got a column."""

    def make(settings: dict[str, Any], *statements: str, **more: Any) -> Replica:
        made = of(origin(*statements), place, **{**settings, **more})
        made.origin.add(1, 2, 3, 4, 5, 6)
        made.load()
        made.origin.run(ADD)
        return made.changed()

    return make


@pytest.mark.parametrize("settings", [BY_TIME, APPENDED], ids=["merge", "append"])
def test_old_rows_get_the_values_of_a_new_column(
    loaded: Callable[..., Replica], settings: dict[str, Any]
) -> None:
    made = loaded(settings)
    made.origin.run(FILL)
    assert "region filled in old rows" in made.load().what
    made.assert_equal(COLUMNS)
    assert "filled" not in made.load().what
    made.assert_equal(COLUMNS)


def test_a_column_that_is_filled_in_the_source_after_a_load_saw_it_empty(
    loaded: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Due at once: after a slow load, a quarter of its time has not passed when a quick one looks.
    monkeypatch.setattr("tranship.replication.bookmark_facts._PATIENCE", 1_000_000)
    made = loaded(BY_TIME)
    for _ in range(2):
        assert "filled" not in made.load().what
    made.origin.run(FILL)
    assert "region filled in old rows" in made.load().what
    made.assert_equal(COLUMNS)


def test_large_tables_are_filled_in_ranges(loaded: Callable[..., Replica]) -> None:
    made = loaded(BY_TIME, chunk_rows=2)
    made.origin.run(FILL)
    assert "region filled in old rows, in 3 ranges" in made.load().what
    made.assert_equal(COLUMNS)


def test_a_back_fill_that_is_stopped_goes_on_where_it_was(
    loaded: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = loaded(BY_TIME, chunk_rows=2)
    made.origin.run(FILL)
    merged, done = Backfill._merged, list[Any]()

    def once(fill: Backfill, *arguments: Any) -> Any:
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(1)
        return merged(fill, *arguments)

    monkeypatch.setattr(Backfill, "_merged", once)
    with pytest.raises(KeyboardInterrupt):
        made.load()
    assert finding(made) == (False, "Rows that were loaded before lack the values of region.")
    monkeypatch.undo()
    made.origin.add(7, changed="2024-01-05T00:00:00")
    made.origin.run(FILL)
    # Of seven rows, two were done.
    assert "region filled in old rows, in 3 ranges" in made.load().what
    made.assert_equal(COLUMNS)
    assert finding(made)[0]


def finding(made: Replica) -> tuple[bool, str]:
    """What the check of the columns says."""
    changes = column_changes(made.plan, made.source.schema, None)
    bookmark = made.bookmark
    assert bookmark is not None
    check = Verification(
        made.plan, made.source, made.place.target, changes, bookmark
    ).schema_drift()
    return check.passed, check.description


def test_a_column_that_comes_back_is_filled_anew(loaded: Callable[..., Replica]) -> None:
    made = loaded(BY_TIME)
    made.origin.run(FILL)
    made.load()
    made.origin.run("alter table {table} drop column region")
    made.changed().load()
    made.origin.run(ADD, "update {table} set region = N'US'")
    made.changed().load()
    made.assert_equal(COLUMNS)


def test_a_column_with_a_default_is_filled(loaded: Callable[..., Replica]) -> None:
    made = loaded(BY_TIME)
    made.origin.run("alter table {table} add level int not null default 7")
    made.changed().load()
    made.assert_equal("id, level")


def test_columns_that_come_while_a_back_fill_is_under_way_are_filled_too(
    loaded: Callable[..., Replica], meanwhile: Meanwhile
) -> None:
    made = loaded(BY_TIME, chunk_rows=2)
    made.origin.run(FILL)

    def stop() -> None:
        raise KeyboardInterrupt

    meanwhile.after(Backfill, "_merged", stop)
    with pytest.raises(KeyboardInterrupt):
        made.load()
    made.origin.run("alter table {table} add level int not null default 7")
    made.changed().load()
    made.assert_equal(COLUMNS)
    made.assert_equal("id, level")


def test_a_new_column_that_is_masked_is_filled(
    origin: Callable[..., Origin], postgres: Place
) -> None:
    made = of(origin(), postgres, **BY_TIME)
    made.origin.add(1, 2)
    made.load()
    made.origin.run(ADD, FILL)
    made = made.changed(columns=ColumnSettings(mask={"region": "hash"}))
    made.load(mask_key="secret")
    assert None not in {region for (region,) in made.copied("region")}


def test_without_a_key_the_table_is_read_again_where_nothing_was_purged(
    loaded: Callable[..., Replica],
) -> None:
    made = loaded(APPENDED, KEYLESS)
    made.origin.run(FILL)
    assert "region filled by reading the whole table" in made.load().what
    made.assert_equal(COLUMNS)


def test_without_a_key_purged_rows_are_kept_and_the_gap_is_said(
    origin: Callable[..., Origin], place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    made = of(origin(KEYLESS), place, **APPENDED)
    made.origin.add(1, changed="2023-12-01T00:00:00")
    made.origin.add(2, 3)
    made.load()
    made.origin.run(ADD, FILL, "delete from {table} where id = 1")
    made = made.changed()
    for day in (5, 6):
        made.origin.add(day, changed=f"2024-01-0{day}T00:00:00")
        assert "region not filled in old rows" in made.load().what
        assert "keeps null in region" in caplog.text
        assert not finding(made)[0]
    assert (1, None) in made.copied("id, region")


def test_loads_before_the_column_write_no_row_twice(
    loaded: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = loaded(BY_TIME)
    made.load()
    writes: list[Any] = []
    write = BookmarkedWrites.write
    monkeypatch.setattr(
        BookmarkedWrites, "write", lambda *args, **more: (writes.append(1), write(*args, **more))[1]
    )
    made.load()
    assert len(writes) == 1


def test_other_partitions_that_lack_a_new_column_are_said(
    origin: Callable[..., Origin], postgres: Place, caplog: pytest.LogCaptureFixture
) -> None:
    days = PartitionSettings(column="id", values=[1, 2])
    made = of(origin(), postgres, mode=Mode.PARTITION, partitions=days, **EVOLVE)
    made.origin.add(1, 2)
    made.load(partitions=lambda name: Values(name, (1, 2)))
    made.origin.run(ADD, FILL)
    made = made.changed()
    made.load(partitions=lambda name: Values(name, (1,)))
    assert "region is new in" in caplog.text
    assert sorted(made.copied("id, region")) == [(1, "EU"), (2, None)]
