"""What the edge is told: variables of the environment. Each is checked, for all of it ends in Caddy's configuration."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

ACME, FILES, INTERNAL = "acme", "files", "internal"
LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"

_NAME = re.compile(
    r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_RESERVED_HEADERS = ("host", "cookie", "authorization", "connection", "upgrade", "x-tranship-")


class SettingsError(ValueError):
    """A variable is missing or malformed; the text names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it.

    Args:
        tls: Where certificates come from: `acme`, `files` or `internal`.
        domain: The name, or the address, that browsers use.
        https_port: The port that browsers use; the one that the host publishes.
        email: Where the ACME authority writes to; optional.
        acme_directory: The ACME authority.
        acme_authority: A PEM file with the authority of the ACME server's own certificate, for one within a company; optional.
        certificate: For `files`: the certificate with those between it and its authority, as PEM.
        key: For `files`: the key, as PEM.
        hsts_seconds: For how long browsers shall insist on HTTPS; 0 for not at all.
        trusted_proxies: Networks of a company's own proxies, whose word on a client's address counts.
        identity_headers: Headers in which such a proxy says who asks.
        renew_check_seconds: How often certificates are looked at.
        renew_percent: How much of a certificate's life is left when it is renewed.
        internal_seconds: For `internal`: how long a certificate lasts.
        root: Where the sockets of the login and of the webservers are.
        run: Where the configuration, copies of certificates and Caddy's own socket are.
        http_listen: The port in the container for HTTP.
        https_listen: The port in the container for HTTPS.
    """

    tls: str
    domain: str
    https_port: int = 443
    email: str = ""
    acme_directory: str = LETS_ENCRYPT
    acme_authority: Path | None = None
    certificate: Path = Path("/run/secrets/edge/certificate.pem")
    key: Path = Path("/run/secrets/edge/key.pem")
    hsts_seconds: int = 31_536_000
    trusted_proxies: tuple[str, ...] = ()
    identity_headers: tuple[str, ...] = ()
    renew_check_seconds: int = 600
    renew_percent: int = 33
    internal_seconds: int = 43_200
    root: Path = Path("/run/door")
    run: Path = Path("/tmp/edge")
    http_listen: int = 80
    https_listen: int = 443

    @property
    def url(self) -> str:
        """Where browsers see the UI."""
        name = f"[{self.domain}]" if ":" in self.domain else self.domain
        return f"https://{name}" if self.https_port == 443 else f"https://{name}:{self.https_port}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Settings of `EDGE_...` variables.

        Raises:
            SettingsError: One is missing or malformed.
        """
        given = _Variables(environment)
        tls = given.text("TLS", INTERNAL)
        if tls not in (ACME, FILES, INTERNAL):
            raise SettingsError(f"EDGE_TLS is {tls!r}: give acme, files or internal.")
        domain = given.domain()
        if tls == ACME and (_is_address(domain) or "." not in domain):
            raise SettingsError(
                f"EDGE_DOMAIN is {domain!r}: an authority gives certificates to names that all can look up."
            )
        proxies = given.networks("TRUSTED_PROXIES")
        headers = given.headers()
        if headers and not proxies:
            raise SettingsError(
                "EDGE_IDENTITY_HEADERS are believed of nobody: set EDGE_TRUSTED_PROXIES."
            )
        authority = given.text("ACME_AUTHORITY_FILE")
        return cls(
            tls=tls,
            domain=domain,
            https_port=given.number("HTTPS_PORT", 443, 1, 65535),
            email=given.email(),
            acme_directory=given.url("ACME_DIRECTORY", LETS_ENCRYPT),
            acme_authority=given.path("ACME_AUTHORITY_FILE", authority) if authority else None,
            certificate=given.path("CERTIFICATE_FILE", "/run/secrets/edge/certificate.pem"),
            key=given.path("KEY_FILE", "/run/secrets/edge/key.pem"),
            hsts_seconds=given.number("HSTS_SECONDS", 31_536_000, 0, 10**9),
            trusted_proxies=proxies,
            identity_headers=headers,
            renew_check_seconds=given.number("RENEW_CHECK_SECONDS", 600, 1, 86_400),
            renew_percent=given.number("RENEW_PERCENT", 33, 10, 90),
            internal_seconds=given.number("INTERNAL_SECONDS", 43_200, 10, 500_000),
            root=given.path("SOCKETS", "/run/door"),
            run=given.path("RUN", "/tmp/edge"),
            http_listen=given.number("HTTP_LISTEN", 80, 1, 65535),
            https_listen=given.number("HTTPS_LISTEN", 443, 1, 65535),
        )


class _Variables:
    """Variables by their names without the prefix; one that is empty is as one that is not there."""

    def __init__(self, environment: Mapping[str, str]):
        self._environment = environment

    def text(self, name: str, default: str = "") -> str:
        return self._environment.get(f"EDGE_{name}", "").strip() or default

    def domain(self) -> str:
        value = self.text("DOMAIN").rstrip(".").lower()
        if not value:
            raise SettingsError("EDGE_DOMAIN is not set.")
        if not _is_address(value) and not _NAME.fullmatch(value):
            raise SettingsError(
                f"EDGE_DOMAIN is {value!r}: give a name or an address, without https:// and without a port."
            )
        return value

    def email(self) -> str:
        value = self.text("EMAIL")
        if value and not _EMAIL.fullmatch(value):
            raise SettingsError(f"EDGE_EMAIL is {value!r}: give an e-mail address.")
        return value

    def url(self, name: str, default: str) -> str:
        value = self.text(name, default)
        try:
            parts = urlsplit(value)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme != "https" or not parts.hostname or re.search(r"[\s{}\"`]", value):
            raise SettingsError(f"EDGE_{name} is {value!r}: give an address with https://.")
        return value

    def number(self, name: str, default: int, least: int, most: int) -> int:
        value = self.text(name, str(default))
        if not (value.isascii() and value.isdigit() and least <= int(value) <= most):
            raise SettingsError(f"EDGE_{name} is {value!r}: give a number from {least} to {most}.")
        return int(value)

    def path(self, name: str, default: str) -> Path:
        value = self.text(name, default)
        if not re.fullmatch(r"/[A-Za-z0-9._/-]+", value):
            raise SettingsError(
                f"EDGE_{name} is {value!r}: give the path of a file, of plain letters."
            )
        return Path(value)

    def networks(self, name: str) -> tuple[str, ...]:
        networks: list[str] = []
        for part in self.text(name).replace(",", " ").split():
            try:
                network = ipaddress.ip_network(part)
            except ValueError as error:
                raise SettingsError(
                    f"EDGE_{name}: {part!r} is neither an address nor a network."
                ) from error
            if network.prefixlen == 0:
                raise SettingsError(
                    f"EDGE_{name}: everybody would be believed; name the proxy's addresses."
                )
            networks.append(str(network))
        return tuple(networks)

    def headers(self) -> tuple[str, ...]:
        headers = tuple(self.text("IDENTITY_HEADERS").replace(",", " ").split())
        for header in headers:
            if not _HEADER.fullmatch(header) or header.lower().startswith(_RESERVED_HEADERS):
                raise SettingsError(f"EDGE_IDENTITY_HEADERS: {header!r} cannot be one.")
        return headers


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True
