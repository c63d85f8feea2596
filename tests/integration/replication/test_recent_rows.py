"""The rows right behind the bookmark are added up on both sides; a check that cannot compare says so, and does not pass."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.replication.conftest import VERSIONED, Origin, Place, Replica, of

from tranship.cursors import Cursor
from tranship.replication import source_and_copy
from tranship.replication.columns import column_changes
from tranship.replication.config import ColumnSettings
from tranship.replication.plan import Mode, OnDelete
from tranship.replication.verification import Finding, Verification
from tranship.source import HighWaterMark
from tranship.sqlserver.source import SqlServerSource

BY_TIME: dict[str, Any] = {"mode": Mode.MERGE, "cursor": "changed", "lookback": 0}
LATE = "2024-01-02T00:00:00"
HIGHEST = "2024-01-03T00:00:00"


def checks(made: Replica, mask_key: str | None = None) -> Verification:
    """The checks of a copy, by themselves."""
    bookmark = made.bookmark
    assert bookmark is not None
    changes = column_changes(made.plan, made.source.schema, mask_key)
    return Verification(made.plan, made.source, made.place.target, changes, bookmark)


def recent(made: Replica) -> Finding:
    return checks(made).recent_rows()


@pytest.fixture
def loaded(origin: Callable[..., Origin], place: Place) -> Callable[..., Replica]:
    """Three rows, loaded."""

    def make(**settings: Any) -> Replica:
        made = of(origin(), place, **{**BY_TIME, **settings})
        made.origin.add(1, 2, changed="2024-01-01T00:00:00")
        made.origin.add(3, changed=HIGHEST)
        made.load()
        return made

    return make


def test_rows_that_came_late_are_found_and_the_advice_brings_them(
    loaded: Callable[..., Replica],
) -> None:
    made = loaded()
    assert recent(made) == Finding(
        True,
        "3 rows of '2023-12-27T00:00:00 <= \"changed\" <= 2024-01-03T00:00:00' agree".replace(
            "'", ""
        )
        + ", with the sums of id, changed.",
        {
            "window": '2023-12-27T00:00:00 <= "changed" <= 2024-01-03T00:00:00',
            "rows_in_window": 3,
        },
    )
    made.origin.add(4, changed=LATE)
    made.load()
    finding = recent(made)
    assert not finding.passed
    assert not finding.is_warning
    assert "1 rows of" in finding.description
    assert "Load them again with start_from: 2023-12-27T00:00:00." in finding.description
    made.load(start_from="2023-12-27T00:00:00")
    assert recent(made).passed
    made.assert_equal()


def test_a_row_that_was_changed_behind_the_bookmark_is_found_though_counts_agree(
    loaded: Callable[..., Replica],
) -> None:
    made = loaded()
    made.origin.run(f"update {{table}} set amount = 7, changed = '{LATE}' where id = 1")
    made.load()
    assert checks(made).row_count().passed
    finding = recent(made)
    assert not finding.passed
    assert "differ in changed: they were changed behind the bookmark" in finding.description


def test_rows_that_were_changed_since_the_load_do_not_disturb(
    loaded: Callable[..., Replica],
) -> None:
    made = loaded()
    made.origin.run("update {table} set changed = '2024-02-01' where id = 2")
    made.origin.add(5, changed="2024-02-02T00:00:00")
    assert recent(made).passed
    made.origin.run(f"update {{table}} set changed = '{LATE}' where id = 1")
    assert "differ in changed" in recent(made).description


def test_what_cannot_be_compared_is_unknown(
    loaded: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = loaded()
    monkeypatch.setattr(source_and_copy, "MOST_NEWER_KEYS", 0)
    made.origin.run("update {table} set changed = '2024-02-01' where id = 2")
    finding = recent(made)
    assert (finding.passed, finding.is_warning) == (False, True)
    assert finding.description == (
        "Unknown: too much was added or changed since to compare sums now."
    )
    columns = checks(made).columns(True)
    assert (columns.passed, columns.is_warning) == (False, True)
    assert columns.description.startswith("Unknown: too much was added or changed")


def test_columns_are_compared_although_rows_were_changed_since(
    loaded: Callable[..., Replica],
) -> None:
    made = loaded()
    made.origin.run("update {table} set amount = 99, changed = '2024-02-01' where id = 2")
    assert checks(made).columns(True).passed
    made.place.rows("update {} set amount = amount + 1 where id = 1", made.plan.target)
    assert checks(made).columns(True).description == "1 columns differ from the source: amount."


def test_rows_that_are_appended_are_compared_however_many_are_new(
    loaded: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = loaded(mode=Mode.APPEND)
    monkeypatch.setattr(source_and_copy, "MOST_NEWER_KEYS", 0)
    made.origin.add(5, changed="2024-02-02T00:00:00")
    assert recent(made).passed


@pytest.mark.parametrize("policy", OnDelete)
def test_rows_that_are_gone_in_the_window(loaded: Callable[..., Replica], policy: OnDelete) -> None:
    made = loaded(delete=policy)
    made.origin.run("delete from {table} where id = 1")
    finding = recent(made)
    assert (finding.passed, finding.is_warning) == (False, True)
    assert finding.description.startswith("Unknown:") is (policy is OnDelete.IGNORE)
    made.load()
    assert recent(made).passed is (policy is not OnDelete.IGNORE)


def test_the_highest_value_is_compared_beside_the_count(loaded: Callable[..., Replica]) -> None:
    made = loaded()
    made.origin.run(f"update {{table}} set changed = '{LATE}' where id = 3")
    finding = checks(made).row_count()
    assert finding.description == (
        'As many rows on both sides, but the highest "changed" is 2024-01-02T00:00:00 in the source, and '
        "2024-01-03T00:00:00 in the copy."
    )
    assert not finding.passed


TYPES = {
    "datetime2(7)": ("'1999-12-31T23:59:59.9999999'", "'2000-01-01T00:00:00.0000001'"),
    "datetime": ("'1999-12-31T23:59:59.997'", "'2000-01-01T12:00:00.333'"),
    "smalldatetime": ("'1999-12-31T23:59:00'", "'2000-01-02T00:01:00'"),
    "datetimeoffset(3)": ("'1999-12-31T23:59:59.999+02:00'", "'2000-01-01T00:00:00.500-11:30'"),
    "date": ("'1999-12-31'", "'2000-01-05'"),
    "int": ("-2147483648", "2147483647"),
    "bigint": ("9223372036854775806", "9223372036854775807"),
    "decimal(38, 4)": ("1.0001", "12345678901234567890.1234"),
}


@pytest.mark.parametrize("key", ["int", "nvarchar(20)", "uniqueidentifier", "decimal(9, 2)"])
def test_every_kind_of_key_is_told_apart(
    origin: Callable[..., Origin], place: Place, key: str
) -> None:
    values = {
        "uniqueidentifier": [f"'{digit}f9619ff-8b86-d011-b42d-00c04fc964ff'" for digit in "678"],
    }.get(key, ["'11'", "'22'", "'33'"])
    table = f"create table {{table}} (k {key} not null primary key, changed datetime2(6))"
    made = of(origin(table), place, **BY_TIME)
    for value in values:
        made.origin.run(f"insert into {{table}} values ({value}, '2024-01-01')")
    made.load()
    assert recent(made).passed
    made.origin.run(f"update {{table}} set changed = '2024-02-01' where k = {values[0]}")
    assert recent(made).passed, recent(made).description


@pytest.mark.parametrize("kind", TYPES)
def test_every_kind_of_cursor_adds_up_alike(
    origin: Callable[..., Origin], place: Place, kind: str
) -> None:
    table = f"create table {{table}} (id int not null primary key, v {kind})"
    made = of(origin(table), place, mode=Mode.MERGE, cursor="v")
    low, high = TYPES[kind]
    made.origin.run(f"insert into {{table}} values (1, {low}), (2, {high}), (3, null)")
    made.load()
    finding = recent(made)
    assert finding.passed, finding.description
    assert finding.description.endswith("with the sums of id, v.")
    assert checks(made).row_count().passed


def test_a_rowversion_is_compared_and_its_changes_since_do_not_disturb(
    origin: Callable[..., Origin], place: Place
) -> None:
    table = "create table {table} (id binary(2) not null primary key, n int, version rowversion)"
    made = of(origin(table), place, mode=Mode.MERGE, cursor="version", delete=OnDelete.REMOVE)
    made.origin.run("insert into {table} (id, n) values (0x0001, 1), (0x0100, 2), (0x0101, 3)")
    made.load()
    for check in (checks(made).row_count, checks(made).recent_rows):
        assert check().passed, check()
    made.origin.run(
        "update {table} set n = 4 where id = 0x0100",
        "insert into {table} (id, n) values (0x0102, 5)",
    )
    for check in (checks(made).row_count, checks(made).recent_rows):
        assert check().passed, check()
    made.origin.run("delete from {table} where id = 0x0001")
    made.load(allow_deletes=True)
    made.place.rows("delete from {} where n = 3", made.plan.target)
    assert not checks(made).row_count().passed
    # Its key is asked for by the bytes that it is of, so that it comes back.
    made.load(allow_deletes=True)
    assert sorted(made.copied("n")) == [(3,), (4,), (5,)]
    assert checks(made).row_count().passed


def test_a_rowversion_that_is_left_out_is_no_obstacle(
    origin: Callable[..., Origin], postgres: Place
) -> None:
    made = of(
        origin(VERSIONED),
        postgres,
        mode=Mode.MERGE,
        cursor="version",
        columns=ColumnSettings(exclude=["version"]),
    )
    made.origin.add(1, 2)
    made.load()
    assert recent(made).passed
    made.place.rows("delete from {} where id = 1", made.plan.target)
    assert "1 rows of" in recent(made).description


def test_a_rowversion_that_stands_still_is_told_by_the_run_and_by_the_check(
    origin: Callable[..., Origin],
    postgres: Place,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = of(origin(VERSIONED), postgres, mode=Mode.MERGE, cursor="version")
    made.origin.add(1, 2)
    made.load()
    bookmark = made.bookmark
    assert bookmark is not None
    at = int(str(bookmark.cursor_value), 16).to_bytes(8)

    def secondary(_: SqlServerSource, __: Cursor) -> HighWaterMark:
        return HighWaterMark(at, is_final=True, counter=at, furthest=(2**40).to_bytes(8))

    monkeypatch.setattr(SqlServerSource, "highest", secondary)
    for _ in range(2):
        made.load()
        assert "may be behind" not in caplog.text
        assert checks(made).row_count().passed
    made.load()
    assert "for 3 loads the source has let rows be loaded up to" in caplog.text
    assert "read from the primary" in caplog.text
    finding = checks(made).row_count()
    assert (finding.passed, finding.is_warning) == (False, True)
    assert finding.description.startswith("Unknown: for 3 loads")
    monkeypatch.undo()
    made.load()
    assert checks(made).row_count().passed


def test_a_copy_that_is_gone_does_not_pass(origin: Callable[..., Origin], postgres: Place) -> None:
    made = of(origin(), postgres, **BY_TIME)
    made.origin.add(1)
    made.load()
    made.place.rows("drop table {}", made.plan.target)
    assert "is gone" in checks(made).schema_drift().description
