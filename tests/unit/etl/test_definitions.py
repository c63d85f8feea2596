"""The code location as a code server sees it; nothing is connected to."""

import subprocess
import sys

import dagster as dg
import pytest

from etl.definitions import defs


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    return defs().get_repository_def()


def test_the_jobs_of_the_code_location_are_these(repository):
    names = {job.name for job in repository.get_all_jobs()} - {"__ASSET_JOB"}
    assert names == {
        "run_etl_job",
        "dim_product_category_job",
        "staging_job",
        "staging_tables_changes_job",
        "sales_job",
    }


def test_the_etl_job_runs_daily_at_ten_in_a_zone_that_is_named(repository):
    schedule = repository.get_schedule_def("etl_job_schedule")
    assert schedule.cron_schedule == "0 10 * * *"
    assert schedule.execution_timezone == "US/Central"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert schedule.job_name == "run_etl_job"


@pytest.mark.parametrize("cron", ["@hourly", "@daily", "@weekly", "@monthly", "30 6 * * 1-5"])
def test_the_schedule_is_a_setting(cron):
    code = (
        "from etl.defs.etl_job.schedules import etl_job_schedule as s; "
        "print(s.cron_schedule, s.execution_timezone)"
    )
    environment = {"ETL_SCHEDULE": cron, "ETL_TIMEZONE": "Europe/Berlin"}
    printed = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == f"{cron} Europe/Berlin"


def test_each_table_is_extracted_with_the_outputs_df_and_tbl(repository):
    job = repository.get_job("run_etl_job")
    assert set(job.graph.node_dict) == {"wanted_tables", "extract_table", "load_table"}
    assert [out.name for out in job.graph.node_dict["extract_table"].definition.output_defs] == [
        "df",
        "tbl",
    ]
    pair = repository.get_job("dim_product_category_job").graph.node_dict
    assert set(pair) == {"extract_dim_product_category", "load_dim_product_category"}


def test_job_and_assets_never_write_the_same_table(repository):
    for key in repository.asset_graph.get_all_asset_keys():
        assert key.path[0] in {"staging", "sales"}
        assert not key.path[-1].startswith("stg_")


def test_the_hourly_refresh_and_the_sensor_wait_to_be_switched_on(repository):
    assert repository.get_schedule_def("staging_hourly_schedule").default_status.value == "STOPPED"
    assert (
        repository.get_sensor_def("staging_tables_changes_sensor").default_status.value == "STOPPED"
    )
