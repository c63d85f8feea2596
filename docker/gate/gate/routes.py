"""The whole table of what may be asked, of whom, by whom. What is not in it is refused.

Paths are compared as they came over the wire: nothing is decoded, collapsed or normalised first, so
`//`, `%2e`, `..` and another spelling of a version simply match nothing.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl

from gate.refusals import forbidden, malformed


class Identity(StrEnum):
    """Who asks: known from the socket the connection came in by."""

    DAEMON = "daemon"
    WEBSERVER = "webserver"


BOTH = frozenset(Identity)
DAEMON_ONLY = frozenset({Identity.DAEMON})

#: Engine API versions whose `containers/create` this gate understands: 20.10 (1.41) to 28 (1.51).
OLDEST_API_MINOR = 40
NEWEST_API_MINOR = 51


@dataclass(frozen=True, slots=True)
class Route:
    """One allowed call.

    Args:
        operation: Its name in the access log, and the method of `gate.operations.Operations`.
        method: HTTP method.
        path: Regular expression of the path behind the version prefix.
        identities: Who may ask.
        parameters: Names the query string may hold.
        body: Whether a JSON body belongs to it; otherwise any body is refused.
        versioned: Whether the version prefix is required.
    """

    operation: str
    method: str
    path: re.Pattern[str]
    identities: frozenset[Identity]
    parameters: frozenset[str] = frozenset()
    body: bool = False
    versioned: bool = True


def _route(
    operation: str,
    method: str,
    path: str,
    identities: frozenset[Identity],
    parameters: str = "",
    *,
    body: bool = False,
    versioned: bool = True,
) -> Route:
    pattern = re.compile(path.replace("{id}", "(?P<ref>[0-9a-f]{64})"), re.ASCII)
    names = frozenset(parameters.split())
    return Route(operation, method, pattern, identities, names, body, versioned)


ROUTES = (
    _route("ping", "GET", "/_ping", BOTH, versioned=False),
    _route("ping", "HEAD", "/_ping", BOTH, versioned=False),
    _route("version", "GET", "/version", BOTH, versioned=False),
    _route("inspect", "GET", "/containers/{id}/json", BOTH),
    _route("stop", "POST", "/containers/{id}/stop", BOTH, "t"),
    _route("create", "POST", "/containers/create", DAEMON_ONLY, "name", body=True),
    _route("start", "POST", "/containers/{id}/start", DAEMON_ONLY),
    _route(
        "logs",
        "GET",
        "/containers/{id}/logs",
        DAEMON_ONLY,
        "stdout stderr tail timestamps follow since until",
    ),
    _route("remove", "DELETE", "/containers/{id}", DAEMON_ONLY, "v force link"),
    _route(
        "list_containers",
        "GET",
        "/containers/json",
        DAEMON_ONLY,
        "all limit size trunc_cmd filters",
    ),
    _route(
        "connect",
        "POST",
        "/networks/(?P<ref>[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127})/connect",
        DAEMON_ONLY,
        body=True,
    ),
    _route("pull", "POST", "/images/create", DAEMON_ONLY, "fromImage tag"),
)

_PREFIX = re.compile(r"/v1\.([0-9]{2})(?=/)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that matched the table: what is asked, in parts that are safe to rebuild a URL from."""

    route: Route
    version: str
    ref: str
    parameters: dict[str, str]


def match(identity: Identity, method: str, target: str) -> Call:
    """Find the route of a raw request target.

    Args:
        identity: Who asks.
        method: HTTP method as received.
        target: Request target as received, query string included.

    Returns:
        The call.

    Raises:
        RefusedError: 403 where nothing matches, 400 where the query string is malformed.

    Example:
        >>> match(Identity.WEBSERVER, "GET", "/version").route.operation
        'version'
    """
    path, _, query = target.partition("?")
    prefix = _PREFIX.match(path)
    version = ""
    if prefix:
        if not OLDEST_API_MINOR <= int(prefix[1]) <= NEWEST_API_MINOR:
            raise forbidden(f"API version 1.{prefix[1]} is not allowed")
        version, path = prefix[0], path[prefix.end() :]
    for route in ROUTES:
        found = route.path.fullmatch(path)
        if not found or route.method != method or identity not in route.identities:
            continue
        if route.versioned and not version:
            raise forbidden("the path has no API version")
        return Call(route, version, found.groupdict().get("ref", ""), _parameters(route, query))
    raise forbidden(f"{method} on this path is not allowed for the {identity}")


def _parameters(route: Route, query: str) -> dict[str, str]:
    if not query:
        return {}
    try:
        pairs = parse_qsl(
            query,
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=len(route.parameters),
        )
    except ValueError:
        raise malformed("the query string is malformed or too long") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in route.parameters:
            raise forbidden(f"the parameter {name[:80]!r} is not allowed")
        if name in found:
            raise malformed(f"the parameter {name!r} is there twice")
        if not value.isprintable():
            raise malformed(f"the parameter {name!r} holds control characters")
        found[name] = value
    return found
