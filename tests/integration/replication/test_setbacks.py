"""Cursors that go back or run ahead: deleted, corrected and mistyped values, restored states, the end of summer time."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.replication.conftest import (
    EVENTS,
    KEYLESS,
    VERSIONED,
    Origin,
    Place,
    Replica,
    of,
)

from tranship.errors import ConfigurationError
from tranship.replication.change_detection import CursorWentBackError
from tranship.replication.columns import column_changes
from tranship.replication.plan import LateRows, Mode, OnCursorBack
from tranship.replication.verification import Verification
from tranship.sqlserver.source import SqlServerSource

BY_TIME = {"mode": Mode.MERGE, "cursor": "changed"}
KEYLESS_BY_TIME = {"mode": Mode.APPEND, "cursor": "changed"}


def at_minute(made: Replica, *minutes: int) -> None:
    """A row for each minute, with its number as the id."""
    for minute in minutes:
        made.origin.add(minute, changed=f"2024-01-01T00:{minute:02d}:00")


def bookmark_of(made: Replica) -> str | None:
    assert made.bookmark is not None
    return made.bookmark.cursor_value


# ---- below the bookmark ----


def test_rows_below_the_bookmark_are_found_where_the_newest_was_corrected(
    replica: Callable[..., Replica],
) -> None:
    made = replica(**BY_TIME, lookback="1 minute")
    at_minute(made, 10, 20, 50)
    made.load()
    made.origin.run("update {table} set changed = '2024-01-01T00:15:00' where id = 50")
    at_minute(made, 30)
    report = made.load()
    assert 'the highest "changed"' in report.what
    assert "2024-01-01T00:30:00, below the bookmark 2024-01-01T00:50:00" in report.what
    made.assert_equal()
    assert bookmark_of(made) == "2024-01-01T00:30:00"
    assert made.load().rows == 1


@pytest.mark.parametrize("left", [20, 0])
def test_rows_that_were_deleted_in_the_source_stay_and_newer_ones_come(
    replica: Callable[..., Replica], left: int
) -> None:
    made = replica(**BY_TIME)
    at_minute(made, *range(1, 41))
    made.load()
    made.origin.run(f"delete from {{table}} where id > {left}")
    made.load()
    at_minute(made, 50)
    made.load()
    assert sorted(made.copied("id")) == [(id_,) for id_ in (*range(1, 41), 50)]


@pytest.mark.parametrize("left", [20, 0])
def test_the_bookmark_of_a_table_without_key_stays_where_only_the_newest_rows_were_deleted(
    replica: Callable[..., Replica], left: int
) -> None:
    made = replica(KEYLESS, **KEYLESS_BY_TIME)
    at_minute(made, *range(1, 41))
    made.load()
    made.origin.run(f"delete from {{table}} where id > {left}")
    assert "now" in made.load().what
    assert bookmark_of(made) == "2024-01-01T00:40:00"
    at_minute(made, 50)
    made.load()
    assert sorted(made.copied("id")) == [(id_,) for id_ in (*range(1, 41), 50)]


def restored(replica: Callable[..., Replica], **settings: Any) -> Replica:
    """A copy of a table without key, which has gone back to an older state and on from there."""
    made = replica(KEYLESS, **KEYLESS_BY_TIME, **settings)
    at_minute(made, 1, 2, 50)
    made.load()
    made.origin.run("delete from {table} where id = 50")
    at_minute(made, 3, 4)
    return made


def test_a_table_without_key_that_went_back_fails_in_words(replica: Callable[..., Replica]) -> None:
    made = restored(replica)
    with pytest.raises(CursorWentBackError) as caught:
        made.load()
    assert "is 2024-01-01T00:04:00, below the bookmark 2024-01-01T00:50:00" in str(caught.value)
    assert "with 4 rows up to there where the copy has 2" in str(caught.value)
    assert "Set on_cursor_back to reload" in str(caught.value)
    assert sorted(made.copied("id")) == [(1,), (2,), (50,)]


def test_a_table_without_key_that_went_back_is_loaded_again_as_set(
    replica: Callable[..., Replica],
) -> None:
    made = restored(replica, on_cursor_back=OnCursorBack.RELOAD)
    assert made.load().what.startswith("the whole table, because the highest")
    made.assert_equal()
    at_minute(made, 5)
    made.load()
    made.assert_equal()


def test_a_load_goes_on_from_its_bookmark_as_set_and_says_so(
    replica: Callable[..., Replica], caplog: pytest.LogCaptureFixture
) -> None:
    made = restored(replica, on_cursor_back=OnCursorBack.WARN, lookback="1 minute")
    assert "though the highest value is 2024-01-01T00:04:00 now" in made.load().what
    assert "rows that come between the two are not read" in caplog.text
    assert bookmark_of(made) == "2024-01-01T00:50:00"
    changes = column_changes(made.plan, made.source.schema, None)
    assert made.bookmark is not None
    finding = Verification(
        made.plan, made.source, made.place.target, changes, made.bookmark
    ).row_count()
    assert not finding.passed


@pytest.mark.source_can("min_active_rowversion")
def test_a_row_that_was_changed_last_and_deleted_costs_no_reload_with_a_rowversion(
    replica: Callable[..., Replica],
) -> None:
    made = replica(VERSIONED, mode=Mode.MERGE, cursor="version")
    made.origin.add(*range(40))
    made.load()
    made.origin.add(50)
    made.load()
    made.origin.run("delete from {table} where id = 50")
    report = made.load()
    assert "all rows" not in report.what
    assert sorted(made.copied("id")) == [(id_,) for id_ in (*range(40), 50)]


# ---- beyond the server's clock ----


@pytest.mark.parametrize("ddl", [EVENTS, KEYLESS], ids=["with key", "without key"])
@pytest.mark.parametrize(
    "ahead", [timedelta(hours=5), timedelta(days=3), timedelta(days=365_000)], ids=str
)
def test_a_value_beyond_the_clock_keeps_no_later_row_out(
    replica: Callable[..., Replica], ddl: str, ahead: timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    made = replica(ddl, **(BY_TIME if ddl is EVENTS else KEYLESS_BY_TIME))
    at_minute(made, 1, 2)
    far = (datetime.now(UTC).replace(tzinfo=None) + ahead).isoformat(timespec="seconds")
    made.origin.add(99, changed=far)
    made.load()
    assert bookmark_of(made) == "2024-01-01T00:02:00"
    made.origin.run("update {table} set name = N'changed' where id = 99")
    at_minute(made, 5)
    made.load()
    made.assert_equal()
    assert f"is {far}, beyond the server's clock" in caplog.text
    at_minute(made, 6)
    made.load()
    made.load()
    made.assert_equal()


@pytest.mark.parametrize("type_", ["date", "datetime", "smalldatetime", "datetimeoffset(7)"])
def test_a_sentinel_of_any_type_moves_no_bookmark(
    replica: Callable[..., Replica], type_: str
) -> None:
    made = replica(
        f"create table {{table}} (id int not null primary key, at {type_} not null)",
        mode=Mode.MERGE,
        cursor="at",
    )
    made.origin.run("insert into {table} values (1, '2079-01-01'), (2, '2024-01-01')")
    made.load()
    assert (bookmark_of(made) or "").startswith("2024-01-01")
    made.origin.run("insert into {table} values (3, '2024-01-02')")
    made.load()
    made.assert_equal("id, at")


def test_a_table_of_nothing_but_sentinels_is_read_whole(replica: Callable[..., Replica]) -> None:
    made = replica(KEYLESS, **KEYLESS_BY_TIME)
    for ids in ((1, 2), (3,), ()):
        made.origin.add(*ids, changed="9999-12-31") if ids else None
        made.load()
        made.assert_equal()
    assert bookmark_of(made) is None


def test_a_bookmark_that_an_earlier_load_left_beyond_the_clock_is_given_up(
    replica: Callable[..., Replica],
) -> None:
    made = replica(**BY_TIME)
    at_minute(made, 1, 2)
    made.load()
    made.place.rows(
        f"update {made.plan.target.schema}.tranship_bookmarks set cursor_value = '9999-12-31T00:00:00' returning 1"
    )
    at_minute(made, 3)
    assert "below the bookmark 9999-12-31T00:00:00" in made.load().what
    made.assert_equal()
    assert bookmark_of(made) == "2024-01-01T00:03:00"


# ---- the end of summer time ----


@pytest.mark.parametrize("ddl", [EVENTS, KEYLESS], ids=["with key", "without key"])
def test_rows_of_the_hour_that_comes_twice_are_not_lost(
    replica: Callable[..., Replica], ddl: str
) -> None:
    made = replica(ddl, **(BY_TIME if ddl is EVENTS else KEYLESS_BY_TIME))
    clock = ["00:30:00", "02:15:00", "02:59:59", "02:00:00", "02:15:00", "02:59:58", "03:00:01"]
    for id_, time in enumerate(clock):
        made.origin.add(id_, changed=f"2024-10-27T{time}")
        made.load()
        made.assert_equal()


LOCAL = EVENTS.replace("changed datetime2(6)", "changed datetime2(6) default getdate()")
UNIVERSAL = EVENTS.replace("changed datetime2(6)", "changed datetime2(6) default sysutcdatetime()")


def test_a_short_lookback_is_refused_for_a_column_of_the_servers_own_clock(
    replica: Callable[..., Replica],
) -> None:
    made = replica(LOCAL, **BY_TIME, lookback="15 minutes")
    with pytest.raises(
        ConfigurationError, match=r'"changed" is filled by \(?getdate\(\)\)?'
    ) as caught:
        made.load()
    assert "make it longer than an hour" in str(caught.value)
    for settings in ({"lookback": "2 hours"}, {"lookback": None}, {"late_rows": LateRows.IGNORE}):
        made.changed(**settings).load()


def test_a_short_lookback_does_for_a_column_of_utc(replica: Callable[..., Replica]) -> None:
    replica(UNIVERSAL, **BY_TIME, lookback="15 minutes").load()


# ---- late rows without a key ----


@pytest.mark.parametrize("late", ["00:39:00", "00:40:00", "00:00:00"])
def test_rows_committed_late_come_to_a_table_without_key(
    replica: Callable[..., Replica], late: str
) -> None:
    made = replica(KEYLESS, **KEYLESS_BY_TIME)
    at_minute(made, *range(30, 41))
    made.load()
    made.origin.add(99, changed=f"2024-01-01T{late}")
    made.load()
    made.load()
    made.assert_equal()


def test_late_and_purged_rows_are_counted_in_the_names_of_either_target(
    origin: Callable[..., Origin], place: Place
) -> None:
    made = of(
        origin(KEYLESS.replace("changed", "[Changed At]")),
        place,
        mode=Mode.APPEND,
        cursor="Changed At",
    )
    add = "insert into {table} (id, amount, [Changed At]) values "
    made.origin.run(add + "(1, 1, '2024-01-01T00:01:00'), (2, 1, '2024-01-01T00:02:00')")
    made.load()
    made.origin.run("delete from {table} where id = 1", add + "(3, 1, '2024-01-01T00:01:30')")
    made.load()
    assert sorted(made.copied("id")) == [(1,), (2,), (3,)]
    made.origin.run("delete from {table} where id = 2")
    assert "though the highest value" in made.load().what
    assert sorted(made.copied("id")) == [(1,), (2,), (3,)]


def test_rows_committed_late_come_to_numbers_without_key(replica: Callable[..., Replica]) -> None:
    made = replica(KEYLESS, mode=Mode.APPEND, cursor="id")
    made.origin.add(1, 2, 4, 900)
    made.load()
    made.origin.add(3, 901)
    made.load()
    made.assert_equal()


def test_rows_that_were_purged_from_the_lookback_stay_and_late_ones_after_them_come(
    replica: Callable[..., Replica],
) -> None:
    made = replica(KEYLESS, **KEYLESS_BY_TIME)
    at_minute(made, *range(1, 11))
    made.load()
    made.origin.run("delete from {table} where id <= 5")
    made.origin.add(99, changed="2024-01-01T00:08:30")
    made.load()
    assert sorted(made.copied("id")) == [(id_,) for id_ in (*range(1, 11), 99)]


def test_what_was_purged_in_the_middle_is_told_from_nothing_and_said(
    replica: Callable[..., Replica], caplog: pytest.LogCaptureFixture
) -> None:
    made = replica(KEYLESS, **KEYLESS_BY_TIME)
    at_minute(made, *range(1, 11))
    made.load()
    made.origin.run("delete from {table} where id in (4, 5)")
    at_minute(made, 11)
    made.load()
    assert sorted(made.copied("id")) == [(id_,) for id_ in range(1, 12)]
    assert "cannot be told from them" in caplog.text


# ---- what the server gives ----


@pytest.mark.source_can("min_active_rowversion")
def test_a_rowversion_that_arrives_as_a_number_is_refused(
    replica: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = replica(VERSIONED, mode=Mode.MERGE, cursor="version")
    made.origin.add(1)
    original: Callable[..., Any] = SqlServerSource.ask

    def numbers(source: SqlServerSource, statement: Any) -> Any:
        return [
            tuple(int.from_bytes(one) if isinstance(one, bytes) else one for one in row)
            for row in original(source, statement)
        ]

    monkeypatch.setattr(SqlServerSource, "ask", numbers)
    with pytest.raises(
        Exception, match='as a value of the cursor "version", which is a rowversion'
    ):
        made.load()
    assert made.bookmark is None


@pytest.mark.source_can("min_active_rowversion")
def test_the_highest_rowversion_is_asked_for_as_eight_bytes(origin: Callable[..., Origin]) -> None:
    made = origin(VERSIONED)
    made.add(1)
    (version,) = made.rows("cast(max(version) as binary(8))")[0]
    assert isinstance(version, bytes)
    assert len(version) == 8
