"""The whole front door without an engine: Caddy with a certificate of its own authority, the login, two of Dagster's webservers."""

import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from front_door import LIMITS, MUTATION, FrontDoorUnderTest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

pytestmark = pytest.mark.timeout(300)

SPOOFED = {
    "X-Tranship-User": "olga",
    "X-Tranship-Role": "operator",
    "X-Tranship-Address": "192.0.2.1",
    "X-Tranship-Peer": "192.0.2.1",
    "Remote-User": "olga",
    "X-Remote-User": "olga",
    "X-Forwarded-User": "olga",
    "X-Forwarded-For": "192.0.2.1",
    "Forwarded": "for=192.0.2.1",
}


@pytest.fixture(scope="module")
def door() -> Iterator[FrontDoorUnderTest]:
    with FrontDoorUnderTest() as door:
        door.add_user("olga", "operator")
        door.add_user("vera", "viewer")
        yield door


def changes(door: FrontDoorUnderTest, webserver: str) -> list[dict[str, Any]]:
    """The audit of a webserver."""
    lines = door.processes.log(webserver).splitlines()
    return [json.loads(line) for line in lines if line.startswith('{"audit": "change"')]


def start(query: str) -> str:
    return json.dumps({"type": "start", "id": "1", "payload": {"query": query}})


def drain(channel: ClientConnection) -> None:
    """Read until the other side closes."""
    while True:
        channel.recv(timeout=30)


# ---- TLS ----


def test_the_certificate_is_of_our_authority_and_for_the_name(door: FrontDoorUnderTest):
    assert door.browser().get("/-/login").status_code == 200
    with pytest.raises(httpx.ConnectError, match="certificate"):
        httpx.get(f"{door.url}/-/login")


def test_http_leads_to_https_at_our_own_name(door: FrontDoorUnderTest):
    answer = httpx.get(
        f"http://127.0.0.1:{door.http_port}/runs?a=b", headers={"Host": "evil.example"}
    )
    assert (answer.status_code, answer.headers["location"]) == (308, f"{door.url}/runs?a=b")


def test_browsers_are_told_to_insist_on_https(door: FrontDoorUnderTest):
    headers = door.browser().get("/-/login").headers
    assert headers["strict-transport-security"] == "max-age=31536000"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert "server" not in headers


