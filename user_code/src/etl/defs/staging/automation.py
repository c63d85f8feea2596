"""When the staged tables are refreshed: every hour, or (see tables/defs.yaml) when the source has changed."""

import dagster as dg

staging_job = dg.define_asset_job(
    "staging_job",
    selection=dg.AssetSelection.groups("staging"),
    description="Refresh all staged tables and the dimensions on them.",
    executor_def=dg.in_process_executor,
)

staging_hourly_schedule = dg.ScheduleDefinition(
    name="staging_hourly_schedule",
    description="Refreshes the staged tables every hour. Off until it is switched on.",
    job=staging_job,
    cron_schedule="@hourly",
    execution_timezone="UTC",
)
