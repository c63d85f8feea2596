"""Whether a gate serves: asked by the container's health check every few seconds, so it imports next to nothing."""

import re
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from gate.routes import Identity

_DEFAULT_SOCKETS = {
    Identity.DAEMON: "/run/gate/daemon/docker.sock",
    Identity.WEBSERVER: "/run/gate/webserver/docker.sock",
}
_TIMEOUT_SECONDS = 8
_PING = b"GET /_ping HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n"
_WELL = re.compile(rb"HTTP/1\.1 200 ")


def socket_paths(environment: Mapping[str, str]) -> dict[Identity, Path]:
    """Where each identity's socket lies: `GATE_DAEMON_SOCKET`, `GATE_WEBSERVER_SOCKET`."""
    return {
        identity: Path(environment.get(f"GATE_{identity.name}_SOCKET") or default)
        for identity, default in _DEFAULT_SOCKETS.items()
    }


def check(path: Path) -> bool:
    """Whether the gate and the engine behind it answer on a socket; what is wrong goes to standard error."""
    try:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(_TIMEOUT_SECONDS)
            channel.connect(str(path))
            channel.sendall(_PING)
            with channel.makefile("rb") as answer:
                status = answer.readline()
    except OSError as error:
        sys.stderr.write(f"{path}: {error}\n")
        return False
    if not _WELL.match(status):
        sys.stderr.write(f"{path}: the gate answers {status.decode('latin-1').strip()!r}\n")
        return False
    return True
