"""The gate as a process: bounded, logged, stopped in order; and Dagster's own launcher behind it."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import docker
import pytest
from fake_engine import FakeEngine, event_loop_thread, serve_engine
from gate_under_test import LABELS, GateUnderTest, allowed_body, running_gate
from test_policy import ENVIRONMENT

from gate.connections import Bounds


def test_calls_beyond_the_bound_are_told_to_come_back(gate: GateUnderTest):
    with running_gate(max_calls=1, max_waiting_seconds=0.2) as busy:
        busy.engine.answering.clear()
        answers: list[int] = []
        first = threading.Thread(target=lambda: answers.append(busy.ask("GET", "/_ping")[0]))
        first.start()
        time.sleep(0.1)
        assert busy.ask("GET", "/_ping")[0] == 503
        # The webserver's bound is its own.
        busy.engine.answering.set()
        assert busy.ask("GET", "/_ping", path=busy.webserver)[0] == 200
        first.join(10)
        assert answers == [200]


QUICK = Bounds(connections=4, head_seconds=0.3, body_seconds=0.3, answer_seconds=0.3)


def closed_within(channel: socket.socket, seconds: float) -> bool:
    """Whether the gate closes a connection, whatever it says before."""
    channel.settimeout(seconds)
    try:
        while channel.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /_pi",
        b"GET /_ping HTTP/1.1\r\nHost: x\r\n",
        b"POST /v1.41/containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000\r\n\r\n{",
    ],
)
def test_half_of_a_request_holds_a_connection_for_a_moment_only(sent: bytes):
    with running_gate(bounds=QUICK) as gate, socket.socket(socket.AF_UNIX) as channel:
        channel.connect(str(gate.daemon))
        channel.sendall(sent)
        assert closed_within(channel, 5)


def test_a_body_that_drips_is_late_as_a_whole():
    head = (
        b"POST /v1.41/containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000\r\n\r\n"
    )
    with running_gate(bounds=QUICK) as gate, socket.socket(socket.AF_UNIX) as channel:
        channel.connect(str(gate.daemon))
        channel.sendall(head)

        def drip() -> None:
            for _ in range(100):
                channel.sendall(b" ")
                time.sleep(0.1)

        with pytest.raises(ConnectionError):
            drip()


def test_connections_with_half_a_request_keep_nobody_out():
    with running_gate() as gate, ExitStack() as stack:
        for _ in range(300):
            channel = stack.enter_context(socket.socket(socket.AF_UNIX))
            channel.connect(str(gate.daemon))
            channel.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\nGET /_ping HTT")
            # Answered before the next one comes: one that is at work makes no room.
            assert b"200 OK" in channel.recv(65536)
        assert gate.ask("GET", "/_ping")[0] == 200


def test_an_answer_that_nobody_takes_ends_the_connection():
    with running_gate(bounds=QUICK) as gate, socket.socket(socket.AF_UNIX) as channel:
        ours = gate.engine.add(LABELS, Status="exited")
        ours.log = b"x" * 1_000_000
        channel.connect(str(gate.daemon))
        channel.sendall(
            f"GET /v1.41/containers/{ours.id}/logs?stdout=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        time.sleep(1)
        assert closed_within(channel, 5)


def test_a_connection_that_was_used_may_idle_until_another_needs_its_place():
    with running_gate(bounds=QUICK) as gate, ExitStack() as stack:
        channels = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(5)]
        for channel in channels[:4]:
            channel.connect(str(gate.daemon))
            channel.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200 OK" in channel.recv(65536)
        assert not closed_within(channels[0], 1)
        channels[4].connect(str(gate.daemon))
        channels[4].sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in channels[4].recv(65536)
        assert closed_within(channels[0], 5)
        assert not closed_within(channels[1], 0.2)


def test_each_request_leaves_one_line_without_values_of_the_environment(
    gate: GateUnderTest, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO, "gate.access"):
        gate.create({**allowed_body(), "Env": ["PASSWORD=hunter2"]}, name="tranship-run-a")
        gate.create({**allowed_body(), "Env": ["PASSWORD hunter2"]})
        gate.ask("POST", '/v1.41/swarm"init%0a')
    lines = [json.loads(record.message) for record in caplog.records]
    assert [line["decision"] for line in lines] == ["allowed", "refused", "refused"]
    assert lines[0]["name"] == "tranship-run-a"
    assert lines[1]["reason"] == "Env entry 0 is not NAME=value"
    assert "hunter2" not in caplog.text


def test_docker_py_as_dagsters_own_launcher_uses_it_passes_unmodified(gate: GateUnderTest):
    client = docker.DockerClient(f"unix://{gate.daemon}")
    container = client.containers.create(
        image="tranship/user-code:1",
        command=["dagster", "api", "execute_run", "{}"],
        detach=True,
        environment={"DAGSTER_RUN_JOB_NAME": "a"},
        network="runs",
        labels={"dagster/run_id": "1", "dagster/job_name": "a"},
        mem_limit="1g",
        nano_cpus=1_000_000_000,
        pids_limit=100,
        volumes=["scratch:/mnt/scratch:rw"],
    )
    container.start()
    container.reload()
    assert container.status == "running"
    assert container.labels["tranship/deployment"] == "test"
    container.stop(timeout=5)
    assert gate.engine.calls("/stop")[0][2] == {"t": "5"}
    client.close()


def test_the_process_serves_both_sockets_over_one_that_was_left_behind_and_stops_on_sigterm():
    with tempfile.TemporaryDirectory(prefix="gate") as folder, event_loop_thread() as run:
        there = Path(folder)
        engine = FakeEngine()
        ours = engine.add(LABELS, Status="running")
        runner = run(serve_engine(engine, there / "engine"))
        (there / "daemon").touch()
        environment = {
            **ENVIRONMENT,
            "GATE_DEPLOYMENT": "test",
            "GATE_ENGINE_SOCKET": str(there / "engine"),
            "GATE_DAEMON_SOCKET": str(there / "daemon"),
            "GATE_WEBSERVER_SOCKET": str(there / "webserver"),
            "PYTHONPATH": str(Path(__file__).parents[3] / "docker/gate"),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "gate"], env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            for _ in range(100):
                if (there / "webserver").is_socket():
                    break
                time.sleep(0.1)
            check = [sys.executable, "-m", "gate", "check"]
            assert subprocess.run(check, env=environment, check=False).returncode == 0
            client = docker.DockerClient(f"unix://{there / 'webserver'}")
            assert client.containers.get(ours.id).status == "running"
            client.close()
        finally:
            os.kill(process.pid, signal.SIGTERM)
            output, _ = process.communicate(timeout=15)
        assert process.returncode == 0
        lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        assert {line["operation"] for line in lines} == {"ping", "version", "inspect"}
        run(runner.cleanup())
