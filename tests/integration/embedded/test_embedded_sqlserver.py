"""The embedded SQL Server stand-in, and the sample loaded into it over the wire."""

import datetime
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import mssql_python
import pyarrow as pa
import pytest

from standins.embedded import EmbeddedSqlServer
from standins.embedded.liveness import ends_within
from standins.sample import SampleTable, sample_tables
from standins.sample.changes import apply_changes
from standins.sample.connect import connect_creating_database, parse_url
from standins.sample.loader import SampleLoader, SampleLoadError

OWNER = """
import sys, time
from pathlib import Path
from standins.embedded import EmbeddedSqlServer

server = EmbeddedSqlServer(Path(sys.argv[1]), sample=None)
server.start()
print(server._server.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSqlServer]:
    with EmbeddedSqlServer(tmp_path_factory.mktemp("sqlserver"), sample=None) as server:
        yield server


@pytest.fixture
def connection(server: EmbeddedSqlServer) -> Iterator[mssql_python.Connection]:
    connection = connect_creating_database(parse_url(server.url()))
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def tables() -> dict[str, SampleTable]:
    return {table.name: table for table in sample_tables(0.002)}


def fetch(connection: mssql_python.Connection, query: str) -> list[tuple[object, ...]]:
    cursor = connection.cursor()
    cursor.execute(query)
    return [tuple(row) for row in cursor.fetchall()]


def test_a_wrong_password_is_refused(server: EmbeddedSqlServer):
    url = parse_url(server.url().replace(server.password, "wrong"))
    with pytest.raises(mssql_python.Error, match="Login failed for user 'sa'"):
        connect_creating_database(url)


def test_the_password_is_on_no_command_line_and_in_no_file(server: EmbeddedSqlServer):
    listing = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True)
    assert "-m standins sqlserver" in listing.stdout
    assert server.password not in listing.stdout
    assert server.password not in server.log.read_text()


def test_a_killed_owner_leaves_no_process(
    tmp_path: Path, start_owner: Callable[..., tuple[subprocess.Popen[str], list[int]]]
):
    owner, (stand_in,) = start_owner(OWNER, str(tmp_path))
    owner.kill()
    assert ends_within(stand_in, 10)


@pytest.mark.parametrize("name", ["DimProductSubcategory", "DimSalesTerritory", "DimCustomer"])
def test_a_loaded_table_reads_back_as_it_was_made(
    connection: mssql_python.Connection, tables: dict[str, SampleTable], name: str
):
    table = tables[name]
    loader = SampleLoader(connection, replace=True)
    for _ in range(2):  # replacing what is there gives the same table
        load = loader.load(table)
        assert (load.table, load.rows) == (name, table.rows)
    columns = ", ".join(f"[{column}]" for column in table.schema.names)
    rows = fetch(connection, f"select {columns} from dbo.{name} order by 1")
    made = pa.Table.from_batches(table.batches(), table.schema)
    assert rows == list(
        zip(*(made[column].to_pylist() for column in made.schema.names), strict=True)
    )


def test_loading_again_leaves_the_rows_alone_and_says_so(
    connection: mssql_python.Connection, tables: dict[str, SampleTable]
):
    table = tables["DimProductCategory"]
    SampleLoader(connection, replace=True).load(table)
    cursor = connection.cursor()
    cursor.execute("update dbo.DimProductCategory set EnglishProductCategoryName = N'Boats'")
    connection.commit()
    sent: list[int] = []
    assert SampleLoader(connection).load(table, sent.append).method == "already there"
    assert sum(sent) == 4
    names = fetch(connection, "select EnglishProductCategoryName from dbo.DimProductCategory")
    assert names == [("Boats",)] * 4


def test_a_table_of_another_size_is_not_touched_without_replace(
    connection: mssql_python.Connection, tables: dict[str, SampleTable]
):
    table = tables["DimProductCategory"]
    SampleLoader(connection, replace=True).load(table)
    connection.cursor().execute("delete from dbo.DimProductCategory where ProductCategoryKey = 1")
    connection.commit()
    with pytest.raises(
        SampleLoadError, match=r"DimProductCategory has 3 rows, the sample 4\. Pass --replace"
    ):
        SampleLoader(connection).load(table)
    assert fetch(connection, "select count(*) from dbo.DimProductCategory") == [(3,)]


def test_progress_adds_up_to_the_rows(
    connection: mssql_python.Connection, tables: dict[str, SampleTable]
):
    sent: list[int] = []
    SampleLoader(connection, replace=True).load(tables["DimProductSubcategory"], sent.append)
    assert sum(sent) == 37


def test_changes_update_the_newest_lines_and_add_orders_a_day_later(
    connection: mssql_python.Connection, tables: dict[str, SampleTable]
):
    table = tables["FactInternetSales"]
    SampleLoader(connection, replace=True).load(table)
    newest = fetch(connection, "select max(OrderDate) from dbo.FactInternetSales")[0][0]
    assert isinstance(newest, datetime.datetime)

    changes = apply_changes(connection, rows_changed=3, rows_added=2)

    assert (len(changes.changed), len(changes.added)) == (3, 2)
    changed = "select SalesOrderNumber, SalesOrderLineNumber from dbo.FactInternetSales where RevisionNumber = 2"
    assert set(fetch(connection, changed)) == set(changes.changed)
    added = fetch(
        connection,
        "select SalesOrderNumber, SalesOrderLineNumber, OrderDate, OrderDateKey from dbo.FactInternetSales "
        f"where OrderDateKey > {newest:%Y%m%d} order by SalesOrderNumber",
    )
    day = newest + datetime.timedelta(days=1)
    assert added == [(*key, day, int(f"{day:%Y%m%d}")) for key in changes.added]
    count = fetch(connection, "select count(*) from dbo.FactInternetSales")
    assert count == [(table.rows + 2,)]


def test_changes_need_a_loaded_fact_table(
    connection: mssql_python.Connection, tables: dict[str, SampleTable]
):
    SampleLoader(connection, replace=True).load(tables["FactInternetSales"])
    connection.cursor().execute("delete from dbo.FactInternetSales")
    connection.commit()
    with pytest.raises(ValueError, match="FactInternetSales is empty; load the sample first"):
        apply_changes(connection, rows_changed=1, rows_added=1)


def run_command(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    parts = parse_url(url)
    without_password = url.replace(f":{parts.password}@", "@", 1)
    command = [sys.executable, "-m", "standins", "sample", "--url", without_password]
    environment = {**os.environ, "TRANSHIP_STANDIN_PASSWORD": parts.password, "COLUMNS": "300"}
    return subprocess.run(
        [*command, *options], env=environment, capture_output=True, text=True, check=False
    )


def test_the_command_skips_what_is_there(sqlserver_url: str):
    finished = run_command(sqlserver_url)
    assert finished.returncode == 0
    lines = [line.split() for line in finished.stderr.splitlines()]
    assert ["FactInternetSales", "60,398", "rows", "already", "there"] in lines
    assert len(lines) == 7


def test_the_command_fails_with_a_message_and_without_the_password(server: EmbeddedSqlServer):
    finished = run_command(server.url().replace(server.password, "wrong"))
    assert finished.returncode == 1
    assert "The sample was not loaded" in finished.stderr
    assert "Traceback" not in finished.stderr
    refused = run_command(server.url(), "--scale", "-1")
    assert refused.returncode == 1
    assert "scale must be a positive number" in refused.stderr
    assert server.password not in refused.stderr
