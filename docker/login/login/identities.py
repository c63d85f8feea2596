"""Who asks: by the cookie of a session, or by the word of a company's own proxy."""

import hashlib
import ipaddress
from dataclasses import dataclass

from starlette.requests import Request

from login.roles import Identity
from login.sessions import Session, Sessions
from login.settings import Settings, TrustedProxy
from login.users import UsersFile

COOKIE = "__Host-tranship"
"""The prefix makes browsers hold it to this name, to HTTPS and to every path:
https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Set-Cookie#cookie_prefixes"""
ADDRESS_HEADER = "x-tranship-address"
PEER_HEADER = "x-tranship-peer"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may come in."""

    user: str
    role: str


def address_of(request: Request) -> str:
    """Where a request came from, by the word of the edge."""
    return request.headers.get(ADDRESS_HEADER, "")


def network_of(address: str) -> str:
    """What counts as one address when wrong tries are counted: of IPv6 the 64 bits that a household gets."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6 and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def fingerprint(text: str) -> str:
    """What a session keeps of the thing it was given for."""
    return hashlib.sha256(text.encode()).hexdigest()


class Identities:
    """Answers who asks.

    Args:
        settings: The service's settings.
        users: The users file.
        sessions: The sessions.
    """

    def __init__(self, settings: Settings, users: UsersFile, sessions: Sessions):
        self._settings = settings
        self._users = users
        self._sessions = sessions
        # With other rules or another provider, nobody can say what somebody of before is now.
        self.provider_credential = fingerprint(
            f"{settings.provider} {sorted(settings.rules.operators)} {sorted(settings.rules.viewers)}"
        )

    def person_of(self, request: Request) -> Person | None:
        """Who asks; `None` for somebody who has not logged in, or no longer may."""
        if self._settings.proxy is not None:
            return self._by_proxy(request, self._settings.proxy)
        token = request.cookies.get(COOKIE)
        session = self._sessions.find(token) if token else None
        role = self._role_of(session) if session else None
        return Person(session.user, role) if session and role else None

    def _role_of(self, session: Session) -> str | None:
        """The role that a session gives now, which need not be the one of its beginning."""
        if session.source not in self._settings.ways:
            return None
        if session.source == "oidc":
            return session.role if session.credential == self.provider_credential else None
        user = self._users.find(session.user)
        if user is None or fingerprint(user.password_hash) != session.credential:
            return None
        return user.role

    def _by_proxy(self, request: Request, proxy: TrustedProxy) -> Person | None:
        try:
            peer = ipaddress.ip_address(request.headers.get(PEER_HEADER, ""))
        except ValueError:
            return None
        users = request.headers.getlist(proxy.user_header)
        if not any(peer in network for network in proxy.networks) or len(users) != 1:
            return None
        user = users[0].strip()
        groups = (
            ",".join(request.headers.getlist(proxy.groups_header)) if proxy.groups_header else ""
        )
        has_domain = "@" in user
        identity = Identity(
            name=user,
            user=user,
            emails=frozenset({user} if has_domain else ()),
            domains=frozenset({user.rpartition("@")[2]} if has_domain else ()),
            groups=frozenset(filter(None, map(str.strip, groups.split(",")))),
        )
        role = self._settings.rules.role_of(identity)
        return Person(user, role) if user and role else None
