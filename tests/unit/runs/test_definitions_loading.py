"""What a run loads of a code location: all its definitions, and no description of installed components."""

import json
import subprocess
import sys

import pytest

LOAD = """
import json, sys, warnings
warnings.simplefilter("ignore")
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.definitions.reconstruct import (
    initialize_repository_def_from_pointer,
    reconstruct_repository_def_from_pointer,
)
load = {
    "server": initialize_repository_def_from_pointer,
    "run": reconstruct_repository_def_from_pointer,
}[sys.argv[1]]
repository = load(ModuleCodePointer("etl.definitions", "defs", None))
print(json.dumps({
    "jobs": sorted(job.name for job in repository.get_all_jobs()),
    "assets": sorted(key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()),
    "schedules": sorted(schedule.name for schedule in repository.schedule_defs),
    "sensors": sorted(sensor.name for sensor in repository.sensor_defs),
    "resources": sorted(repository.get_top_level_resources()),
    "metadata": sorted(repository.metadata),
    "modules": sorted(sys.modules),
}))
"""


#: What takes long to import and only some steps need.
FOR_STEPS = [
    "boto3", "mssql_python", "pgpq", "pyarrow.compute", "pyarrow.parquet", "sqlalchemy.dialects.mssql",
    "tranship.alerts.webhooks", "tranship.postgres.writer", "tranship.redshift.writer", "tranship.replication.load",
    "tranship.sqlserver.reader",
]  # fmt: skip


@pytest.fixture(scope="module")
def loaded() -> dict[str, dict[str, list[str]]]:
    """The code location as a code server and as a run load it, each in a process of its own."""
    found: dict[str, dict[str, list[str]]] = {}
    for who in ("server", "run"):
        command = [sys.executable, "-c", LOAD, who]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
        found[who] = json.loads(told.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("kind", ["jobs", "assets", "schedules", "sensors", "resources"])
def test_a_run_has_every_definition_that_its_code_server_has(
    loaded: dict[str, dict[str, list[str]]], kind: str
):
    assert loaded["server"][kind]
    assert loaded["run"][kind] == loaded["server"][kind]


def test_only_the_code_server_describes_the_installed_component_types(
    loaded: dict[str, dict[str, list[str]]],
):
    assert "plugin_component_types_json" in loaded["server"]["metadata"]
    assert "plugin_component_types_json" not in loaded["run"]["metadata"]


@pytest.mark.parametrize("module", FOR_STEPS)
def test_what_only_some_steps_need_is_not_imported_before_the_first(
    loaded: dict[str, dict[str, list[str]]], module: str
):
    assert module not in loaded["run"]["modules"]
