"""What a webserver does with a request that came through the front door of a VM (`docker/edge`): it knows who asks, and tells.

Such a request comes over a Unix socket that only the edge mounts. The edge has asked the login service who it is, has thrown away
what the client itself said of that, and names the user in headers. So the socket is the proof: over TCP the same headers are nothing.

Every change is told by a line of JSON on standard output: when, who, in which role, from where, which operation, with what
result. Changes come by HTTP, as Dagster's pages send them; over a WebSocket, which outlives the login that opened it, none is taken.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import unquote

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    parse,
)

from tranship.webserver.own_pages import Application, Receive, Scope, Send, answer, headers_of

USER_HEADER = "x-tranship-user"
ROLE_HEADER = "x-tranship-role"
ADDRESS_HEADER = "x-tranship-address"
OPERATOR = "operator"
ROLES = frozenset({OPERATOR, "viewer"})

MAX_BODY_BYTES = 16 << 20
_MAX_ANSWER_BYTES = 1 << 20
"""Of an answer to a change; a longer one is passed on, and whether it has errors is not told."""
_UNREADABLE = "?"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_POLICY_VIOLATION = 1008
"""https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1"""


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks, by the word of the edge."""

    user: str
    role: str
    address: str


@dataclass
class Change:
    """What somebody wants to change: the operation's name, as the page calls it, and what it does."""

    person: Person
    operation: str | None
    mutations: list[str]
    status: int | None = None
    errors: bool | None = None
    answers: list[str] = field(default_factory=list)

    def line(self) -> dict[str, Any]:
        """The line of the audit; `status` is null where the request ended without an answer."""
        return {
            "audit": "change",
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "user": self.person.user,
            "role": self.person.role,
            "address": self.person.address,
            "operation": self.operation,
            "mutations": self.mutations,
            "status": self.status,
            "errors": self.errors,
            "answers": self.answers,
        }


