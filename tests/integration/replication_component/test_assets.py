"""Replicated tables as assets: loads, bookmarks in runs, subsets, partitions, retries, re-execution."""

import pytest
from replication_runs import checks, event_rows, metadata, said

from tranship.replication import assets
from tranship.replication.config import CheckSettings, PartitionSettings, TableSettings
from tranship.sqlserver.resource import SqlServerResource


def settings(table, **more) -> TableSettings:
    return TableSettings(table=str(table), target="events", **more)


def merged(table, **more) -> TableSettings:
    return settings(table, mode="merge", cursor="Changed", **more)


def test_a_table_is_loaded_whole_and_then_from_its_bookmark_on(replication, events, source, copied):
    replication.of(merged(events, checks=CheckSettings(columns=True)))
    first = replication.run()
    assert first.success, said(first)
    assert metadata(first)["loaded"] == "the whole table, because it was never loaded"
    assert metadata(first)["tranship/rows"] == 30
    source(event_rows(31, 33, day=2).replace("{table}", str(events)))
    source(f"update {events} set Name = N'other', Changed = '2024-01-03' where Id = 5")
    second = replication.run()
    assert second.success, said(second)
    told = metadata(second)
    assert told["tranship/rows_inserted"] == 3
    assert told["tranship/rows_updated"] == 1
    assert told["dagster/row_count"] == 33
    assert told["bookmark"] == "2024-01-03T00:00:00"
    assert copied('select count(*), max("Name") filter (where "Id" = 5) from {schema}.events') == [
        (33, "other")
    ]
    assert checks(second) == {
        "as_many_rows_as_the_source": True,
        "columns_agree_with_the_source": True,
        "recent_rows_as_in_the_source": True,
        "no_key_twice": True,
        "columns_as_in_the_source": True,
    }


def test_a_run_loads_only_the_tables_that_were_chosen(replication, events, source_table, copied):
    other = source_table("create table {table} (Id int)", "insert into {table} values (1)")
    replication.of(settings(events), TableSettings(table=f"dbo.{other}", target="other"))
    result = replication.run("other")
    assert result.success, said(result)
    assert copied("select to_regclass('{schema}.events')") == [(None,)]
    assert copied("select count(*) from {schema}.other") == [(1,)]


def test_a_full_reload_is_asked_for_in_the_launchpad(replication, events, source, copied):
    replication.of(merged(events))
    assert replication.run().success
    source(f"update {events} set Name = N'silent' where Id = 7")  # its time of change stays
    copied("""delete from {schema}.events where "Id" = 9""")
    name = replication.assets[0].op.name
    asked = {"ops": {name: {"config": {"full_reload": True}}}}
    result = replication.run(config=asked)
    assert metadata(result)["loaded"] == "the whole table, because the run asked for a full reload"
    assert copied("""select "Name" from {schema}.events where "Id" = 7""") == [("silent",)]
    assert copied("select count(*) from {schema}.events") == [(30,)]


def test_a_bookmark_is_set_back_in_the_launchpad(replication, events, source, copied):
    replication.of(merged(events))
    assert replication.run().success
    source(event_rows(40, 41, day=9).replace("{table}", str(events)))
    assert replication.run().success
    copied("""delete from {schema}.events where "Id" in (1, 2)""")
    name = replication.assets[0].op.name
    asked = {"ops": {name: {"config": {"start_from": "2024-01-01"}}}}
    result = replication.run(config=asked)
    assert metadata(result)["tranship/rows_inserted"] == 2
    assert metadata(result)["bookmark"] == "2024-01-09T10:00:41.500000"
    assert checks(result)["as_many_rows_as_the_source"]


