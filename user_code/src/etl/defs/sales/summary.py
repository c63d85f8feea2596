"""Sales by month, and the reconciliation of Redshift with Postgres."""

from decimal import Decimal

import dagster as dg
import polars as pl

from etl.defs.sales.fact import STAGED_SALES
from etl.retries import TRANSIENT_FAULTS
from tranship.failures import as_failures
from tranship.frames import Batches
from tranship.postgres.resource import PostgresResource


@dg.asset(
    key=["sales", "sales_by_month"],
    ins={
        "sales": dg.AssetIn(
            key=[STAGED_SALES.schema, STAGED_SALES.name],
            metadata={
                "columns": ["OrderDate", "SalesTerritoryKey", "OrderQuantity", "SalesAmount"]
            },
        )
    },
    io_manager_key="warehouse",
    group_name="sales",
    kinds={"polars", "redshift"},
    retry_policy=TRANSIENT_FAULTS,
    metadata={"sortkey": ["month"]},
)
def sales_by_month(sales: pl.DataFrame) -> pl.DataFrame:
    """What was sold each month in each territory: lines, units, and the amount to the cent."""
    return (
        sales.group_by(
            month=pl.col("OrderDate").dt.truncate("1mo").cast(pl.Date),
            territory_key="SalesTerritoryKey",
        )
        .agg(
            order_lines=pl.len().cast(pl.Int64),
            units=pl.col("OrderQuantity").cast(pl.Int64).sum(),
            sales_amount=pl.col("SalesAmount").sum().cast(pl.Decimal(19, 4)),
        )
        .sort("month", "territory_key")
    )


@dg.asset(
    key=["sales", "reconciliation"],
    ins={
        "published": dg.AssetIn(
            key=["sales", "fact_internet_sales"],
            metadata={"columns": ["orderquantity", "salesamount"]},
        ),
        "by_month": dg.AssetIn(key=["sales", "sales_by_month"]),
    },
    io_manager_key="warehouse",
    group_name="sales",
    kinds={"redshift", "postgres"},
    retry_policy=TRANSIENT_FAULTS,
)
def reconciliation(
    postgres: PostgresResource, published: Batches, by_month: pl.DataFrame
) -> pl.DataFrame:
    """The same three totals from staging, from the published fact and from the summary."""
    with as_failures(), postgres.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            """
            select count(*), coalesce(sum("OrderQuantity"), 0)::bigint, coalesce(sum("SalesAmount"), 0)
            from staging."FactInternetSales"
            """
        )
        staged = cursor.fetchone() or (0, 0, Decimal(0))
    lines, units, amount = 0, 0, Decimal(0)
    for batch in published:
        lines += batch.num_rows
        sums = pl.DataFrame(batch).select(pl.col("orderquantity", "salesamount").sum()).row(0)
        units, amount = units + sums[0], amount + sums[1]
    summed = by_month.select(pl.col("order_lines", "units", "sales_amount").sum()).row(0)
    return pl.DataFrame(
        {
            "measure": ["order lines", "units", "sales amount"],
            "in_postgres": [Decimal(value) for value in staged],
            "in_redshift": [Decimal(lines), Decimal(units), amount],
            "in_summary": [Decimal(value) for value in summed],
        },
        schema_overrides={
            name: pl.Decimal(28, 4) for name in ("in_postgres", "in_redshift", "in_summary")
        },
    )


@dg.asset_check(
    asset=["sales", "reconciliation"],
    blocking=True,
    description="Redshift has every published row, and every cent, that Postgres has.",
)
def redshift_agrees_with_postgres(reconciliation: pl.DataFrame) -> dg.AssetCheckResult:
    """Compare the totals, as they were read back from Redshift."""
    agree = reconciliation.filter(
        (pl.col("in_postgres") == pl.col("in_redshift"))
        & (pl.col("in_postgres") == pl.col("in_summary"))
    )
    rows = reconciliation.rows(named=True)
    return dg.AssetCheckResult(
        passed=agree.height == reconciliation.height == 3,
        metadata={
            row["measure"]: f"{row['in_postgres']} | {row['in_redshift']} | {row['in_summary']}"
            for row in rows
        },
    )
