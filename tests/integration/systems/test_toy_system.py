"""A system that a package of somebody else's makes known by its entry point: source and target of every mode, and its checks.

Nothing of the library knows of it: what works here works for any system that implements the same classes.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg
import duckdb
import pytest
from click.testing import CliRunner
from replication_runs import said
from toy_system import ToySettings

from tranship import systems
from tranship.cli import main
from tranship.errors import ConfigurationError
from tranship.replication import ReplicationComponent
from tranship.replication.config import TableSettings, Tuning
from tranship.systems import SourceSystem, TargetSystem, system_as, system_of_resource

Result = dg.ExecuteInProcessResult


class ToyResource(dg.ConfigurableResource[Any]):
    """A DuckDB file."""

    system: ClassVar[str] = "toy"
    path: str

    def settings(self) -> ToySettings:
        return ToySettings(self.path)


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package whose entry point makes the system known."""
    installed = tmp_path / "site" / "toy-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[tranship.systems]\ntoy = toy_system:SYSTEM\n")
    monkeypatch.setattr(sys, "path", [str(installed.parent), *sys.path])
    systems._known.cache_clear()
    yield
    systems._known.cache_clear()


@pytest.fixture
def warehouse(tmp_path: Path) -> tuple[Path, Path]:
    """The file that is read, with a table of three rows, and the one that is written."""
    source = tmp_path / "source.duckdb"
    with duckdb.connect(str(source)) as connection:
        connection.execute(
            "create table Orders (Id integer primary key, Place varchar, Amount decimal(10, 2), Changed timestamp)"
        )
        connection.execute(
            "insert into Orders values (1, 'a', 1.50, '2024-01-01'), (2, 'b', 2.50, '2024-01-01'), "
            "(3, null, 3.50, '2024-01-02')"
        )
    return source, tmp_path / "target.duckdb"


@pytest.fixture
def replicate(warehouse: tuple[Path, Path]) -> Callable[..., Result]:
    """Load the table by a component's settings, with its checks."""
    target = warehouse[1]

    def run(partition: str | None = None, source: Path = warehouse[0], **settings: Any) -> Result:
        component = ReplicationComponent(
            source="toy",
            target="lake",
            target_schema="copies",
            defaults=Tuning(),
            tables=[TableSettings(table="Orders", **settings)],
        )
        (table,) = component.replicated_tables([])
        from tranship.replication.assets import replicated_asset

        return dg.materialize(
            [replicated_asset(table)],
            resources={
                "toy": ToyResource(path=str(source)),
                "lake": ToyResource(path=str(target)),
            },
            partition_key=partition,
            raise_on_error=False,
        )

    return run


def rows(path: Path, table: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(path)) as connection:
        return connection.execute(
            f"select Id, Place, Amount, Changed from {table} order by Id"
        ).fetchall()


def change(path: Path, *statements: str) -> None:
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)


def failed_checks(result: Result) -> list[str]:
    return [one.check_name for one in result.get_asset_check_evaluations() if not one.passed]


CHANGES = (
    "update Orders set Place = 'B', Changed = '2024-01-03' where Id = 2",
    "insert into Orders values (4, 'd', 4.50, '2024-01-04')",
)
INCREMENTAL = {"mode": "merge", "cursor": "Changed"}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        INCREMENTAL,
        {**INCREMENTAL, "chunk_rows": 2},
        {**INCREMENTAL, "delete": "remove"},
        {"mode": "merge"},
    ],
    ids=["replace", "merge", "chunks", "deletions", "merge without cursor"],
)
def test_a_table_is_replicated_with_every_check(
    replicate: Callable[..., Result], warehouse: tuple[Path, Path], settings: dict[str, Any]
) -> None:
    source, target = warehouse
    for statements in ((), CHANGES):
        change(source, *statements)
        result = replicate(**settings)
        assert result.success
        assert failed_checks(result) == []
        assert rows(target, "copies.Orders") == rows(source, "Orders")


