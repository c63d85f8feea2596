"""A proxy that changes bytes on their way from a server, for values that no stand-in can store."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def rewriting_proxy(host: str, port: int, old: bytes, new: bytes) -> Iterator[int]:
    """A port that leads to a server, from which each of these bytes comes as others of the same length.

    Args:
        host: The server's address.
        port: The server's port.
        old: What the server sends; an occurrence over two packets of the network is not found.
        new: What arrives in its place.
    """
    assert len(old) == len(new)
    open_sockets: list[socket.socket] = []

    def pump(origin: socket.socket, target: socket.socket, *, changes: bool) -> None:
        with suppress(OSError):
            while data := origin.recv(1 << 16):
                target.sendall(data.replace(old, new) if changes else data)
        for one in (origin, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection((host, port))
                open_sockets.extend((client, server))
                for ends, changes in (((client, server), False), ((server, client), True)):
                    thread = threading.Thread(
                        target=pump, args=ends, kwargs={"changes": changes}, daemon=True
                    )
                    thread.start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    for one in open_sockets:
        one.close()
