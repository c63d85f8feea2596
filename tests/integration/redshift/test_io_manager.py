"""Assets in Redshift: the article's IO manager, and what it should have done."""

from datetime import UTC, datetime

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tranship.redshift.io_manager import (
    RedshiftArrowIOManager,
    RedshiftIOManager,
    RedshiftPandasIOManager,
    RedshiftPolarsIOManager,
)
from tranship.redshift.resource import RedshiftResource

DAYS = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-05")


@pytest.fixture
def fields(database):
    own = database.settings
    return {
        "region_name": own.region_name,
        "user": own.user,
        "password": own.password,
        "database": own.database,
        "host": own.host,
        "port": own.port,
        "s3_iam_role": own.s3_iam_role,
        "bucket_name": own.bucket_name,
        "s3_prefix": own.s3_prefix,
        "s3_endpoint_url": own.s3_endpoint_url,
    }


@pytest.fixture
def io_manager(fields, database):
    return RedshiftPandasIOManager(**fields, schema=database.schema)


def events(day, count):
    return pd.DataFrame(
        {"id": range(count), "at": [pd.Timestamp(day) + pd.Timedelta(hours=1)] * count}
    )


def test_it_works_as_the_default_io_manager_of_definitions(io_manager, database):
    @dg.asset
    def orders() -> pd.DataFrame:
        return pd.DataFrame({"id": [1, 2], "total": [1.5, None]})

    @dg.asset
    def total(orders: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"sum": [orders["total"].sum()]})

    defs = dg.Definitions([orders, total], resources={"io_manager": io_manager})
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process()
    assert result.success
    assert database.rows("select sum from {schema}.total") == [(1.5,)]
    metadata = result.asset_materializations_for_node("orders")[0].metadata
    assert metadata["dagster/row_count"].value == 2
    assert metadata["dagster/table_name"].value == f"{database.schema}.orders"
    assert metadata["tranship/s3_files"].value == 1
    assert "tranship/copy_query_id" in metadata


@pytest.mark.parametrize(
    ("manager", "frame"),
    [
        (RedshiftIOManager, pa.Table),
        (RedshiftArrowIOManager, pa.Table),
        (RedshiftPandasIOManager, pd.DataFrame),
        (RedshiftPolarsIOManager, pl.DataFrame),
    ],
)
def test_inputs_without_an_annotation_come_as_the_manager_says(fields, database, manager, frame):
    seen = []

    @dg.asset
    def source() -> pl.DataFrame:
        return pl.DataFrame({"id": [1]})

    @dg.asset
    def sink(source) -> None:
        seen.append(type(source))

    assert dg.materialize(
        [source, sink], resources={"io_manager": manager(**fields, schema=database.schema)}
    ).success
    assert seen == [frame]


def test_a_partition_is_replaced_twice_and_the_others_stay(io_manager, database):
    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": "at"})
    def visits(context: dg.AssetExecutionContext) -> pd.DataFrame:
        return events(context.partition_key, 3)

    for day in ("2024-01-01", "2024-01-02", "2024-01-01"):
        assert dg.materialize(
            [visits], partition_key=day, resources={"io_manager": io_manager}
        ).success
    assert database.rows("select at, count(*) from {schema}.visits group by at order by at") == [
        (datetime(2024, 1, 1, 1), 3),
        (datetime(2024, 1, 2, 1), 3),
    ]


