"""Which requests reach Dagster's webserver."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from tranship.webserver.own_pages import OwnPagesOnly, names_of

JSON = {"content-type": "application/json"}
MUTATION = "query=mutation%7Bwipe%7D"


def status_of(
    method: str = "GET",
    path: str = "/",
    query: str = "",
    kind: str = "http",
    **headers: str | None,
) -> int | str:
    """What comes of a request: "passed", a status, or "closed"."""
    sent: list[MutableMapping[str, Any]] = []
    passed: list[str] = []

    async def app(*_: Any) -> None:
        passed.append("passed")

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    named = {
        "host": "127.0.0.1:3000",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    scope = {
        "type": kind,
        "path": path,
        "query_string": query.encode(),
        "headers": [
            (name.encode(), value.encode()) for name, value in named.items() if value is not None
        ],
        **({"method": method} if kind == "http" else {}),
    }
    asyncio.run(OwnPagesOnly(app, ["etl.example.com"])(scope, receive, send))
    if passed:
        return "passed"
    return sent[0].get("status", "closed")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:3000", "localhost:3000", "LOCALHOST", "ui.localhost:3000", "[::1]:3000", "10.1.2.3", "webserver:3000",
        "etl.example.com", "ETL.example.com:8443", "etl.example.com.",
    ],
)  # fmt: skip
def test_names_of_ours_are_answered(host: str):
    assert status_of(host=host) == "passed"
    assert status_of("POST", "/graphql", host=host, origin=f"http://{host}", **JSON) == "passed"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:3000", "127.0.0.1.evil.example", "etl.example.com.evil.example", "", "[", "a.b@localhost.x", None],
)  # fmt: skip
def test_a_name_of_somebody_else_is_not(host: str | None):
    assert status_of(host=host) == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:8000"},
        {"origin": "http://localhost:3000"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://[", "sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_nothing_is_changed_for_another_page(method: str, headers: dict[str, str]):
    assert status_of(method, "/graphql", **headers, **JSON) == 403
    assert status_of(method, "/report_asset_materialization/a", **headers) == 403
    assert status_of(kind="websocket", path="/graphql", **headers) == "closed"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://127.0.0.1:3000"},
        {"sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "none"},
        # A proxy with TLS: the browser knows another scheme and its default port.
        {"host": "etl.example.com", "origin": "https://etl.example.com"},
        {"host": "etl.example.com:443", "origin": "https://etl.example.com"},
    ],
)
def test_our_own_page_and_programs_are_obeyed(headers: dict[str, str]):
    assert status_of("POST", "/graphql", **headers, **JSON) == "passed"
    assert status_of(kind="websocket", path="/graphql", **headers) == "passed"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "passed"),
        ("query=%7Bversion%7D", "passed"),
        ("query=query+A%7Bversion%7D&operationName=A", "passed"),
        (MUTATION, 405),
        ("query=query+A%7Bversion%7D+mutation+B%7Bwipe%7D&operationName=B", 405),
        ("query=%7Bversion%7D&" + MUTATION, 405),
        ("query=subscription%7Ba%7D", 405),
        ("query=%7B", 405),
    ],
)
@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "/etl/graphql"])
def test_by_get_there_are_queries_only(path: str, query: str, expected: int | str):
    assert status_of("GET", path, query) == expected


@pytest.mark.parametrize(
    "type_",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain; application/json", None],
)  # fmt: skip
def test_what_a_form_can_send_is_no_graphql(type_: str | None):
    assert status_of("POST", "/graphql", MUTATION, content_type=type_) == 415


def test_other_things_than_requests_pass():
    assert status_of(kind="lifespan") == "passed"


def test_the_names_are_those_of_the_deployment():
    assert names_of({}) == []
    given = {
        "TRANSHIP_UI_URL": "https://etl.example.com:8443/x",
        "TRANSHIP_UI_HOSTS": " a.example, ,b.example",
    }
    assert names_of(given) == ["etl.example.com", "a.example", "b.example"]
