"""When the staged tables are refreshed: every hour, or when the source has changed."""

import json

import dagster as dg

from etl.defs.staging.tables import STAGED_TABLES
from tranship.failures import as_failures
from tranship.sqlserver.resource import SqlServerResource

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


@dg.sensor(
    job=staging_job,
    minimum_interval_seconds=300,
    description="Refreshes the staged tables whose source has changed. Off until it is switched on: "
    "it reads each table in the source to fingerprint it.",
)
def source_changes_sensor(context: dg.SensorEvaluationContext, sqlserver: SqlServerResource):
    """Compare each source table's fingerprint with the one seen last and refresh those that differ."""
    seen: dict[str, str] = json.loads(context.cursor or "{}")
    with as_failures():
        now = {str(table): sqlserver.fingerprint(table) for table in STAGED_TABLES}
    changed = [table for table in STAGED_TABLES if seen.get(str(table)) != now[str(table)]]
    context.update_cursor(json.dumps(now))
    if not changed:
        return dg.SkipReason(f"None of {len(now)} source tables has changed.")
    keys = [dg.AssetKey(["staging", table.name]) for table in changed]
    downstream = dg.AssetKey(["staging", "dim_product"])
    feeds_dimension = any(table.name.startswith("DimProduct") for table in changed)
    return dg.RunRequest(
        run_key=json.dumps({str(table): now[str(table)] for table in changed}, sort_keys=True),
        asset_selection=[*keys, downstream] if feeds_dimension else keys,
        tags={"tranship/changed": ", ".join(table.name for table in changed)},
    )
