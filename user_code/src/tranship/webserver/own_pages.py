"""Refuses what another page than Dagster's own asks the webserver for, in a browser that happens to reach it.

Dagster takes a mutation from the address of a GET or from a form, asks for no origin, and answers to any name. So any page in
the browser of somebody who can reach the UI, on 127.0.0.1 too, could launch runs, and a page whose name is made to
point at the UI's address (DNS rebinding) could read it all.

Programs that send no `Origin` are not stopped: this is about browsers, and no login.
"""

import ipaddress
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

URL_VARIABLE = "TRANSHIP_UI_URL"
NAMES_VARIABLE = "TRANSHIP_UI_HOSTS"

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_GRAPHQL_TYPES = ("application/json", "application/graphql")
#: What browsers say of where a request comes from: https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
_OWN_SITES = frozenset({"same-origin", "none"})
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_POLICY_VIOLATION = 1008
"""https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1"""


class OwnPagesOnly:
    """ASGI middleware before Dagster's webserver.

    Refused are: a `Host` that is a public name and none of ours (400); a request that changes something, or opens a
    WebSocket, from another origin (403); GraphQL by GET that is no query (405); GraphQL by POST that is no JSON, as a
    form of another page would send it (415).

    Args:
        app: The webserver.
        names: The public names that it is reached by; by default the one of `TRANSHIP_UI_URL` and those that
            `TRANSHIP_UI_HOSTS` has, with commas. Addresses, `localhost` and names without a dot need not be named: no page
            of somebody else's can have one.

    Example:
        >>> guarded = OwnPagesOnly(app, names=["etl.example.com"])  # doctest: +SKIP
    """

    def __init__(self, app: Application, names: Iterable[str] | None = None):
        self._app = app
        self._names = frozenset(
            name.lower() for name in (names if names is not None else names_of(os.environ))
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await answer(send, *refusal)
        else:
            await receive()
            await send(
                {"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": refusal[1][:120]}
            )

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason, where a request is refused."""
        headers = headers_of(scope)
        hosts = headers.get("host", [])
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return 400, (
                f"This server is not known as {', '.join(hosts)[:100]!r}: name it in {URL_VARIABLE} or {NAMES_VARIABLE}."
            )
        changes = scope["type"] == "websocket" or scope["method"] not in _SAFE
        if changes and not self._comes_from_us(headers, hosts[0]):
            return 403, "This request comes from another page than Dagster's own."
        if scope["type"] == "http" and scope["path"].rstrip("/").endswith("/graphql"):
            return _graphql_refusal(scope, headers)
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if not name:
            return False
        if "." not in name or name.endswith(".localhost") or name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _comes_from_us(self, headers: dict[str, list[str]], host: str) -> bool:
        origins = headers.get("origin", [])
        if origins:
            # Behind a proxy with TLS the scheme is another one than here; the name and the port are not.
            return all(_is_at(origin, host) for origin in origins)
        return all(site in _OWN_SITES for site in headers.get("sec-fetch-site", []))


def names_of(environment: Mapping[str, str]) -> list[str]:
    """The public names of the UI, by the variables of a deployment.

    Example:
        >>> names_of({"TRANSHIP_UI_URL": "https://etl.example.com/", "TRANSHIP_UI_HOSTS": "etl, data.example.com"})
        ['etl.example.com', 'etl', 'data.example.com']
    """
    url = urlsplit(environment.get(URL_VARIABLE, "")).hostname
    named = [name.strip() for name in environment.get(NAMES_VARIABLE, "").split(",")]
    return [name for name in (url, *named) if name]


def _graphql_refusal(scope: Scope, headers: dict[str, list[str]]) -> tuple[int, str] | None:
    if scope["method"] == "GET":
        asked = parse_qs(scope["query_string"].decode("latin-1")).get("query", [])
        if not all(map(_is_query, asked)):
            return 405, "By GET there are queries only: send mutations by POST, as JSON."
    if scope["method"] == "POST":
        types = headers.get("content-type", [])
        if len(types) != 1 or types[0].partition(";")[0].strip().lower() not in _GRAPHQL_TYPES:
            return 415, "Send GraphQL as application/json."
    return None


def _is_query(document: str) -> bool:
    """Whether all that a document could be asked to do is to tell something."""
    try:
        definitions = parse(document).definitions
    except GraphQLError:
        return False
    return all(
        definition.operation is OperationType.QUERY
        for definition in definitions
        if isinstance(definition, OperationDefinitionNode)
    )


def headers_of(scope: Scope) -> dict[str, list[str]]:
    """The headers of a request by their names in lower case, each with every value that it came with."""
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return headers


def _is_at(origin: str, host: str) -> bool:
    place = _place(origin)
    return place is not None and place == _place(f"{origin.partition('://')[0]}://{host}")


def _place(origin: str) -> tuple[str, int] | None:
    """Name and port of an origin; `None` for `null`, and for what is none."""
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname:
        return None
    return parts.hostname.rstrip("."), port or _DEFAULT_PORTS.get(parts.scheme, 0)


async def answer(send: Send, status: int, reason: str) -> None:
    """Answer a request with a line of text."""
    body = f"{reason}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
