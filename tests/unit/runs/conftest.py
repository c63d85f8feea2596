"""Dagster instances whose launcher speaks to a fake engine through the real gate."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from gate_under_test import GateUnderTest, running_gate
from runs_under_test import CONFIG, new_run


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[GateUnderTest]:
    """A gate in front of a fake engine; this process is its daemon."""
    with running_gate() as running:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{running.daemon}")
        yield running


@pytest.fixture(scope="session")
def empty_storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance's directory with its databases laid out, which takes seconds; tests copy it."""
    folder = tmp_path_factory.mktemp("storage")
    with dg.instance_for_test(overrides=one_event_log(folder), temp_dir=str(folder)) as instance:
        new_run(instance)
        instance.wipe()
    return folder


@pytest.fixture
def make_instance(
    gate: GateUnderTest, empty_storage: Path, tmp_path: Path
) -> Iterator[Callable[..., dg.DagsterInstance]]:
    """Make an instance with the launcher; arguments are added to its configuration."""
    with ExitStack() as stack:

        def make(**config: Any) -> dg.DagsterInstance:
            launcher = {
                "module": "tranship.runs",
                "class": "ContainerRunLauncher",
                "config": {**CONFIG, **config},
            }
            home = shutil.copytree(empty_storage, tmp_path / "home", dirs_exist_ok=True)
            overrides = {"run_launcher": launcher, **one_event_log(home)}
            return stack.enter_context(
                dg.instance_for_test(overrides=overrides, temp_dir=str(home))
            )

        yield make


@pytest.fixture
def instance(make_instance: Callable[..., dg.DagsterInstance]) -> dg.DagsterInstance:
    """An instance with the plain configuration."""
    return make_instance()


def one_event_log(folder: Path) -> dict[str, Any]:
    """One database for all runs' events: laying one out for each run takes a second."""
    return {
        "event_log_storage": {
            "module": "dagster._core.storage.event_log",
            "class": "ConsolidatedSqliteEventLogStorage",
            "config": {"base_dir": str(folder / "events")},
        }
    }
