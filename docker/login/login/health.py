"""The question whether the service is well, for the container's health check."""

import http.client
import socket
import sys
from pathlib import Path

HEALTH_SECONDS = 8


def check(path: Path) -> int:
    """Ask the service at a socket whether it is well."""
    connection = http.client.HTTPConnection("login", timeout=HEALTH_SECONDS)
    with socket.socket(socket.AF_UNIX) as connection.sock:
        connection.sock.settimeout(HEALTH_SECONDS)
        try:
            connection.sock.connect(str(path))
            connection.request("GET", "/-/health")
            status = connection.getresponse().status
        except OSError as error:
            sys.stderr.write(f"{path}: {error}\n")
            return 1
    return 0 if status == 200 else 1
