"""Large first loads: cut by any column that orders, each piece committed, the rest taken up again."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.replication.conftest import EVENTS, KEYLESS, Meanwhile, Replica

from tranship.errors import TranshipError
from tranship.replication.columns import ColumnChanges
from tranship.replication.plan import Mode
from tranship.slices import Interval, Slice
from tranship.sqlserver.source import SqlServerSource

BY_TIME = {"mode": Mode.MERGE, "cursor": "changed"}

VALUES: dict[str, tuple[str, ...]] = {
    "tinyint": ("0", "1", "254", "255"),
    "int": ("-2147483648", "0", "1", "2147483647"),
    "decimal(3, 1)": ("-99.9", "0.1", "0.2", "99.9"),
    "decimal(4, 0)": ("-9999", "0", "1", "9999"),
    "date": ("'0001-01-01'", "'2024-02-28'", "'2024-02-29'", "'9999-12-31'"),
    "datetime": (
        "'2024-01-01T00:00:00.003'", "'2024-01-01T00:00:00.007'", "'2024-01-01T00:00:00.010'",
        "'9999-12-31T23:59:59.997'",
    ),
    "datetime2(7)": (
        "'0001-01-01T00:00:00.0000000'", "'2024-01-01T00:00:00.1234561'", "'2024-01-01T00:00:00.1234579'",
        "'9999-12-31T23:59:59.9999999'",
    ),
    "datetimeoffset(7)": (
        "'2024-01-01T00:00:00.1234561+02:00'", "'2023-12-31T22:00:00.1234579+00:00'",
        "'2024-01-01T12:00:00-05:00'", "'2024-06-01T12:00:00-05:00'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("type_", VALUES)
def test_a_first_load_is_cut_by_columns_of_every_kind(
    replica: Callable[..., Replica], type_: str
) -> None:
    made = replica(
        f"create table {{table}} (id int not null primary key, part {type_} not null)",
        mode=Mode.MERGE,
        chunk_column="part",
        chunk_rows=4,
    )
    # Three rows of each value: the fourth, at which the first chunk is cut, has ties after it.
    values = [value for value in VALUES[type_] for _ in range(3)]
    made.origin.run(
        "insert into {table} values "
        + ", ".join(f"({id_}, {value})" for id_, value in enumerate(values))
    )
    report = made.load()
    assert [write.rows for write in report.writes][:2] == [6, 6]
    assert report.rows == 12
    assert report.bookmark.loading is None
    made.assert_equal("id")


def test_a_first_load_that_failed_goes_on_where_it_was_stopped(
    replica: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = replica(EVENTS, **BY_TIME, chunk_rows=10)
    made.origin.add(*range(1, 41), changed="2024-01-01")
    original, read = SqlServerSource.read, []

    def failing(source: SqlServerSource, columns: Any, part: Slice, **settings: Any) -> Any:
        if len(read) == 2:
            raise TranshipError("The source broke.")
        read.append(str(part))
        return original(source, columns, part, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(SqlServerSource, "read", failing)
        with pytest.raises(TranshipError, match="The source broke"):
            made.load()
    assert read == ['"id" <= 10', '10 < "id" <= 20']
    assert made.bookmark is not None
    assert made.bookmark.loading == {"column": "id", "after": "20"}
    assert made.bookmark.cursor_value == "2024-01-01T00:00:00"
    # Meanwhile rows come and change, also in the part that was loaded.
    made.origin.add(41, 42, changed="2024-01-02")
    made.origin.run("update {table} set name = N'late', changed = '2024-01-02' where id in (1, 30)")

    def watched(source: SqlServerSource, columns: Any, part: Slice, **settings: Any) -> Any:
        read.append(str(part))
        return original(source, columns, part, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(SqlServerSource, "read", watched)
        made.load()
    assert read[2:] == ['20 < "id" <= 30', '30 < "id" <= 40', '40 < "id"']
    # The bookmark is of the time when the first chunk was begun.
    assert made.bookmark.cursor_value == "2024-01-01T00:00:00"
    made.load()
    made.assert_equal()


def test_an_unfinished_first_load_is_begun_anew_where_the_settings_changed(
    replica: Callable[..., Replica], meanwhile: Meanwhile
) -> None:
    made = replica(EVENTS, **BY_TIME, chunk_rows=10)
    made.origin.add(*range(1, 41))
    stop(made)
    after = made.changed(where="id > 5")
    assert "were changed in the settings" in after.load().what
    assert len(after.copied()) == 35
    assert after.bookmark is not None
    assert after.bookmark.loading is None


def test_a_first_load_by_key_that_is_asked_to_reload_starts_again(
    replica: Callable[..., Replica],
) -> None:
    made = replica(EVENTS, **BY_TIME, chunk_rows=10)
    made.origin.add(*range(1, 41))
    stop(made)
    made.origin.run("update {table} set name = N'silently' where id = 1")
    assert made.load(full_reload=True).rows == 40
    made.assert_equal()


def stop(made: Replica) -> None:
    """Stop a first load after its first chunk."""
    original, calls = ColumnChanges.applied, []

    def failing(changes: ColumnChanges, batches: Any) -> Any:
        calls.append(batches)
        if len(calls) == 2:
            raise TranshipError("It was stopped.")
        return original(changes, batches)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ColumnChanges, "applied", failing)
        with pytest.raises(TranshipError, match="It was stopped"):
            made.load()
    assert made.bookmark is not None
    assert made.bookmark.loading is not None


def test_a_table_without_key_is_cut_by_the_column_that_is_named_for_it(
    replica: Callable[..., Replica],
) -> None:
    made = replica(KEYLESS, mode=Mode.APPEND, cursor="changed", chunk_column="id", chunk_rows=10)
    made.origin.add(*range(1, 41), changed="2024-01-01")
    assert [write.rows for write in made.load().writes] == [10, 10, 10, 10]
    made.origin.add(41, changed="2024-01-01")
    made.origin.add(42, changed="2024-01-02")
    made.load()
    made.load()
    made.assert_equal()


def test_a_table_that_cannot_be_cut_is_loaded_at_once_and_the_log_says_why(
    replica: Callable[..., Replica],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = replica(KEYLESS, mode=Mode.APPEND, cursor="changed", chunk_rows=10)
    made.origin.add(*range(1, 41))
    # Not every server has counted a table that is this new.
    monkeypatch.setattr(SqlServerSource, "estimated_rows", lambda _: 40)
    with caplog.at_level("INFO"):
        assert len(made.load().writes) == 1
    assert "no key of numbers or times to cut it by" in caplog.text


def test_the_rows_of_an_existing_copy_are_replaced_at_once(
    replica: Callable[..., Replica], meanwhile: Meanwhile
) -> None:
    made = replica(EVENTS, **BY_TIME, chunk_rows=10)
    made.origin.add(*range(1, 41))
    made.load()
    assert len(made.load(full_reload=True).writes) == 1
    made.assert_equal()


@pytest.mark.parametrize("part", [Interval("id", None, 11, includes_high=False)], ids=str)
def test_a_count_and_a_cut_agree(replica: Callable[..., Replica], part: Interval) -> None:
    made = replica(EVENTS)
    made.origin.add(*range(1, 41))
    assert made.source.count(part) == 10
    assert made.source.chunk_end("id", part, 9) == 9
    assert made.source.chunk_end("id", part, 10) is None
