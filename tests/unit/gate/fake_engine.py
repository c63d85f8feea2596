"""A Docker engine in this process: it records what reaches it and keeps containers in a dict.

It speaks as much of the engine's API as the gate lets through, over a Unix socket.
"""

import asyncio
import json
import secrets
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web


@dataclass
class FakeContainer:
    """What the fake engine knows of one container."""

    id: str
    name: str
    body: dict[str, Any]
    state: dict[str, Any] = field(
        default_factory=lambda: {
            "Status": "created",
            "Running": False,
            "ExitCode": 0,
            "OOMKilled": False,
            "Error": "",
            "StartedAt": "0001-01-01T00:00:00Z",
            "FinishedAt": "0001-01-01T00:00:00Z",
        }
    )
    created: str = "2026-11-01T12:00:00.000000000Z"
    log: bytes = b""

    def inspect(self) -> dict[str, Any]:
        """The engine's account of it."""
        host = self.body.get("HostConfig") or {}
        return {
            "Id": self.id,
            "Name": f"/{self.name}",
            "Created": self.created,
            "Path": "dagster",
            "Args": ["secret-in-args"],
            "State": self.state,
            "Image": "sha256:" + "0" * 64,
            "Config": {
                "Image": self.body.get("Image"),
                "Labels": self.body.get("Labels") or {},
                "Env": self.body.get("Env"),
                "Tty": False,
                "User": self.body.get("User"),
            },
            "NetworkSettings": {"Networks": {host.get("NetworkMode"): {}}},
            "HostConfig": {
                "Binds": host.get("Binds"),
                "Devices": host.get("Devices"),
                "Privileged": bool(host.get("Privileged")),
                "CapAdd": host.get("CapAdd") or None,
                "CapDrop": host.get("CapDrop"),
                "NetworkMode": host.get("NetworkMode"),
                "Memory": host.get("Memory", 0),
                "NanoCpus": host.get("NanoCpus", 0),
                "PidsLimit": host.get("PidsLimit"),
            },
        }


@dataclass
class FakeEngine:
    """The engine's state, and every request that reached it as (method, path, query, body)."""

    requests: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    containers: dict[str, FakeContainer] = field(default_factory=dict)
    images: set[str] = field(default_factory=lambda: {"tranship/user-code:1"})
    #: Set by a test: called when a container starts; may change its state.
    on_start: Callable[[FakeContainer], None] = lambda container: container.state.update(
        Status="running", Running=True
    )
    #: Errors to answer the next pulls with, first one first.
    pull_errors: list[tuple[int, str]] = field(default_factory=list)
    start_error: tuple[int, str] | None = None
    #: Cleared by a test: while it is, no call is answered.
    answering: threading.Event = field(default_factory=threading.Event)
    registry_auth: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.answering.set()

    def calls(self, path_end: str) -> list[tuple[str, str, dict[str, str], Any]]:
        """The recorded requests whose path ends so."""
        return [request for request in self.requests if request[1].endswith(path_end)]

    def add(self, labels: dict[str, str], **state: Any) -> FakeContainer:
        """Put a container there as if somebody had created it at the engine."""
        container = FakeContainer(secrets.token_hex(32), "some-name", {"Labels": labels})
        container.body["HostConfig"] = {"NetworkMode": "runs", "CapDrop": ["ALL"]}
        container.state.update(state)
        self.containers[container.id] = container
        return container

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request as the engine would."""
        raw = await request.read()
        while not self.answering.is_set():
            await asyncio.sleep(0.01)
        body: Any = json.loads(raw) if raw else None
        query = dict(request.query)
        self.requests.append((request.method, request.path, query, body))
        if request.headers.get("X-Registry-Auth"):
            self.registry_auth.append(request.headers["X-Registry-Auth"])
        parts = request.path.strip("/").split("/")
        if parts[0].startswith("v1."):
            parts = parts[1:]
        match (request.method, *parts):
            case (_, "_ping"):
                return web.Response(text="OK")
            case ("GET", "version"):
                return web.json_response(
                    {"Version": "99", "ApiVersion": "1.99", "MinAPIVersion": "1.12"}
                )
            case ("POST", "containers", "create"):
                return self._create(query, body)
            case ("GET", "containers", "json"):
                return self._list(query)
            case ("POST", "images", "create"):
                return self._pull(query)
            case ("POST", "networks", _, "connect"):
                return web.Response(status=200)
            case (_, "containers", ref, *action):
                return self._act(request.method, ref, action)
        return _error(500, "the fake engine does not know this call")

    def _create(self, query: dict[str, str], body: dict[str, Any]) -> web.Response:
        if body["Image"] not in self.images:
            return _error(404, f"No such image: {body['Image']}")
        name = query.get("name", "random_name")
        if any(container.name == name for container in self.containers.values()):
            return _error(409, f'Conflict. The container name "/{name}" is already in use')
        container = FakeContainer(secrets.token_hex(32), name, body)
        self.containers[container.id] = container
        return web.json_response({"Id": container.id, "Warnings": []}, status=201)

    def _list(self, query: dict[str, str]) -> web.Response:
        wanted = json.loads(query.get("filters", "{}")).get("label", [])
        found = []
        for container in self.containers.values():
            labels = container.body.get("Labels") or {}
            if all(
                labels.get(key) == value
                for key, _, value in (label.partition("=") for label in wanted)
            ):
                found.append(
                    {
                        "Id": container.id,
                        "Names": [f"/{container.name}"],
                        "Labels": labels,
                        "State": container.state["Status"],
                        "Command": "secret-in-args",
                    }
                )
        return web.json_response(found)

    def _pull(self, query: dict[str, str]) -> web.Response:
        if self.pull_errors:
            return _error(*self.pull_errors.pop(0))
        self.images.add(f"{query['fromImage']}:{query['tag']}")
        return web.Response(text='{"status":"Downloaded"}', content_type="application/json")

    def _act(self, method: str, ref: str, action: list[str]) -> web.Response:
        container = self.containers.get(ref)
        if container is None:
            return _error(404, f"No such container: {ref}")
        match (method, *action):
            case ("GET", "json"):
                return web.json_response(container.inspect())
            case ("GET", "logs"):
                frame = struct.pack(">BxxxL", 1, len(container.log)) + container.log
                return web.Response(
                    body=frame if container.log else b"",
                    content_type="application/vnd.docker.raw-stream",
                )
            case ("POST", "start"):
                if self.start_error:
                    return _error(*self.start_error)
                self.on_start(container)
                return web.Response(status=204)
            case ("POST", "stop"):
                container.state.update(Status="exited", Running=False, ExitCode=143)
                return web.Response(status=204)
            case ("DELETE",):
                del self.containers[ref]
                return web.Response(status=204)
        return _error(500, "the fake engine does not know this call")


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status)


@contextmanager
def event_loop_thread() -> Iterator[Callable[[Awaitable[Any]], Any]]:
    """Run an event loop in a thread of its own; yields a function that runs an awaitable there."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def awaited(awaitable: Awaitable[Any]) -> Any:
        return await awaitable

    def run(awaitable: Awaitable[Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(awaited(awaitable), loop).result(30)

    async def end_tasks() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    try:
        yield run
    finally:
        asyncio.run_coroutine_threadsafe(end_tasks(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def serve_engine(engine: FakeEngine, socket_path: Path) -> web.ServerRunner:
    """Serve a fake engine on a Unix socket."""
    runner = web.ServerRunner(web.Server(engine.handle))
    await runner.setup()
    await web.UnixSite(runner, str(socket_path)).start()
    return runner
