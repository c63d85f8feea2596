"""The front door as plain processes: the real Caddy, the real login service, and two of Dagster's webservers behind them."""

import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

ROOT = Path(__file__).parents[2]
START_SECONDS = 120
PASSWORD = "correct horse battery"

PIPELINES = """
import dagster as dg

@dg.op
def nothing(): ...

@dg.job
def harmless(): nothing()

definitions = dg.Definitions(jobs=[harmless])
"""
MUTATION = 'mutation Attack { setConcurrencyLimit(concurrencyKey: "attacked", limit: 1) }'
LIMITS = "{ instance { concurrencyLimits { concurrencyKey } } }"


class Browser(httpx.Client):
    """Somebody's browser: keeps cookies, follows nothing, trusts the authority of the test."""

    def __init__(self, url: str, authority: ssl.SSLContext):
        super().__init__(base_url=url, verify=authority, timeout=60)
        self.url = url
        self.authority = authority

    def form_token(self, path: str = "/-/login") -> str:
        """What the form of a page shows that it is ours with."""
        page = self.get(path).text
        shown = re.search(r'name="form_token" value="([^"]+)"', page)
        assert shown, page
        return shown[1]

    def log_in(self, name: str, password: str = PASSWORD, **headers: str) -> httpx.Response:
        """Send the login form, as its page does."""
        fields = {"form_token": self.form_token(), "name": name, "password": password}
        return self.post("/-/login", data=fields, headers={"origin": self.url, **headers})

    def ask(self, document: str, **headers: str) -> httpx.Response:
        """Send a GraphQL document, as Dagster's pages do."""
        return self.post(
            "/graphql", json={"query": document}, headers={"origin": self.url, **headers}
        )

    def websocket(self, origin: str | None = None) -> ClientConnection:
        """Open GraphQL's WebSocket, as Dagster's pages do."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return connect(
            f"wss://{self.url.removeprefix('https://')}/graphql",
            ssl=self.authority,
            subprotocols=[Subprotocol("graphql-ws")],
            origin=Origin(origin or self.url),
            additional_headers={"Cookie": cookies},
            proxy=None,
        )


class Processes:
    """Processes with their logs, until the end."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._stack = ExitStack()
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        """Start one; what it writes is in `log(name)`."""
        log = self._stack.enter_context((self.folder / f"{name}.log").open("ab"))
        process = subprocess.Popen(
            command, env=dict(environment), cwd=self.folder, stdout=log, stderr=subprocess.STDOUT
        )
        self.running[name] = process
        self._stack.callback(self.stop, name)

    def stop(self, name: str) -> None:
        """End one, if it runs."""
        process = self.running.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)

    def log(self, name: str) -> str:
        """What one has written."""
        return (self.folder / f"{name}.log").read_text()

    def close(self) -> None:
        """End all."""
        self._stack.close()


