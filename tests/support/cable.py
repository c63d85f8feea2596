"""A cable between clients and a server that a test can pull out, or let go dead."""

import contextlib
import selectors
import socket
import struct
import threading

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends RST


class Cable:
    """Passes bytes between clients and a server, counts connections, can be pulled out and can fall silent."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._speaks = threading.Event()
        self._speaks.set()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def connections(self) -> int:
        """How many connections are open at the moment."""
        with self._lock:
            return len(self._pairs)

    def fall_silent(self) -> None:
        """Keep every connection open and pass nothing on, as a server that was stopped does."""
        self._speaks.clear()

    def pull(self) -> None:
        """Break every connection, as a crash or a firewall does."""
        self._speaks.set()
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        # Shutting it down ends the accept that waits in the thread; closing alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)
        self.pull()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            pair = (client, socket.create_connection(self._server))
            with self._lock:
                self._pairs.add(pair)
            threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as selector, client, server:
            selector.register(client, selectors.EVENT_READ, (client, server))
            selector.register(server, selectors.EVENT_READ, (server, client))
            with contextlib.suppress(OSError):
                while True:
                    for key, _ in selector.select():
                        source, target = key.data
                        piece = source.recv(65536)
                        if piece:
                            self._speaks.wait()
                        if not piece:
                            raise ConnectionError
                        target.sendall(piece)
        with self._lock:
            self._pairs.discard((client, server))
