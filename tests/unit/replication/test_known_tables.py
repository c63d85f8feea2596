"""The tables of a code location outlive a source that is down, and what is not there is said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.definitions_load_context import (
    DefinitionsLoadContext,
    DefinitionsLoadType,
)
from dagster.components.testing import create_defs_folder_sandbox

from tranship.errors import ConfigurationError, UnreachableError
from tranship.failures import LEFT_OUT_METADATA
from tranship.replication.known_tables import KnownTables, WantedTables, known_tables
from tranship.systems import SourceSystem, system_as
from tranship.tables import TableName

URL = "mssql+mssqlpython://reader:secret@127.0.0.1:1/dw"
DIMS = {TableName("dbo", "DimA"): False, TableName("dbo", "DimB"): False}
VIEW = {TableName("dbo", "DimView"): True}
Source = Callable[..., None]
SQLSERVER = system_as("sqlserver", SourceSystem)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Where the last answer is kept."""
    folder = str(tmp_path / "state")
    monkeypatch.setenv("TRANSHIP_STATE_DIRECTORY", folder)
    return {"TRANSHIP_STATE_DIRECTORY": folder}


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Source:
    """Let the source have these tables, or be down."""

    def has(tables: dict[TableName, bool] | None) -> None:
        def answer(_: Any) -> dict[TableName, bool]:
            if tables is None:
                raise UnreachableError("db:1433 did not answer.", "Check it.")
            return tables

        monkeypatch.setattr("tranship.sqlserver.system.present_tables", answer)

    return has


def dims(*names: str, **more: Any) -> WantedTables:
    return WantedTables("k", {"dbo.Dim*": ()}, [TableName("dbo", name) for name in names], **more)


def test_the_last_known_tables_stay_while_the_source_is_down(source: Source, state: dict[str, str]):
    source(DIMS)
    known_tables(dims(), SQLSERVER, URL, state)
    source(None)

    known = known_tables(dims(), SQLSERVER, URL, state)

    assert known.present == tuple(DIMS)
    assert "db:1433 did not answer" in (known.complaint or "")
    assert "those of 20" in (known.complaint or "")


def test_a_source_that_was_never_seen_is_said(source: Source, state: dict[str, str]):
    source(None)

    known = known_tables(dims(), SQLSERVER, URL, state)

    assert known.present == ()
    assert "none were known before" in (known.complaint or "")


def test_the_tables_of_another_source_are_not_taken_for_those_of_this_one(
    source: Source, state: dict[str, str]
):
    source(DIMS)
    known_tables(dims(), SQLSERVER, URL, state)
    source(None)

    for wanted, url in (
        (dims(), URL.replace("/dw", "/test")),
        (WantedTables("other", {}, []), URL),
    ):
        assert known_tables(wanted, SQLSERVER, url, state).present == ()


def test_a_damaged_file_is_as_good_as_none(source: Source, state: dict[str, str]):
    source(DIMS)
    known_tables(dims(), SQLSERVER, URL, state)
    (file,) = Path(state["TRANSHIP_STATE_DIRECTORY"]).iterdir()
    file.write_text('{"present": [["dbo"')
    source(None)

    assert known_tables(dims(), SQLSERVER, URL, state).present == ()


def test_an_address_that_is_missing_is_said_and_breaks_nothing(state: dict[str, str]):
    assert "TRANSHIP_SQLSERVER_HOST" in (
        known_tables(dims(), SQLSERVER, None, state).complaint or ""
    )


def test_a_pattern_that_matches_nothing_and_a_table_that_is_not_there_are_said(
    source: Source, state: dict[str, str]
):
    source({**DIMS, **VIEW})

    known = known_tables(
        WantedTables(
            "k",
            {"dbo.Fact*": (), "dbo.DimV*": (), "dbo.Dim*": ("dbo.*",)},
            [TableName("dbo", "DimA"), TableName("dbo", "Dima"), TableName("dbo", "DimView")],
        ),
        SQLSERVER,
        URL,
        state,
    )

    assert [line.partition(" matches")[0].partition(" in the")[0] for line in known.wrong] == [
        "The pattern dbo.Fact*",
        "The pattern dbo.DimV*",
        "The pattern dbo.Dim* but dbo.*",
        "There is no table dbo.Dima",
    ]
    assert "Did you mean dbo.DimA" in known.wrong[-1]
    assert known_tables(dims(views=True), SQLSERVER, URL, state).present == (*DIMS, *VIEW)


def test_what_is_known_is_the_same_for_those_who_read_it():
    known = KnownTables(tuple(DIMS), ("Wrong.",), "down", "yesterday")
    assert KnownTables.from_json(known.as_json()) == known


# ---- in a code location ----


def loaded(*tables: dict[str, Any], **more: Any) -> dg.RepositoryDefinition:
    return all_loaded({"copies": {"tables": list(tables), **more}})


