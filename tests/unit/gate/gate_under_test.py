"""A gate in front of a fake engine, and a client that writes raw bytes to it."""

import json
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fake_engine import FakeEngine, event_loop_thread, serve_engine

from gate.engine import Engine
from gate.policy import Policy
from gate.routes import Identity
from gate.server import Listener

POLICY = Policy(
    deployment="test",
    images=frozenset({"tranship/user-code"}),
    networks=frozenset({"runs", "data"}),
    volumes=MappingProxyType({"secrets": False, "scratch": True}),
    user="10001:10001",
    max_memory_bytes=4 << 30,
    max_nano_cpus=2_000_000_000,
    max_pids=512,
    max_containers=8,
    max_total_memory_bytes=16 << 30,
)
LABELS = {"dagster/run_id": "run-1", "tranship/deployment": "test"}


@dataclass
class GateUnderTest:
    """A running gate: the sockets of its two identities and the engine behind it."""

    daemon: Path
    webserver: Path
    engine: FakeEngine

    def send(self, raw: bytes, path: Path | None = None) -> list[tuple[int, str]]:
        """Write raw bytes to the gate; give status and message of every answer until it closes."""
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(10)
            channel.connect(str(path or self.daemon))
            try:
                channel.sendall(raw)
            except BrokenPipeError:
                # The gate answered and closed before the last of the bytes.
                assert len(raw) > 1024 * 1024
            received = b"".join(iter(lambda: channel.recv(65536), b""))
        return list(_answers(received))

    def ask(
        self, method: str, target: str, body: Any = None, path: Path | None = None
    ) -> tuple[int, str]:
        """Make one well-formed request; give status and body."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"{method} {target} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n"
        if body is None:
            return self.send(head.encode() + b"\r\n", path)[0]
        head += f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
        return self.send(head.encode() + raw, path)[0]

    def create(self, body: Any, name: str = "") -> tuple[int, str]:
        """Ask for a container."""
        return self.ask(
            "POST", "/v1.41/containers/create" + (f"?name={name}" if name else ""), body
        )


def _answers(received: bytes) -> Iterator[tuple[int, str]]:
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        length = int(headers.get("content-length", 0))
        yield int(lines[0].split()[1]), rest[:length].decode()
        received = rest[length:]


@contextmanager
def running_gate(policy: Policy = POLICY, **bounds: Any) -> Iterator[GateUnderTest]:
    """Run a gate in front of a fake engine; `bounds` are those of its listeners."""
    # A Unix socket's path is at most 107 bytes, which pytest's own directories may exceed.
    with tempfile.TemporaryDirectory(prefix="gate") as folder, event_loop_thread() as run:
        engine = FakeEngine()
        there = Path(folder)
        runner = run(serve_engine(engine, there / "engine"))
        client = run(Engine(str(there / "engine")).__aenter__())
        servers = [
            run(Listener(identity, client, policy, **bounds).listen(there / identity))
            for identity in Identity
        ]
        yield GateUnderTest(there / Identity.DAEMON, there / Identity.WEBSERVER, engine)

        async def close() -> None:
            for server in servers:
                server.close()
            await client.__aexit__(None, None, None)
            await runner.cleanup()

        run(close())


def allowed_body(**host_config: Any) -> dict[str, Any]:
    """A create body that the gate lets through, with further HostConfig keys."""
    return {
        "Image": "tranship/user-code:1",
        "Cmd": ["dagster", "api", "execute_run"],
        "Env": ["A=1"],
        "Labels": dict(LABELS),
        "HostConfig": {
            "NetworkMode": "runs",
            "Memory": 1 << 30,
            "NanoCpus": 1_000_000_000,
            "PidsLimit": 128,
            **host_config,
        },
    }
