"""The jobs: all wanted tables, and the one table of the smallest pipeline."""

import dagster as dg

from etl.defs.etl_job.ops import (
    WantedTables,
    extract_dim_product_category,
    extract_table,
    load_dim_product_category,
    load_table,
    wanted_tables,
)

ONE_PROCESS = {"config": {"in_process": {}}}
"""A run has a container of its own; a process per step would only import everything again."""


@dg.job(
    config=dg.RunConfig(
        ops={"wanted_tables": WantedTables(tables=["dbo.Dim*", "dbo.Fact*"])}, execution=ONE_PROCESS
    )
)
def run_etl_job():
    """Move the wanted tables from SQL Server to Postgres, each as steps of its own.

    A table that fails leaves the others alone, and re-execution from failure runs only its steps.
    """
    wanted_tables().map(lambda table: load_table(*extract_table(table)))


@dg.job(config=dg.RunConfig(execution=ONE_PROCESS))
def dim_product_category_job():
    """Move one table: the smallest pipeline, to copy from."""
    df, tbl = extract_dim_product_category()
    load_dim_product_category(df, tbl)
