"""What assets return becomes tables, and inputs are the rows that their partitions stand for."""

from collections.abc import Callable
from datetime import date
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tranship.errors import TranshipError, TransientError
from tranship.frames import Batches
from tranship.io_manager import TableIOManager
from tranship.tables import Column, SourceType, TableSchema
from tranship.writes import WriteMode

Warehouse = Any
Materialize = Callable[..., dg.ExecuteInProcessResult]
MakeManager = Callable[..., TableIOManager]

DAYS = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-02-01")
CENTRAL_DAYS = dg.DailyPartitionsDefinition(
    "2024-01-01", end_date="2024-02-01", timezone="US/Central"
)
REGIONS = dg.StaticPartitionsDefinition(["north", "south"])
TABLE = pa.table({"id": [1, 2]})


def days_table(*days: str, **columns: list[Any]) -> pa.Table:
    return pa.table({"day": [date.fromisoformat(day) for day in days], **columns})


def days_of(warehouse: Warehouse, table: str) -> list[str]:
    return sorted(str(row["day"]) for row in warehouse.rows(table))


def failure_of(run: Callable[[], Any]) -> dg.Failure:
    with pytest.raises(dg.Failure) as failed:
        run()
    return failed.value


# The table's name


@pytest.mark.parametrize(
    ("key", "metadata", "settings", "expected"),
    [
        ("sales", {}, {}, "public.sales"),
        (["mart", "sales"], {}, {}, "mart.sales"),
        (["eu", "mart", "sales"], {}, {}, "mart.sales"),
        (["mart", "sales"], {}, {"schema": "staging"}, "staging.sales"),
        (["mart", "sales"], {"schema": "raw"}, {"schema": "staging"}, "raw.sales"),
        (["mart", "sales"], {"table": "Orders"}, {}, "mart.Orders"),
        (["mart", "sales"], {"table": "dbo.Orders"}, {"schema": "staging"}, "dbo.Orders"),
        ("sales", {"table": "[Order Details]", "schema": "raw"}, {}, "raw.Order Details"),
    ],
)
def test_the_tables_name_is_the_metadatas_then_the_managers_then_the_keys(
    warehouse,
    memory_io_manager: MakeManager,
    key,
    metadata,
    settings,
    expected,
    materialize: Materialize,
):
    @dg.asset(key=dg.AssetKey(key), metadata=metadata)
    def sales():
        return TABLE

    materialize([sales], resources={"io_manager": memory_io_manager(**settings)})

    assert list(warehouse.tables) == [expected]


@pytest.fixture
def resources(memory_io_manager: MakeManager) -> dict[str, Any]:
    return {"io_manager": memory_io_manager()}


# What an asset may return


@pytest.mark.parametrize(
    "make",
    [
        lambda: pd.DataFrame({"id": [1, 2]}),
        lambda: pl.DataFrame({"id": [1, 2]}),
        lambda: pl.LazyFrame({"id": [1, 2]}),
        lambda: TABLE,
        TABLE.to_reader,
        lambda: Batches.of(TABLE),
        lambda: [TABLE.slice(0, 1), pl.DataFrame({"id": [2]})],
        lambda: Batches.of(TABLE.slice(number, 1) for number in range(2)),
        lambda: dg.MaterializeResult(value=TABLE),
    ],
)
def test_every_kind_of_frame_replaces_the_table(
    warehouse, resources, make, materialize: Materialize
):
    @dg.asset
    def sales():
        return make()

    for _ in range(2):
        materialize([sales], resources=resources)
        assert warehouse.rows("public.sales") == [{"id": 1}, {"id": 2}]


def test_none_writes_nothing(warehouse, resources, materialize: Materialize):
    warehouse.tables["public.sales"] = TABLE

    @dg.asset
    def sales() -> Any:
        return None

    assert materialize([sales], resources=resources).success
    assert warehouse.written == []
    assert warehouse.tables["public.sales"] == TABLE


def test_an_empty_frame_replaces_the_partition_with_nothing(
    warehouse, resources, materialize: Materialize
):
    warehouse.tables["public.sales"] = days_table("2024-01-01", "2024-01-02")

    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": "day"})
    def sales():
        return days_table().cast(pa.schema([("day", pa.date32())]))

    materialize([sales], resources=resources, partition_key="2024-01-01")

    assert days_of(warehouse, "public.sales") == ["2024-01-02"]


# Modes