def test_rows_are_appended(replicate: Callable[..., Result], warehouse: tuple[Path, Path]) -> None:
    source, target = warehouse
    settings = {"mode": "append", "cursor": "Id"}
    assert replicate(**settings).success
    change(source, "insert into Orders values (4, 'd', 4.50, '2024-01-04')")
    result = replicate(**settings)
    assert (result.success, failed_checks(result)) == (True, [])
    assert rows(target, "copies.Orders") == rows(source, "Orders")


def test_a_partition_is_replaced(
    replicate: Callable[..., Result], warehouse: tuple[Path, Path]
) -> None:
    _, target = warehouse
    settings = {
        "mode": "partition",
        "partitions": {"column": "Changed", "every": "day", "start": "2024-01-01"},
    }
    result = replicate("2024-01-01", **settings)
    assert (result.success, failed_checks(result)) == (True, [])
    assert [row[0] for row in rows(target, "copies.Orders")] == [1, 2]


def test_rows_that_are_gone_are_removed_or_marked(
    replicate: Callable[..., Result], warehouse: tuple[Path, Path]
) -> None:
    source, target = warehouse
    many = ", ".join(f"({id_}, 'x', 1, '2024-01-01')" for id_ in range(10, 30))
    change(source, f"insert into Orders values {many}")
    settings = {**INCREMENTAL, "delete": "mark"}
    assert replicate(**settings).success
    change(source, "delete from Orders where Id = 1")
    result = replicate(**settings)
    assert (result.success, failed_checks(result)) == (True, [])
    with duckdb.connect(str(target)) as connection:
        marked = connection.execute(
            "select Id from copies.Orders where _deleted_at is not null"
        ).fetchall()
    assert marked == [(1,)]


def test_a_row_that_is_changed_behind_the_bookmark_fails_a_check(
    replicate: Callable[..., Result], warehouse: tuple[Path, Path]
) -> None:
    source, target = warehouse
    assert replicate(**INCREMENTAL).success
    change(target, "delete from copies.Orders where Id = 1")
    change(source, "insert into Orders values (9, 'z', 9, '2024-02-01')")
    result = replicate(**INCREMENTAL)
    assert "as_many_rows_as_the_source" in failed_checks(result)


def test_another_file_is_another_source(
    replicate: Callable[..., Result], warehouse: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = warehouse
    assert replicate(**INCREMENTAL).success
    other = tmp_path / "other.duckdb"
    other.write_bytes(source.read_bytes())
    change(other, "delete from Orders where Id < 3", "update Orders set Id = 7")
    result = replicate(source=other, **INCREMENTAL)
    assert (result.success, failed_checks(result)) == (True, [])
    assert rows(target, "copies.Orders") == rows(other, "Orders")


def test_the_command_line_knows_it(
    replicate: Callable[..., Result], warehouse: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = warehouse
    assert replicate(**INCREMENTAL).success
    listed = CliRunner().invoke(main, ["bookmarks", "list", "--target-url", f"toy:///{target}"])
    assert listed.exit_code == 0, listed.output
    assert "Orders" in listed.output
    written = tmp_path / "defs.yaml"
    made = CliRunner().invoke(
        main,
        ["init", "--source", "toy", "--target", "toy", "--output", str(written)],
        env={"TOY_HOST": str(source)},
    )
    assert made.exit_code == 0, made.output
    assert "table: main.Orders" in written.read_text()


def test_a_system_that_is_not_known_is_said() -> None:
    with pytest.raises(ConfigurationError, match=r"'oracle' is no system .* Known are .*toy"):
        system_as("oracle", SourceSystem)
    assert system_of_resource("lake", ToyResource(path="x"), TargetSystem).kind == "toy"


def test_a_target_that_keeps_no_history_says_so_when_the_file_is_read_and_at_the_latest_at_the_load(
    replicate: Callable[..., Result],
) -> None:
    component = ReplicationComponent(
        source="toy", target="toy", tables=[TableSettings(table="Orders", history=True)]
    )
    (left_out,) = component.planned_tables([]).left_out
    words = "staging.Orders is to have a history, and Toy keeps none. Leave history out of its settings."
    assert left_out.reason == words
    # The key "lake" says nothing of the system.
    result = replicate(history=True)
    assert "copies.Orders is to have a history, and toy keeps none." in said(result)
