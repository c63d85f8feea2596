"""The question whether the edge is well: a handshake for the domain, and the login behind it answers."""

import http.client
import socket
import ssl
import sys

from edge.settings import Settings

HEALTH_SECONDS = 8


def check(settings: Settings) -> int:
    """Ask the edge of this container."""
    # Whether others trust the certificate cannot be known in here; that there is one for the name can.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(settings.domain, timeout=HEALTH_SECONDS)
    try:
        plain = socket.create_connection(("127.0.0.1", settings.https_listen), HEALTH_SECONDS)
        with context.wrap_socket(plain, server_hostname=settings.domain) as connection.sock:
            connection.request("GET", "/-/health", headers={"Host": settings.domain})
            status = connection.getresponse().status
    except OSError as error:
        sys.stderr.write(
            f"There is no certificate for {settings.domain}, or Caddy is not up: {error}\n"
        )
        return 1
    if status != 200:
        sys.stderr.write(f"The login answers {status}.\n")
    return 0 if status == 200 else 1