def test_the_mode_is_the_managers_unless_the_asset_names_one(
    warehouse, memory_io_manager, materialize: Materialize
):
    @dg.asset
    def added():
        return TABLE

    @dg.asset(metadata={"mode": "merge", "key": "id", "column_types": {"id": "bigint"}})
    def merged():
        return TABLE

    manager = memory_io_manager(mode="append")
    for _ in range(2):
        materialize([added, merged], resources={"io_manager": manager})

    assert len(warehouse.rows("public.added")) == 4
    assert len(warehouse.rows("public.merged")) == 2
    request = next(one for one in warehouse.writes if one.table.name == "merged")
    assert (request.mode, request.key) == (WriteMode.MERGE, ("id",))
    assert request.column_types == {"id": "bigint"}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (
            {"mode": "upsert"},
            "The asset sales has mode 'upsert' in its metadata. "
            "It is one of replace, append, merge.",
        ),
        (
            {"on_schema_change": "ignore"},
            "The asset sales has on_schema_change 'ignore' in its metadata. "
            "It is one of error, evolve, rebuild.",
        ),
        (
            {"mode": "merge"},
            "Merging into public.sales needs to know what identifies a row. "
            'Name the key columns: metadata={"mode": "merge", "key": ["id"]}.',
        ),
        (
            {"mode": "merge", "key": [1]},
            'The asset sales has key [1] in its metadata. Give column names: {"key": ["id"]}.',
        ),
        (
            {"table": "a.b.c"},
            "'a.b.c' is not a table name. Write schema.table; "
            "put a part that has dots or brackets in [square brackets].",
        ),
    ],
)
def test_metadata_that_makes_no_sense_fails_the_step_before_a_row_moves(
    warehouse, resources, metadata, message, materialize: Materialize
):
    @dg.asset(metadata=metadata)
    def sales():
        return TABLE

    failure = failure_of(lambda: materialize([sales], resources=resources))

    assert failure.description == message
    assert failure.metadata["error"].value == "ConfigurationError"
    assert not failure.allow_retries
    assert warehouse.written == []


# Partitions


def test_a_partition_is_replaced_and_its_neighbours_are_left_alone(
    warehouse, resources, materialize: Materialize
):
    @dg.asset(partitions_def=CENTRAL_DAYS, metadata={"partition_expr": "day"})
    def sales(context: dg.AssetExecutionContext):
        return days_table(context.partition_key)

    for day in ("2024-01-01", "2024-01-02", "2024-01-02"):
        materialize([sales], resources=resources, partition_key=day)

    assert days_of(warehouse, "public.sales") == ["2024-01-01", "2024-01-02"]
    assert warehouse.written[0] == (
        'replace of public.sales where 2024-01-01T00:00:00-06:00 <= "day" < '
        "2024-01-02T00:00:00-06:00"
    )


def test_the_columns_zone_comes_from_the_metadata(warehouse, resources, materialize: Materialize):
    @dg.asset(
        partitions_def=CENTRAL_DAYS,
        metadata={"partition_expr": "at", "partition_column_zone": "US/Central"},
    )
    def sales():
        return pa.table({"at": pa.array([], pa.timestamp("us"))})

    materialize([sales], resources=resources, partition_key="2024-01-01")

    assert warehouse.writes[0].slice.column_zone == "US/Central"


