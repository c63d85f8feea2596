"""What the launcher asks of the engine, and what it tells the run; through the real gate."""

import copy
import json
import time
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from dagster._core.launcher.base import WorkerStatus
from docker import errors as docker_errors
from fake_engine import FakeContainer
from gate_under_test import GateUnderTest
from runs_under_test import launch, launcher_of, messages, new_run

from tranship.runs.limits import RunLimitError

MakeInstance = Callable[..., dg.DagsterInstance]


def only_container(gate: GateUnderTest) -> FakeContainer:
    (container,) = gate.engine.containers.values()
    return container


def dies(exit_code: int, *, log: bytes = b"", out_of_memory: bool = False) -> Any:
    def on_start(container: FakeContainer) -> None:
        container.log = log
        container.state.update(Status="exited", ExitCode=exit_code, OOMKilled=out_of_memory)

    return on_start


def wait_until_finished(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun:
    for _ in range(300):
        run = instance.get_run_by_id(run_id)
        assert run is not None
        if run.is_finished:
            return run
        time.sleep(0.1)
    raise AssertionError("the run did not finish within 30 seconds")


def test_a_run_gets_a_named_and_labelled_container_within_its_limits(
    gate: GateUnderTest, instance: dg.DagsterInstance
):
    run = launch(instance, new_run(instance))
    container = only_container(gate)
    assert container.name == f"tranship-run-run_etl_job-{run.run_id.replace('-', '')[:12]}"
    assert container.state["Status"] == "running"
    labels = container.body["Labels"].items()
    assert {name: text for name, text in labels if not name.startswith("com.docker.compose.")} == {
        "dagster/run_id": run.run_id,
        "dagster/job_name": "run_etl_job",
        "tranship/deployment": "test",
        "tranship/memory-bytes": str(1 << 30),
    }
    host = container.body["HostConfig"]
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (1 << 30, 1_000_000_000, 128)
    assert run.tags["docker/container_id"] == container.id
    assert run.tags["dagster/image"] == "tranship/user-code:1"
    assert f"in container {container.name}" in messages(instance, run.run_id)
    assert "memory 1 GiB, CPUs 1, processes 128" in messages(instance, run.run_id)


def test_the_exit_code_of_a_run_tells_its_failure(
    gate: GateUnderTest, instance: dg.DagsterInstance
):
    launch(instance, new_run(instance))
    command = only_container(gate).body["Cmd"]
    assert command[:3] == ["dagster", "api", "execute_run"]
    assert json.loads(command[3])["set_exit_code_on_failure"] is True


def test_tags_set_the_limits_of_one_run(gate: GateUnderTest, instance: dg.DagsterInstance):
    tags = {"tranship/memory": "2g", "tranship/cpus": "0.5", "tranship/pids": "200"}
    launch(instance, new_run(instance, tags=tags))
    host = only_container(gate).body["HostConfig"]
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (2 << 30, 500_000_000, 200)


def test_a_run_above_the_ceiling_fails_with_the_ceiling_named_and_is_not_tried_again(
    gate: GateUnderTest, instance: dg.DagsterInstance
):
    run = new_run(instance, tags={"tranship/memory": "3g"})
    with pytest.raises(RunLimitError):
        launch(instance, run)
    failed = wait_until_finished(instance, run.run_id)
    assert failed.status == dg.DagsterRunStatus.FAILURE
    assert failed.tags["dagster/max_retries"] == "0"
    assert (
        "[ContainerRunLauncher] The run asks for memory 3 GiB (the tag tranship/memory); the ceiling of this"
        " deployment is 2 GiB. Ask for less, or raise run_launcher.config.ceiling.memory in dagster.yaml."
    ) in messages(instance, run.run_id)
    assert gate.engine.requests == []


def test_a_code_location_cannot_go_above_the_ceiling_either(
    gate: GateUnderTest, instance: dg.DagsterInstance
):
    context = {"docker": {"container_kwargs": {"mem_limit": "4g"}}}
    with pytest.raises(RunLimitError, match=r"container_kwargs\.mem_limit"):
        launch(instance, new_run(instance, context=context))


def test_launching_does_not_change_the_launchers_configuration(
    gate: GateUnderTest, make_instance: MakeInstance
):
    instance = make_instance(container_kwargs={"labels": {"tranship/team": "a"}, "init": True})
    before = copy.deepcopy(launcher_of(instance).container_kwargs)
    launch(instance, new_run(instance))
    launch(instance, new_run(instance))
    assert launcher_of(instance).container_kwargs == before
    first, second = gate.engine.containers.values()
    assert first.body["Labels"]["tranship/team"] == second.body["Labels"]["tranship/team"] == "a"


def test_no_secret_is_in_what_the_engine_can_tell(
    gate: GateUnderTest, make_instance: MakeInstance, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("POSTGRES_PASSWORD", "hunter2")
    monkeypatch.setenv("POSTGRES_HOST", "warehouse")
    monkeypatch.setenv("EMPTY", "")
    instance = make_instance(
        secrets=[{"volume": "secrets", "path": "/run/secrets/data"}],
        env_vars=["POSTGRES_HOST", "HOME=/tmp"],
        optional_env_vars=["EMPTY", "NOT_SET_ANYWHERE"],
    )
    launch(instance, new_run(instance))
    body = only_container(gate).body
    assert "hunter2" not in json.dumps(body)
    assert sorted(body["Env"]) == [
        "DAGSTER_RUN_JOB_NAME=run_etl_job",
        "HOME=/tmp",
        "OPENBLAS_NUM_THREADS=1",
        "POSTGRES_HOST=warehouse",
    ]
    assert body["HostConfig"]["Mounts"] == [
        {"Type": "volume", "Source": "secrets", "Target": "/run/secrets/data", "ReadOnly": True}
    ]
    assert body["Cmd"][:7] == [
        "/opt/venv/bin/python", "-m", "tranship.runs.worker",
        "--from", "/run/secrets/data", "--", "dagster",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "told"),
    [([], "OPENBLAS_NUM_THREADS=2"), (["OPENBLAS_NUM_THREADS=1"], "OPENBLAS_NUM_THREADS=1")],
)
def test_a_library_that_counts_the_machines_processors_is_told_of_the_limit(
    gate: GateUnderTest, make_instance: MakeInstance, given: list[str], told: str
):
    instance = make_instance(limits={"cpus": "1.5"}, env_vars=given)
    launch(instance, new_run(instance))
    assert told in only_container(gate).body["Env"]


def test_a_container_that_dies_before_the_run_starts_fails_the_run_with_the_cause(
    gate: GateUnderTest, instance: dg.DagsterInstance
):
    gate.engine.on_start = dies(3, log=b"Traceback\nModuleNotFoundError: No module named 'etl'\n")
    run = launch(instance, new_run(instance))
    failed = wait_until_finished(instance, run.run_id)
    assert failed.status == dg.DagsterRunStatus.FAILURE
    told = messages(instance, run.run_id)
    assert "ended before the run had started" in told
    assert "ended with exit code 3" in told
    assert "No module named 'etl'" in told


def test_a_container_that_dies_while_its_run_works_fails_the_run_with_the_cause(
    gate: GateUnderTest, instance: dg.DagsterInstance
):
    run = launch(instance, new_run(instance))
    instance.handle_run_event(run.run_id, started_event(run))
    only_container(gate).log = b"the last line"
    only_container(gate).state.update(Status="exited", ExitCode=139)
    failed = wait_until_finished(instance, run.run_id)
    assert failed.status == dg.DagsterRunStatus.FAILURE
    told = messages(instance, run.run_id)
    assert "ended before the run had finished" in told
    assert "crashed (SIGSEGV). Its last output:\nthe last line" in told
    # Such a run is retried, as often as dagster.yaml says.
    assert failed.tags["dagster/failure_reason"] == "UNEXPECTED_TERMINATION"
    assert "dagster/max_retries" not in failed.tags


def test_a_container_that_somebody_removed_fails_its_run(
    gate: GateUnderTest, instance: dg.DagsterInstance
):
    run = launch(instance, new_run(instance))
    instance.handle_run_event(run.run_id, started_event(run))
    gate.engine.containers.clear()
    wait_until_finished(instance, run.run_id)
    assert "Its container is gone: somebody removed it." in messages(instance, run.run_id)


def test_a_run_that_ends_well_is_left_alone(gate: GateUnderTest, instance: dg.DagsterInstance):
    run = launch(instance, new_run(instance))
    success = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, run.job_name)
    instance.handle_run_event(run.run_id, success)
    only_container(gate).state.update(Status="exited", ExitCode=0)
    other = launch(instance, new_run(instance))
    only_of_other = gate.engine.containers[other.tags["docker/container_id"]]
    only_of_other.state.update(Status="exited", ExitCode=1)
    wait_until_finished(instance, other.run_id)
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status == dg.DagsterRunStatus.SUCCESS


