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
