"""Assets through the Dagster edge: partitions, modes, frames of every library, and failures that explain."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tranship.frames import Batches
from tranship.postgres.io_manager import (
    PostgresIOManager,
    PostgresPandasIOManager,
    PostgresPolarsIOManager,
)
from tranship.postgres.resource import PostgresResource
from tranship.postgres.settings import PostgresSettings
from tranship.tables import TableName

Run = Callable[..., list[tuple[Any, ...]]]
DAYS = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-05", timezone="US/Central")


@pytest.fixture
def resource(settings: PostgresSettings) -> PostgresResource:
    return PostgresResource(
        host=settings.host,
        port=settings.port,
        database=settings.database,
        user=settings.user,
        password=settings.password,
        sslmode=settings.sslmode,
    )


@pytest.fixture
def run(
    resource: PostgresResource, postgres_schema: str
) -> Callable[..., dg.ExecuteInProcessResult]:
    """Materialize assets with one of the IO managers."""

    def materialize(
        *assets: dg.AssetsDefinition,
        manager: type[PostgresIOManager] = PostgresIOManager,
        **options: Any,
    ) -> dg.ExecuteInProcessResult:
        manager_here = manager(postgres=resource, schema=postgres_schema)
        return dg.materialize(list(assets), resources={"io_manager": manager_here}, **options)

    return materialize


@pytest.mark.parametrize(
    "frame_type",
    [pd.DataFrame, pl.DataFrame, pl.LazyFrame, pa.Table, pa.RecordBatchReader, Batches],
)
def test_every_kind_of_frame_goes_in_and_comes_out(
    run: Callable[..., dg.ExecuteInProcessResult], frame_type: Any
) -> None:
    @dg.asset
    def first() -> Any:
        return Batches.of(pa.table({"id": [1, None, 2**40], "note": ["a", "", None]})).to(
            frame_type
        )

    def seen(first: Any) -> None:
        assert isinstance(first, frame_type)
        rows = Batches.of(first).to_table().to_pylist()
        assert rows == [
            {"id": 1, "note": "a"},
            {"id": None, "note": ""},
            {"id": 2**40, "note": None},
        ]

    seen.__annotations__["first"] = frame_type
    for _ in range(2):
        assert run(first, dg.asset(seen)).success


@pytest.mark.parametrize(
    ("manager", "frame_type"),
    [
        (PostgresIOManager, pa.Table),
        (PostgresPandasIOManager, pd.DataFrame),
        (PostgresPolarsIOManager, pl.DataFrame),
    ],
)
def test_an_input_without_annotation_is_the_managers_own_kind(
    run: Callable[..., dg.ExecuteInProcessResult],
    manager: type[PostgresIOManager],
    frame_type: type,
) -> None:
    @dg.asset
    def first() -> pa.Table:
        return pa.table({"id": [1]})

    @dg.asset
    def second(first) -> None:
        assert isinstance(first, frame_type)

    assert run(first, second, manager=manager).success


def test_a_day_is_replaced_and_the_others_stay(
    run: Callable[..., dg.ExecuteInProcessResult], postgres_schema: str, sql_rows: Run
) -> None:
    # Midnight in US/Central is six o'clock in UTC.
    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": "at"})
    def sales(context: dg.AssetExecutionContext) -> Any:
        start = context.partition_time_window.start.timestamp()
        instants = (
            pa.array([start, start + 86_399], pa.float64())
            .cast(pa.int64())
            .cast(pa.timestamp("s", "UTC"))
        )
        runs = pa.array([context.run_id] * 2)
        return iter([pa.record_batch({"at": instants, "run": runs})])

    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": "at"})
    def checked(sales: pd.DataFrame) -> None:
        assert len(sales) == 2

    for key in ("2024-01-01", "2024-01-02", "2024-01-02"):
        result = run(sales, checked, partition_key=key)
        assert result.success
        (event,) = result.asset_materializations_for_node("sales")
        assert event.metadata["dagster/partition_row_count"].value == 2
        assert event.metadata["dagster/table_name"].value == f"{postgres_schema}.sales"
    table = TableName(postgres_schema, "sales")
    assert sql_rows("select count(*), count(distinct at), count(distinct run) from {}", table) == [
        (4, 4, 2)
    ]


def test_rows_of_another_day_fail_the_step_and_change_nothing(
    run: Callable[..., dg.ExecuteInProcessResult], postgres_schema: str, sql_rows: Run
) -> None:
    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": "day"})
    def sales() -> pa.Table:
        return pa.table({"day": pa.array(["2024-01-03"]).cast(pa.date32())})

    assert run(sales, partition_key="2024-01-03").success
    result = run(sales, partition_key="2024-01-04", raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "do not belong to the slice" in str(failure.step_failure_data.user_failure_data)
    assert sql_rows("select count(*) from {}", TableName(postgres_schema, "sales")) == [(1,)]


def test_metadata_chooses_mode_key_and_types(
    run: Callable[..., dg.ExecuteInProcessResult], postgres_schema: str, sql_rows: Run
) -> None:
    metadata = {
        "mode": "merge",
        "key": ["id"],
        "column_types": {"doc": "jsonb"},
        "table": "Merged Rows",
    }

    @dg.asset(metadata=metadata)
    def merged(context: dg.AssetExecutionContext) -> pa.Table:
        return pa.table({"id": [1], "doc": ['{"a": 1}']})

    assert run(merged).success
    result = run(merged)
    (event,) = result.asset_materializations_for_node("merged")
    assert (
        event.metadata["tranship/rows_updated"].value,
        event.metadata["tranship/rows_inserted"].value,
    ) == (0, 0)
    assert sql_rows("select id, doc->>'a' from {}", TableName(postgres_schema, "Merged Rows")) == [
        (1, "1")
    ]


def test_a_wrong_password_fails_at_once_and_is_shown_nowhere(
    settings: PostgresSettings, postgres_schema: str, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = PostgresResource(
        host=settings.host,
        port=settings.port,
        database=settings.database,
        user=settings.user,
        password="wr0ng-s3cret",
    )

    @dg.asset
    def first() -> pa.Table:
        return pa.table({"id": [1]})

    manager = PostgresIOManager(postgres=wrong, schema=postgres_schema)
    result = dg.materialize([first], resources={"io_manager": manager}, raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "refused the password of user" in str(failure.step_failure_data)
    everything = " ".join(str(event) for event in result.all_events) + caplog.text
    assert "wr0ng-s3cret" not in everything


def test_none_is_skipped_and_the_old_rows_stay(
    run: Callable[..., dg.ExecuteInProcessResult], postgres_schema: str, sql_rows: Run
) -> None:
    given: list[pa.Table | None] = [pa.table({"id": [1]}), None]

    @dg.asset
    def first() -> Any:
        return given.pop(0)

    for _ in range(2):
        assert run(first).success
    assert sql_rows("select id from {}", TableName(postgres_schema, "first")) == [(1,)]