def write_line(line: dict[str, Any]) -> None:
    """Write one line of JSON to standard output."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class FrontDoor:
    """ASGI middleware for requests over the edge's socket; those over TCP pass untouched.

    Refused are: a request without exactly one user and one role (403), one of a viewer where changes are possible (403), a
    body of more than 16 MiB (413), and a mutation over a WebSocket (closed with 1008).

    Args:
        app: The webserver.
        read_only: Whether it is one that changes nothing, which viewers may ask too.
        write: Where lines of the audit go.
    """

    def __init__(
        self,
        app: Application,
        *,
        read_only: bool,
        write: Callable[[dict[str, Any]], None] = write_line,
    ):
        self._app = app
        self._roles = ROLES if read_only else frozenset({OPERATOR})
        self._write = write

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, telling of what it changes, or refuse it."""
        if scope["type"] not in ("http", "websocket") or not _came_by_socket(scope):
            await self._app(scope, receive, send)
            return
        person = _person_of(scope)
        if person is None or person.role not in self._roles:
            await _refuse(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._app(scope, self._without_changes(person, receive, send), send)
        elif scope["method"] in _SAFE:
            await self._app(scope, receive, send)
        else:
            await self._change(person, scope, receive, send)

    async def _change(self, person: Person, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        if body is None:
            await answer(send, 413, "The request is larger than 16 MiB.")
            return
        change = _change_of(person, scope, body)
        replay = _Replay(body, receive)
        if change is None:
            await self._app(scope, replay, send)
            return
        watched = _WatchedAnswer(change, send, self._write)
        try:
            await self._app(scope, replay, watched)
        finally:
            watched.tell()

    def _without_changes(self, person: Person, receive: Receive, send: Send) -> Receive:
        async def next_message() -> MutableMapping[str, Any]:
            message = await receive()
            if message["type"] != "websocket.receive":
                return message
            mutations = _mutations_of_message(message)
            if not mutations:
                return message
            self._write({**Change(person, None, mutations).line(), "refused": "websocket"})
            reason = "Send mutations by POST."
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": reason})
            return {"type": "websocket.disconnect", "code": _POLICY_VIOLATION}

        return next_message


class _Replay:
    """Gives a body that was read once more, then what comes after it."""

    def __init__(self, body: bytes, receive: Receive):
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> MutableMapping[str, Any]:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _WatchedAnswer:
    """Passes an answer on, and tells of it before its end is sent: who has the answer finds it told."""

    def __init__(self, change: Change, send: Send, write: Callable[[dict[str, Any]], None]):
        self._change = change
        self._send = send
        self._write = write
        self._body: bytearray | None = bytearray()
        self._told = False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._change.status = message["status"]
        elif message["type"] == "http.response.body":
            self._keep(message.get("body", b""))
            if not message.get("more_body", False):
                self.tell()
        await self._send(message)

    def tell(self) -> None:
        """Write the line, once."""
        if self._told:
            return
        self._told = True
        with contextlib.suppress(RecursionError):
            self._read(_object(bytes(self._body)) if self._body else None)
        self._write(self._change.line())

    def _keep(self, part: bytes) -> None:
        if self._body is not None:
            self._body.extend(part)
            if len(self._body) > _MAX_ANSWER_BYTES:
                self._body = None

    def _read(self, answered: dict[str, Any] | None) -> None:
        """Whether GraphQL refused, and what each mutation said it is."""
        if answered is None:
            return
        self._change.errors = bool(answered.get("errors"))
        data = answered.get("data")
        if isinstance(data, dict):
            for result in cast("dict[str, Any]", data).values():
                kind = (
                    cast("dict[str, Any]", result).get("__typename")
                    if isinstance(result, dict)
                    else None
                )
                if kind:
                    self._change.answers.append(str(kind))


def _came_by_socket(scope: Scope) -> bool:
    # uvicorn gives the path of a Unix socket and no port: https://asgi.readthedocs.io/en/latest/specs/www.html#http-connection-scope
    server = scope.get("server")
    return server is not None and server[1] is None


def _person_of(scope: Scope) -> Person | None:
    headers = headers_of(scope)
    users, roles = headers.get(USER_HEADER, []), headers.get(ROLE_HEADER, [])
    if len(users) != 1 or len(roles) != 1 or not users[0]:
        return None
    address = ", ".join(headers.get(ADDRESS_HEADER, []))
    return Person(user=unquote(users[0]), role=roles[0], address=address)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await answer(send, 403, "The front door does not say who you are, or you may not do this.")
    else:
        await receive()
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": "Not yours."})


async def _body(receive: Receive) -> bytes | None:
    """The whole body; `None` where it is too large."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _change_of(person: Person, scope: Scope, body: bytes) -> Change | None:
    path = scope["path"]
    if not path.rstrip("/").endswith("/graphql"):
        return Change(person, f"{scope['method']} {path[:200]}", [])
    types = headers_of(scope).get("content-type", [""])
    try:
        if types[0].partition(";")[0].strip().lower() == "application/json":
            asked = _object(body) or {}
        else:
            asked = {"query": body.decode("utf-8", "replace")}
        mutations, names = _mutations_in(asked.get("query"))
    except RecursionError:
        return Change(person, None, [_UNREADABLE])
    if not mutations:
        return None
    operation = asked.get("operationName") or (names[0] if len(names) == 1 else None)
    return Change(person, str(operation)[:200] if operation else None, mutations)


def _mutations_of_message(message: MutableMapping[str, Any]) -> list[str]:
    try:
        told = _object(message.get("text") or message.get("bytes") or "")
        payload = told.get("payload") if told else None
        query = cast("dict[str, Any]", payload).get("query") if isinstance(payload, dict) else None
        return _mutations_in(query)[0]
    except RecursionError:
        return [_UNREADABLE]


def _mutations_in(query: object) -> tuple[list[str], list[str]]:
    """The mutations that a document asks for, and the names of its operations. One that is no GraphQL is executed by nobody.

    Raises:
        RecursionError: It is nested too deep to be read here; whoever executes it may have more room.
    """
    # GraphQL writes the keyword in no other way: https://spec.graphql.org/October2021/#OperationType
    if not isinstance(query, str) or "mutation" not in query:
        return [], []
    try:
        definitions = parse(query).definitions
    except GraphQLError:
        return [], []
    fragments = {
        definition.name.value: definition.selection_set
        for definition in definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    operations = [one for one in definitions if isinstance(one, OperationDefinitionNode)]
    mutations = [
        field
        for one in operations
        if one.operation is OperationType.MUTATION
        for field in _fields(one.selection_set, fragments, set())
    ]
    return mutations, [one.name.value for one in operations if one.name]


def _fields(
    selections: SelectionSetNode,
    fragments: Mapping[str, SelectionSetNode],
    seen: set[str],
) -> Iterator[str]:
    """The fields that are asked for, those of fragments too: who changes something must not hide its name in one."""
    for selection in selections.selections:
        if isinstance(selection, FieldNode):
            yield selection.name.value[:200]
        elif isinstance(selection, InlineFragmentNode):
            yield from _fields(selection.selection_set, fragments, seen)
        elif isinstance(selection, FragmentSpreadNode):
            name = selection.name.value
            if name in fragments and name not in seen:
                # Once: fragments that name each other twice would be walked without end.
                seen.add(name)
                yield from _fields(fragments[name], fragments, seen)


def _object(text: str | bytes) -> dict[str, Any] | None:
    try:
        told = json.loads(text)
    except ValueError:
        return None
    return cast("dict[str, Any]", told) if isinstance(told, dict) else None