@pytest.mark.filterwarnings("ignore:Parameter `backfill_policy`")
def test_a_range_of_partitions_in_one_run_is_one_write(
    warehouse, resources, materialize: Materialize
):
    warehouse.tables["public.sales"] = days_table("2024-01-01", "2024-01-02", "2024-01-09")

    @dg.asset(
        partitions_def=DAYS,
        metadata={"partition_expr": "day"},
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def sales(context: dg.AssetExecutionContext):
        return days_table(*context.partition_keys)

    materialize(
        [sales],
        resources=resources,
        tags={
            "dagster/asset_partition_range_start": "2024-01-02",
            "dagster/asset_partition_range_end": "2024-01-04",
        },
    )

    assert len(warehouse.writes) == 1
    assert days_of(warehouse, "public.sales") == [
        *("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04", "2024-01-09")
    ]


def test_a_multi_partition_is_one_cell_of_the_grid(warehouse, resources, materialize: Materialize):
    grid = dg.MultiPartitionsDefinition({"day": DAYS, "region": REGIONS})

    @dg.asset(partitions_def=grid, metadata={"partition_expr": {"day": "day", "region": "region"}})
    def sales(context: dg.AssetExecutionContext):
        day, region = context.partition_key.split("|")
        return days_table(day, region=[region])

    cells = [("2024-01-01", "north"), ("2024-01-01", "south"), ("2024-01-01", "north")]
    for day, region in cells:
        materialize(
            [sales],
            resources=resources,
            partition_key=dg.MultiPartitionKey({"day": day, "region": region}),
        )

    assert sorted(row["region"] for row in warehouse.rows("public.sales")) == ["north", "south"]


def test_a_missing_dimension_fails_the_first_write_already(
    warehouse, resources, materialize: Materialize
):
    grid = dg.MultiPartitionsDefinition({"day": DAYS, "region": REGIONS})

    @dg.asset(partitions_def=grid, metadata={"partition_expr": {"day": "day"}})
    def sales():
        return TABLE

    failure = failure_of(
        lambda: materialize(
            [sales],
            resources=resources,
            partition_key=dg.MultiPartitionKey({"day": "2024-01-01", "region": "north"}),
        )
    )

    assert failure.description == (
        "The asset sales is partitioned by day, region, but no column is given for region. "
        'Name a column for each: metadata={"partition_expr": {"day": "day", "region": "column"}}.'
    )


def test_a_dynamic_partition_is_found_by_the_value_it_spells(
    warehouse, resources, materialize: Materialize, instance: dg.DagsterInstance
):
    shops = dg.DynamicPartitionsDefinition(name="shops")

    @dg.asset(partitions_def=shops, metadata={"partition_expr": "shop"})
    def sales(context: dg.AssetExecutionContext):
        return pa.table({"shop": pa.array([int(context.partition_key)], pa.int32())})

    instance.add_dynamic_partitions("shops", ["7", "8"])
    for shop in ("7", "8", "7"):
        materialize([sales], resources=resources, partition_key=shop)

    assert sorted(row["shop"] for row in warehouse.rows("public.sales")) == [7, 8]


def test_key_ranges_come_from_the_metadata(warehouse, resources, materialize: Materialize):
    @dg.asset(
        partitions_def=REGIONS,
        metadata={
            "partition_expr": "id",
            "partition_key_ranges": {"north": [0, 10], "south": [10, None]},
        },
    )
    def sales(context: dg.AssetExecutionContext):
        return pa.table({"id": [5] if context.partition_key == "north" else [10, 11]})

    for region in ("north", "south", "north"):
        materialize([sales], resources=resources, partition_key=region)

    assert sorted(row["id"] for row in warehouse.rows("public.sales")) == [5, 10, 11]


# Inputs


def test_a_partition_reads_the_same_partition_upstream(
    warehouse, resources, materialize: Materialize
):
    warehouse.tables["public.sales"] = days_table("2024-01-01", "2024-01-02")
    loaded: list[pa.Table] = []

    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": "day"})
    def sales():
        return days_table("2024-01-02")

    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": "day"})
    def report(sales: pa.Table):
        loaded.append(sales)
        return sales

    materialize(
        [sales, report], selection=[report], resources=resources, partition_key="2024-01-02"
    )

    assert loaded[0] == days_table("2024-01-02")


def test_an_asset_without_partitions_reads_all_partitions_upstream(
    warehouse, resources, materialize: Materialize
):
    warehouse.tables["public.sales"] = days_table("2024-01-01", "2024-01-31", "2030-01-01")
    loaded: list[pa.Table] = []

    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": "day"})
    def sales():
        return TABLE

    @dg.asset
    def report(sales: pa.Table) -> None:
        loaded.append(sales)

    materialize([sales, report], selection=[report], resources=resources)

    assert loaded[0] == days_table("2024-01-01", "2024-01-31")
    assert len(warehouse.reads) == 1
    assert warehouse.read[0].count("<=") == 1


@pytest.mark.parametrize("annotation", [pa.Table, pd.DataFrame, pl.DataFrame])
def test_an_asset_that_reads_its_own_last_partition_starts_with_nothing(
    warehouse, resources, annotation, materialize: Materialize
):
    seen: list[int] = []

    def running_total(context: dg.AssetExecutionContext, running_total: Any):
        seen.append(len(running_total))
        return days_table(context.partition_key)

    running_total.__annotations__["running_total"] = annotation
    total = dg.asset(
        running_total,
        partitions_def=DAYS,
        metadata={"partition_expr": "day"},
        ins={
            "running_total": dg.AssetIn(
                partition_mapping=dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)
            )
        },
    )

    for day in ("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-01"):
        materialize([total], resources=resources, partition_key=day)

    assert seen == [0, 1, 1, 0]
    assert days_of(warehouse, "public.running_total") == ["2024-01-01", "2024-01-02", "2024-01-03"]


def test_a_table_that_is_not_there_is_named(resources, materialize: Materialize):
    @dg.asset
    def sales():
        return TABLE

    @dg.asset
    def report(sales): ...

    failure = failure_of(
        lambda: materialize([sales, report], selection=[report], resources=resources)
    )

    assert failure.description == "There is no table public.sales. Write it first."
    assert failure.metadata["error"].value == "TableNotFoundError"


