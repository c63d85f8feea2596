"""`tranship init` over a real connection: what it finds, what it writes, and that a load takes it."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from standins.sqlserver.remote import SqlServerProcess
from tranship.replication.config import TableSettings, Tuning
from tranship.replication.load import LoadReport, LoadRequest, load
from tranship.replication.plan import table_plan
from tranship.replication.planned_tables import expand
from tranship.sqlserver.catalogue import list_tables
from tranship.sqlserver.source import SqlServerSource
from tranship.tables import TableName

SAMPLE = [
    "DimCustomer",
    "DimDate",
    "DimProduct",
    "DimProductCategory",
    "DimProductSubcategory",
    "DimSalesTerritory",
    "FactInternetSales",
]
SNAPSHOT = Path(__file__).with_name("sample_warehouse.yaml")
WRITTEN = Path("defs/replication/defs.yaml")


def of_tables(names: list[str]) -> list[str]:
    return [argument for name in names for argument in ("--tables", name)]


@pytest.fixture
def loaded(source, postgres, postgres_schema):
    """Load every table of a written YAML, as the component does."""

    def load_all(file: Path) -> dict[str, LoadReport]:
        attributes: dict[str, Any] = yaml.safe_load(file.read_text())["attributes"]
        entries = [TableSettings(**entry) for entry in attributes["tables"]]
        found = expand(entries, Tuning(**attributes["defaults"]), list_tables(source))
        plans = [
            table_plan(settings, name, attributes["target_schema"])
            for name, settings in found.items()
        ]
        return {
            plan.source.name: load(
                plan, SqlServerSource.open(source, plan.source_request), postgres, LoadRequest()
            )
            for plan in plans
        }

    return load_all


@pytest.fixture(scope="module")
def server():
    """A source of the tests' own, in which nothing is tracked yet."""
    with SqlServerProcess(password="Correct-Horse-1") as running:
        yield running


def test_what_is_tracked_is_followed_and_what_could_be_is_switched_on_as_it_is_printed(run, server):
    for statement in (
        "alter database current set allow_snapshot_isolation off",
        "create table dbo.Orders (Id int not null primary key, V rowversion)",
        "create table dbo.[Order lines] (Id int not null primary key)",
        "create table dbo.Heap (Id int)",
    ):
        server.execute(statement)
    arguments = ("init", "--source-url", server.url(), "--small-rows", "0", "--force")
    server.execute("insert into dbo.Orders (Id) values (1)")
    server.execute("insert into dbo.[Order lines] values (1)")
    first = run(*arguments)
    assert first.exit_code == 0, first.output
    assert "(1 merge, 2 replace)" in first.output
    assert "record by itself what changes in 2 tables, deletions too" in first.output
    statements = [
        line.removesuffix(";") for line in first.output.splitlines() if line.endswith(";")
    ]
    assert statements == [
        "alter database current set change_tracking = on (change_retention = 7 days, auto_cleanup = on)",
        "alter database current set allow_snapshot_isolation on",
        "alter table [dbo].[Order lines] enable change_tracking",
        "alter table [dbo].[Orders] enable change_tracking",
    ]
    written = WRITTEN.read_text()
    assert "does not record its changes yet" in " ".join(written.replace("#", " ").split())
    assert "Change Tracking needs a primary key" in written

    for statement in statements:
        server.execute(statement)
    second = run(*arguments)
    assert second.exit_code == 0, second.output
    assert "(2 merge, 1 replace)" in second.output
    assert "record by itself" not in second.output
    attributes = yaml.safe_load(WRITTEN.read_text())["attributes"]
    assert attributes["tables"][1:] == [
        {"table": f"{name}", "mode": "merge", "changes": "tracking", "delete": "remove"}
        for name in ("[dbo].[Order lines]", "dbo.Orders")
    ]
    for entry in attributes["tables"]:
        table_plan(
            TableSettings(**entry), TableName.parse(entry["table"], default_schema="dbo"), "s"
        )

    server.execute(f"deny view change tracking on dbo.Orders to [{server.user}]")
    third = run(*arguments)
    assert f"grant view change tracking on [dbo].[Orders] to [{server.user}];" in third.output


def test_the_sample_warehouse_is_shown_and_becomes_this_file(run, sqlserver_url: str, source):
    answer = run("init", "--source-url", sqlserver_url, *of_tables(SAMPLE))
    assert answer.exit_code == 0, answer.output
    here = f"{source.database} on {source.address}"
    written = WRITTEN.read_text().replace(here, "AdventureWorksDW on db:1433")
    without_sizes = re.sub(r"; (?:< )?[\d.,]+ MB", "", written)
    assert without_sizes == SNAPSHOT.read_text()

    shown = " ".join(answer.output.split())
    assert re.search(
        r"dbo\.FactInternetSales 60,398 (\?|[\d.,]+ MB) SalesOrderNumber replace: nothing tells which rows were "
        r"changed, so all of them are read SalesOrderLineNumber",
        shown,
    )
    assert "Wrote defs/replication/defs.yaml: 7 tables (7 replace)." in answer.output
    assert "dg check yaml" in answer.output


