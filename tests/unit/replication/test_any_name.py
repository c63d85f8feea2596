"""Whatever tables are called: each has an asset of its own, and one that cannot be moved leaves the others alone."""

import logging
from typing import Any

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tranship.failures import LEFT_OUT_METADATA
from tranship.names import decoded
from tranship.replication import ReplicationComponent
from tranship.replication.assets import left_out_asset, replicated_asset
from tranship.replication.config import TableSettings, Tuning
from tranship.replication.replicated_tables import step_name
from tranship.replication.scheduling import schedules
from tranship.tables import TableName

SALES_HEADER = "CRONUS$Sales Header$437dbf0e-84ff-417a-965d-ed2bb9650972"
NAMES = st.one_of(
    st.sampled_from(
        [
            "a-b",
            "a_b",
            "a.b",
            "A_B",
            "a b",
            "a$b",
            "a/b",
            "Größe",
            "日本",
            "😀",
            "a]b",
            'a"b',
            "{a}",
        ]
    ),
    st.just(SALES_HEADER),
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=128
    ),
)


def component_of(*entries: dict[str, Any], **attributes: Any) -> ReplicationComponent:
    tables = [TableSettings(**entry) for entry in entries]
    return ReplicationComponent(target_schema="copy", tables=tables, **attributes)


def definitions_of(component: ReplicationComponent, present: list[TableName]) -> dg.Definitions:
    made = component.planned_tables(present)
    return dg.Definitions(
        assets=[*map(replicated_asset, made.tables), *map(left_out_asset, made.left_out)],
        schedules=schedules([*made.tables, *made.left_out], "copies", dg.in_process_executor),
        resources={
            "sqlserver": dg.ResourceDefinition.none_resource(),
            "postgres": dg.ResourceDefinition.none_resource(),
        },
    )


@settings(max_examples=12, deadline=None)
@given(st.sets(NAMES, min_size=1, max_size=5))
def test_tables_of_any_names_are_assets_that_can_be_told_apart_and_selected(
    names: set[str],
) -> None:
    component = component_of({"table": "dbo.*"}, defaults=Tuning(schedule="@daily"))
    present = [TableName("dbo", name) for name in names]
    repository = definitions_of(component, present).get_repository_def()
    keys = repository.asset_graph.get_all_asset_keys()
    assert len(keys) == len(names)
    for key in keys:
        text = f'key:"{key.to_user_string()}"'
        assert dg.AssetSelection.from_string(text).resolve(repository.asset_graph) == {key}
        assert dg.AssetKey.from_user_string(key.to_user_string()) == key
    (job,) = (job for job in repository.get_all_jobs() if job.name == "copies_daily_job")
    assert job.asset_layer.executable_asset_keys == keys
    assert {table.plan.target.name for table in component.planned_tables(present).tables} == names


def test_names_that_dagster_took_before_keep_their_keys() -> None:
    present = [TableName("dbo", name) for name in ("DimDate", "a-b", "a_b", "A.B")]
    graph = (
        definitions_of(component_of({"table": "dbo.*"}), present).get_repository_def().asset_graph
    )
    assert {key.path[-1] for key in graph.get_all_asset_keys()} == {"DimDate", "a-b", "a_b", "A.B"}


