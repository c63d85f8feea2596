"""Servers on 127.0.0.1 that take alerts: a webhook's and a mail server's side of the conversation."""

import base64
import json
import socketserver
import ssl
import sys
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl

SLACK_PATH = "/services/T000/B000/s3cr3t-of-slack"
TEAMS_PATH = "/workflows/abc/triggers/manual?sig=s3cr3t-of-teams"
SMTP_USER = "alerts@example.com"
SMTP_PASSWORD = "s3cr3t-of-smtp"
SECRETS = (
    *("s3cr3t-of-slack", "s3cr3t-of-teams", "s3cr3t-of-smtp"),
    *("s3cr3t-of-app", "s3cr3t-token", "s3cr3t-refresh"),
)


class WebhookServer:
    """Keeps every body that was posted. `answer` is the status it gives, `say` the text with it.

    Args:
        answer: Status of every answer; only what was answered with 2xx counts as received.
    """

    def __init__(self, answer: int = 200):
        self.answer = answer
        self.say = "ok"
        self.received: list[tuple[str, dict[str, Any]]] = []
        self.calls = 0
        self.port = 0
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, where it listened before if it did."""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.calls += 1
                if owner.answer < 300:
                    owner.take(self.path, body)
                self.send_response(owner.answer)
                if owner.answer in (301, 302, 307, 308):
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(owner.say.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def take(self, path: str, body: bytes) -> None:
        """Keep what was posted."""
        self.received.append((path, json.loads(body)))

    def stop(self) -> None:
        """Hang up: connections are refused from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def url(self, path: str = SLACK_PATH) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [body for _, body in self.received]


class TokenServer(WebhookServer):
    """Gives access tokens for what is posted as a form; `say` is the JSON it answers with."""

    def __init__(self, answer: int = 200):
        super().__init__(answer)
        self.say = '{"access_token": "s3cr3t-token", "expires_in": 3599}'

    def take(self, path: str, body: bytes) -> None:
        """Keep a form as a dict."""
        self.received.append((path, dict(parse_qsl(body.decode()))))


class MailServer(socketserver.ThreadingTCPServer):
    """Speaks as much SMTP as a client needs, with STARTTLS and AUTH, and keeps every mail.

    Args:
        tls: The server's side of encryption, offered as STARTTLS; `None` does not offer it.
        encrypted_at_once: Whether every connection begins encrypted instead.
        refused: Recipients that are refused.
        tokens: Access tokens that XOAUTH2 is good with; without any it is not offered.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        *,
        encrypted_at_once: bool = False,
        refused: tuple[str, ...] = (),
        tokens: tuple[str, ...] = (),
    ):
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.tokens = tokens
        self.tls = tls
        self.encrypted_at_once = encrypted_at_once
        self.refused = refused
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.logins: list[tuple[str, str, bool]] = []

    def __enter__(self) -> "MailServer":
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up or do not trust the certificate; raise what else there is."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    @property
    def port(self) -> int:
        return self.server_address[1]


class _Conversation(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, MailServer)
        encrypted, authenticated, recipients = server.encrypted_at_once, False, []
        if encrypted:
            self._encrypt()
        self._say("220 test")
        while line := self.rfile.readline():
            verb, _, rest = line.decode().strip().partition(" ")
            match verb.upper():
                case "EHLO":
                    tls = ["STARTTLS"] if server.tls and not encrypted else []
                    offers = ["test", *tls, "AUTH PLAIN XOAUTH2" if server.tokens else "AUTH PLAIN"]
                    for offer in offers[:-1]:
                        self._say(f"250-{offer}")
                    self._say(f"250 {offers[-1]}")
                case "STARTTLS" if server.tls:
                    self._say("220 go on")
                    self._encrypt()
                    encrypted = True
                case "AUTH" if rest.upper().startswith("XOAUTH2 "):
                    said = base64.b64decode(rest.split()[1]).decode()
                    user, bearer, *end = said.split("\x01")
                    assert end == ["", ""]
                    token = bearer.removeprefix("auth=Bearer ")
                    server.logins.append((user.removeprefix("user="), token, encrypted))
                    if token in server.tokens:
                        self._say("235 2.7.0 Authentication successful")
                    else:
                        # The reason comes as a challenge, to which the client answers nothing.
                        reason = base64.b64encode(b'{"status":"400"}').decode()
                        self._say(f"334 {reason}")
                        assert self.rfile.readline().strip() == b""
                        self._say("535 5.7.3 Authentication unsuccessful")
                case "AUTH":
                    _, user, password = base64.b64decode(rest.split()[-1]).decode().split("\0")
                    server.logins.append((user, password, encrypted))
                    authenticated = password == SMTP_PASSWORD
                    # Some servers repeat what they were told.
                    self._say("235 ok" if authenticated else f"535 wrong password {password}")
                case "RCPT":
                    address = rest.partition("<")[2].partition(">")[0]
                    if address in server.refused:
                        self._say("550 no such user")
                    else:
                        recipients.append(address)
                        self._say("250 ok")
                case "DATA":
                    self._say("354 go on")
                    body = b"".join(iter(self.rfile.readline, b".\r\n"))
                    mail = message_from_bytes(body, policy=policy.default)
                    server.mails.append(mail)
                    server.recipients.append(recipients)
                    recipients = []
                    self._say("250 ok")
                case "QUIT":
                    self._say("221 bye")
                    return
                case _:
                    self._say("250 ok")

    def _encrypt(self) -> None:
        assert isinstance(self.server, MailServer)
        assert self.server.tls
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())
