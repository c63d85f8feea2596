"""Escapes that work on a bare engine, tried through the gate; and what the engine made of what passed."""

import json
from typing import Any

import docker
import pytest
from docker import errors as docker_errors
from fake_engine import FakeEngine
from gate_under_test import GateUnderTest
from real_engine import RealEngine

pytestmark = pytest.mark.engine


def through(engine: RealEngine) -> GateUnderTest:
    """A client for raw requests; its fake engine is not used."""
    return GateUnderTest(engine.daemon, engine.webserver, FakeEngine())


def allowed(engine: RealEngine, **host_config: Any) -> dict[str, Any]:
    return {
        "Image": engine.image,
        "Cmd": ["sh", "-c", "id; cat /proc/self/status; touch /x"],
        "Labels": {"dagster/run_id": "escape"},
        "HostConfig": {
            "NetworkMode": engine.network,
            "Memory": 64 << 20,
            "NanoCpus": 500_000_000,
            "PidsLimit": 32,
            **host_config,
        },
    }


def number_of_containers(engine: RealEngine) -> int:
    return len(engine.client.containers.list(all=True, filters={"label": "dagster/run_id=escape"}))


@pytest.mark.parametrize(
    "addition",
    [
        '"hostconfig": {"privileged": true, "binds": ["/:/host"]}',
        '"\\u0048ostConfig": {"\\u0050rivileged": true}',
        '"Ho\u017ftConfig": {"Privileged": true}',
        '"Privileged": true',
        '"Binds": ["/:/host"]',
        '"HostConfig": {"Privileged": true}',
    ],
)
def test_bodies_that_the_engine_itself_obeys_do_not_pass(engine: RealEngine, addition: str):
    before = number_of_containers(engine)
    body = json.dumps(allowed(engine))[:-1] + f", {addition}}}"
    status, _ = through(engine).create(body.encode())
    assert status in (400, 403)
    assert number_of_containers(engine) == before


def test_what_passes_runs_without_any_privilege(engine: RealEngine):
    status, text = through(engine).create(allowed(engine, ReadonlyRootfs=False, CapAdd=[]))
    assert status == 201, text
    container = engine.client.containers.get(json.loads(text)["Id"])
    host = container.attrs["HostConfig"]
    assert (host["Privileged"], host["ReadonlyRootfs"], host["Binds"]) == (False, True, None)
    assert (host["CapDrop"], host["SecurityOpt"]) == (["ALL"], ["no-new-privileges:true"])
    assert (host["PidMode"], host["IpcMode"], host["UTSMode"]) == ("", "private", "")
    status, text = through(engine).ask("POST", f"/v1.41/containers/{container.id}/start")
    assert status == 204, text
    container.wait(timeout=30)
    output = container.logs().decode()
    assert "uid=10001 gid=10001" in output
    assert "CapBnd:\t0000000000000000" in output
    assert "NoNewPrivs:\t1" in output
    assert "Read-only file system" in output


def test_a_container_of_somebody_else_is_out_of_reach(engine: RealEngine):
    theirs = engine.client.containers.create(
        engine.image, ["sleep", "60"], labels={"tranship/test": engine.policy.deployment}
    )
    theirs.start()
    their_id = str(theirs.id)
    behind = docker.DockerClient(f"unix://{engine.daemon}")
    for call in (
        lambda: behind.api.inspect_container(their_id),
        lambda: behind.api.stop(their_id, timeout=0),
        lambda: behind.api.remove_container(their_id),
        lambda: behind.api.logs(their_id),
        lambda: behind.api.exec_create(their_id, "id"),
    ):
        with pytest.raises(docker_errors.APIError) as refusal:
            call()
        assert refusal.value.status_code == 403
    assert their_id not in {entry["Id"] for entry in behind.api.containers(all=True)}
    theirs.reload()
    assert theirs.status == "running"
    theirs.remove(force=True)
    behind.close()
