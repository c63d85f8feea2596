"""Where captured changes do not reach back to the copy, or do not tell all, the run says why; no copy is wrong and green."""

import re
from collections.abc import Callable

import pytest
from tests.integration.replication.capture.conftest import Captured
from tests.integration.replication.conftest import EVENTS, Meanwhile

from standins.sqlserver.remote import SqlServerProcess
from tranship.change_feeds import ChangesLostError
from tranship.errors import ConfigurationError
from tranship.replication.plan import FollowedChanges, Mode, OnGap
from tranship.sqlserver import change_data_capture


@pytest.fixture
def loaded(copy: Callable[..., Captured]) -> Captured:
    """Ten rows and their copy."""
    made = copy()
    made.replica.origin.add(*range(1, 11))
    made.scan()
    made.load()
    return made


CHANGED = ("update {table} set name = N'y' where id = 2", "delete from {table} where id = 1")


def cleaned_up(made: Captured) -> None:
    made.run(*CHANGED)
    made.scan()
    made.clean_up()


def instance_made_anew(made: Captured) -> None:
    made.disable()
    made.run(*CHANGED)
    made.enable()
    made.scan()


def switched_to_one_that_begins_too_late(made: Captured) -> None:
    made.run(*CHANGED)
    made.scan()
    made.enable(capture_instance=f"{made.name}_two")
    made.disable(f"dbo_{made.name}")
    made.scan()


def table_made_anew(made: Captured) -> None:
    made.run("drop table {table}", EVENTS)
    made.enable()
    made.replica.origin.add(7, 8)
    made.scan()


GAPS: dict[Callable[[Captured], None], str] = {
    cleaned_up: "has changes from LSN .* on, and the copy is of LSN .*: those between were cleaned up",
    instance_made_anew: "or the instance was made anew",
    switched_to_one_that_begins_too_late: "or after the copy",
    table_made_anew: "the table was created anew",
}


@pytest.mark.parametrize("gap", GAPS, ids=lambda gap: gap.__name__)
def test_a_gap_is_named_and_answered_by_the_whole_table(
    loaded: Captured, gap: Callable[[Captured], None]
) -> None:
    gap(loaded)
    again = loaded.again()  # looked up anew: the table may be another one
    what = again.load()
    again.assert_equal()
    assert what.startswith("the whole table")
    assert re.search(GAPS[gap], what), what
    again.replica.origin.add(500)
    again.scan()
    assert again.load().startswith("1 rows that changed since LSN")
    again.assert_equal()


@pytest.mark.parametrize("gap", [cleaned_up, instance_made_anew], ids=lambda gap: gap.__name__)
def test_a_gap_fails_the_load_where_the_settings_say_so(
    loaded: Captured, gap: Callable[[Captured], None]
) -> None:
    gap(loaded)
    before = loaded.replica.copied()
    with pytest.raises(ChangesLostError, match="Nothing was written"):
        loaded.again(on_gap=OnGap.FAIL).load()
    assert loaded.replica.copied() == before


def test_capture_that_was_switched_off_and_on_is_a_gap(
    copy: Callable[..., Captured], server: SqlServerProcess
) -> None:
    made = copy()
    made.replica.origin.add(1, 2, 3)
    made.scan()
    made.load()
    server.execute("exec sys.sp_cdc_disable_db; exec sys.sp_cdc_enable_db")
    made.enable()
    made.run("exec sys.sp_cdc_stop_job @job_type = N'capture'", "delete from {table} where id = 1")
    assert "or the instance was made anew" in made.load()
    made.assert_equal()


