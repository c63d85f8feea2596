"""How connections are encrypted: verified TLS, except to this machine, and a word where it is off."""

import functools
import ipaddress
import logging
import re
import ssl
from collections.abc import Mapping
from pathlib import Path

VERIFIED, UNVERIFIED_LOCAL = "verify-full", "prefer"
WITHOUT_TLS = "TRANSHIP_HOSTS_WITHOUT_TLS"
"""Variable that names hosts a deployment reaches on a network of its own, where they have no certificate."""

_WITH_PORT = re.compile(r"^(\[.*\]|[^:/]*):\d+$")

_WHAT_IS_OFF = {
    "disable": "is not encrypted: whoever is in between can read and change the rows, and the password",
    "allow": "need not be encrypted, and nobody checks whose server it is",
    "prefer": "need not be encrypted, and nobody checks whose server it is",
    "require": "is encrypted, but nobody checks whose server it is",
    "verify-ca": "",
    "verify-full": "",
}


def sslmode_for(host: str) -> str:
    """Libpq's sslmode where none is set: nothing is verified on this machine, everything elsewhere.

    Args:
        host: A name or address, the folder of a socket, or several of them with commas between; each may have
            its port.

    Example:
        >>> sslmode_for("127.0.0.1"), sslmode_for("/run/postgresql"), sslmode_for("db.example.com")
        ('prefer', 'prefer', 'verify-full')
    """
    return UNVERIFIED_LOCAL if all(map(is_here, host.split(","))) else VERIFIED


def sslmode_of(environment: Mapping[str, str], prefix: str) -> str | None:
    """What a deployment's variables say about the sslmode of the host in `<prefix>HOST`.

    Args:
        environment: The variables.
        prefix: Such as `TRANSHIP_POSTGRES_`.

    Returns:
        `<prefix>SSLMODE`; `disable` for a host that `TRANSHIP_HOSTS_WITHOUT_TLS` names; `None` otherwise.
    """
    if mode := environment.get(f"{prefix}SSLMODE"):
        return mode
    return "disable" if has_no_certificate(environment, prefix) else None


def has_no_certificate(environment: Mapping[str, str], prefix: str) -> bool:
    """Whether a deployment says that the host in `<prefix>HOST` has no certificate that could be verified.

    Args:
        environment: The variables; `TRANSHIP_HOSTS_WITHOUT_TLS` names such hosts.
        prefix: Such as `TRANSHIP_POSTGRES_`.
    """
    return environment.get(f"{prefix}HOST") in environment.get(WITHOUT_TLS, "").split()


def what_is_off(mode: str, host: str) -> str | None:
    """What a mode leaves open on the way to a host, in words; `None` where nothing is."""
    if sslmode_for(host) != VERIFIED:
        return None
    return _WHAT_IS_OFF.get(mode) or None


@functools.cache
def tell_what_is_off(mode: str, host: str, system: str, log: logging.Logger) -> None:
    """Warn, once for each address in a process, of a connection that is not verified."""
    if off := what_is_off(mode, host):
        log.warning(
            "The connection to %s at %s %s (sslmode is %s). Leave sslmode out for verified TLS.",
            system,
            host,
            off,
            mode,
        )


def system_authorities() -> str | None:
    """The file of the authorities that this machine trusts, or the bundle that Python packages share."""
    own = ssl.get_default_verify_paths().cafile
    if own and Path(own).is_file():
        return own
    try:
        import certifi
    except ImportError:
        return None
    return certifi.where()


def is_here(host: str) -> bool:
    """Whether a host, with or without a port, is this machine: a loopback address, its name, or a socket's path.

    Example:
        >>> is_here("127.0.0.1:4566"), is_here("[::1]"), is_here("localstack")
        (True, True, False)
    """
    name = _WITH_PORT.sub(r"\1", host.strip()).strip("[]").lower()
    if name.startswith(("/", "@")) or name in {"localhost", ""} or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