def test_partitions_are_replaced_one_at_a_time_or_as_a_range_in_one_run(
    replication, events, source, copied
):
    source(event_rows(31, 35, day=2).replace("{table}", str(events)))
    source(event_rows(36, 40, day=3).replace("{table}", str(events)))
    days = PartitionSettings(column="Changed", every="day", start="2024-01-01")
    replication.of(settings(events, mode="partition", partitions=days))
    one = replication.run(partition_key="2024-01-02")
    assert one.success, said(one)
    assert checks(one)["as_many_rows_as_the_source"]
    assert copied("select count(*) from {schema}.events") == [(5,)]
    tags = {
        "dagster/asset_partition_range_start": "2024-01-01",
        "dagster/asset_partition_range_end": "2024-01-03",
    }
    for _ in range(2):
        both = replication.run(tags=tags)
        assert both.success, said(both)
        assert copied("select count(*) from {schema}.events") == [(40,)]
        assert len(both.get_asset_materialization_events()) == 3


@pytest.mark.parametrize(
    ("partitions", "key", "rows"),
    [
        (PartitionSettings(column="Name", values=["name 3", "name 4"]), "name 3", 1),
        (
            PartitionSettings(column="Id", ranges={"low": [None, 11], "high": [11, None]}),
            "high",
            20,
        ),
    ],
)
def test_partitions_may_be_values_or_key_ranges(replication, events, copied, partitions, key, rows):
    replication.of(settings(events, mode="partition", partitions=partitions))
    for _ in range(2):
        result = replication.run(partition_key=key)
        assert result.success, said(result)
        assert copied("select count(*) from {schema}.events") == [(rows,)]


def test_a_source_that_is_down_delays_the_load_and_says_so(
    replication, events, copied, monkeypatch, sqlserver
):
    monkeypatch.setattr(assets, "FIRST_RETRY_SECONDS", 0)
    closed = SqlServerResource(**{**dict(sqlserver), "port": 1, "connect_timeout_seconds": 1})
    replication.resources["sqlserver"] = closed
    replication.of(settings(events, retries=2))
    result = replication.run()
    assert not result.success
    retried = [
        event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"
    ]
    assert len(retried) == 2
    assert "127.0.0.1:1 cannot be reached" in said(result)
    replication.resources["sqlserver"] = sqlserver
    assert replication.run().success


def test_a_wrong_password_fails_at_once(replication, events, sqlserver):
    replication.resources["sqlserver"] = SqlServerResource(
        **{**dict(sqlserver), "password": "wrong"}
    )
    result = replication.of(settings(events)).run()
    assert not result.success
    assert not [
        event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"
    ]
    assert "Login failed" in said(result) or "refused" in said(result)
    assert "wrong" not in said(result).replace("wrong password", "")


def test_a_missing_table_fails_alone_and_is_loaded_alone_later(
    replication, events, source_table, source, copied
):
    replication.of(settings(events), TableSettings(table="dbo.not_yet_there", target="late"))
    failed = replication.run()
    assert not failed.success
    assert "There is no table dbo.not_yet_there" in said(failed)
    assert copied("select count(*) from {schema}.events") == [(30,)]
    source("create table dbo.not_yet_there (Id int)")
    try:
        again = replication.run("late")
    finally:
        source("drop table dbo.not_yet_there")
    assert again.success, said(again)
    assert {event.asset_key.path[-1] for event in again.get_asset_materialization_events()} == {
        "late"
    }


def test_a_key_that_the_settings_name_has_an_index_so_that_merging_needs_no_scan(
    replication, source_table, copied
):
    name = source_table(
        "create table {table} (Id int null, Name nvarchar(20))",
        "insert into {table} values (1, N'a'), (2, N'b')",
    )
    replication.of(TableSettings(table=f"dbo.{name}", target="named", mode="merge", key=["Id"]))
    for _ in range(2):
        result = replication.run()
        assert result.success, said(result)
    assert copied(
        "select indexdef from pg_indexes where schemaname = '{schema}' and tablename = 'named'"
    ) == [(f'CREATE UNIQUE INDEX "named_Id_idx" ON {replication.schema}.named USING btree ("Id")',)]


def test_a_named_key_that_comes_twice_is_told(replication, source_table, copied):
    name = source_table("create table {table} (Id int null)", "insert into {table} values (1), (1)")
    replication.of(TableSettings(table=f"dbo.{name}", target="named", mode="merge", key=["Id"]))
    result = replication.run()
    assert not result.success
    assert "(1)" in said(result)
    assert copied("select to_regclass('{schema}.named')") == [(None,)]