@pytest.mark.parametrize(
    ("most", "ciphers"),
    [
        (ssl.TLSVersion.TLSv1_1, "DEFAULT:@SECLEVEL=0"),
        (ssl.TLSVersion.TLSv1_2, "AES128-SHA:AES256-GCM-SHA384"),
    ],
)
def test_what_is_weak_is_not_spoken(door: FrontDoorUnderTest, most: ssl.TLSVersion, ciphers: str):
    context = ssl.create_default_context(cafile=door.root_certificate)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = most
    context.set_ciphers(ciphers)
    with (
        socket.create_connection(("127.0.0.1", door.https_port)) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(plain, server_hostname="localhost")


def test_a_name_that_is_not_ours_is_refused(door: FrontDoorUnderTest):
    browser = door.logged_in("olga")
    assert browser.get("/", headers={"Host": "evil.example"}).status_code == 421


# ---- login and roles ----


def test_nothing_is_shown_without_a_login(door: FrontDoorUnderTest):
    browser = door.browser()
    for path in (
        "/",
        "/runs",
        "/server_info",
        "/graphql?query={version}",
        "/logs/a",
        "/download_debug/x",
        "/.env",
    ):
        assert browser.get(path).status_code == 401
        assert (
            browser.get(path, headers={"Accept": "text/html"})
            .headers["location"]
            .startswith("/-/login?next=")
        )
    assert browser.ask(LIMITS).status_code == 401
    assert browser.post("/report_asset_materialization/a").status_code == 401
    with pytest.raises(InvalidStatus) as refused, browser.websocket():
        pass
    assert refused.value.response.status_code == 401


@pytest.mark.parametrize("logged_in", [False, True])
def test_what_a_client_says_of_itself_is_thrown_away(door: FrontDoorUnderTest, logged_in: bool):
    browser = door.logged_in("vera") if logged_in else door.browser()
    before = len(changes(door, "operators"))
    answer = browser.ask(MUTATION, **SPOOFED)
    assert answer.status_code == 500 if logged_in else 401
    assert len(changes(door, "operators")) == before
    if logged_in:
        line = changes(door, "viewers")[-1]
        assert (line["user"], line["role"], line["address"]) == ("vera", "viewer", "127.0.0.1")


def test_where_tries_come_from_is_not_what_a_client_says(door: FrontDoorUnderTest):
    door.browser().log_in(
        "olga", "wrong", **{"X-Forwarded-For": "192.0.2.9", "X-Tranship-Address": "192.0.2.9"}
    )
    told = [
        json.loads(line)
        for line in door.processes.log("login").splitlines()
        if '"login failed"' in line
    ]
    assert told[-1]["address"] == "127.0.0.1"


def test_an_operator_sees_the_page_and_changes_things_and_it_is_told(door: FrontDoorUnderTest):
    browser = door.logged_in("olga")
    assert "<html" in browser.get("/", headers={"Accept": "text/html"}).text
    assert browser.ask(MUTATION).json() == {"data": {"setConcurrencyLimit": True}}
    assert "attacked" in browser.ask(LIMITS).text
    line = changes(door, "operators")[-1]
    assert line.pop("time")
    assert line == {
        "audit": "change", "user": "olga", "role": "operator", "address": "127.0.0.1", "operation": "Attack",
        "mutations": ["setConcurrencyLimit"], "status": 200, "errors": False, "answers": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    "mutation",
    [
        MUTATION,
        'mutation { deleteConcurrencyLimit(concurrencyKey: "attacked") }',
        'mutation { terminateRun(runId: "x") { __typename } }',
        'mutation { wipeAssets(assetPartitionRanges: []) { __typename } }',
        'mutation { reloadRepositoryLocation(repositoryLocationName: "pipelines.py") { __typename } }',
        'mutation { shutdownRepositoryLocation(repositoryLocationName: "pipelines.py") { __typename } }',
    ],
)  # fmt: skip
def test_a_viewer_sees_and_changes_nothing(door: FrontDoorUnderTest, mutation: str):
    browser = door.logged_in("vera")
    assert browser.ask(LIMITS).status_code == 200
    answer = browser.ask(mutation)
    assert "Unauthorized" in answer.text, answer.text
    assert changes(door, "viewers")[-1]["user"] == "vera"
    assert (
        browser.post("/report_asset_materialization/a", headers={"Origin": browser.url}).status_code
        == 401
    )


@pytest.mark.parametrize("name", ["olga", "vera"])
def test_over_the_websocket_pages_listen_and_change_nothing(door: FrontDoorUnderTest, name: str):
    browser = door.logged_in(name)
    with browser.websocket() as channel:
        channel.send(json.dumps({"type": "connection_init"}))
        assert json.loads(channel.recv(timeout=30))["type"] == "connection_ack"
        channel.send(start('subscription { pipelineRunLogs(runId: "none") { __typename } }'))
        told = json.loads(channel.recv(timeout=30))
        assert (
            told["payload"]["data"]["pipelineRunLogs"]["__typename"]
            == "PipelineRunLogsSubscriptionFailure"
        )
        channel.send(start(MUTATION))
        with pytest.raises(ConnectionClosed) as closed:
            drain(channel)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


def test_another_page_changes_nothing_and_listens_to_nothing(door: FrontDoorUnderTest):
    browser = door.logged_in("olga")
    assert browser.ask(MUTATION, origin="https://evil.example").status_code == 403
    assert browser.get("/graphql", params={"query": MUTATION}).status_code == 405
    with pytest.raises(InvalidStatus) as refused, browser.websocket("https://evil.example"):
        pass
    assert refused.value.response.status_code == 403


def test_logging_out_ends_it_at_once(door: FrontDoorUnderTest):
    browser = door.logged_in("olga")
    fields = {"form_token": browser.form_token("/-/account")}
    kept = dict(browser.cookies)
    assert (
        browser.post("/-/logout", data=fields, headers={"Origin": browser.url}).status_code == 303
    )
    browser.cookies.update(kept)
    assert browser.ask(LIMITS).status_code == 401


def test_too_many_wrong_tries_wait(door: FrontDoorUnderTest):
    door.add_user("rob", "viewer")
    browser = door.browser()
    for _ in range(5):
        assert browser.log_in("rob", "wrong").status_code == 401
    assert browser.log_in("rob").status_code == 429
    assert door.command("users", "unlock", "rob")[0] == 0
    assert browser.log_in("rob").status_code == 303


def test_without_the_login_service_nobody_comes_in(door: FrontDoorUnderTest):
    browser = door.logged_in("olga")
    door.processes.stop("login")
    try:
        assert browser.ask(LIMITS).status_code == 502
    finally:
        door.start_login()
    assert browser.ask(LIMITS).status_code == 200


def test_no_log_has_the_sessions_token(door: FrontDoorUnderTest):
    browser = door.logged_in("olga")
    browser.get("/", headers={"Accept": "text/html"})
    logs = "".join(door.processes.log(name) for name in ("operators", "edge", "login"))
    assert browser.cookies["__Host-tranship"] not in logs