def test_a_database_that_went_back_is_a_gap_also_where_its_recovery_fork_is_not_seen(
    loaded: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a database says that was restored to a moment before anything was captured.
    earlier = "select cast(0x0000002a000000000001 as binary(10)), getdate(), getdate()"
    monkeypatch.setattr(change_data_capture, "_REACHED", earlier)
    assert "the database has captured LSN 0000002a:00000000:0001: an older state was restored" in loaded.load()  # fmt: skip
    monkeypatch.undo()
    loaded.replica.origin.add(77)
    loaded.scan()
    loaded.load()
    loaded.assert_equal()


def test_a_clean_up_while_changes_are_asked_for_is_explained(
    loaded: Captured, meanwhile: Meanwhile, caplog: pytest.LogCaptureFixture
) -> None:
    loaded.run(*CHANGED)
    loaded.scan()

    def happens() -> None:
        loaded.replica.origin.add(400)
        loaded.scan()
        loaded.clean_up()

    meanwhile.before(change_data_capture, "begin_consistent_transaction", happens)
    assert loaded.load().startswith("the whole table")
    assert re.search(r"below what dbo_.* has left .*Msg 313.*cleaned up", caplog.text)
    loaded.assert_equal()


def test_a_clean_up_while_changes_are_read_loses_none(
    loaded: Captured, meanwhile: Meanwhile
) -> None:
    loaded.run(*CHANGED)
    loaded.scan()

    def happens() -> None:
        loaded.replica.origin.add(400)
        loaded.scan()
        loaded.clean_up()

    meanwhile.after(change_data_capture, "run", happens)
    before = loaded.replica.copied()
    with pytest.raises(ChangesLostError, match="they were cleaned up while they were read"):
        loaded.again(on_gap=OnGap.FAIL).load()
    assert loaded.replica.copied() == before
    assert loaded.load().startswith("the whole table")
    loaded.assert_equal()


def test_two_instances_are_switched_where_they_overlap(loaded: Captured) -> None:
    loaded.enable(capture_instance=f"{loaded.name}_two")
    loaded.run(*CHANGED)
    loaded.scan()
    # The new one begins behind the copy: what came before it would be missing there.
    assert loaded.load().startswith("1 rows that changed since LSN")
    loaded.disable(f"dbo_{loaded.name}")
    loaded.replica.origin.add(100)
    loaded.scan()
    assert loaded.load().startswith("1 rows that changed since LSN")
    loaded.assert_equal()


def test_a_second_instance_that_begins_behind_the_copy_is_not_taken_too_early(
    loaded: Captured,
) -> None:
    loaded.run("update {table} set name = N'before the second' where id = 3")
    loaded.enable(capture_instance=f"{loaded.name}_two")
    loaded.run("update {table} set name = N'after the second' where id = 4")
    loaded.scan()
    assert loaded.load().startswith("2 rows that changed since LSN")
    loaded.assert_equal()


def test_a_column_that_no_instance_captures_is_refused_until_one_does(loaded: Captured) -> None:
    loaded.run("alter table {table} add extra int null", "update {table} set extra = 5")
    loaded.scan()
    again = loaded.again()
    with pytest.raises(ConfigurationError) as refused:
        again.load()
    assert f"The capture instance dbo_{loaded.name} of dbo.{loaded.name} does not capture extra" in str(refused.value)  # fmt: skip
    statement = (
        f"exec sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'{loaded.name}', @role_name = null, "
        f"@capture_instance = N'dbo_{loaded.name}_2'"
    )
    assert statement in str(refused.value)
    loaded.run(statement)
    again = loaded.again(on_schema_change="evolve")
    assert again.load().startswith("the whole table")
    loaded.run("update {table} set extra = 6 where id = 3")
    loaded.scan()
    assert again.load().startswith("1 rows that changed")
    again.assert_equal("id, extra")


def test_a_column_that_was_dropped_and_added_again_is_another_one(loaded: Captured) -> None:
    loaded.run("alter table {table} drop column name", "alter table {table} add name nvarchar(50) null")  # fmt: skip
    loaded.run("update {table} set name = N'another' where id = 5")
    loaded.scan()
    with pytest.raises(ConfigurationError, match="does not capture name"):
        loaded.again().load()


def test_a_column_that_is_left_out_need_not_be_captured(copy: Callable[..., Captured]) -> None:
    from tranship.replication.config import ColumnSettings

    made = copy(columns=ColumnSettings(exclude=["extra"]))
    made.replica.origin.add(1)
    made.run("alter table {table} add extra int null")
    made.scan()
    made = made.again(columns=ColumnSettings(exclude=["extra"]))
    made.load()
    made.run("update {table} set extra = 5, amount = 7")
    made.scan()
    assert made.load().startswith("1 rows that changed")
    with pytest.raises(ConfigurationError, match="does not capture extra"):
        made.again(columns=ColumnSettings(exclude=["extra"]), where="extra < 3").load()


def test_another_way_to_follow_changes_begins_with_the_whole_table(loaded: Captured) -> None:
    loaded.server.execute("alter database current set change_tracking = on")
    loaded.run("alter table {table} enable change_tracking")
    loaded.replica.origin.add(50)
    loaded.scan()
    tracked = loaded.again(changes=FollowedChanges.TRACKING)
    assert tracked.load().startswith("the whole table")
    assert loaded.again().load().startswith("the whole table")
    loaded.assert_equal()
    merged = loaded.again(mode=Mode.MERGE)
    assert merged.load().startswith("0 rows")