def all_loaded(files: dict[str, dict[str, Any]]) -> dg.RepositoryDefinition:
    """The definitions of components, by their folders."""
    nothing = dg.ResourceDefinition.none_resource()
    resources: dict[str, Any] = {"sqlserver": nothing, "postgres": nothing}
    with create_defs_folder_sandbox() as sandbox:
        for name, own in files.items():
            attributes = {"target_schema": "copy", "source_url": URL, **own}
            document = {
                "type": "tranship.replication.ReplicationComponent",
                "attributes": attributes,
            }
            path = sandbox.defs_folder_path / name
            path.mkdir(parents=True)
            (path / "defs.yaml").write_text(yaml.safe_dump(document))
        with sandbox.build_all_defs() as definitions:
            return dg.Definitions.merge(
                definitions, dg.Definitions(resources=resources)
            ).get_repository_def()


PATTERN = {"table": "dbo.Dim*", "schedule": "@daily"}


def test_patterns_load_outside_of_a_code_server(source: Source, state: dict[str, str]):
    """As in a test, a notebook or a script, where Dagster keeps no state."""
    assert not DefinitionsLoadContext.is_set()
    source(DIMS)

    repository = loaded(PATTERN)

    assert {key.path[-1] for key in repository.asset_graph.get_all_asset_keys()} == {"DimA", "DimB"}


def test_jobs_and_schedules_stay_while_the_source_is_down_and_an_alert_tells(
    source: Source, state: dict[str, str]
):
    source(DIMS)
    before = loaded(PATTERN)
    assert "source_of_copies" not in str(before.asset_graph.get_all_asset_keys())
    source(None)

    after = loaded(PATTERN)

    told = dg.AssetKey(["copy", "source_of_copies"])
    assert after.asset_graph.get_all_asset_keys() == {
        *before.asset_graph.get_all_asset_keys(),
        told,
    }
    assert [one.name for one in after.schedule_defs] == [one.name for one in before.schedule_defs]
    assert "db:1433 did not answer" in after.asset_graph.get(told).metadata[LEFT_OUT_METADATA]
    assert not after.asset_graph.get(told).is_executable


def test_a_code_server_hands_the_last_known_tables_to_its_runs(
    source: Source, state: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    source(DIMS)
    loaded(PATTERN)
    source(None)

    # `DefinitionsLoadContext.scoped` came after the oldest Dagster that is allowed.
    loading = DefinitionsLoadContext(DefinitionsLoadType.INITIALIZATION)
    monkeypatch.setattr(DefinitionsLoadContext, "_instance", loading)
    repository = loaded(PATTERN)

    assert len(repository.asset_graph.get_all_asset_keys()) == len(DIMS) + 1


def test_runs_see_what_each_component_of_one_source_found(
    source: Source, state: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    source({**DIMS, **VIEW})
    files: dict[str, dict[str, Any]] = {
        "views": {"tables": [{"table": "dbo.DimV*"}], "include_views": True},
        "tables": {"tables": [{"table": "dbo.Dim*"}, {"table": "dbo.Fact*"}]},
    }
    # `DefinitionsLoadContext.scoped` came after the oldest Dagster that is allowed.
    in_code_server = DefinitionsLoadContext(DefinitionsLoadType.INITIALIZATION)
    monkeypatch.setattr(DefinitionsLoadContext, "_instance", in_code_server)
    in_server = all_loaded(files)
    source(None)

    in_run = DefinitionsLoadContext(
        DefinitionsLoadType.RECONSTRUCTION, in_server.repository_load_data
    )
    monkeypatch.setattr(DefinitionsLoadContext, "_instance", in_run)
    keys = all_loaded(files).asset_graph.get_all_asset_keys()

    assert keys == in_server.asset_graph.get_all_asset_keys()
    names = {key.path[-1] for key in keys}
    assert names == {"DimA", "DimB", "DimView", "source_of_tables"}


@pytest.mark.parametrize("table", [{"table": "dbo.Fact*"}, {"table": "dbo.Nope"}])
def test_checking_the_definitions_fails_where_a_table_is_not_there(
    source: Source,
    state: dict[str, str],
    table: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    source(DIMS)
    repository = loaded(table, {"table": "dbo.DimA"})
    assert "DimA" in str(repository.asset_graph.get_all_asset_keys())
    assert table["table"] in caplog.text

    monkeypatch.setenv("DAGSTER_IS_DEFS_VALIDATION_CLI", "1")
    with pytest.raises(Exception, match="Error while building definitions") as refused:
        loaded(table, {"table": "dbo.DimA"})
    assert isinstance(refused.value.__cause__, ConfigurationError)
    assert table["table"] in str(refused.value.__cause__)


def test_a_source_that_is_down_does_not_fail_the_check(
    source: Source, state: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DAGSTER_IS_DEFS_VALIDATION_CLI", "1")
    source(None)

    repository = loaded({"table": "dbo.DimA"})

    assert len(repository.asset_graph.get_all_asset_keys()) == 1
