"""Runs a job of the code location, and says what its failed steps say."""

import dagster as dg

SAMPLE_ROWS = {
    "DimCustomer": 18_484,
    "DimDate": 3_652,
    "DimProduct": 606,
    "DimProductCategory": 4,
    "DimProductSubcategory": 37,
    "DimSalesTerritory": 11,
    "FactInternetSales": 60_398,
}


def run(repository, instance, job: str, tables=None, **options) -> dg.ExecuteInProcessResult:
    config = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    if tables:
        config["ops"] = {"wanted_tables": {"config": {"tables": tables, **options}}}
    return repository.get_job(job).execute_in_process(
        run_config=config, instance=instance, raise_on_error=False
    )


def failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """What each failed step says to its reader."""
    said = {}
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            said[event.step_key] = (
                data.user_failure_data.description if data.user_failure_data else str(data.error)
            )
    return said
