"""Runs as a user sees them through the public port: they load the warehouse, and every bad end is told."""

import json
import time

import pytest
from compose_stack import PROBES_REPOSITORY, ComposeStack
from graphql_client import GraphQLClient

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900), pytest.mark.xdist_group("stack")]

MEGABYTE = 1 << 20
#: The sample at the scale of the test's stack: tables of fixed size, and some of the others' neighbours.
FIXED_TABLES = {
    "stg_DimProductCategory": 4,
    "stg_DimProductSubcategory": 37,
    "stg_DimProduct": 606,
    "stg_DimSalesTerritory": 11,
}


@pytest.fixture(scope="module")
def etl_run(bad_runs: dict[str, str], dagster: GraphQLClient) -> str:
    """A finished run of run_etl_job; the bad runs go on beside it."""
    run_id = dagster.launch("run_etl_job")
    assert dagster.until(run_id) == "SUCCESS", dagster.messages(run_id)
    return run_id


def test_run_etl_job_loads_every_table(stack: ComposeStack, etl_run: str):
    with stack.warehouse() as connection, connection.cursor() as cursor:
        cursor.execute(
            "select table_name from information_schema.tables where table_name ~ '^stg_'"
        )
        names = {name for (name,) in cursor.fetchall()}
        rows: dict[str, int] = {}
        for name in names:
            cursor.execute(f'select count(*) from "{name}"')
            (rows[name],) = cursor.fetchone() or (0,)
    others = {"stg_DimCustomer", "stg_DimDate", "stg_FactInternetSales"}
    assert names == FIXED_TABLES.keys() | others
    assert {name: rows[name] for name in FIXED_TABLES} == FIXED_TABLES
    assert rows == {**_source_rows(stack), **FIXED_TABLES}


def test_assets_reach_redshift_and_read_back_the_same(
    stack: ComposeStack, dagster: GraphQLClient, etl_run: str
):
    staged = dagster.launch("staging_job")
    assert dagster.until(staged) == "SUCCESS", dagster.messages(staged)
    every_month = {
        "dagster/asset_partition_range_start": "2010-12-01",
        "dagster/asset_partition_range_end": "2014-01-01",
    }
    published = dagster.launch("sales_job", every_month)
    assert dagster.until(published) == "SUCCESS", dagster.messages(published)
    with stack.warehouse() as connection, connection.cursor() as cursor:
        cursor.execute("""select count(*), sum("SalesAmount") from staging."FactInternetSales" """)
        expected = cursor.fetchone()
    with stack.redshift() as connection, connection.cursor() as cursor:
        cursor.execute("select count(*), sum(salesamount) from sales.fact_internet_sales")
        assert cursor.fetchone() == expected
        cursor.execute("select sum(order_lines), sum(sales_amount) from sales.sales_by_month")
        assert cursor.fetchone() == expected


def test_a_replicated_table_is_loaded_from_its_bookmark_on(
    stack: ComposeStack, dagster: GraphQLClient, etl_run: str
):
    table = "staging.FactInternetSales"
    told: list[tuple[str, int]] = []
    for _ in range(2):
        run_id = dagster.launch("staging_job")
        assert dagster.until(run_id) == "SUCCESS", dagster.messages(run_id)
        with stack.warehouse() as connection, connection.cursor() as cursor:
            cursor.execute(
                "select run_id, facts::json ->> 'rows' from staging.tranship_bookmarks where table_name = %s",
                (table,),
            )
            run, rows = cursor.fetchone() or ("", 0)
            told.append((run, int(rows)))
            cursor.execute('select count(*) from staging."FactInternetSales"')
            assert cursor.fetchone() == (_source_rows(stack)["stg_FactInternetSales"],)
        assert run == run_id
    assert 0 < told[1][1] < _source_rows(stack)["stg_FactInternetSales"]