class FrontDoorUnderTest:
    """The edge at `https://localhost:<port>`, with a login and two webservers.

    Args:
        edge: More settings of the edge.
        login: More settings of the login.
        webservers: Whether Dagster's webservers are behind it.
    """

    def __init__(
        self,
        edge: Mapping[str, str] | None = None,
        login: Mapping[str, str] | None = None,
        *,
        webservers: bool = True,
    ):
        # A socket's path has no room for the folders that pytest makes.
        self.folder = Path(tempfile.mkdtemp(prefix="door-", dir="/tmp"))
        for name in ("login", "operators", "viewers", "state", "data", "home"):
            (self.folder / name).mkdir()
        self.https_port, self.http_port = free_ports(2)
        self.url = f"https://localhost:{self.https_port}"
        plain = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
        }
        self.edge_environment = {
            **plain,
            "PYTHONPATH": str(ROOT / "docker/edge"),
            "XDG_DATA_HOME": str(self.folder / "data"),
            "EDGE_DOMAIN": "localhost",
            "EDGE_HTTPS_PORT": str(self.https_port),
            "EDGE_HTTPS_LISTEN": str(self.https_port),
            "EDGE_HTTP_LISTEN": str(self.http_port),
            "EDGE_SOCKETS": str(self.folder),
            "EDGE_RUN": str(self.folder / "run"),
            **(edge or {}),
        }
        self.login_environment = {
            **plain,
            "PYTHONPATH": str(ROOT / "docker/login"),
            "LOGIN_DOMAIN": "localhost",
            "LOGIN_HTTPS_PORT": str(self.https_port),
            "LOGIN_STATE": str(self.folder / "state"),
            "LOGIN_SOCKET": str(self.folder / "login/login.sock"),
            **(login or {}),
        }
        self._webservers = webservers
        self.processes = Processes(self.folder)

    def __enter__(self) -> "FrontDoorUnderTest":
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start everything and wait until it is well."""
        self.start_login()
        self.processes.start("edge", [sys.executable, "-m", "edge"], self.edge_environment)
        self.wait_until(self._edge_is_well, "the edge is well")
        if self._webservers:
            # One after the other: both would make the tables of their storage.
            self._start_webserver("operators")
            self._start_webserver("viewers", "--read-only")

    def start_login(self) -> None:
        """Start the login service and wait until it is well."""
        self.processes.start("login", [sys.executable, "-m", "login"], self.login_environment)
        self.wait_until(
            lambda: accepts(self.folder / "login/login.sock"), "the login service answers"
        )

    def _start_webserver(self, name: str, *options: str) -> None:
        home = self.folder / "home"
        (home / "pipelines.py").write_text(PIPELINES)
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        command = [
            sys.executable, "-m", "tranship.webserver", "--host", "127.0.0.1", "--port", str(free_ports(1)[0]),
            f"--front-door-socket={self.folder / name / 'webserver.sock'}", "-f", str(home / "pipelines.py"), *options,
        ]  # fmt: skip
        self.processes.start(name, command, {**os.environ, "DAGSTER_HOME": str(home)})
        path = self.folder / name / "webserver.sock"
        self.wait_until(lambda: accepts(path), f"the webserver of {name} answers")

    def _edge_is_well(self) -> bool:
        command = [sys.executable, "-m", "edge", "check"]
        done = subprocess.run(command, env=self.edge_environment, capture_output=True, check=False)
        return done.returncode == 0

    def close(self) -> None:
        """End everything."""
        self.processes.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- what tests do with it ----

    def wait_until(self, condition: Callable[[], object], what: str) -> Any:
        """Wait for a condition; fails with the logs of a process that has ended, or of all."""
        deadline = time.monotonic() + START_SECONDS
        while not (value := condition()):
            ended = [name for name, one in self.processes.running.items() if one.poll() is not None]
            if ended or time.monotonic() > deadline:
                logs = "\n".join(
                    f"{name}:\n{self.processes.log(name)[-3000:]}"
                    for name in self.processes.running
                )
                raise AssertionError(f"not so: {what}; ended: {ended}\n{logs}")
            time.sleep(0.1)
        return value

    def command(self, *arguments: str, given: str = "") -> tuple[int, str]:
        """Run a command of the login service; gives exit code and output."""
        done = subprocess.run(
            [sys.executable, "-m", "login", *arguments],
            env=self.login_environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def add_user(self, name: str, role: str) -> None:
        """Add a user with the password of all tests."""
        code, output = self.command("users", "add", name, "--role", role, given=f"{PASSWORD}\n")
        assert code == 0, output

    @property
    def root_certificate(self) -> Path:
        """The internal authority's certificate."""
        return self.folder / "data/caddy/pki/authorities/local/root.crt"

    def browser(self, authority: Path | None = None) -> Browser:
        """A browser that has not been here before."""
        return Browser(
            self.url, ssl.create_default_context(cafile=authority or self.root_certificate)
        )

    def logged_in(self, name: str) -> Browser:
        """A browser of somebody who has logged in."""
        browser = self.browser()
        answer = browser.log_in(name)
        assert answer.status_code == 303, answer.text
        return browser


def accepts(path: Path) -> bool:
    """Whether somebody listens at a Unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Ports that are free now, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
