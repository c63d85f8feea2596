"""The launcher on a real engine through the gate: what users meet when containers die, leak or hang."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.test_utils import create_run_for_test
from real_engine import RealEngine
from runs_under_test import launcher_of, messages

from tranship.runs.config import Retention
from tranship.runs.janitor import sweep

pytestmark = pytest.mark.engine

MakeInstance = Callable[..., dg.DagsterInstance]


@pytest.fixture
def make_instance(
    engine: RealEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeInstance]:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{engine.daemon}")
    with ExitStack() as stack:

        def make(**config: Any) -> dg.DagsterInstance:
            launcher = {
                "module": "tranship.runs",
                "class": "ContainerRunLauncher",
                "config": {
                    "deployment": engine.policy.deployment,
                    "name_prefix": engine.policy.name_prefix,
                    "network": engine.network,
                    "limits": {"memory": "64m", "cpus": "1", "pids": 32},
                    "ceiling": {"memory": "128m", "cpus": "1", "pids": 64},
                    **config,
                },
            }
            return stack.enter_context(
                dg.instance_for_test(overrides={"run_launcher": launcher}, temp_dir=str(tmp_path))
            )

        yield make


def launch(
    instance: dg.DagsterInstance,
    engine: RealEngine,
    script: str,
    tags: dict[str, str] | None = None,
    image: str | None = None,
) -> dg.DagsterRun:
    """Launch a run whose worker is a shell script instead of Dagster."""
    repository = RepositoryPythonOrigin(
        executable_path="python3",
        code_pointer=ModuleCodePointer("etl", "defs", None),
        container_image=image or engine.image,
        entry_point=["sh", "-c", script],
    )
    run = create_run_for_test(
        instance,
        job_name="run_etl_job",
        tags=tags,
        job_code_origin=JobPythonOrigin("run_etl_job", repository),
    )
    instance.launch_run(run.run_id, workspace=None)  # pyright: ignore[reportArgumentType]
    return reloaded(instance, run)


def reloaded(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


def finished(instance: dg.DagsterInstance, run: dg.DagsterRun, seconds: float) -> dg.DagsterRun:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if (now := reloaded(instance, run)).is_finished:
            return now
        time.sleep(0.1)
    raise AssertionError(f"the run was not finished within {seconds} seconds")


def container_of(engine: RealEngine, run: dg.DagsterRun) -> Any:
    return engine.client.containers.get(run.tags["docker/container_id"])


def test_a_worker_that_dies_early_fails_the_run_within_seconds(
    engine: RealEngine, make_instance: MakeInstance
):
    instance = make_instance()
    run = launch(instance, engine, "echo cannot import etl >&2; exit 3")
    assert finished(instance, run, seconds=20).status == dg.DagsterRunStatus.FAILURE
    told = messages(instance, run.run_id)
    assert "ended with exit code 3. Its last output:\ncannot import etl" in told
    assert container_of(engine, run).name.startswith(f"{engine.policy.name_prefix}run_etl_job-")


def test_a_run_out_of_memory_says_so_with_its_limit(
    engine: RealEngine, make_instance: MakeInstance
):
    instance = make_instance()
    eat = "exec python3 -c 'x = bytearray(300 << 20)'"
    run = launch(instance, engine, eat, tags={"tranship/memory": "32m"})
    finished(instance, run, seconds=15)
    told = messages(instance, run.run_id)
    assert "ended with exit code 137: out of memory. Its limit is 32 MiB" in told


def test_the_run_finds_its_secret_and_inspect_does_not_show_it(
    engine: RealEngine, make_instance: MakeInstance
):
    volume = engine.secrets_volume
    write = "printf 'hunter%s' 2 > /secrets/WAREHOUSE_PASSWORD"
    engine.client.containers.run(
        engine.image,
        ["sh", "-c", write],
        volumes={volume: {"bind": "/secrets"}},
        user="0",
        remove=True,
    )
    instance = make_instance(secrets=[{"volume": volume, "path": "/run/secrets/data"}])
    run = launch(instance, engine, 'echo "found $WAREHOUSE_PASSWORD"; touch /run/secrets/data/x')
    finished(instance, run, seconds=10)
    container = container_of(engine, run)
    assert b"found hunter2" in container.logs()
    assert b"Read-only file system" in container.logs()
    assert "hunter2" not in json.dumps(container.attrs)


def test_a_worker_that_ignores_the_request_is_killed_and_the_run_canceled(
    engine: RealEngine, make_instance: MakeInstance
):
    instance = make_instance(container_kwargs={"stop_timeout": 1})
    run = launch(instance, engine, "trap '' TERM; echo up; while :; do sleep 1; done")
    while b"up" not in container_of(engine, run).logs():
        time.sleep(0.1)
    began = time.monotonic()
    assert launcher_of(instance).terminate(run.run_id)
    assert 0.5 < time.monotonic() - began < 9  # the engine would give it 10
    assert reloaded(instance, run).status == dg.DagsterRunStatus.CANCELED
    assert container_of(engine, run).status == "exited"


def test_an_image_that_is_not_there_is_told_and_leaves_nothing(
    engine: RealEngine, make_instance: MakeInstance
):
    instance = make_instance()
    name = engine.policy.deployment
    with pytest.raises(Exception, match="GATE_ALLOW_PULL"):
        launch(instance, engine, "true", image=f"{name}:no-such-tag")
    (run,) = instance.get_runs()
    assert run.status == dg.DagsterRunStatus.FAILURE
    assert f"Image {name}:no-such-tag is not on this host" in messages(instance, run.run_id)


def test_no_container_is_left_when_the_engine_cannot_start_it(
    engine: RealEngine, make_instance: MakeInstance
):
    instance = make_instance(container_kwargs={"working_dir": "/etc/passwd"})
    with pytest.raises(Exception, match="not a directory"):
        launch(instance, engine, "true")
    (run,) = instance.get_runs()
    label = f"dagster/run_id={run.run_id}"
    assert engine.client.containers.list(all=True, filters={"label": label}) == []


def test_the_janitor_removes_ended_containers_of_ours_only(
    engine: RealEngine, make_instance: MakeInstance
):
    instance = make_instance()
    ended = launch(instance, engine, "exit 1")
    running = launch(instance, engine, "sleep 60")
    finished(instance, ended, seconds=10)
    foreign = engine.client.containers.create(
        engine.image,
        labels={"dagster/run_id": ended.run_id, "tranship/test": engine.policy.deployment},
    )
    client = launcher_of(instance).client()
    now = Retention(finished_hours=0, failed_hours=0)
    assert container_of(engine, ended).name in sweep(
        instance, client, engine.policy.deployment, now
    )
    left = {container.id for container in engine.client.containers.list(all=True)}
    assert ended.tags["docker/container_id"] not in left
    assert {running.tags["docker/container_id"], foreign.id} <= left
