"""Which tables a source has, asked while definitions are loaded, when no Dagster resource exists yet."""

import os
from collections.abc import Mapping, Sequence

from tranship.errors import ConfigurationError
from tranship.sqlserver.catalogue import list_tables
from tranship.sqlserver.settings import DEFAULT_PORT, SqlServerSettings
from tranship.tables import TableName

VARIABLES = "TRANSHIP_SQLSERVER_"
_NEEDED = ("HOST", "DATABASE", "USER", "PASSWORD")


def source_settings(
    url: str | None, environment: Mapping[str, str] = os.environ
) -> SqlServerSettings:
    """Where the source is: by its address, or by the environment that the stack sets.

    Args:
        url: `mssql+mssqlpython://user:password@host:port/database`, or nothing.
        environment: Holds TRANSHIP_SQLSERVER_HOST, _PORT, _DATABASE, _USER, _PASSWORD and
            _TRUST_CERTIFICATE where there is no address.

    Raises:
        ConfigurationError: Neither says where the source is.

    Example:
        >>> names = {"HOST": "db", "DATABASE": "Sales", "USER": "etl", "PASSWORD": "secret"}
        >>> source_settings(None, {f"TRANSHIP_SQLSERVER_{name}": value for name, value in names.items()}).host
        'db'
    """
    if url:
        return SqlServerSettings.from_url(url)
    missing = [
        f"{VARIABLES}{name}" for name in _NEEDED if not environment.get(f"{VARIABLES}{name}")
    ]
    if missing:
        raise ConfigurationError(
            f"Nothing says where the source is: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set.",
            "Set them, or give the source's address as "
            "mssql+mssqlpython://user:password@host:1433/database.",
        )
    return SqlServerSettings(
        host=environment[f"{VARIABLES}HOST"],
        port=int(environment.get(f"{VARIABLES}PORT") or DEFAULT_PORT),
        database=environment[f"{VARIABLES}DATABASE"],
        user=environment[f"{VARIABLES}USER"],
        password=environment[f"{VARIABLES}PASSWORD"],
        trust_server_certificate=environment.get(f"{VARIABLES}TRUST_CERTIFICATE") == "yes",
    )


def matching_tables(
    settings: SqlServerSettings, patterns: Sequence[str], *, views: bool
) -> list[TableName]:
    """The tables that match any of the patterns.

    Raises:
        TranshipError: The source cannot be asked.
    """
    return list_tables(settings, patterns, views=views)