def test_what_is_written_can_be_loaded_and_then_goes_on_from_there(
    run, table, sqlserver_url: str, sqlserver_connection, postgres, postgres_schema: str, loaded
):
    versioned = table(
        """create table {table} (Id int not null primary key, Place geography, V rowversion)""",
        "insert into {table} (Id) values (1), (2), (3)",
    )
    changed = table(
        """
        create table {table} (
            Node hierarchyid not null primary key, ModifiedDate datetime2(3) not null, Email nvarchar(50)
        )
        """,
        "insert into {table} values ('/1/', '2024-01-01', 'a'), ('/1/2/', '2024-01-02', 'b')",
    )
    keyless = table(
        "create table {table} (At datetime)", "insert into {table} values ('2024-01-01')"
    )
    small = table("create table {table} (Id int identity primary key, [Order No] int)")
    names = [str(one) for one in (versioned, changed, keyless, small)]

    answer = run(
        "init", "--source-url", sqlserver_url, "--schema", postgres_schema, "--small-rows", "0", *of_tables(names)
    )  # fmt: skip
    assert answer.exit_code == 0, answer.output
    assert "(2 merge, 2 replace)" in answer.output

    first = loaded(WRITTEN)
    assert {name: report.rows for name, report in first.items()} == {
        versioned.name: 3, changed.name: 2, keyless.name: 1, small.name: 0,
    }  # fmt: skip
    cursor = sqlserver_connection.cursor()
    cursor.execute(f"insert into dbo.{versioned.name} (Id) values (4)")
    cursor.execute(
        f"update dbo.{changed.name} set Email = 'c', ModifiedDate = '2024-01-03' where ModifiedDate = '2024-01-01'"
    )
    sqlserver_connection.commit()

    second = loaded(WRITTEN)
    assert "from the bookmark" in second[versioned.name].what
    assert "from the bookmark" in second[changed.name].what
    with postgres.transaction("counting") as rows:
        rows.execute(f'select count(*) from {postgres_schema}."{versioned.name}"')
        assert rows.fetchone() == (4,)
        rows.execute(
            f'select "Email" from {postgres_schema}."{changed.name}" order by "ModifiedDate"'
        )
        assert rows.fetchall() == [("b",), ("c",)]


def test_a_process_of_its_own_writes_no_password(tmp_path: Path, source):
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("TRANSHIP_")
    }
    environment |= {
        "TRANSHIP_SQLSERVER_HOST": source.host,
        "TRANSHIP_SQLSERVER_PORT": str(source.port),
        "TRANSHIP_SQLSERVER_DATABASE": source.database,
        "TRANSHIP_SQLSERVER_USER": source.user,
        "TRANSHIP_SQLSERVER_PASSWORD": source.password,
        "TRANSHIP_SQLSERVER_TRUST_CERTIFICATE": "yes",
    }
    answer = subprocess.run(
        [sys.executable, "-m", "tranship", "init", "--target", "redshift", "--tables", "DimP*"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (answer.returncode, answer.stderr) == (0, "")
    written = (tmp_path / WRITTEN).read_text()
    assert yaml.safe_load(written)["attributes"]["target"] == "redshift"
    assert [entry["table"] for entry in yaml.safe_load(written)["attributes"]["tables"]] == [
        "dbo.DimProduct", "dbo.DimProductCategory", "dbo.DimProductSubcategory",
    ]  # fmt: skip
    assert source.password not in written + answer.stdout


def test_tables_can_be_left_out(run, sqlserver_url: str):
    answer = run(
        "init", "--source-url", sqlserver_url, "--tables", "dbo.DimP*", "--exclude", "*category", "--output", "x.yaml"
    )  # fmt: skip
    assert answer.exit_code == 0, answer.output
    tables = yaml.safe_load(Path("x.yaml").read_text())["attributes"]["tables"]
    assert [entry["table"] for entry in tables] == ["dbo.DimProduct"]


def test_a_wrong_password_is_one_sentence_without_the_password(run, sqlserver_url: str):
    wrong = sa.make_url(sqlserver_url).set(password="hunter2").render_as_string(hide_password=False)
    answer = run("init", "--source-url", wrong)
    assert answer.exit_code == 1
    assert answer.output.startswith("Error: ")
    assert "refused" in answer.output
    assert answer.output.count("\n") == 1
    assert "hunter2" not in answer.output
    assert not WRITTEN.exists()


def test_where_nothing_matches_it_is_said_what_there_is(run, sqlserver_url: str, source):
    answer = run(
        "init", "--source-url", sqlserver_url, "--tables", "sales.*", "--exclude", "dbo.A*"
    )
    assert answer.exit_code == 1
    assert answer.output.startswith(
        f'Error: No table of the database "{source.database}" is left by --tables sales.* --exclude dbo.A*. It has '
        "dbo.DimCustomer, dbo.DimDate, "
    )
    assert answer.output.count("\n") == 1
    answer = run("init", "--source-url", sqlserver_url, "--tables", "dbo.DimProdukt")
    assert answer.exit_code == 1
    assert "Did you mean dbo.DimProduct" in answer.output


def test_a_file_is_overwritten_when_asked_for(run, sqlserver_url: str):
    Path("x.yaml").write_text("old")
    arguments = ("init", "--source-url", sqlserver_url, "--tables", "DimDate", "--output", "x.yaml")
    assert run(*arguments).exit_code == 1
    assert run(*arguments, "--force").exit_code == 0
    assert Path("x.yaml").read_text().startswith("# Tables of the database ")


def test_a_file_that_cannot_be_written_is_one_sentence(run, sqlserver_url: str):
    Path("file").write_text("")
    answer = run(
        "init", "--source-url", sqlserver_url, "--tables", "DimDate", "--output", "file/x.yaml"
    )
    assert answer.exit_code == 1
    assert answer.output == (
        "Error: file/x.yaml cannot be written: file is no folder. Give another --output.\n"
    )