def test_only_the_columns_asked_for_are_read(warehouse, resources, materialize: Materialize):
    warehouse.tables["public.sales"] = pa.table({"a": [1], "b": [2], "c": [3]})
    loaded: list[pa.Table] = []

    @dg.asset
    def sales():
        return TABLE

    @dg.asset(ins={"sales": dg.AssetIn(metadata={"columns": ["c", "a"]})})
    def report(sales: pa.Table) -> None:
        loaded.append(sales)

    materialize([sales, report], selection=[report], resources=resources)

    assert loaded[0].column_names == ["c", "a"]
    assert warehouse.read == ["public.sales (c, a)"]


@pytest.mark.parametrize(
    ("annotation", "loaded_as"),
    [
        (pd.DataFrame, pd.DataFrame),
        (pl.DataFrame, pl.DataFrame),
        (pl.LazyFrame, pl.LazyFrame),
        (pa.Table, pa.Table),
        (pa.RecordBatchReader, pa.RecordBatchReader),
        (Batches, Batches),
        (pl.DataFrame | None, pl.DataFrame),
        (Any, pa.Table),
    ],
)
def test_an_input_comes_as_what_its_parameter_is_annotated(
    warehouse, resources, annotation, loaded_as, materialize: Materialize
):
    warehouse.tables["public.sales"] = TABLE
    loaded: list[Any] = []

    @dg.asset
    def sales():
        return TABLE

    def report(sales: Any) -> None:
        loaded.append((type(sales), Batches.of(sales).to_table()))

    report.__annotations__["sales"] = annotation
    materialize([sales, dg.asset(report)], selection=["report"], resources=resources)

    ((found, rows),) = loaded
    assert issubclass(found, loaded_as)
    assert rows == TABLE


def test_an_input_annotated_as_something_else_says_what_is_possible(
    warehouse, resources, materialize: Materialize
):
    warehouse.tables["public.sales"] = TABLE

    @dg.asset
    def sales():
        return TABLE

    @dg.asset
    def report(sales: dict): ...

    failure = failure_of(
        lambda: materialize([sales, report], selection=["report"], resources=resources)
    )

    assert str(failure.description).startswith(
        "A table cannot be loaded as <class 'dict'>. Annotate the parameter as pandas.DataFrame"
    )


def test_a_table_of_another_system_is_read_by_its_specs_metadata(
    warehouse, resources, instance: dg.DagsterInstance
):
    warehouse.tables["dbo.Sales Orders"] = days_table("2024-01-01", "2024-01-02")
    orders = dg.AssetSpec(
        "orders",
        partitions_def=DAYS,
        metadata={"schema": "dbo", "table": "[Sales Orders]", "partition_expr": "day"},
    ).with_io_manager_key("io_manager")
    loaded: list[pa.Table] = []

    @dg.asset(partitions_def=DAYS)
    def report(orders: pa.Table) -> None:
        loaded.append(orders)

    definitions = dg.Definitions([orders, report], resources=resources)
    job = definitions.resolve_implicit_global_asset_job_def()
    job.execute_in_process(
        partition_key="2024-01-02", asset_selection=[report.key], instance=instance
    )

    assert loaded[0] == days_table("2024-01-02")


def test_a_table_can_be_loaded_outside_a_run(warehouse, resources):
    warehouse.tables["public.sales"] = days_table("2024-01-01", "2024-01-02")

    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": "day"})
    def sales():
        return TABLE

    definitions = dg.Definitions([sales], resources=resources)
    frame = definitions.load_asset_value(
        "sales", python_type=pl.DataFrame, partition_key="2024-01-02"
    )

    assert isinstance(frame, pl.DataFrame)
    assert frame.to_arrow().to_pydict() == {"day": [date(2024, 1, 2)]}


# What Dagster shows