def test_a_backfill_in_a_single_run_replaces_its_range(io_manager, database):
    @dg.asset(
        partitions_def=DAYS,
        metadata={"partition_expr": "at"},
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def visits(context: dg.AssetExecutionContext) -> pd.DataFrame:
        return pd.concat([events(day, 2) for day in context.partition_keys])

    def run(first, last):
        assert dg.materialize(
            [visits],
            resources={"io_manager": io_manager},
            tags={
                "dagster/asset_partition_range_start": first,
                "dagster/asset_partition_range_end": last,
            },
        ).success

    run("2024-01-01", "2024-01-04")
    for _ in range(2):
        run("2024-01-02", "2024-01-03")
        assert database.rows("select count(*) from {schema}.visits") == [(8,)]


def test_a_missing_partition_expr_shows_the_metadata_to_add(io_manager):
    @dg.asset(partitions_def=DAYS)
    def visits(context: dg.AssetExecutionContext) -> pd.DataFrame:
        return events(context.partition_key, 1)

    with pytest.raises(dg.Failure, match=r'metadata=\{"partition_expr": "OrderDate"\}'):
        dg.materialize([visits], partition_key="2024-01-01", resources={"io_manager": io_manager})


def test_multi_partitions_replace_one_combination(io_manager, database):
    both = dg.MultiPartitionsDefinition(
        {"day": DAYS, "region": dg.StaticPartitionsDefinition(["north", "south"])}
    )

    @dg.asset(partitions_def=both, metadata={"partition_expr": {"day": "at", "region": "region"}})
    def visits(context: dg.AssetExecutionContext) -> pd.DataFrame:
        assert isinstance(context.partition_key, dg.MultiPartitionKey)
        keys = context.partition_key.keys_by_dimension
        return events(keys["day"], 2).assign(region=keys["region"])

    for region in ("north", "south", "north"):
        key = dg.MultiPartitionKey({"day": "2024-01-01", "region": region})
        assert dg.materialize(
            [visits], partition_key=key, resources={"io_manager": io_manager}
        ).success
    assert database.rows(
        "select region, count(*) from {schema}.visits group by region order by region"
    ) == [("north", 2), ("south", 2)]


def test_layout_and_mode_come_from_metadata(io_manager, database):
    @dg.asset(metadata={"mode": "merge", "key": ["id"], "distkey": "id", "sortkey": "at"})
    def visits() -> pd.DataFrame:
        return events("2024-01-01", 3)

    for _ in range(2):
        assert dg.materialize([visits], resources={"io_manager": io_manager}).success
    assert database.rows(
        'select diststyle, sortkey1 from svv_table_info where "schema" = %s and "table" = %s',
        database.schema,
        "visits",
    ) == [("KEY(id)", "at")]
    assert database.rows("select count(*) from {schema}.visits") == [(3,)]


def test_a_wrong_layout_is_an_error_that_names_the_choices(io_manager):
    @dg.asset(metadata={"diststyle": "sideways"})
    def visits() -> pd.DataFrame:
        return events("2024-01-01", 1)

    with pytest.raises(dg.Failure, match="It is one of auto, even, key, all"):
        dg.materialize([visits], resources={"io_manager": io_manager})


def test_none_is_skipped_and_an_empty_frame_empties_the_table(io_manager, database):
    outputs = [events("2024-01-01", 2), None, events("2024-01-01", 2).iloc[:0]]

    @dg.asset
    def visits() -> pd.DataFrame | None:
        return outputs.pop(0)

    for rows in (2, 2, 0):
        assert dg.materialize([visits], resources={"io_manager": io_manager}).success
        assert database.rows("select count(*) from {schema}.visits") == [(rows,)]


def test_a_refused_value_is_a_failure_with_its_place_in_the_metadata(io_manager):
    @dg.asset
    def visits() -> pd.DataFrame:
        return pd.DataFrame({"note": ["x", "y" * 70_000]})

    with pytest.raises(dg.Failure) as caught:
        dg.materialize([visits], resources={"io_manager": io_manager})
    assert 'Row 2, column "note"' in (caught.value.description or "")
    assert caught.value.metadata["row"].value == "2"


def test_the_resource_runs_sql_in_one_transaction(fields, database, sales):
    redshift = RedshiftResource(**fields)
    database.write(sales)

    def halved():
        with redshift.transaction() as cursor:
            cursor.execute(f"delete from {database.schema}.sales where id = 1")
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError):
        halved()
    assert database.rows("select count(*) from {schema}.sales") == [(3,)]
    with redshift.transaction() as cursor:
        cursor.execute(f"delete from {database.schema}.sales where id = 1")
    assert database.rows("select count(*) from {schema}.sales") == [(2,)]


def test_passwords_are_not_shown(fields):
    assert fields["password"] not in repr(RedshiftPandasIOManager(**fields))
    assert fields["password"] not in repr(RedshiftResource(**fields).credentials().get())


def test_the_clock_of_a_zoned_column_decides_its_partition(io_manager, database):
    days = dg.DailyPartitionsDefinition("2024-01-01", timezone="US/Central", end_date="2024-01-05")

    @dg.asset(partitions_def=days, metadata={"partition_expr": "at"})
    def visits(context: dg.AssetExecutionContext) -> pa.Table:
        start = context.partition_time_window.start
        return pa.table({"at": pa.array([start], pa.timestamp("us", "UTC"))})

    for day in ("2024-01-01", "2024-01-02", "2024-01-01"):
        assert dg.materialize(
            [visits], partition_key=day, resources={"io_manager": io_manager}
        ).success
    assert database.rows("select at from {schema}.visits order by at") == [
        (datetime(2024, 1, 1, 6, tzinfo=UTC),),
        (datetime(2024, 1, 2, 6, tzinfo=UTC),),
    ]
