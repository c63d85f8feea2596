"""The checks of replicated tables: what they find, when they run alone, and what they block."""

import dagster as dg
import pytest
from replication_runs import checks, event_rows, metadata, said

from tranship.identity import SourceIdentity
from tranship.postgres.target import PostgresTarget
from tranship.replication.config import CheckSettings, PartitionSettings, TableSettings
from tranship.sqlserver.change_tracking import TrackedTable
from tranship.tables import TableName, TableSchema

ALL = CheckSettings(columns=True)


def merged(table, **more) -> TableSettings:
    return TableSettings(table=str(table), target="events", mode="merge", cursor="Changed", **more)


def check_alone(replication) -> dg.ExecuteInProcessResult:
    """Run the checks of the events without loading them."""
    definitions = dg.Definitions(assets=replication.assets, resources=replication.resources)
    job = definitions.resolve_implicit_global_asset_job_def()
    keys = {spec.key for asset in replication.assets for spec in asset.check_specs}
    return job.get_subset(asset_selection=set(), asset_check_selection=keys).execute_in_process(
        instance=replication.instance, raise_on_error=False
    )


def descriptions(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    return {
        one.check_name: one.description or ""
        for one in result.get_asset_check_evaluations()
        if not one.passed
    }


@pytest.mark.parametrize("mode", ["replace", "merge"])
def test_lost_doubled_and_altered_rows_are_found(replication, events, copied, mode):
    table = (
        merged(events, checks=ALL)
        if mode == "merge"
        else TableSettings(table=str(events), target="events", key=["Id"], checks=ALL)
    )
    assert replication.of(table).run().success
    assert descriptions(check_alone(replication)) == {}
    copied("""update {schema}.events set "Amount" = "Amount" + 1 where "Id" = 3""")
    assert descriptions(check_alone(replication)) == {
        "columns_agree_with_the_source": "1 columns differ from the source: Amount."
    }
    copied("""delete from {schema}.events where "Id" in (3, 4)""")
    assert descriptions(check_alone(replication))["as_many_rows_as_the_source"] == (
        "2 rows are missing: the source has 30, the copy 28."
    )
    copied("alter table {schema}.events drop constraint events_pkey")
    copied('insert into {schema}.events select * from {schema}.events where "Id" = 5')
    assert descriptions(check_alone(replication))["no_key_twice"] == (
        "1 keys (Id) come more than once, in 2 rows."
    )


def test_the_copy_is_looked_up_once_for_all_checks(replication, events, monkeypatch):
    assert replication.of(merged(events, checks=ALL)).run().success
    looked_up: list[TableName] = []
    schema_of = PostgresTarget.schema_of

    def counted(target: PostgresTarget, table: TableName) -> TableSchema | None:
        looked_up.append(table)
        return schema_of(target, table)

    monkeypatch.setattr(PostgresTarget, "schema_of", counted)
    found = checks(check_alone(replication))
    assert len(found) == 5
    assert all(found.values()), found
    assert looked_up == [TableName(replication.schema, "events")]


def test_rows_that_came_since_the_load_are_no_failure(replication, events, source):
    replication.of(merged(events, checks=ALL))
    assert replication.run().success
    source(event_rows(31, 34, day=5).replace("{table}", str(events)))
    source(f"update {events} set Changed = '2024-01-06' where Id = 2")
    result = check_alone(replication)
    assert result.success, said(result)
    assert descriptions(result) == {}
    (columns,) = (
        one
        for one in result.get_asset_check_evaluations()
        if one.check_name == "columns_agree_with_the_source"
    )
    assert columns.description == "4 columns agree with the source."


def test_rows_that_are_gone_from_the_source_are_told_but_kept_where_deletions_are_ignored(
    replication, events, source
):
    replication.of(merged(events))
    assert replication.run().success
    source(f"delete from {events} where Id <= 3")
    (found,) = (
        one
        for one in check_alone(replication).get_asset_check_evaluations()
        if one.check_name == "as_many_rows_as_the_source"
    )
    assert found.passed
    assert found.description == "30 rows, of which 3 are gone from the source; delete is ignore."


def test_a_drifted_source_is_a_warning_before_it_is_an_error(replication, events, source):
    replication.of(merged(events))
    assert replication.run().success
    source(f"alter table {events} add Colour nvarchar(10) null")
    (drift,) = (
        one
        for one in check_alone(replication).get_asset_check_evaluations()
        if one.check_name == "columns_as_in_the_source"
    )
    assert not drift.passed
    assert drift.severity is dg.AssetCheckSeverity.WARN
    assert '"Colour" (varchar(10)) is new' in (drift.description or "")
    failed = replication.run()
    assert not failed.success
    assert "Colour" in said(failed)
    replication.of(merged(events, on_schema_change="evolve"))
    assert replication.run().success
    assert checks(check_alone(replication))["columns_as_in_the_source"]


def test_partitions_are_checked_against_the_source_also_by_themselves(
    replication, events, source, copied
):
    days = PartitionSettings(column="Changed", every="day", start="2024-01-01")
    source(event_rows(31, 35, day=2).replace("{table}", str(events)))
    replication.of(
        TableSettings(
            table=str(events), target="events", mode="partition", partitions=days, checks=ALL
        )
    )
    assert replication.run(partition_key="2024-01-01").success
    alone = check_alone(replication)
    assert alone.success, said(alone)
    assert descriptions(alone) == {}
    copied("""delete from {schema}.events where "Id" = 1""")
    assert set(descriptions(check_alone(replication))) == {
        "as_many_rows_as_the_source",
        "columns_agree_with_the_source",
    }


def test_checks_of_a_table_that_was_never_loaded_say_so(replication, events):
    result = check_alone(replication.of(merged(events)))
    assert not result.success
    assert "was never loaded, so there is nothing to check. Materialize it first." in said(result)


@pytest.mark.parametrize(("blocking", "runs"), [(True, False), (False, True)])
def test_a_failed_check_keeps_back_what_is_downstream_where_it_is_blocking(
    replication, events, copied, blocking, runs
):
    replication.of(merged(events, lookback=0, checks=CheckSettings(blocking=blocking)))
    assert replication.run().success
    copied("""delete from {schema}.events where "Id" = 1""")
    built: list[int] = []

    @dg.asset(deps=[replication.key("events")])
    def on_top() -> None:
        built.append(1)

    result = replication.run(more=(on_top,))
    assert checks(result)["as_many_rows_as_the_source"] is False
    assert bool(built) is runs
    assert result.success is runs


@pytest.mark.parametrize("mode", ["replace", "merge"])
def test_checks_of_another_source_say_that_they_cannot_know(replication, events, monkeypatch, mode):
    """The copy is right, as it would be if the source were the one that it was loaded from."""
    table = (
        merged(events, checks=ALL)
        if mode == "merge"
        else TableSettings(table=str(events), target="events", key=["Id"], checks=ALL)
    )
    assert replication.of(table).run().success
    elsewhere = SourceIdentity.of({"server": "TEST"})
    monkeypatch.setattr("tranship.sqlserver.source.identity_of", lambda *_: elsewhere)

    told = descriptions(check_alone(replication))

    follows_a_cursor = {"recent_rows_as_in_the_source"} if mode == "merge" else set()
    assert set(told) == follows_a_cursor | {
        "as_many_rows_as_the_source",
        "columns_agree_with_the_source",
        "columns_as_in_the_source",
    }
    assert all(text.startswith("Unknown: the copy is of another source") for text in told.values())
    assert all("on the server TEST, no longer on" in text for text in told.values())


@pytest.mark.usefixtures("tracks")
def test_what_is_followed_and_how_far_behind_it_was_is_told_and_checked(
    replication, events, source, monkeypatch
):
    source(f"alter table {events} enable change_tracking")
    source(event_rows(31, 31).replace("{table}", str(events)))
    table = TableSettings(
        table=str(events), target="events", mode="merge", changes="auto", delete="mark"
    )
    assert replication.of(table).run().success
    source(f"delete from {events} where Id = 3")
    source(f"update {events} set Amount = 1 where Id in (4, 5)")
    result = replication.run()
    found = checks(result)
    assert {"changes_without_a_gap", "retention_headroom"} <= set(found)
    assert all(found.values()), found
    told = metadata(result)
    assert told["follows"] == "tracking"
    assert told["follows_because"].startswith("the source tracks its changes")
    assert (told["changes_updated"], told["changes_deleted"], told["versions_behind"]) == (2, 1, 2)
    assert all(checks(check_alone(replication)).values())
    monkeypatch.setattr(TrackedTable, "gap", lambda *_: "they were cleaned up")
    assert descriptions(replication.run()) == {
        "changes_without_a_gap": "The whole table was loaded: the changes since the last load cannot be had: they were cleaned up."
    }


def test_a_history_is_held_against_the_copy(replication, events, source, copied):
    replication.of(merged(events, history=True))
    first = replication.run()
    assert checks(first)["history_as_the_copy"]
    told = metadata(first)
    assert (told["versions_opened"], told["versions_closed"]) == (30, 0)
    assert told["history_table"].endswith(".events_history")
    source(f"update {events} set Name = N'second', Changed = '2024-01-03' where Id = 1")
    told = metadata(replication.run())
    assert (told["versions_opened"], told["versions_closed"]) == (1, 1)
    assert descriptions(check_alone(replication)) == {}
    copied("""delete from {schema}.events_history where "Id" = 2""")
    copied("""update {schema}.events_history set "Id" = 99 where "Id" = 3""")
    copied(
        """update {schema}.events_history set valid_to = 'infinity' where "Id" = 1 and valid_to is not null"""
    )
    assert descriptions(check_alone(replication)) == {
        "history_as_the_copy": "2 rows of the copy have no version that holds; 1 versions hold whose key the copy lacks; "
        "1 versions overlap another one of their key, or end before they begin. A run with full_reload holds every key "
        "against the copy again."
    }
