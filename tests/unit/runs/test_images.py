"""Pulling a run's image: tried again where it may pass, with the registry's login, told where it fails."""

import base64
import dataclasses
import json
from collections.abc import Iterator

import docker
import pytest
import tenacity
from gate_under_test import POLICY, GateUnderTest, running_gate

from tranship.runs.containers import ImageNotAvailableError, pull_image

REGISTRY = {"url": "registry.example", "username": "robot", "password": "hunter2"}
AT_ONCE = tenacity.wait_none()


@pytest.fixture
def pulling_gate() -> Iterator[GateUnderTest]:
    with running_gate(dataclasses.replace(POLICY, allow_pull=True)) as running:
        yield running


@pytest.fixture
def client(pulling_gate: GateUnderTest) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(f"unix://{pulling_gate.daemon}")
    yield client
    client.close()


def test_a_registry_that_fails_now_and_then_is_asked_again_with_the_login(
    pulling_gate: GateUnderTest, client: docker.DockerClient
):
    pulling_gate.engine.pull_errors = [(500, "unauthorized"), (503, "busy")]
    pull_image(client, "tranship/user-code:2", REGISTRY, attempts=3, wait=AT_ONCE)
    assert "tranship/user-code:2" in pulling_gate.engine.images
    logins = [
        json.loads(base64.urlsafe_b64decode(one)) for one in pulling_gate.engine.registry_auth
    ]
    assert (
        logins
        == [{"username": "robot", "password": "hunter2", "serveraddress": "registry.example"}] * 3
    )


def test_an_image_that_does_not_exist_is_asked_for_once(
    pulling_gate: GateUnderTest, client: docker.DockerClient
):
    pulling_gate.engine.pull_errors = [(404, "pull access denied")]
    with pytest.raises(ImageNotAvailableError) as failure:
        pull_image(client, "tranship/user-code:2", None, attempts=3, wait=AT_ONCE)
    assert str(failure.value) == (
        "Image tranship/user-code:2 is not on this host and could not be pulled: pull access denied."
        " Build it here, or check the registry's address and login."
    )
    assert len(pulling_gate.engine.calls("/images/create")) == 1


def test_attempts_come_to_an_end(pulling_gate: GateUnderTest, client: docker.DockerClient):
    pulling_gate.engine.pull_errors = [(500, "down")] * 9
    with pytest.raises(ImageNotAvailableError, match="down"):
        pull_image(client, "tranship/user-code:2", None, attempts=3, wait=AT_ONCE)
    assert len(pulling_gate.engine.calls("/images/create")) == 3


def test_the_gate_lets_no_other_repository_be_pulled(
    pulling_gate: GateUnderTest, client: docker.DockerClient
):
    with pytest.raises(ImageNotAvailableError, match="GATE_IMAGES"):
        pull_image(client, "evil/miner:1", None, attempts=3, wait=AT_ONCE)
    assert pulling_gate.engine.calls("/images/create") == []
