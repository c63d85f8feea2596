"""Where a system is: a URL, or the variables that a deployment sets anyway."""

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from tranship.errors import ConfigurationError
from tranship.sqlserver.settings import SqlServerSettings

SOURCE = "TRANSHIP_SQLSERVER_"
SOURCE_URL = "mssql+mssqlpython://user:password@host:1433/database"


def source_settings(
    url: str | None, environment: Mapping[str, str], *, option: str = "source_url"
) -> SqlServerSettings:
    """The SQL Server to read from.

    Args:
        url: A SQLAlchemy URL. Its password may be left to TRANSHIP_SQLSERVER_PASSWORD, so that it does not
            stand on a command line that others can see.
        environment: The variables TRANSHIP_SQLSERVER_*.
        option: What would take a URL, for the message.

    Raises:
        ConfigurationError: Neither says where it is.
    """
    if url is not None:
        parsed = parsed_url(url, "source", SOURCE_URL, {"mssql"})
        return SqlServerSettings.from_url(with_password(parsed, environment, SOURCE))
    found = variables(
        environment, SOURCE, ("HOST", "DATABASE", "USER", "PASSWORD"), f"{option} {SOURCE_URL}"
    )
    return SqlServerSettings(
        host=found["HOST"],
        port=port_of(environment, SOURCE, 1433),
        database=found["DATABASE"],
        user=found["USER"],
        password=found["PASSWORD"],
        trust_server_certificate=environment.get(f"{SOURCE}TRUST_CERTIFICATE", "no") == "yes",
    )


def has_address(url: str | None, environment: Mapping[str, str]) -> bool:
    """Whether anything says where the SQL Server is."""
    return url is not None or bool(environment.get(f"{SOURCE}HOST"))


def parsed_url(url: str, what: str, example: str, allowed: set[str]) -> sa.URL:
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
            f"The {what}'s URL begins with {parsed.drivername}://, which is no {what} of ours.",
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
