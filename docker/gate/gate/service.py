"""The gate as a process: settings from the environment, a socket for each identity, until it is stopped."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from gate.engine import Engine
from gate.health import socket_paths
from gate.policy import Policy, PolicyError
from gate.routes import Identity
from gate.server import ACCESS_LOG, Listener


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


def run() -> int:
    """Serve; 2 when a setting is missing or malformed."""
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
