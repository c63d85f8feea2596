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
    assert len(checks) == len(SAMPLE_ROWS) + 2
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
    checked = repository.get_job("staging_job").execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(["staging", "DimDate"])],
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    assert checked.success
    check = next(
        check
        for check in repository.asset_graph.asset_check_keys
        if check.asset_key.path[-1] == "DimSalesTerritory"
    )
    definition = repository.asset_checks_defs_by_key[check]
    result = definition.op.compute_fn.decorated_fn(
        sqlserver=SqlServerResource(
            **_from_environment("SQLSERVER"), trust_server_certificate=True
        ),
        postgres=_postgres(),
    )
    assert not result.passed
    assert {name: value.value for name, value in result.metadata.items()} == {
        "rows_in_source": 11,
        "rows_in_copy": 10,
    }


def test_the_sensor_asks_for_the_changed_tables_and_no_others(
    repository, instance, sqlserver_connection
):
    sensor = repository.get_sensor_def("source_changes_sensor")

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


def _postgres():
    from tranship.postgres.resource import PostgresResource

    return PostgresResource(**_from_environment("POSTGRES"))