@pytest.mark.parametrize("started", [False, True])
def test_a_run_killed_for_memory_says_so_and_is_not_retried(
    gate: GateUnderTest, instance: dg.DagsterInstance, started: bool
):
    run = launch(instance, new_run(instance))
    if started:
        instance.handle_run_event(run.run_id, started_event(run))
    only_container(gate).state.update(Status="exited", ExitCode=137, OOMKilled=True)
    failed = wait_until_finished(instance, run.run_id)
    assert failed.tags["dagster/max_retries"] == "0"
    told = messages(instance, run.run_id)
    assert "not retried: with the same memory limit it would end the same way" in told
    assert "ended with exit code 137: out of memory. Its limit is 1 GiB" in told
    assert "tranship/memory" in told
    info = launcher_of(instance).get_run_worker_debug_info(run)
    assert info is not None
    assert "out of memory" in info


def test_a_restarted_launcher_takes_up_runs_that_are_starting(
    gate: GateUnderTest, instance: dg.DagsterInstance
):
    run = launch(instance, new_run(instance))
    launcher_of(instance).dispose()
    only_container(gate).state.update(Status="exited", ExitCode=1)
    other_process = dg.DagsterInstance.from_ref(instance.get_ref())
    launcher_of(other_process).get_run_worker_debug_info(run)  # what run monitoring calls
    assert wait_until_finished(instance, run.run_id).status == dg.DagsterRunStatus.FAILURE
    other_process.dispose()


