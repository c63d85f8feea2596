"""Settings, keys and moments that a load by Change Tracking meets."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.replication.conftest import Meanwhile, Replica
from tests.integration.replication.killing import LOADING, Loaders

from tranship.errors import ConfigurationError
from tranship.replication import tracked_changes
from tranship.replication.columns import column_changes
from tranship.replication.config import ColumnSettings
from tranship.replication.deletions import DeletionsStoppedError
from tranship.replication.plan import Mode, OnDelete
from tranship.replication.verification import Verification
from tranship.sqlserver.change_tracking import TrackedTable

CHANGED = (
    "update {table} set name = N'x' where id in (3, 4)",
    "delete from {table} where id in (1, 2)",
    "insert into {table} (id, name, amount) values (90, N'new', 1)",
)


def test_rows_that_are_gone_are_marked(copy: Callable[..., Replica]) -> None:
    made = copy(delete=OnDelete.MARK)
    made.origin.add(*range(1, 11))
    made.load()
    made.origin.run(*CHANGED)
    report = made.load()
    assert report.deletes is not None
    assert report.deletes.rows == 2
    marked = "select id from {} where _deleted_at is not null order by id"
    assert made.place.rows(marked, made.plan.target) == [(1,), (2,)]
    made.origin.add(2)
    made.load()
    assert made.place.rows(marked, made.plan.target) == [(1,)]


def test_rows_that_are_gone_may_stay(copy: Callable[..., Replica]) -> None:
    made = copy(delete=OnDelete.IGNORE)
    made.origin.add(*range(1, 11))
    made.load()
    made.origin.run(*CHANGED)
    made.load()
    assert {row[0] for row in made.copied()} == {*range(1, 11), 90}


def test_too_many_that_are_gone_stop_the_load_with_the_copy_as_it_was(
    copy: Callable[..., Replica],
) -> None:
    made = copy(delete_guard="20%")
    made.origin.add(*range(1, 31))
    made.load()
    before = sorted(made.copied())
    made.origin.run("delete from {table} where id <= 20", "update {table} set name = N'x'")
    with pytest.raises(DeletionsStoppedError, match="20 of the 30 rows"):
        made.load()
    assert sorted(made.copied()) == before
    made.load(allow_deletes=True)
    made.assert_equal()


def test_a_row_that_the_condition_lets_through_no_more_goes(copy: Callable[..., Replica]) -> None:
    made = copy(where="amount < 6")
    made.origin.add(*range(1, 11))
    made.load()
    made.origin.run(
        "update {table} set amount = 100 where id = 2", "update {table} set amount = 1 where id = 9"
    )
    made.load()
    assert {row[0] for row in made.copied()} == {1, 3, 4, 5, 9}


def test_columns_are_chosen_renamed_cast_and_masked_as_ever(copy: Callable[..., Replica]) -> None:
    columns = ColumnSettings(
        exclude=["changed"], rename={"id": "Key"}, cast={"amount": "nvarchar(20)"}, mask={"name": "redact"},
    )  # fmt: skip
    made = copy(columns=columns)
    made.origin.add(*range(1, 4))
    made.load()
    made.origin.run(
        "delete from {table} where id = 1", "update {table} set amount = 5 where id = 2"
    )
    made.load()
    statement = "select {}, amount, name from {{}} order by 1"
    name = made.place.target.name("Key")
    assert made.place.rows(statement.format(f'"{name}"'), made.plan.target) == [
        (2, "5.00", "***"),
        (3, "3.25", "***"),
    ]


@pytest.mark.parametrize("collation", ["Latin1_General_CI_AS", "Latin1_General_BIN2"])
def test_a_composite_key_of_texts_in_another_spelling(
    copy: Callable[..., Replica], collation: str
) -> None:
    made = copy(
        f"create table {{table}} (code nvarchar(20) collate {collation} not null, n int not null, v int, "
        "primary key (code, n))"
    )
    made.origin.run("insert into {table} values (N'abc', 1, 1), (N'abc', 2, 2), (N'def', 1, 3)")
    made.load()
    made.origin.run(
        "update {table} set code = N'ABC' where code = N'abc' and n = 1",
        "delete from {table} where code = N'def'",
    )
    made.load()
    made.assert_equal("code, n, v")


@pytest.mark.usefixtures("snapshots_off")
def test_without_snapshot_isolation_changes_arrive_and_the_run_says_what_to_switch_on(
    copy: Callable[..., Replica], caplog: pytest.LogCaptureFixture
) -> None:
    made = copy()
    made.origin.add(*range(1, 11))
    made.load()
    made.origin.run(*CHANGED)
    with caplog.at_level("INFO"):
        made.load()
    made.assert_equal()
    assert "alter database current set allow_snapshot_isolation on" in caplog.text


def test_where_each_statement_sees_its_own_moment_one_transaction_still_sees_one(
    copy: Callable[..., Replica], source_connection: Any, caplog: pytest.LogCaptureFixture
) -> None:
    made = copy()
    made.origin.add(*range(1, 11))
    run = source_connection.cursor().execute
    run("alter database current set read_committed_snapshot on")
    try:
        made.load()
        made.origin.run(*CHANGED)
        with caplog.at_level("INFO"):
            made.load()
    finally:
        run("alter database current set read_committed_snapshot off")
    made.assert_equal()
    assert "are read under" not in caplog.text


def test_a_first_load_in_chunks_has_what_changed_while_it_was_read(
    copy: Callable[..., Replica], meanwhile: Meanwhile
) -> None:
    made = copy(chunk_rows=10)
    made.origin.add(*range(1, 41))
    meanwhile.in_the_stream(lambda: made.origin.run(*CHANGED))
    what = made.load().what
    assert "for the first time, in" in what
    assert "that changed since version" in what
    made.assert_equal()


@pytest.mark.parametrize("number", [1, 3])
def test_a_first_load_that_is_killed_between_chunks_keeps_its_first_version(
    loaders: Loaders, copy: Callable[..., Replica], number: int
) -> None:
    made = copy(chunk_rows=10)
    made.origin.add(*range(1, 41))
    loaders.kill_at(made.job(), LOADING[5], number)
    # In chunks that are committed, and in those that are not.
    made.origin.run(
        "delete from {table} where id in (2, 35)",
        "update {table} set name = N'x' where id in (3, 36)",
    )
    made.load()
    made.assert_equal()


@pytest.mark.parametrize(
    "stage", [stage for stage in LOADING if stage.name != "highest value asked"], ids=str
)
def test_a_load_that_is_killed_is_made_good_by_the_next(
    loaders: Loaders, copy: Callable[..., Replica], stage: Any
) -> None:
    made = copy()
    made.origin.add(*range(1, 41))
    made.load()
    made.origin.run(*CHANGED, "update {table} set name = N'y' where id > 10")
    # The keys of rows that are gone are a stream and a move of the bookmark of their own.
    is_second = stage.name == "middle of the stream" or "moved" in stage.name
    loaders.kill_at(made.job(), stage, 2 if is_second else 1)
    made.origin.run("delete from {table} where id = 5")
    made.load()
    made.assert_equal()


def test_of_two_loads_at_once_one_gives_way_and_both_end_well(
    loaders: Loaders, copy: Callable[..., Replica]
) -> None:
    made = copy()
    made.origin.add(*range(1, 41))
    made.load()
    for number in range(3):
        made.origin.run(
            f"delete from {{table}} where id = {number + 10}",
            f"update {{table}} set name = N'{number}' where id > {number + 15}",
        )
        assert loaders.run(made.job(), made.job()) == [0, 0]
        made.assert_equal()


def test_a_load_that_another_one_overtook_removes_nothing_by_the_others_keys(
    copy: Callable[..., Replica], meanwhile: Meanwhile
) -> None:
    made = copy()
    made.origin.add(*range(1, 11))
    made.load()
    made.origin.run("delete from {table} where id = 1")

    def other() -> None:
        made.origin.add(1)
        made.load()

    meanwhile.before(TrackedTable, "changes", other)
    made.load()
    made.assert_equal()


def test_when_most_rows_changed_all_are_read(
    copy: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracked_changes, "_FEW_ROWS", 10)
    made = copy()
    made.origin.add(*range(1, 51))
    made.load()
    made.origin.run("update {table} set name = N'x' where id <= 9")
    assert made.load().what.startswith("9 rows that changed")
    made.origin.run("update {table} set name = N'y' where id <= 30")
    assert "30 of about 50 rows changed" in made.load().what
    made.assert_equal()


def test_the_checks_hold_the_copy_against_the_version_that_it_is_of(
    copy: Callable[..., Replica],
) -> None:
    made = copy()
    made.origin.add(*range(1, 21))

    def check() -> Verification:
        report = made.load()
        return Verification(
            plan=made.plan, source=made.source, target=made.place.target,
            changes=column_changes(made.plan, made.source.schema, None), bookmark=report.bookmark,
        )  # fmt: skip

    assert check().row_count().passed
    made.origin.run(*CHANGED)
    verification = check()
    assert verification.row_count().facts == {"rows_in_source": 19, "rows_in_copy": 19}
    assert verification.columns(True).passed
    # A row too few in the copy, and a value that differs.
    made.place.rows("delete from {} where id = 5 returning 1" if made.place.target.kind == "postgres" else "delete from {} where id = 5; select 1", made.plan.target)  # fmt: skip
    assert not verification.row_count().passed
    assert not verification.columns(True).passed
    # What changed in the source since is no fault of the copy: it cannot be said.
    made.origin.run("update {table} set amount = 77 where id = 8")
    finding = verification.columns(True)
    assert (finding.passed, finding.is_warning) == (False, True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": Mode.REPLACE, "delete": OnDelete.IGNORE}, "Set mode to merge"),
        ({"cursor": "changed"}, "Leave one of them out"),
        ({"key": ("name",)}, "by the table's primary key"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    copy: Callable[..., Replica], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        copy(**settings).load()
