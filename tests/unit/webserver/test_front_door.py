"""What a webserver does with requests over the edge's socket: who may, what is told, what is refused."""

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from tranship.webserver.front_door import MAX_BODY_BYTES, FrontDoor

SOCKET = ("/run/door/webserver.sock", None)
TCP = ("127.0.0.1", 3000)
OLGA = {"x-tranship-user": "olga", "x-tranship-role": "operator", "x-tranship-address": "10.1.2.3"}
VERA = {**OLGA, "x-tranship-user": "vera", "x-tranship-role": "viewer"}
JSON = {"content-type": "application/json"}
LAUNCH = "mutation Launch { launchRun { __typename } }"


class Request:
    """One request to a webserver that answers what it is given, and what came of it."""

    def __init__(
        self, *, read_only: bool = False, told: bytes = b'{"data": {}}', status: int = 200
    ):
        self.lines: list[dict[str, Any]] = []
        self.sent: list[MutableMapping[str, Any]] = []
        self.received: list[MutableMapping[str, Any]] = []
        self._told, self._status = told, status
        self.door = FrontDoor(self._app, read_only=read_only, write=self.lines.append)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            self.received.append(message)
            if message["type"] in ("websocket.disconnect", "http.disconnect") or not message.get(
                "more_body", scope["type"] != "http"
            ):
                break
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": self._status, "headers": []})
            await send({"type": "http.response.body", "body": self._told})

    def send(
        self, headers: dict[str, str] | list[tuple[str, str]], body: bytes | list[bytes] = b"", *,
        method: str = "POST", path: str = "/graphql", kind: str = "http", server: Any = SOCKET,
    ) -> "Request":  # fmt: skip
        parts = body if isinstance(body, list) else [body]
        messages: list[dict[str, Any]]
        if kind == "http":
            messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
            messages[-1]["more_body"] = False
        else:
            messages = [{"type": "websocket.connect"}]
            messages += [
                {"type": "websocket.receive", "text": part.decode()} for part in parts if part
            ]
            messages.append({"type": "websocket.disconnect", "code": 1000})
        pairs = headers.items() if isinstance(headers, dict) else headers
        scope: dict[str, Any] = {
            "type": kind, "path": path, "query_string": b"", "server": server,
            "headers": [(name.encode(), value.encode()) for name, value in pairs],
        }  # fmt: skip
        if kind == "http":
            scope["method"] = method

        async def receive() -> MutableMapping[str, Any]:
            return messages.pop(0)

        async def send(message: MutableMapping[str, Any]) -> None:
            self.sent.append(message)

        asyncio.run(self.door(scope, receive, send))
        return self

    @property
    def status(self) -> int | None:
        return self.sent[0].get("status") if self.sent else None


def document(query: str, **more: Any) -> bytes:
    return json.dumps({"query": query, **more}).encode()


# ---- who may ----


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-tranship-user": "olga"},
        {"x-tranship-role": "operator"},
        {**OLGA, "x-tranship-user": ""},
        {**OLGA, "x-tranship-role": "admin"},
        VERA,
        [*OLGA.items(), ("x-tranship-user", "vera")],
        [*VERA.items(), ("x-tranship-role", "operator")],
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_where_changes_are_possible_only_operators_are_served(
    headers: dict[str, str] | list[tuple[str, str]], kind: str
):
    request = Request().send(headers, document(LAUNCH), kind=kind)
    assert request.received == []
    assert request.lines == []
    assert request.sent[0].get("status", request.sent[0].get("code")) in (403, 1008)


@pytest.mark.parametrize("headers", [OLGA, VERA])
def test_where_nothing_changes_viewers_are_served_too(headers: dict[str, str]):
    assert Request(read_only=True).send({**headers, **JSON}, document("{ version }")).status == 200


def test_over_tcp_the_headers_are_nothing_and_nothing_is_asked():
    request = Request().send({**OLGA, **JSON}, document(LAUNCH), server=TCP)
    assert (request.status, request.lines) == (200, [])


# ---- what is told ----


def test_a_mutation_is_told_with_who_where_what_and_the_result():
    told = b'{"data": {"launchRun": {"__typename": "LaunchRunSuccess"}}}'
    request = Request(told=told).send({**OLGA, **JSON}, document(LAUNCH))
    (line,) = request.lines
    assert line.pop("time")
    assert line == {
        "audit": "change", "user": "olga", "role": "operator", "address": "10.1.2.3", "operation": "Launch",
        "mutations": ["launchRun"], "status": 200, "errors": False, "answers": ["LaunchRunSuccess"],
    }  # fmt: skip
    assert request.received[0]["body"] == document(LAUNCH)
    assert request.sent[1]["body"] == told


