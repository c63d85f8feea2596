"""Where a system is: what its URL or the variables of a deployment must say, and what is said where they do not."""

from collections.abc import Mapping, Set

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from tranship.errors import ConfigurationError


def parsed_url(url: str, what: str, example: str, allowed: Set[str]) -> sa.URL:
    """A URL of one of the kinds that are allowed.

    Raises:
        ConfigurationError: It is none; the message never repeats it, as it may hold a password.
    """
    remedy = f"Write {example} and percent-encode special characters of the password."
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        # Neither chained nor shown: what cannot be parsed may hold the password.
        raise ConfigurationError(f"The {what}'s URL cannot be read.", remedy) from None
    if parsed.drivername.partition("+")[0] not in allowed:
        raise ConfigurationError(
            f"The {what}'s URL begins with {parsed.drivername}://, not with {' or '.join(sorted(allowed))}.",
            remedy,
        )
    return parsed


def with_password(url: sa.URL, environment: Mapping[str, str], prefix: str) -> sa.URL:
    """The URL with the environment's password where it has none of its own."""
    password = environment.get(f"{prefix}PASSWORD")
    return url.set(password=password) if password and not url.password else url


def variables(
    environment: Mapping[str, str], prefix: str, names: tuple[str, ...], option: str
) -> dict[str, str]:
    """The values of some variables, which must all be set.

    Raises:
        ConfigurationError: One is not; the message names it and the option that would do instead.
    """
    found = {name: environment.get(f"{prefix}{name}", "") for name in names}
    if missing := [f"{prefix}{name}" for name, value in found.items() if not value]:
        verb = "is" if len(missing) == 1 else "are"
        raise ConfigurationError(
            f"{', '.join(missing)} {verb} not set.", f"Set what is missing, or give {option}."
        )
    return found


def port_of(environment: Mapping[str, str], prefix: str, default: int) -> int:
    """The port that a variable names.

    Raises:
        ConfigurationError: It is no TCP port.
    """
    text = environment.get(f"{prefix}PORT") or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ConfigurationError(f"{prefix}PORT is {text!r}.", "Give a TCP port: 1 to 65535.")
    return int(text)
