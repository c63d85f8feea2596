"""The sales fact in Redshift, by month: published from staging, replaced a month or a range at a time."""

import dagster as dg

from etl.retries import TRANSIENT_FAULTS
from tranship.failures import as_failures
from tranship.frames import Batches
from tranship.postgres.resource import PostgresResource
from tranship.slices import TimeWindow
from tranship.tables import TableName

STAGED_SALES = TableName("staging", "FactInternetSales")
MONTHS = dg.MonthlyPartitionsDefinition(start_date="2010-12-01")


@dg.asset(
    key=["sales", "fact_internet_sales"],
    deps=[dg.AssetKey([STAGED_SALES.schema, STAGED_SALES.name])],
    partitions_def=MONTHS,
    # A range of months is one run, one COPY and one transaction.
    backfill_policy=dg.BackfillPolicy.single_run(),
    io_manager_key="warehouse",
    group_name="sales",
    kinds={"redshift"},
    retry_policy=TRANSIENT_FAULTS,
    metadata={"partition_expr": "OrderDate", "distkey": "CustomerKey", "sortkey": ["OrderDate"]},
)
def fact_internet_sales(context: dg.AssetExecutionContext, postgres: PostgresResource) -> Batches:
    """One row per line of an internet order, for the months of this run."""
    months = context.partition_time_window
    with as_failures():
        return postgres.read(STAGED_SALES, TimeWindow("OrderDate", months.start, months.end))
