"""What plain ops return becomes tables, each mapped key its own, in a partitioned job its partition."""

from datetime import date
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

DAYS = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-02-01")


@pytest.fixture
def resources(memory_io_manager) -> dict[str, Any]:
    return {"io_manager": memory_io_manager(), "plain": dg.mem_io_manager}


def failure_of(job: dg.JobDefinition, instance: dg.DagsterInstance, **settings: Any) -> str:
    """The description of the failure that a job ends with."""
    with pytest.raises(dg.Failure) as failed:
        job.execute_in_process(instance=instance, **settings)
    return str(failed.value.description)


@dg.op(out=dg.DynamicOut(str, io_manager_key="plain"))
def table_names():
    for name in ("products", "regions"):
        yield dg.DynamicOutput(name, mapping_key=name)


def test_an_output_is_a_table_of_its_name(warehouse, resources, instance: dg.DagsterInstance):
    @dg.op(out={"stg_a": dg.Out(), "named": dg.Out(metadata={"table": "dbo.[My Table]"})})
    def extract():
        return pa.table({"id": [1]}), pa.table({"id": [2]})

    @dg.op(out=dg.Out(io_manager_key="plain"))
    def use(a: pa.Table, b: pa.Table):
        return a["id"].to_pylist() + b["id"].to_pylist()

    @dg.job(resource_defs=resources)
    def job():
        use(*extract())

    assert job.execute_in_process(instance=instance).output_for_node("use") == [1, 2]
    assert warehouse.written == ["replace of public.stg_a", "replace of dbo.My Table"]


def test_each_key_of_a_mapped_op_has_a_table_of_its_own(
    warehouse, resources, instance: dg.DagsterInstance
):
    @dg.op
    def extract(name: str) -> pa.Table:
        return pa.table({"name": [name]})

    @dg.op(out=dg.Out(io_manager_key="plain"))
    def use(rows: pa.Table) -> list[Any]:
        return rows["name"].to_pylist()

    @dg.op(out=dg.Out(io_manager_key="plain"))
    def use_all(tables: list[pa.Table]) -> list[list[Any]]:
        return sorted(table["name"].to_pylist() for table in tables)

    @dg.job(resource_defs=resources)
    def job():
        extracted = table_names().map(extract)
        extracted.map(use)
        use_all(extracted.collect())

    for _ in range(2):
        run = job.execute_in_process(instance=instance)

        assert run.output_for_node("use") == {"products": ["products"], "regions": ["regions"]}
        assert run.output_for_node("use_all") == [["products"], ["regions"]]
        assert warehouse.rows("public.job__extract_products") == [{"name": "products"}]
        assert warehouse.rows("public.job__extract_regions") == [{"name": "regions"}]
    assert set(warehouse.tables) == {"public.job__extract_products", "public.job__extract_regions"}


def test_outputs_without_a_name_of_their_own_are_tables_of_their_steps(
    warehouse, resources, instance: dg.DagsterInstance
):
    @dg.op
    def rows(context: dg.OpExecutionContext) -> pa.Table:
        return pa.table({"step": [context.op_handle.name]})

    @dg.op(out=dg.Out(io_manager_key="plain"))
    def both(one: pa.Table, other: pa.Table):
        return one["step"].to_pylist() + other["step"].to_pylist()

    @dg.graph
    def inner():
        return rows.alias("south")()

    @dg.job(resource_defs=resources)
    def total():
        both(rows.alias("north")(), inner())

    for _ in range(2):
        assert total.execute_in_process(instance=instance).output_for_node("both") == [
            "north",
            "south",
        ]
    assert set(warehouse.tables) == {"public.total__north", "public.total__inner__south"}


def test_the_inner_ops_of_a_graph_backed_asset_have_tables_of_their_own(
    warehouse, resources, instance: dg.DagsterInstance
):
    @dg.op
    def north():
        return pa.table({"n": [1]})

    @dg.op
    def south():
        return pa.table({"n": [2]})

    @dg.op
    def both(one: pa.Table, other: pa.Table):
        return pa.concat_tables([one, other])

    @dg.graph_asset
    def everything():
        return both(north(), south())

    assert dg.materialize([everything], instance=instance, resources=resources).success
    assert warehouse.rows("public.everything") == [{"n": 1}, {"n": 2}]
    inner = set(warehouse.tables) - {"public.everything"}
    assert {name.rpartition("__everything__")[2] for name in inner} == {"north", "south"}


def test_two_steps_of_one_run_may_not_replace_one_table(
    warehouse, resources, instance: dg.DagsterInstance
):
    @dg.op(out={"rows": dg.Out()})
    def first():
        return pa.table({"n": [1]})

    @dg.op(out=dg.Out(metadata={"table": "public.rows"}))
    def second():
        return pa.table({"n": [2]})

    @dg.op(out=dg.Out(metadata={"table": "public.rows", "mode": "append"}))
    def third():
        return pa.table({"n": [3]})

    @dg.job(resource_defs=resources)
    def job():
        first()
        second()
        third()

    for _ in range(2):
        run = job.execute_in_process(instance=instance, raise_on_error=False)
        failures = [event for event in run.all_events if event.is_step_failure]
        told = {
            event.step_key: str(
                getattr(event.step_failure_data.user_failure_data, "description", "")
            )
            for event in failures
        }
        assert set(told) == {"first", "second"}
        assert told["first"] == (
            "public.rows is written by several steps of this run, which would replace each other's rows: first, "
            "second. Give each output a table of its own with table in its metadata, or a name of its own; or set "
            "mode to append or merge."
        )
    assert set(warehouse.rows("public.rows")[0].values()) == {3}