def test_a_run_has_a_container_of_its_own_with_limits_and_no_rights(
    stack: ComposeStack, dagster: GraphQLClient, etl_run: str
):
    (container,) = stack.run_containers(etl_run)
    host = container.attrs["HostConfig"]
    assert container.name == f"tranship-run-run_etl_job-{etl_run.replace('-', '')[:12]}"
    assert container.attrs["Config"]["Image"] == f"{PROBES_REPOSITORY}:dev"
    assert container.attrs["Config"]["User"] == "10001:10001"
    assert container.attrs["State"]["ExitCode"] == 0
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (
        1024 * MEGABYTE,
        1_000_000_000,
        256,
    )
    assert (host["ReadonlyRootfs"], host["CapDrop"], host["Privileged"]) == (True, ["ALL"], False)
    tags = {tag["key"]: tag["value"] for tag in dagster.run(etl_run)["tags"]}
    assert tags["docker/container_id"] == container.id


def test_a_run_container_has_no_way_to_the_gate(stack: ComposeStack, etl_run: str):
    (container,) = stack.run_containers(etl_run)
    assert list(container.attrs["NetworkSettings"]["Networks"]) == [f"{stack.project}-runs"]
    volumes = {mount["Name"] for mount in container.attrs["Mounts"] if mount["Type"] == "volume"}
    expected = {f"{stack.project}_{name}" for name in ("dagster-secrets", "data-secrets", "spool")}
    assert volumes == expected
    assert "docker.sock" not in str(container.attrs["Mounts"])


def test_a_runs_code_finds_neither_the_gate_nor_the_engine_nor_the_webserver(
    dagster: GraphQLClient, etl_run: str
):
    run_id = dagster.launch("curious_job")
    assert dagster.until(run_id) == "SUCCESS", dagster.messages(run_id)
    (line,) = [line for line in dagster.output(run_id).splitlines() if line.startswith("found ")]
    # Dagster's storage is all of the control plane that a run needs.
    assert json.loads(line.removeprefix("found ")) == {
        "sockets": [],
        "reached": ["postgres"],
        "DOCKER_HOST": None,
    }


def test_what_a_run_wrote_can_be_read_after_its_container_is_gone(
    stack: ComposeStack, dagster: GraphQLClient, etl_run: str
):
    run_id = dagster.launch("speaking_job")
    assert dagster.until(run_id) == "SUCCESS", dagster.messages(run_id)
    (container,) = stack.run_containers(run_id)
    container.wait(timeout=30)
    container.remove()
    assert "a word on standard output from dev" in dagster.output(run_id)


def test_what_a_hanging_run_writes_can_be_read_and_terminating_it_ends_its_container(
    stack: ComposeStack, dagster: GraphQLClient, etl_run: str
):
    run_id = dagster.launch("hanging_job")
    assert dagster.until(run_id, frozenset({"STARTED"})) == "STARTED"
    until = time.monotonic() + 30
    while "hanging" not in dagster.output(run_id) and time.monotonic() < until:
        time.sleep(1)
    assert "hanging" in dagster.output(run_id)
    assert dagster.terminate(run_id) == "TerminateRunSuccess"
    assert dagster.until(run_id) == "CANCELED"
    (container,) = stack.run_containers(run_id)
    assert container.status == "exited"


def test_a_run_out_of_memory_says_so_and_is_not_run_again(
    bad_runs: dict[str, str], dagster: GraphQLClient
):
    run_id = bad_runs["greedy_job"]
    assert dagster.until(run_id) == "FAILURE"
    told = dagster.messages(run_id)
    assert "out of memory. Its limit is 384 MiB" in told
    assert "not retried: with the same memory limit it would end the same way" in told
    # As long as a crashed run needs to be run again at most.
    time.sleep(10)
    assert [run["runId"] for run in dagster.runs("greedy_job")] == [run_id]


def test_a_run_that_asks_for_more_than_the_ceiling_fails_with_the_ceiling_named(
    stack: ComposeStack, dagster: GraphQLClient
):
    run_id = dagster.launch("speaking_job", {"tranship/memory": "64g"})
    assert dagster.until(run_id) == "FAILURE"
    assert "4 GiB" in dagster.messages(run_id)
    assert stack.run_containers(run_id) == []


def _source_rows(stack: ComposeStack) -> dict[str, int]:
    """How many rows each table has in the source, as its loader counted them."""
    rows: dict[str, int] = {}
    for line in stack.container("sqlserver-sample").logs().decode().splitlines():
        name, _, rest = line.partition(" ")
        count = rest.split()[:1]
        if count and count[0].replace(",", "").isdigit():
            rows[f"stg_{name}"] = int(count[0].replace(",", ""))
    return rows
