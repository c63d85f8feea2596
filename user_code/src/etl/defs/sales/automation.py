"""The job that publishes sales to Redshift."""

import dagster as dg

sales_job = dg.define_asset_job(
    "sales_job",
    selection=dg.AssetSelection.groups("sales"),
    description="Publish sales to Redshift for the chosen months, and reconcile them with Postgres.",
    executor_def=dg.in_process_executor,
)