def materialization(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(asset)
    return {name: entry.value for name, entry in event.metadata.items()}


def test_a_materialization_tells_what_was_written(resources, materialize: Materialize):
    schema = TableSchema(
        (
            Column("id", pa.int64(), nullable=False, source_type=SourceType.parse("bigint")),
            Column("price", pa.decimal128(19, 4), comment="net, in EUR"),
        ),
        primary_key=("id",),
    )

    @dg.asset
    def sales():
        return schema.to_arrow().empty_table()

    found = materialization(materialize([sales], resources=resources), "sales")

    assert found.pop("dagster/column_schema") == dg.TableSchema(
        [
            dg.TableColumn(
                "id", "bigint", constraints=dg.TableColumnConstraints(False, other=["primary key"])
            ),
            dg.TableColumn("price", "decimal128(19, 4)", description="net, in EUR"),
        ]
    )
    assert found == {
        "dagster/table_name": "public.sales",
        "dagster/row_count": 0,
        "tranship/rows": 0,
        "tranship/bytes": 0,
        "tranship/seconds": 0.5,
        "tranship/rows_per_second": 0,
        "tranship/mode": "replace",
        "tranship/slice": "the whole table",
        "tranship/encoder": "memory",
    }


def test_what_a_function_says_of_its_output_is_never_overwritten(
    resources, materialize: Materialize
):
    said = {"rows": 7, "bytes": "few", "dagster/row_count": 5, "tranship/rows": 6}

    @dg.asset
    def sales(context: dg.AssetExecutionContext):
        context.add_output_metadata(said)
        return pa.table({"id": [1, 2]})

    found = materialization(materialize([sales], resources=resources), "sales")

    assert {name: found[name] for name in said} == said
    assert found["tranship/mode"] == "replace"


def test_a_partitions_rows_are_counted_as_a_partitions(resources, materialize: Materialize):
    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": "day"})
    def sales():
        return days_table("2024-01-01")

    run = materialize([sales], resources=resources, partition_key="2024-01-01")
    found = materialization(run, "sales")

    assert found["dagster/partition_row_count"] == found["tranship/rows"] == 1
    assert "dagster/row_count" not in found


def test_partitions_that_are_written_together_claim_no_rows_of_each_other(
    warehouse, resources, materialize: Materialize
):
    @dg.asset(
        partitions_def=DAYS,
        metadata={"partition_expr": "day"},
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def sales(context: dg.AssetExecutionContext):
        return days_table(*context.partition_keys)

    run = materialize(
        [sales],
        resources=resources,
        tags={
            "dagster/asset_partition_range_start": "2024-01-02",
            "dagster/asset_partition_range_end": "2024-01-04",
        },
    )

    events = run.asset_materializations_for_node("sales")
    assert [event.partition for event in events] == ["2024-01-02", "2024-01-03", "2024-01-04"]
    assert all("dagster/partition_row_count" not in event.metadata for event in events)


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_rows_added_are_not_shown_as_the_tables_row_count(
    warehouse, resources, mode, materialize: Materialize
):
    warehouse.tables["public.sales"] = pa.table({"id": [7, 8, 9]})

    @dg.asset(metadata={"mode": mode, "key": ["id"]})
    def sales():
        return TABLE

    found = materialization(materialize([sales], resources=resources), "sales")

    assert found["tranship/rows"] == 2
    assert "dagster/row_count" not in found


# Failures and retries


@pytest.mark.parametrize(
    ("error", "attempts"),
    [(TransientError("The connection was lost."), 3), (TranshipError("No such column."), 1)],
)
def test_a_steps_retry_policy_serves_only_faults_that_pass(
    memory_io_manager, error: TranshipError, attempts: int, materialize: Materialize
):
    tries: list[str] = []

    class Faulty(memory_io_manager):
        def write(self, request: Any, batches: Batches, log: Any) -> Any:
            tries.append(str(request))
            raise error

    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=2))
    def sales():
        return TABLE

    run = materialize([sales], resources={"io_manager": Faulty()}, raise_on_error=False)

    assert not run.success
    assert len(tries) == attempts


def test_an_error_in_the_middle_of_reading_is_a_failure_too(
    memory_io_manager, materialize: Materialize
):
    class Breaking(memory_io_manager):
        def read(self, request: Any, log: Any) -> Batches:
            def batches():
                yield from TABLE.to_batches()
                raise TransientError("The connection was lost.", "Try again.")

            return Batches(TABLE.schema, batches)

    @dg.asset
    def sales():
        return TABLE

    @dg.asset
    def report(sales: Batches) -> None:
        assert sum(batch.num_rows for batch in sales) == 2

    failure = failure_of(
        lambda: materialize(
            [sales, report], selection=[report], resources={"io_manager": Breaking()}
        )
    )

    assert failure.description == "The connection was lost. Try again."
    assert failure.allow_retries


def test_rows_outside_the_partition_leave_the_table_as_it_was(
    warehouse, resources, materialize: Materialize
):
    warehouse.tables["public.sales"] = days_table("2024-01-01")

    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": "day"})
    def sales():
        return days_table("2024-01-02")

    failure = failure_of(
        lambda: materialize([sales], resources=resources, partition_key="2024-01-01")
    )

    assert failure.metadata["error"].value == "RowsOutsideSliceError"
    assert days_of(warehouse, "public.sales") == ["2024-01-01"]
