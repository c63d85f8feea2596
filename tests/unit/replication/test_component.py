"""What stands in defs.yaml becomes assets, checks, jobs and schedules; nothing is connected to."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster.components.testing import create_defs_folder_sandbox

from tranship.errors import ConfigurationError
from tranship.postgres.resource import PostgresResource
from tranship.replication import ReplicationComponent
from tranship.replication.config import TableSettings, Tuning
from tranship.sqlserver.resource import SqlServerResource
from tranship.systems import TargetSystem, system_of_resource
from tranship.tables import TableName

RESOURCES = {
    "sqlserver": dg.ResourceDefinition.none_resource(),
    "postgres": dg.ResourceDefinition.none_resource(),
    "redshift": dg.ResourceDefinition.none_resource(),
}


def loaded(attributes: dict[str, Any]) -> dg.RepositoryDefinition:
    """The definitions that a defs.yaml with these attributes makes."""
    with create_defs_folder_sandbox() as sandbox:
        path = sandbox.defs_folder_path / "copies"
        path.mkdir(parents=True)
        document = {"type": "tranship.replication.ReplicationComponent", "attributes": attributes}
        (path / "defs.yaml").write_text(yaml.safe_dump(document))
        with sandbox.build_all_defs() as definitions:
            return dg.Definitions.merge(
                definitions, dg.Definitions(resources=RESOURCES)
            ).get_repository_def()


def test_a_table_of_postgres_names_the_assets_that_it_comes_from() -> None:
    repository = loaded(
        {
            "source": "postgres",
            "target": "redshift",
            "target_schema": "published",
            "tables": [{"table": "customers", "deps": ["staging/DimCustomer"], "where": "id > 0"}],
        }
    )
    node = repository.asset_graph.get(dg.AssetKey(["published", "customers"]))
    assert node.parent_keys == {dg.AssetKey(["staging", "DimCustomer"])}
    assert node.metadata["source_table"] == "public.customers"
    assert set(node.tags) == {"dagster/kind/postgres", "dagster/kind/redshift"}


def test_each_table_is_an_asset_with_what_its_settings_say_of_it() -> None:
    repository = loaded(
        {
            "target_schema": "copy",
            "defaults": {"owners": ["team:sales"], "tags": {"tier": "1"}, "freshness": "26 hours"},
            "tables": [
                {"table": "dbo.A", "description": "What A means."},
                {
                    "table": "sales.B",
                    "mode": "merge",
                    "key": ["Id"],
                    "cursor": "Changed",
                    "group": "orders",
                    "checks": {"columns": ["Amount"], "blocking": True},
                },
            ],
        }
    )
    graph = repository.asset_graph
    first, second = (dg.AssetKey(["copy", name]) for name in ("A", "sales_B"))
    assert graph.get_all_asset_keys() == {first, second}
    assert graph.get(first).description == "What A means."
    assert graph.get(first).group_name == "copy"
    assert graph.get(first).owners == ["team:sales"]
    assert graph.get(first).tags == {
        "tier": "1",
        "dagster/kind/postgres": "",
        "dagster/kind/sqlserver": "",
    }
    assert graph.get(second).group_name == "orders"
    assert graph.get(second).metadata["source_table"] == "sales.B"
    policy = graph.get(second).freshness_policy
    assert isinstance(policy, type(dg.FreshnessPolicy.time_window(fail_window=_hours(26))))
    assert policy.fail_window.to_timedelta() == _hours(26)
    names = {key.name for key in graph.asset_check_keys if key.asset_key == second}
    assert names == {
        "as_many_rows_as_the_source",
        "columns_agree_with_the_source",
        "recent_rows_as_in_the_source",
        "no_key_twice",
        "columns_as_in_the_source",
    }
    blocking = {key.name for key in graph.asset_check_keys if graph.get_check_spec(key).blocking}
    assert blocking == names - {"columns_as_in_the_source"}
    (op,) = {one.op for one in repository.assets_defs_by_key.values() if first in one.keys}
    assert op.pool == "sqlserver"
    assert op.retry_policy == dg.RetryPolicy(
        max_retries=5, delay=30, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
    )


def _hours(number: int):
    from datetime import timedelta

    return timedelta(hours=number)


def test_tables_that_share_a_schedule_share_a_job() -> None:
    repository = loaded(
        {
            "target_schema": "copy",
            "defaults": {"schedule": "@daily", "timezone": "Europe/Berlin"},
            "tables": [
                {"table": "dbo.A"},
                {"table": "dbo.B"},
                {"table": "dbo.C", "schedule": "*/5 * * * *", "timezone": "UTC"},
            ],
        }
    )
    made = {
        schedule.name: (schedule.cron_schedule, schedule.execution_timezone, schedule.job_name)
        for schedule in repository.schedule_defs
    }
    assert made == {
        "copies_daily_europe_berlin_schedule": (
            "@daily",
            "Europe/Berlin",
            "copies_daily_europe_berlin_job",
        ),
        "copies_schedule_2_schedule": ("*/5 * * * *", "UTC", "copies_schedule_2_job"),
    }
    assert all(
        schedule.default_status is dg.DefaultScheduleStatus.RUNNING
        for schedule in repository.schedule_defs
    )
    job = repository.get_job("copies_daily_europe_berlin_job")
    assert {key.path[-1] for key in job.asset_layer.executable_asset_keys} == {"A", "B"}


@pytest.mark.parametrize(
    ("partitions", "expected"),
    [
        (
            {"column": "At", "every": "month", "start": "2024-01-01"},
            {"dagster/partition": "2024-02-01"},
        ),
        (
            {"column": "Region", "values": ["north", "south"]},
            {
                "dagster/asset_partition_range_start": "north",
                "dagster/asset_partition_range_end": "south",
            },
        ),
    ],
)
def test_a_schedule_of_partitions_asks_for_the_last_that_ended_or_for_all(
    partitions: dict[str, Any], expected: dict[str, str]
) -> None:
    table = {"table": "dbo.A", "mode": "partition", "partitions": partitions, "schedule": "@daily"}
    repository = loaded({"target_schema": "copy", "tables": [table]})
    (schedule,) = repository.schedule_defs
    with dg.build_schedule_context(
        scheduled_execution_time=datetime(2024, 3, 5, tzinfo=UTC), repository_def=repository
    ) as context:
        requests = list(schedule.evaluate_tick(context).run_requests or ())
    assert len(requests) == 1
    assert expected.items() <= requests[0].tags.items()


def test_a_wrong_schedule_names_its_tables() -> None:
    component = ReplicationComponent(tables=[TableSettings(table="dbo.A", schedule="whenever")])

    (left_out,) = component.planned_tables([]).left_out

    assert "'whenever' in 'UTC', of staging.A, cannot be used" in left_out.reason
    assert left_out.source == "dbo.A"


def test_an_entry_of_its_own_wins_over_a_pattern() -> None:
    component = ReplicationComponent(
        tables=[
            TableSettings(table="dbo.Dim*", exclude=["dbo.DimOld"]),
            TableSettings(table="dbo.DimB", mode="merge", key=["Id"]),
        ],
        defaults=Tuning(on_schema_change="evolve"),
    )
    present = [TableName("dbo", name) for name in ("DimA", "DimOld", "DimB")]
    made = {table.plan.source.name: table.plan for table in component.replicated_tables(present)}
    assert set(made) == {"DimA", "DimB"}
    assert made["DimB"].mode == "merge"
    assert {plan.on_schema_change for plan in made.values()} == {"evolve"}


def test_a_resource_that_is_no_target_is_named() -> None:
    with pytest.raises(ConfigurationError, match='The resource "warehouse" is a str'):
        system_of_resource("warehouse", "nothing", TargetSystem)
    sqlserver = SqlServerResource(host="db", database="dw", user="etl", password="secret")
    with pytest.raises(ConfigurationError, match='The resource "dw" is a SqlServerResource'):
        system_of_resource("dw", sqlserver, TargetSystem)
    postgres = PostgresResource(host="db", database="dw", user="etl")
    assert system_of_resource("dw", postgres, TargetSystem).target_of(postgres).kind == "postgres"
