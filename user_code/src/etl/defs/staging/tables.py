"""One asset per source table, stored in the schema `staging`, each checked against its source."""

import dagster as dg

from etl.retries import TRANSIENT_FAULTS
from tranship.failures import as_failures
from tranship.frames import Batches
from tranship.postgres.resource import PostgresResource
from tranship.sqlserver.resource import SqlServerResource
from tranship.tables import TableName

STAGED_TABLES = {
    TableName("dbo", "DimProductCategory"): "What is sold, coarsest grain: four categories.",
    TableName(
        "dbo", "DimProductSubcategory"
    ): "What is sold, middle grain; each belongs to a category.",
    TableName(
        "dbo", "DimProduct"
    ): "Everything that was ever sold or built in, with its price history.",
    TableName("dbo", "DimSalesTerritory"): "Where it is sold: region, country, group.",
    TableName("dbo", "DimCustomer"): "Who bought over the internet.",
    TableName("dbo", "DimDate"): "One row per calendar day, with fiscal periods.",
    TableName("dbo", "FactInternetSales"): "One row per line of an internet order.",
}
"""The source tables and what they mean to the business."""


def staged_table(table: TableName, description: str) -> dg.AssetsDefinition:
    """An asset that holds a full copy of one source table."""

    @dg.asset(
        key=["staging", table.name],
        description=description,
        io_manager_key="staging",
        group_name="staging",
        kinds={"sqlserver", "postgres"},
        retry_policy=TRANSIENT_FAULTS,
        metadata={"source_table": str(table)},
    )
    def staged(context: dg.AssetExecutionContext, sqlserver: SqlServerResource) -> Batches:
        with as_failures():
            return sqlserver.read(table, log=context.log)

    return staged


def row_count_check(table: TableName) -> dg.AssetChecksDefinition:
    """A check that the copy has as many rows as the source has now."""

    @dg.asset_check(
        asset=["staging", table.name],
        name="as_many_rows_as_the_source",
        description=f"Counts {table} in the source and in the copy. Rows that arrived in between differ.",
        # Loads nothing: both sides are counted where they are.
    )
    def as_many_rows(
        sqlserver: SqlServerResource, postgres: PostgresResource
    ) -> dg.AssetCheckResult:
        with as_failures():
            in_source = sqlserver.row_count(table)
            in_copy = postgres.row_count(TableName("staging", table.name))
        return dg.AssetCheckResult(
            passed=in_source == in_copy,
            metadata={"rows_in_source": in_source, "rows_in_copy": in_copy},
        )

    return as_many_rows


staged_tables = [staged_table(table, description) for table, description in STAGED_TABLES.items()]
row_count_checks = [row_count_check(table) for table in STAGED_TABLES]
