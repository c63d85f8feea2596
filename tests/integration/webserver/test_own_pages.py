"""Dagster's real webserver behind the check: what a page of somebody else can make it do, and what its own can."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

PIPELINES = """
import dagster as dg

@dg.op
def nothing(): ...

@dg.job
def harmless(): nothing()

@dg.schedule(cron_schedule="0 0 1 1 *", job=harmless, name="yearly")
def yearly(): return {}

definitions = dg.Definitions(jobs=[harmless], schedules=[yearly])
"""
MUTATION = 'mutation { setConcurrencyLimit(concurrencyKey: "attacked", limit: 1) }'
LIMITS = "{ instance { concurrencyLimits { concurrencyKey } } }"
START_SECONDS = 90


@dataclass
class Webserver:
    """A running webserver."""

    port: int

    def ask(self, method: str, target: str, body: str = "", **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, target, body.encode(), named)
        answer = connection.getresponse()
        told = answer.read().decode()
        connection.close()
        return answer.status, told

    def query(self, document: str, **headers: str) -> tuple[int, str]:
        body = json.dumps({"query": document})
        return self.ask("POST", "/graphql", body, content_type="application/json", **headers)

    def limits(self) -> str:
        status, told = self.query(LIMITS)
        assert status == 200, told
        return told


@pytest.fixture(scope="module")
def webserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webserver]:
    folder: Path = tmp_path_factory.mktemp("webserver")
    (folder / "pipelines.py").write_text(PIPELINES)
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "tranship.webserver",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "-f", "pipelines.py"], cwd=folder, stdout=log, stderr=log, env={**os.environ, "DAGSTER_HOME": str(folder)},
        )  # fmt: skip
    running = Webserver(port)
    try:
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                assert running.ask("GET", "/server_info")[0] == 200
                break
            except OSError:
                told = (folder / "log").read_text()
                assert process.poll() is None, told
                assert time.monotonic() < until, told
                time.sleep(0.2)
        yield running
    finally:
        process.terminate()
        process.wait(30)


def test_the_page_and_its_queries_are_served(webserver: Webserver):
    status, page = webserver.ask("GET", "/", accept="text/html")
    assert (status, "<html" in page) == (200, True)
    status, told = webserver.ask("GET", f"/graphql?query={quote('{ version }')}")
    assert (status, "version" in json.loads(told)["data"]) == (200, True)


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {}),
        ("POST", {"content_type": "text/plain"}),
        ("POST", {"content_type": "application/x-www-form-urlencoded"}),
        ("POST", {"content_type": "text/plain; application/json"}),
    ],
)
def test_no_link_and_no_form_changes_anything(
    webserver: Webserver, method: str, headers: dict[str, str]
):
    before = webserver.limits()
    status, _ = webserver.ask(method, f"/graphql?query={quote(MUTATION)}", **headers)
    assert status in (405, 415)
    assert webserver.limits() == before


@pytest.mark.parametrize(
    "headers",
    [{"origin": "http://evil.example"}, {"host": "evil.example"}, {"sec_fetch_site": "cross-site"}],
)
def test_no_script_of_another_page_changes_anything(webserver: Webserver, headers: dict[str, str]):
    before = webserver.limits()
    status, _ = webserver.query(MUTATION, **headers)
    assert status in (400, 403)
    assert webserver.limits() == before
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(
            f"ws://127.0.0.1:{webserver.port}/graphql",
            origin=None,
            subprotocols=[Subprotocol("graphql-ws")],
            additional_headers={
                name.replace("_", "-"): value for name, value in headers.items() if name != "host"
            }
            or {"Origin": "null"},
        ),
    ):
        pass
    assert refused.value.response.status_code == 403


def test_our_own_page_changes_things_and_listens(webserver: Webserver):
    origin = f"http://127.0.0.1:{webserver.port}"
    status, told = webserver.query(MUTATION, origin=origin, sec_fetch_site="same-origin")
    assert (status, "errors" in json.loads(told)) == (200, False), told
    assert "attacked" in webserver.limits()
    with connect(
        f"ws://127.0.0.1:{webserver.port}/graphql",
        additional_headers={"Origin": origin},
        subprotocols=[Subprotocol("graphql-ws")],
    ) as channel:
        channel.send(json.dumps({"type": "connection_init"}))
        assert json.loads(channel.recv(timeout=30))["type"] == "connection_ack"