def test_two_assets_of_one_table_are_refused_and_apart_they_are_not(
    warehouse, resources, instance: dg.DagsterInstance
):
    @dg.asset(metadata={"table": "public.sales"})
    def north():
        return pa.table({"n": [1]})

    @dg.asset(metadata={"table": "public.sales"})
    def south():
        return pa.table({"n": [2]})

    both = dg.materialize(
        [north, south], instance=instance, resources=resources, raise_on_error=False
    )
    assert not both.success
    assert warehouse.tables == {}
    assert dg.materialize([north], instance=instance, resources=resources).success


def test_each_dynamic_output_has_a_table_of_its_own(
    warehouse, resources, instance: dg.DagsterInstance
):
    @dg.op(out=dg.DynamicOut(pa.Table))
    def extract():
        for name in ("a", "b"):
            yield dg.DynamicOutput(pa.table({"name": [name]}), mapping_key=name)

    @dg.op(out=dg.Out(io_manager_key="plain"))
    def use(rows: pa.Table) -> list[Any]:
        return rows["name"].to_pylist()

    @dg.job(resource_defs=resources)
    def job():
        extract().map(use)

    run = job.execute_in_process(instance=instance)

    assert run.output_for_node("use") == {"a": ["a"], "b": ["b"]}
    assert set(warehouse.tables) == {"public.job__extract_a", "public.job__extract_b"}


def test_mapped_keys_may_be_appended_to_one_table_but_not_replace_each_other(
    warehouse, resources, instance: dg.DagsterInstance
):
    def job_with(**metadata: str) -> dg.JobDefinition:
        @dg.op(out=dg.Out(metadata={"table": "dbo.names", **metadata}))
        def extract(name: str):
            return pa.table({"name": [name]})

        @dg.job(resource_defs=resources)
        def job():
            table_names().map(extract)

        return job

    job_with(mode="append").execute_in_process(instance=instance)

    assert warehouse.rows("dbo.names") == [{"name": "products"}, {"name": "regions"}]
    assert failure_of(job_with(), instance) == (
        'The output "result" of op extract is written once per mapping key, and each key would '
        "replace the rows of the others in dbo.names. Leave out its table metadata, so that each "
        "key has a table of its own, such as job__extract_products; or set its mode to append or merge."
    )
    assert len(warehouse.rows("dbo.names")) == 2


def test_a_partitioned_job_replaces_and_reads_its_own_partition(
    warehouse, resources, instance: dg.DagsterInstance
):
    @dg.op(out=dg.Out(metadata={"partition_expr": "day", "table": "dbo.sales"}))
    def extract(context: dg.OpExecutionContext):
        return pa.table({"day": [date.fromisoformat(context.partition_key)], "run": ["x"]})

    @dg.op(out=dg.Out(io_manager_key="plain"))
    def count(rows: pa.Table) -> int:
        return rows.num_rows

    @dg.job(partitions_def=DAYS, resource_defs=resources)
    def job():
        count(extract())

    for day in ("2024-01-01", "2024-01-02", "2024-01-01"):
        assert (
            job.execute_in_process(partition_key=day, instance=instance).output_for_node("count")
            == 1
        )

    days = [row["day"] for row in warehouse.rows("dbo.sales")]
    assert sorted(days) == [date(2024, 1, 1), date(2024, 1, 2)]
    assert warehouse.read[1] == (
        'dbo.sales where 2024-01-02T00:00:00+00:00 <= "day" < 2024-01-03T00:00:00+00:00'
    )


def test_a_partitioned_job_without_a_column_fails_before_it_replaces_anything(
    warehouse, resources, instance: dg.DagsterInstance
):
    @dg.op
    def extract():
        return pa.table({"day": [date(2024, 1, 1)]})

    @dg.job(partitions_def=DAYS, resource_defs=resources)
    def job():
        extract()

    assert failure_of(job, instance, partition_key="2024-01-01") == (
        'The output "result" of op extract is partitioned, but nothing says which column holds '
        'the partition. Add it to the metadata: metadata={"partition_expr": "OrderDate"}.'
    )
    assert warehouse.written == []


def test_an_op_can_read_an_assets_table_by_its_key(
    warehouse, resources, instance: dg.DagsterInstance
):
    warehouse.tables["public.sales"] = pa.table({"id": [1, 2]})
    sales = dg.AssetSpec("sales").with_io_manager_key("io_manager")

    @dg.op(out=dg.Out(io_manager_key="plain"))
    def count(rows: pa.Table) -> int:
        return rows.num_rows

    @dg.job(resource_defs=resources)
    def job():
        count(sales)

    assert job.execute_in_process(instance=instance).output_for_node("count") == 2
