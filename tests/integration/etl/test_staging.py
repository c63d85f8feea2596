"""The staged assets, their checks, and the sensor that watches the source."""

import json
from typing import Any

import dagster as dg
from etl_runs import SAMPLE_ROWS, failures, run

from tranship.sqlserver.resource import SqlServerResource


def test_staged_tables_and_the_dimension_on_them_land_and_pass_their_checks(
    repository, instance, query
):
    first, result = (run(repository, instance, "staging_job") for _ in range(2))
    for one in (first, result):
        assert one.success, failures(one)
    for table, rows in SAMPLE_ROWS.items():
        assert query(f'select count(*) from staging."{table}"') == [(rows,)]
    checks = [
        event.asset_check_evaluation_data
        for event in result.all_events
        if event.event_type_value == "ASSET_CHECK_EVALUATION"
    ]
    # Three for each table, key and recent rows of the merged one, and two for the dimension.
    assert len(checks) == 3 * len(SAMPLE_ROWS) + 2 + 2
    assert all(check.passed for check in checks), checks
    rows = query(
        """
        select count(*), count(category_name), min(list_price) >= 0 from staging.dim_product
        """
    )
    assert rows[0][0] == 606
    assert 0 < rows[0][1] < 606, "sold products have a category, built-in parts have none"


def test_a_check_fails_when_the_copy_is_not_complete(repository, instance, query):
    assert run(repository, instance, "staging_job").success
    query('delete from staging."DimSalesTerritory" where "SalesTerritoryKey" = 1')
    key = dg.AssetKey(["staging", "DimSalesTerritory"])
    check = dg.AssetCheckKey(key, "as_many_rows_as_the_source")
    checked = (
        repository.get_implicit_global_asset_job_def()
        .get_subset(asset_selection=set(), asset_check_selection={check})
        .execute_in_process(
            instance=instance,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    )
    assert not checked.asset_materializations_for_node("replicate_staging_DimSalesTerritory")
    (evaluation,) = checked.get_asset_check_evaluations()
    assert not evaluation.passed
    assert evaluation.description == "1 rows are missing: the source has 11, the copy 10."
    assert {name: value.value for name, value in evaluation.metadata.items()} == {
        "rows_in_source": 11,
        "rows_in_copy": 10,
    }


def test_the_sensor_asks_for_the_changed_tables_and_no_others(
    repository, instance, sqlserver_connection
):
    sensor = repository.get_sensor_def("staging_tables_changes_sensor")

    def tick(cursor: str | None) -> Any:
        source = SqlServerResource(**_from_environment("SQLSERVER"), trust_server_certificate=True)
        with dg.build_sensor_context(
            instance=instance,
            cursor=cursor,
            repository_def=repository,
            resources={"sqlserver": source},
        ) as context:
            return sensor.evaluate_tick(context)

    first = tick(None)
    assert len(first.run_requests[0].asset_selection) == len(SAMPLE_ROWS) + 1

    same = tick(first.cursor)
    assert not same.run_requests
    assert same.skip_message == f"None of {len(SAMPLE_ROWS)} source tables has changed."

    sqlserver_connection.autocommit = True
    update = (
        "update dbo.DimSalesTerritory set SalesTerritoryRegion = N'{}' where SalesTerritoryKey = 1"
    )
    sqlserver_connection.cursor().execute(update.format("Elsewhere"))
    try:
        changed = tick(same.cursor)
    finally:
        sqlserver_connection.cursor().execute(update.format("Northwest"))
    (request,) = changed.run_requests
    assert request.asset_selection == [dg.AssetKey(["staging", "DimSalesTerritory"])]
    assert json.loads(changed.cursor) != json.loads(same.cursor)


def _from_environment(system: str) -> dict:
    import os

    names = ("host", "port", "database", "user", "password")
    values = {name: os.environ[f"TRANSHIP_{system}_{name.upper()}"] for name in names}
    return {**values, "port": int(values["port"])}
