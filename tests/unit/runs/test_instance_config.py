"""The stack's dagster.yaml, read by Dagster's own schema."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef
from dagster._core.workspace.load import location_origins_from_yaml_paths

from tranship.runs import ContainerRunLauncher

HOME = Path(__file__).parents[3] / "dagster_home"
VALUES = {"MEMORY": "1g", "CPUS": "1", "PIDS": "64", "PORT": "5432"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every variable that the file names, set."""
    names = set(re.findall(r"env: (\w+)", (HOME / "dagster.yaml").read_text()))
    for name in names:
        monkeypatch.setenv(name, VALUES.get(name.rpartition("_")[2], "some-name"))
    return names


def test_dagster_accepts_the_file(environment: set[str]):
    config, _ = dagster_instance_config(str(HOME))
    assert config["run_monitoring"]["max_resume_run_attempts"] == 0
    assert config["run_retries"]["retry_on_asset_or_op_failure"] is False
    assert config["telemetry"]["enabled"] is False


def test_the_launcher_coordinator_and_storage_can_be_made_from_it(environment: set[str]):
    ref = InstanceRef.from_dir(str(HOME))
    launcher: Any = ref.run_launcher
    assert isinstance(launcher, ContainerRunLauncher)
    assert launcher.networks == ["some-name"]
    coordinator: Any = ref.run_coordinator
    assert coordinator.dequeue_interval_seconds < 1
    assert coordinator.get_run_queue_config().max_user_code_failure_retries == 5
    assert ref.compute_logs_data is not None
    assert ref.compute_logs_data.config_dict["upload_interval"] == 5
    assert ref.custom_instance_class_data is None
    assert ref.storage_data is not None
    assert ref.storage_data.class_name == "PooledPostgresStorage"
    url = ref.storage_data.config_dict
    assert url["postgres_db"]["scheme"] == "postgresql+psycopg2"


def test_it_holds_no_literal_secret():
    def literals(value: Any, path: str = "") -> dict[str, Any]:
        if isinstance(value, dict):
            return {
                k: v
                for key, item in value.items()
                for k, v in literals(item, f"{path}.{key}").items()
            }
        return {path: value}

    found = literals(yaml.safe_load((HOME / "dagster.yaml").read_text()))
    secret = {path for path in found if re.search(r"(password|secret|token|key)(\.|$)", path)}
    assert all(path.endswith(".env") for path in secret), secret


def test_what_the_launcher_forwards_by_value_is_no_password(environment: set[str]):
    launcher: Any = InstanceRef.from_dir(str(HOME)).run_launcher
    assert launcher is not None
    forwarded = [*launcher.env_vars, *launcher._optional_env_vars]
    assert not [name for name in forwarded if re.search("PASSWORD|SECRET|TOKEN", name)]


def test_the_workspace_points_at_the_code_server():
    origins: Any = location_origins_from_yaml_paths([str(HOME / "workspace.yaml")])
    assert [(origin.location_name, origin.host, origin.port) for origin in origins] == [
        ("etl", "user-code", 4000)
    ]
