"""An ACME authority and an edge that asks it, in containers of the edge's image: the exchange is the real one, over port 80."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from docker import DockerClient
from docker.models.containers import Container

AUTHORITY = "ca.test"
NAME = "etl.test"
ROOT_CERTIFICATE = "/authority/caddy/pki/authorities/local/root.crt"
WAIT_SECONDS = 120
CONFIGURATION = """
{
	admin off
	skip_install_trust
}
ca.test {
	tls internal
	acme_server {
		lifetime 5m
	}
}
"""
_HARDENED: dict[str, Any] = {
    "detach": True,
    "cap_drop": ["ALL"],
    "read_only": True,
    "tmpfs": {"/tmp": "mode=1777"},
    "sysctls": {"net.ipv4.ip_unprivileged_port_start": "0"},
}
#: A handshake for the name, checked against the authority; prints the certificate's serial number.
_HANDSHAKE = f"""
import socket, ssl
context = ssl.create_default_context(cafile={ROOT_CERTIFICATE!r})
with context.wrap_socket(socket.create_connection(({NAME!r}, 443), 10), server_hostname={NAME!r}) as secured:
    print(secured.getpeercert()["serialNumber"])
"""
_HANDSHAKE_OF_AUTHORITY = f"""
import socket, ssl
context = ssl.create_default_context(cafile="/data/caddy/pki/authorities/local/root.crt")
context.wrap_socket(socket.create_connection(({AUTHORITY!r}, 443), 10), server_hostname={AUTHORITY!r})
"""


class AskingEdge:
    """An edge whose certificate is of the authority."""

    def __init__(self, container: Container):
        self.container = container

    def serial_number(self) -> str:
        """The certificate that is served; empty while there is none that the authority stands for."""
        result = self.container.exec_run(["python", "-c", _HANDSHAKE])
        assert isinstance(result.output, bytes)
        return result.output.decode().strip() if result.exit_code == 0 else ""

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition; fails with the edge's log."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.container.logs().decode()[-4000:]
            time.sleep(0.5)


@contextmanager
def asking_edge(engine: DockerClient, image: str) -> Iterator[AskingEdge]:
    """An authority and an edge on a network of their own, removed in the end."""
    project = f"tranship-acme-{secrets.token_hex(3)}"
    with ExitStack() as left:
        network = engine.networks.create(project, internal=True)
        left.callback(network.remove)
        volume = engine.volumes.create(project)
        left.callback(volume.remove)

        def start(alias: str, environment: dict[str, str], **options: Any) -> Container:
            container = engine.containers.create(
                image, environment=environment, network=network.name, **_HARDENED, **options
            )
            left.callback(container.remove, force=True, v=True)
            # The name by which the other one finds it.
            network.disconnect(container)
            network.connect(container, aliases=[alias])
            container.start()
            return container

        authority = start(
            AUTHORITY,
            {"CONFIGURATION": CONFIGURATION},
            volumes=[f"{volume.name}:/data"],
            entrypoint=["sh", "-c"],
            command=[
                'printf %s "$CONFIGURATION" >/tmp/Caddyfile && exec caddy run --config /tmp/Caddyfile --adapter caddyfile'
            ],
        )
        # A client that is refused tries again after a minute.
        deadline = time.monotonic() + WAIT_SECONDS
        while authority.exec_run(["python", "-c", _HANDSHAKE_OF_AUTHORITY]).exit_code:
            assert time.monotonic() < deadline, authority.logs().decode()[-4000:]
            time.sleep(0.5)
        settings = {
            "EDGE_TLS": "acme",
            "EDGE_DOMAIN": NAME,
            "EDGE_EMAIL": "ops@etl.test",
            "EDGE_ACME_DIRECTORY": f"https://{AUTHORITY}/acme/local/directory",
            "EDGE_ACME_AUTHORITY_FILE": ROOT_CERTIFICATE,
            "EDGE_RENEW_CHECK_SECONDS": "1",
            "EDGE_RENEW_PERCENT": "80",
        }
        # Its own data are in a volume without a name, which goes with it.
        yield AskingEdge(start(NAME, settings, volumes=[f"{volume.name}:/authority:ro", "/data"]))