def test_the_name_of_a_table_can_be_read_from_its_key() -> None:
    (table,) = component_of({"table": f"dbo.[{SALES_HEADER}]"}).planned_tables([]).tables
    assert decoded(table.asset_key.path[-1]) == SALES_HEADER
    assert table.plan.target == TableName("copy", SALES_HEADER)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"table": "dbo.Bad", "mode": "append"}, "mode append needs a cursor"),
        ({"table": "dbo.Bad", "freshness": "soon"}, "The freshness of dbo.Bad"),
        ({"table": "dbo.Bad", "retries": -1}, "retries of dbo.Bad is -1"),
        ({"table": "dbo.Bad", "schedule": "whenever"}, "The schedule 'whenever' in 'UTC'"),
        ({"table": "dbo.Bad", "schedule": "@daily", "timezone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"table": "dbo.Bad", "owners": ["nobody"]}, "Dagster does not take its settings"),
        ({"table": "dbo.Bad", "tags": {"a b c": "{}"}}, "Dagster does not take its settings"),
        ({"table": "dbo.Bad", "target": "{nothing}"}, "which stands for nothing"),
        (
            {"table": "dbo.Bad", "mode": "partition", "partitions": {"column": "At", "every": "day"}},
            "have no start",
        ),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_moved_is_an_asset_that_fails_with_the_reason(
    entry: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    component = component_of({"table": "dbo.Good"}, entry)
    with caplog.at_level(logging.ERROR, "tranship.replication"):
        definitions = definitions_of(component, [])
    graph = definitions.get_repository_def().asset_graph
    bad = dg.AssetKey(["copy", "Bad"])
    assert graph.get_all_asset_keys() == {dg.AssetKey(["copy", "Good"]), bad}
    assert reason in graph.get(bad).metadata[LEFT_OUT_METADATA]
    assert (
        f"dbo.Bad is left out of the replication: {graph.get(bad).metadata[LEFT_OUT_METADATA]}"
        in (caplog.text)
    )
    job = definitions.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        run = job.execute_in_process(instance=instance, asset_selection=[bad], raise_on_error=False)
    (failure,) = (event for event in run.all_events if event.is_step_failure)
    assert reason in str(failure.step_failure_data.error_display_string)


def test_tables_that_would_be_copied_to_one_are_left_out_and_the_others_are_not() -> None:
    present = [TableName("dbo", "sales_x"), TableName("sales", "x"), TableName("dbo", "y")]
    made = component_of({"table": "*.*"}).planned_tables(present)
    assert [str(table.plan.source) for table in made.tables] == ["dbo.y"]
    (left_out,) = made.left_out
    assert left_out.asset_key == dg.AssetKey(["copy", "sales_x"])
    assert left_out.source == "dbo.sales_x, sales.x"
    assert "would both be copied to copy.sales_x. Give one of them another name" in left_out.reason


def test_a_table_that_stands_in_two_entries_is_left_out_alone() -> None:
    present = [TableName("dbo", "DimA"), TableName("dbo", "DimB")]
    made = component_of({"table": "dbo.Dim*"}, {"table": "dbo.*B"}).planned_tables(present)
    assert [table.plan.source.name for table in made.tables] == ["DimA"]
    assert [left_out.source for left_out in made.left_out] == ["dbo.DimB"]


def test_a_table_that_is_left_out_keeps_its_schedule_so_that_no_run_without_it_ends_well() -> None:
    component = component_of(
        {"table": "dbo.Good"},
        {"table": "dbo.Bad", "retries": -1},
        defaults=Tuning(schedule="@daily"),
    )
    repository = definitions_of(component, []).get_repository_def()
    job = repository.get_job("copies_daily_job")
    assert {key.path[-1] for key in job.asset_layer.executable_asset_keys} == {"Good", "Bad"}


def test_a_schema_of_any_name_has_a_group_that_dagster_takes() -> None:
    tables = [TableSettings(table="dbo.A")]
    (table,) = (
        ReplicationComponent(target_schema="Größe-2", tables=tables).planned_tables([]).tables
    )
    asset = replicated_asset(table)
    assert set(asset.group_names_by_key.values()) == {"Gr_x00F6__x00DF_e_x002D_2"}
    assert asset.op.name == "replicate_Gr_x00F6__x00DF_e_x002D_2_A"
    assert table.plan.target == TableName("Größe-2", "A")


@given(*[st.text(alphabet="ab_$", min_size=1, max_size=5)] * 4)
def test_no_two_tables_have_one_step(schema: str, name: str, other_schema: str, other: str):
    one, two = TableName(schema, name), TableName(other_schema, other)
    assert (step_name(one) == step_name(two)) == (one == two)
