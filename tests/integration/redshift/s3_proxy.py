"""An S3 endpoint that refuses some requests on their way to the real one."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP_HEADERS = {"connection", "transfer-encoding", "keep-alive"}


@dataclass
class Refusals:
    """How many requests of which kind are still to be refused, and how.

    Attributes:
        left: requests still to refuse.
        status: the HTTP status of the answer.
        code: S3's error code in it.
        method: the method that is refused.
        path_has: what the path or query of a refused request has in it.
        seen: requests that were refused.
    """

    left: int = 0
    status: int = 503
    code: str = "SlowDown"
    method: str = "PUT"
    path_has: str = ""
    seen: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def refuse(
        self, left: int, status: int, code: str, method: str = "PUT", path_has: str = ""
    ) -> None:
        self.left, self.status, self.code = left, status, code
        self.method, self.path_has, self.seen = method, path_has, 0

    def takes(self, method: str, path: str) -> bool:
        with self.lock:
            if self.left <= 0 or method != self.method or self.path_has not in path:
                return False
            self.left -= 1
            self.seen += 1
            return True


@contextmanager
def s3_proxy(target: str) -> Iterator[tuple[str, Refusals]]:
    """Run a proxy; gives its address and what to arm."""
    refusals = Refusals()
    upstream = urlsplit(target).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def relay(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if refusals.takes(self.command, self.path):
                answer = f"<Error><Code>{refusals.code}</Code><Message>told to</Message></Error>"
                self.answer(refusals.status, {"Content-Type": "application/xml"}, answer.encode())
                return
            connection = http.client.HTTPConnection(upstream, timeout=30)
            connection.request(self.command, self.path, body, dict(self.headers))
            reply = connection.getresponse()
            headers = {k: v for k, v in reply.getheaders() if k.lower() not in HOP_HEADERS}
            self.answer(reply.status, headers, reply.read())
            connection.close()

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = relay  # noqa: N815

        def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() != "content-length":
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing: pytest shows what matters."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", refusals
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
