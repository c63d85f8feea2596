"""A host outside, for tests of what leaves a network: it has an address of the internet, and that of a cloud's metadata service."""

import contextlib
import secrets
import subprocess
import sys
from collections.abc import Iterator

#: Reserved for documentation, so nobody's: https://www.rfc-editor.org/rfc/rfc5737
_HERE, OUTSIDE = "203.0.113.1", "203.0.113.2"
METADATA = "169.254.169.254"
PORT = 80


@contextlib.contextmanager
def outside_host() -> Iterator[None]:
    """Run one while the block lasts; as root, on Linux."""
    name = f"out{secrets.token_hex(3)}"
    inside = ["ip", "netns", "exec", name]
    _ip("netns", "add", name)
    try:
        _ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
        _ip("address", "add", f"{_HERE}/30", "dev", f"{name}a")
        _ip("link", "set", f"{name}a", "up")
        for address in (f"{OUTSIDE}/30", f"{METADATA}/32"):
            subprocess.run(
                [*inside, "ip", "address", "add", address, "dev", f"{name}b"], check=True
            )
        subprocess.run([*inside, "ip", "link", "set", f"{name}b", "up"], check=True)
        _ip("route", "add", f"{METADATA}/32", "via", OUTSIDE)
        server = subprocess.Popen(
            [*inside, sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "listening\n"
            yield
        finally:
            server.kill()
            server.wait()
    finally:
        # The pair and its routes go with it.
        _ip("netns", "delete", name)


_SERVER = f"""
import socket
listener = socket.create_server(('', {PORT}))
print('listening', flush=True)
while True:
    listener.accept()[0].close()
"""


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