def test_a_step_killed_for_memory_is_told_although_its_run_failed_by_itself(
    gate: GateUnderTest, instance: dg.DagsterInstance
):
    run = launch(instance, new_run(instance))
    # Of a run that never began the keeper would stop the container, before it ends by itself.
    instance.handle_run_event(run.run_id, started_event(run))
    instance.report_run_failed(run, "a step's process was killed")
    only_container(gate).state.update(Status="exited", ExitCode=1, OOMKilled=True)
    for _ in range(100):
        if "out of memory" in messages(instance, run.run_id):
            return
        time.sleep(0.1)
    raise AssertionError("nobody told of the memory")


def test_no_container_is_left_when_its_start_fails(
    gate: GateUnderTest, instance: dg.DagsterInstance
):
    gate.engine.start_error = (400, 'exec: "dagster": executable file not found in $PATH')
    run = new_run(instance)
    with pytest.raises(docker_errors.APIError):
        launch(instance, run)
    assert gate.engine.containers == {}
    assert wait_until_finished(instance, run.run_id).status == dg.DagsterRunStatus.FAILURE
    assert "executable file not found" in messages(instance, run.run_id)


def test_a_second_container_of_a_run_gets_another_name(
    gate: GateUnderTest, instance: dg.DagsterInstance
):
    run = launch(instance, new_run(instance))
    instance.resume_run(run.run_id, workspace=None, attempt_number=1)  # pyright: ignore[reportArgumentType]
    first, second = (container.name for container in gate.engine.containers.values())
    assert second.startswith(f"{first}-")


def test_a_run_canceled_while_its_container_is_made_is_not_started(
    gate: GateUnderTest, instance: dg.DagsterInstance
):
    run = new_run(instance)
    report_starting = instance.add_run_tags

    def cancel_meanwhile(run_id: str, tags: Any) -> None:
        report_starting(run_id, tags)
        instance.report_run_canceling(run)

    instance.add_run_tags = cancel_meanwhile  # pyright: ignore[reportAttributeAccessIssue]
    launched = launch(instance, run)
    assert launched.status == dg.DagsterRunStatus.CANCELED
    assert gate.engine.containers == {}


def test_terminating_stops_the_container_within_its_grace_and_cancels_the_run(
    gate: GateUnderTest, make_instance: MakeInstance
):
    instance = make_instance(container_kwargs={"stop_timeout": 25})
    run = launch(instance, new_run(instance))
    assert launcher_of(instance).terminate(run.run_id)
    assert gate.engine.calls("/stop")[0][2] == {"t": "25"}
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status == dg.DagsterRunStatus.CANCELED
    assert "stopped (SIGTERM)" in messages(instance, run.run_id)


def test_the_webserver_can_terminate_with_its_own_identity(
    gate: GateUnderTest, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    run = launch(instance, new_run(instance))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{gate.webserver}")
    webserver = dg.DagsterInstance.from_ref(instance.get_ref())
    assert launcher_of(webserver).terminate(run.run_id)
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status == dg.DagsterRunStatus.CANCELED
    webserver.dispose()


def test_a_container_that_is_gone_does_not_keep_a_run_canceling(
    gate: GateUnderTest, instance: dg.DagsterInstance
):
    run = launch(instance, new_run(instance))
    gate.engine.containers.clear()
    assert launcher_of(instance).terminate(run.run_id)
    assert wait_until_finished(instance, run.run_id).is_finished


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("running", WorkerStatus.RUNNING),
        ("created", WorkerStatus.RUNNING),
        ("paused", WorkerStatus.RUNNING),
        ("exited", WorkerStatus.FAILED),
        ("dead", WorkerStatus.FAILED),
    ],
)
def test_health_follows_the_container(
    gate: GateUnderTest, instance: dg.DagsterInstance, status: str, expected: WorkerStatus
):
    run = launch(instance, new_run(instance))
    instance.handle_run_event(run.run_id, started_event(run))
    only_container(gate).state.update(Status=status, ExitCode=1)
    only_container(gate).log = b"the last line\n"
    result = launcher_of(instance).check_run_worker_health(run)
    assert result.status == expected
    if expected is WorkerStatus.FAILED:
        assert result.msg is not None
        assert result.msg.endswith("ended with exit code 1. Its last output:\nthe last line")


def started_event(run: dg.DagsterRun) -> dg.DagsterEvent:
    return dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, run.job_name)