@pytest.mark.parametrize(
    ("query", "mutations"),
    [
        ("mutation { a b: c }", ["a", "c"]),
        ("mutation { ...F } fragment F on M { hidden ...G } fragment G on M { deeper ...F }", ["hidden", "deeper"]),
        ("mutation { ... on M { inline } }", ["inline"]),
        ("query Q { a } mutation M { b }", ["b"]),
        ("#mutation\nquery { a }", []),
        ("mutation {", []),
        ("{ mutation }", []),
        ("{ a }", []),
    ],
)  # fmt: skip
def test_a_mutation_is_told_however_it_is_written(query: str, mutations: list[str]):
    request = Request().send({**OLGA, **JSON}, document(query))
    assert [line["mutations"] for line in request.lines] == ([mutations] if mutations else [])
    assert request.status == 200


def test_fragments_that_name_each_other_twice_are_read_in_no_time():
    chain = " ".join(f"fragment F{n} on M {{ ...F{n + 1} ...F{n + 1} }}" for n in range(60))
    query = f"mutation {{ ...F0 }} {chain} fragment F60 on M {{ end }}"
    assert Request().send({**OLGA, **JSON}, document(query)).lines[0]["mutations"] == ["end"]


def test_what_is_nested_too_deep_to_be_read_counts_as_a_change():
    body = b'{"a":' * 200_000 + b"1" + b"}" * 200_000
    assert [line["mutations"] for line in Request().send({**OLGA, **JSON}, body).lines] == [["?"]]
    over_websocket = b'{"type": "start", "payload": ' + body + b"}"
    assert Request().send(OLGA, over_websocket, kind="websocket").sent[0]["code"] == 1008


def test_a_document_that_is_sent_as_graphql_is_told_too():
    headers = {**OLGA, "content-type": "application/graphql"}
    assert Request().send(headers, LAUNCH.encode()).lines[0]["mutations"] == ["launchRun"]


def test_a_change_without_graphql_is_told_by_its_path():
    request = Request().send(OLGA, b"{}", path="/report_asset_materialization/orders")
    assert request.lines[0]["operation"] == "POST /report_asset_materialization/orders"


@pytest.mark.parametrize(
    ("told", "status", "errors", "answers"),
    [
        (b'{"data": null, "errors": [{"message": "no"}]}', 500, True, []),
        (b'{"data": {"launchRun": {"__typename": "UnauthorizedError"}}}', 200, False, ["UnauthorizedError"]),
        (b"not JSON", 400, None, []),
        (b"[]", 200, None, []),
        (b" " * (2 << 20), 200, None, []),
        (b'{"a":' * 200_000, 200, None, []),
    ],
    ids=["errors", "refused", "text", "list", "large", "deep"],
)  # fmt: skip
def test_the_result_is_what_was_answered(
    told: bytes, status: int, errors: bool | None, answers: list[str]
):
    request = Request(told=told, status=status).send({**OLGA, **JSON}, document(LAUNCH))
    (line,) = request.lines
    assert (line["status"], line["errors"], line["answers"]) == (status, errors, answers)
    assert request.sent[1]["body"] == told


def test_a_change_that_ends_without_an_answer_is_told():
    request = Request()

    async def broken(*_: Any) -> None:
        raise ConnectionError

    request.door._app = broken
    with pytest.raises(ConnectionError):
        request.send({**OLGA, **JSON}, document(LAUNCH))
    assert request.lines[0]["status"] is None


def test_a_name_outside_ascii_is_told_as_it_is():
    headers = {**OLGA, **JSON, "x-tranship-user": "j%C3%B6rg@example.com"}
    assert Request().send(headers, document(LAUNCH)).lines[0]["user"] == "jörg@example.com"


# ---- bodies and WebSockets ----


def test_a_body_in_parts_arrives_whole():
    whole = document(LAUNCH)
    request = Request().send({**OLGA, **JSON}, [whole[:10], whole[10:20], whole[20:]])
    assert [message["body"] for message in request.received] == [whole]
    assert len(request.lines) == 1


def test_a_body_that_is_too_large_is_refused():
    assert Request().send({**OLGA, **JSON}, b"x" * (MAX_BODY_BYTES + 1)).status == 413


def test_over_a_websocket_nothing_is_changed():
    start = json.dumps({"type": "start", "id": "1", "payload": {"query": LAUNCH}}).encode()
    request = Request().send(OLGA, [b'{"type": "connection_init"}', start], kind="websocket")
    assert [message["type"] for message in request.received] == [
        "websocket.connect", "websocket.receive", "websocket.disconnect",
    ]  # fmt: skip
    assert request.sent[0]["code"] == 1008
    assert (request.lines[0]["mutations"], request.lines[0]["refused"]) == (
        ["launchRun"],
        "websocket",
    )


def test_over_a_websocket_pages_listen():
    start = json.dumps({"type": "start", "payload": {"query": "subscription { logs }"}}).encode()
    request = Request().send(OLGA, [start, b"nonsense", b"[]", b'{"payload": 1}'], kind="websocket")
    assert len(request.received) == 6
    assert (request.sent, request.lines) == ([], [])
