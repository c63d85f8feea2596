"""What the service is told: variables of the environment, read once at the start."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from login.roles import RuleError, Rules

WAYS = ("users", "oidc", "proxy")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SettingsError(ValueError):
    """A variable is missing or malformed; the text names it."""


@dataclass(frozen=True, slots=True)
class Provider:
    """An OpenID Connect provider.

    Args:
        issuer: Its address, as it calls itself in tokens.
        client_id: What it knows us by.
        client_secret_file: The file that holds our secret.
        scopes: What we ask for.
        groups_claim: Where it tells of groups; a dot goes into what is nested.
        name_claim: What the audit calls people by.
        authority_file: A PEM file with the authority of its certificate, beside the public ones; used where it exists.
    """

    issuer: str
    client_id: str
    client_secret_file: Path
    scopes: str = "openid email profile"
    groups_claim: str = "groups"
    name_claim: str = "preferred_username"
    authority_file: Path = Path("/run/secrets/login/authority.pem")


@dataclass(frozen=True, slots=True)
class TrustedProxy:
    """A company's own proxy that says who asks, believed when it asks from certain addresses.

    Args:
        networks: Where it asks from.
        user_header: The header with the user.
        groups_header: The header with their groups, with commas between; optional.
    """

    networks: tuple[Network, ...]
    user_header: str
    groups_header: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it.

    Args:
        url: Where the UI is, as browsers see it.
        ways: How one may come in: `users`, `oidc`, `proxy`.
        state: The state directory.
        socket: The Unix socket that the edge asks at.
        rules: Who of a provider's or a proxy's people is what.
        provider: The identity provider, for `oidc`.
        proxy: The company's proxy, for `proxy`.
        idle_seconds: After how long without a request a session ends.
        absolute_seconds: After how long each session ends.
    """

    url: str
    ways: frozenset[str]
    state: Path
    socket: Path
    rules: Rules
    provider: Provider | None
    proxy: TrustedProxy | None
    idle_seconds: float
    absolute_seconds: float

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Settings of `LOGIN_...` variables.

        Raises:
            SettingsError: One is missing or malformed.
        """
        given = _Variables(environment)
        ways = frozenset(filter(None, map(str.strip, given.text("WAYS", "users").split(","))))
        if not ways or ways - set(WAYS):
            raise SettingsError(
                f"LOGIN_WAYS is {','.join(sorted(ways))!r}: give any of {', '.join(WAYS)}."
            )
        if ways >= {"proxy", "users"} or ways >= {"proxy", "oidc"}:
            raise SettingsError(
                "LOGIN_WAYS: with `proxy` the proxy alone says who asks; give no other way."
            )
        try:
            rules = Rules.parse(given.text("OPERATORS"), given.text("VIEWERS"))
        except RuleError as error:
            raise SettingsError(f"LOGIN_OPERATORS or LOGIN_VIEWERS: {error}") from error
        if ways != {"users"} and not rules:
            raise SettingsError(
                "LOGIN_OPERATORS and LOGIN_VIEWERS are empty: nobody could come in."
            )
        return cls(
            url=given.url(),
            ways=ways,
            state=Path(given.text("STATE", "/var/lib/login")),
            socket=Path(given.text("SOCKET", "/run/door/login/login.sock")),
            rules=rules,
            provider=given.provider() if "oidc" in ways else None,
            proxy=given.proxy() if "proxy" in ways else None,
            idle_seconds=given.minutes("IDLE_MINUTES", 60),
            absolute_seconds=given.minutes("ABSOLUTE_MINUTES", 12 * 60),
        )


class _Variables:
    """Variables by their names without the prefix; one that is empty is as one that is not there."""

    def __init__(self, environment: Mapping[str, str]):
        self._environment = environment

    def text(self, name: str, default: str | None = "") -> str:
        value = self._environment.get(f"LOGIN_{name}", "").strip() or default
        if value is None:
            raise SettingsError(f"LOGIN_{name} is not set.")
        return value

    def url(self) -> str:
        domain, port = self.text("DOMAIN", None), self.text("HTTPS_PORT", "443")
        address = f"https://{f'[{domain}]' if ':' in domain else domain}"
        address += "" if port == "443" else f":{port}"
        try:
            parts = urlsplit(address)
            well = (
                parts.hostname == domain.lower()
                and parts.port in (None, int(port))
                and not parts.path
            )
        except ValueError:
            well = False
        if not well:
            raise SettingsError(
                f"LOGIN_DOMAIN is {domain!r} and LOGIN_HTTPS_PORT {port!r}: give a name and a port."
            )
        return address.lower()

    def minutes(self, name: str, default: int) -> float:
        value = self.text(name, str(default))
        if not value.isascii() or not value.isdigit() or int(value) < 1:
            raise SettingsError(f"LOGIN_{name} is {value!r}: give minutes, 1 or more.")
        return int(value) * 60

    def provider(self) -> Provider:
        issuer = self.text("OIDC_ISSUER", None)
        parts = urlsplit(issuer)
        local = parts.hostname in ("127.0.0.1", "localhost")
        if not parts.hostname or not (
            parts.scheme == "https" or (parts.scheme == "http" and local)
        ):
            raise SettingsError(
                f"LOGIN_OIDC_ISSUER is {issuer!r}: give https:// and what the provider says."
            )
        return Provider(
            issuer=issuer,
            client_id=self.text("OIDC_CLIENT_ID", None),
            client_secret_file=Path(
                self.text("OIDC_CLIENT_SECRET_FILE", "/run/secrets/login/oidc-client-secret")
            ),
            scopes=self.text("OIDC_SCOPES", "openid email profile"),
            groups_claim=self.text("OIDC_GROUPS_CLAIM", "groups"),
            name_claim=self.text("OIDC_NAME_CLAIM", "preferred_username"),
            authority_file=Path(
                self.text("OIDC_AUTHORITY_FILE", "/run/secrets/login/authority.pem")
            ),
        )

    def proxy(self) -> TrustedProxy:
        networks = tuple(
            map(
                _network, filter(None, self.text("PROXY_ADDRESSES", None).replace(",", " ").split())
            )
        )
        return TrustedProxy(
            networks=networks,
            user_header=self.text("PROXY_USER_HEADER", None),
            groups_header=self.text("PROXY_GROUPS_HEADER"),
        )


def _network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise SettingsError(
            f"LOGIN_PROXY_ADDRESSES: {text!r} is neither an address nor a network."
        ) from error
    if network.prefixlen == 0:
        raise SettingsError(
            "LOGIN_PROXY_ADDRESSES: everybody would be believed; name the proxy's addresses."
        )
    return network
