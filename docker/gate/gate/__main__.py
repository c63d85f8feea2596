"""`python -m gate` serves; `python -m gate check` asks a running gate, for the container's health check."""

import asyncio
import http.client
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from gate.engine import Engine
from gate.policy import Policy, PolicyError
from gate.routes import Identity
from gate.server import ACCESS_LOG, Listener

_DEFAULT_SOCKETS = {
    Identity.DAEMON: "/run/gate/daemon/docker.sock",
    Identity.WEBSERVER: "/run/gate/webserver/docker.sock",
}


def socket_paths(environment: Mapping[str, str]) -> dict[Identity, Path]:
    """Where each identity's socket lies: `GATE_DAEMON_SOCKET`, `GATE_WEBSERVER_SOCKET`."""
    return {
        identity: Path(environment.get(f"GATE_{identity.name}_SOCKET") or default)
        for identity, default in _DEFAULT_SOCKETS.items()
    }


async def serve(policy: Policy, engine_socket: str, sockets: Mapping[Identity, Path]) -> None:
    """Serve both identities until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopping.set)
    async with Engine(engine_socket) as engine:
        servers = [
            await Listener(identity, engine, policy).listen(path)
            for identity, path in sockets.items()
        ]
        logging.getLogger("gate").info("serving %s", policy)
        await stopping.wait()
        for server in servers:
            server.close()


def check(path: Path) -> bool:
    """Whether the gate and the engine behind it answer on a socket."""
    connection = http.client.HTTPConnection("gate", timeout=8)
    try:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(8)
            channel.connect(str(path))
            connection.sock = channel
            connection.request("GET", "/_ping")
            return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"{path}: {error}\n")
        return False


def main(arguments: list[str]) -> int:
    """Run the command; 2 when a setting is missing or malformed."""
    if arguments == ["check"]:
        return 0 if all(check(path) for path in socket_paths(os.environ).values()) else 1
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stdout,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    # One line of JSON for each request, and nothing around it.
    lines = logging.StreamHandler(sys.stdout)
    ACCESS_LOG.addHandler(lines)
    ACCESS_LOG.propagate = False
    try:
        policy = Policy.from_environment(os.environ)
    except PolicyError as error:
        logging.getLogger("gate").critical("%s See docker/gate/README.md.", error)
        return 2
    engine_socket = os.environ.get("GATE_ENGINE_SOCKET") or "/var/run/docker.sock"
    asyncio.run(serve(policy, engine_socket, socket_paths(os.environ)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
