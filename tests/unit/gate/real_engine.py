"""The gate in front of a real engine, with a network, volumes and an image of the test's own."""

import io
import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from uuid import uuid4

import docker
from docker import errors as docker_errors
from fake_engine import event_loop_thread

from gate.engine import Engine
from gate.policy import DIRECTORIES, Policy
from gate.routes import Identity
from gate.server import Listener

BASE_IMAGE = "python:3.13-slim-trixie"
LIBRARY = Path(__file__).parents[3] / "user_code/src/tranship"
DOCKERFILE = f"""
FROM {BASE_IMAGE}
COPY tranship /usr/lib/tranship/tranship
ENV PYTHONPATH=/usr/lib/tranship
USER 10001:10001
"""


@dataclass(frozen=True)
class RealEngine:
    """An engine with the gate in front of it.

    Args:
        client: The engine itself, to look at what the gate let through.
        daemon: Socket of the daemon's identity.
        webserver: Socket of the webserver's identity.
        policy: The gate's policy; its names are this test session's own.
        image: An image with `sh`, `python` and what starts a run.
    """

    client: docker.DockerClient
    daemon: Path
    webserver: Path
    policy: Policy
    image: str

    @property
    def network(self) -> str:
        """The one network that runs may join."""
        return next(iter(self.policy.networks))

    @property
    def secrets_volume(self) -> str:
        """The one volume that runs may mount, read-only."""
        return next(iter(self.policy.volumes))


@contextmanager
def real_engine() -> Iterator[RealEngine]:
    """Lay out what runs need on the engine, and take all of it away again."""
    name = f"tranship-test-{uuid4().hex[:8]}"
    address = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    client = docker.DockerClient(address, timeout=120)
    policy = Policy(
        deployment=name,
        images=frozenset({name}),
        networks=frozenset({name}),
        volumes=MappingProxyType({f"{name}-secrets": False}),
        user="10001:10001",
        max_memory_bytes=256 << 20,
        max_nano_cpus=1_000_000_000,
        max_pids=64,
        max_containers=40,
        max_total_memory_bytes=4 << 30,
        # One that is a file: what the engine cannot start is wanted too.
        directories=DIRECTORIES | {"/etc/passwd"},
        programs=frozenset({"sh"}),  # what tests start in the worker's place
        name_prefix=f"{name}-run-",
    )
    network = client.networks.create(name)
    volume = client.volumes.create(f"{name}-secrets")
    try:
        image = _build_image(client, f"{name}:1")
        with tempfile.TemporaryDirectory(prefix="gate") as folder, event_loop_thread() as run:
            engine = run(Engine(address.removeprefix("unix://")).__aenter__())
            servers = [
                run(Listener(identity, engine, policy).listen(Path(folder) / identity))
                for identity in Identity
            ]
            yield RealEngine(
                client,
                Path(folder) / Identity.DAEMON,
                Path(folder) / Identity.WEBSERVER,
                policy,
                image,
            )

            async def close() -> None:
                for server in servers:
                    server.close()
                await engine.__aexit__(None, None, None)

            run(close())
    finally:
        for label in (f"tranship/deployment={name}", f"tranship/test={name}"):
            for container in client.containers.list(all=True, filters={"label": label}):
                container.remove(force=True)
        network.remove()
        volume.remove()
        client.images.remove(f"{name}:1", force=True)
        client.close()


def _build_image(client: docker.DockerClient, tag: str) -> str:
    try:
        client.images.get(BASE_IMAGE)
    except docker_errors.ImageNotFound:
        client.images.pull(BASE_IMAGE)
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        dockerfile = tarfile.TarInfo("Dockerfile")
        dockerfile.size = len(DOCKERFILE)
        archive.addfile(dockerfile, io.BytesIO(DOCKERFILE.encode()))
        for file in ("__init__.py", "runs/__init__.py", "runs/secrets.py", "runs/worker.py"):
            archive.add(LIBRARY / file, f"tranship/{file}")
    context.seek(0)
    client.images.build(fileobj=context, custom_context=True, tag=tag, rm=True)
    return tag
