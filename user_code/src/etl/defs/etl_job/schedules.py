"""When the tables are moved. Both settings come from the environment, so no code is edited."""

import os

import dagster as dg

from etl.defs.etl_job.jobs import run_etl_job

etl_job_schedule = dg.ScheduleDefinition(
    name="etl_job_schedule",
    description="Moves the wanted tables every day at ten, unless ETL_SCHEDULE says otherwise.",
    job=run_etl_job,
    # A cron expression, or @hourly, @daily, @weekly, @monthly.
    cron_schedule=os.environ.get("ETL_SCHEDULE") or "0 10 * * *",
    # Without a zone, ten o'clock would be UTC's.
    execution_timezone=os.environ.get("ETL_TIMEZONE") or "US/Central",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
