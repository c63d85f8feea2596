"""What mssql-python raises, as the errors a user meets.

The driver gives SQLSTATE as a sentence and the server's message as text, without the server's error
number, so the mapping goes by both texts. Every text is redacted before it is shown.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tranship.errors import (
    ColumnNotFoundError,
    ConfigurationError,
    ConnectionFailedError,
    TableNotFoundError,
    TranshipError,
    TransientError,
    UnreachableError,
    redact,
)
from tranship.sqlserver.settings import SqlServerSettings

SYSTEM_PACKAGES = ("libltdl7", "libkrb5-3", "libgssapi-krb5-2")
"""Debian packages that Microsoft's ODBC driver links against and its wheel does not bring."""

_ORIGIN = re.compile(r"^(\[[^\]]*\]\s*)+")

_LOST = (
    "communication link failure",
    "connection not open",
    "connection failure during transaction",
    "sqlstate code: 08s02",
    "sqlstate code: 10054",
    "tcp provider: error code 0x68",  # ECONNRESET
    "tcp provider: error code 0x20",  # EPIPE
    "the connection is broken",
    "connection is closed",
)

# Error numbers: https://learn.microsoft.com/azure/azure-sql/database/troubleshoot-common-errors-issues
_PASSING = (
    ("was deadlocked on", "Deadlock (1205): the server chose this query as the victim."),
    ("serialization failure", "Deadlock (1205): the server chose this query as the victim."),
    ("update conflict", "Update conflict (3960): a row changed under snapshot isolation."),
    ("lock request time out", "A lock was not granted in time (1222)."),
    ("is not currently available", "The database is not available at the moment (40613)."),
    ("is in the middle of a restore", "The database is being restored (927)."),
    ("the service is currently busy", "The server is busy (40501)."),
    ("shutdown is in progress", "The server is shutting down (6005)."),
    ("timeout expired", "The query did not finish within the query timeout."),
)


def translate(error: Exception, settings: SqlServerSettings, doing: str) -> TranshipError:
    """The error a user meets for one that the driver raised.

    Args:
        error: What mssql-python raised.
        settings: Where the call went; its password is taken out of every text.
        doing: What the call did, with the table: "reading dbo.DimProduct".

    Returns:
        A `TransientError` where the same call may succeed later, else the kind that names the cause.

    Example:
        >>> from tranship.sqlserver.settings import SqlServerSettings
        >>> here = SqlServerSettings(host="db", database="dw", user="etl", password="hunter2")
        >>> type(translate(Exception("Serialization failure; deadlocked"), here, "reading")).__name__
        'TransientError'
    """
    said = redact(str(error), (settings.password,))
    state = str(getattr(error, "driver_error", "")).lower()
    server = _ORIGIN.sub("", redact(str(getattr(error, "ddbc_error", "")), (settings.password,)))
    text = said.lower()
    details = {"server": settings.address, "driver": said}

    if "failed to load the driver" in text:
        return missing_libraries(said)
    refusal = _refusal(text, settings, details)
    if refusal is not None:
        return refusal
    for mark, meaning in _PASSING:
        if mark in text:
            return TransientError(
                f"{meaning} It happened while {doing} on {settings.address}.",
                "It may be tried again.",
                details=details,
            )
    if any(mark in text for mark in _LOST):
        return TransientError(
            f"The connection to {settings.address} was lost while {doing}.",
            "It may be tried again; if it keeps failing, look at the server's log.",
            details=details,
        )
    if "client unable to establish connection" in state or "connection timeout" in state:
        return UnreachableError(
            f"No SQL Server answered at {settings.address}: {server}.",
            "Check host, port and firewall, and that the server is up.",
            details=details,
        )
    if "invalid object name" in text:
        return TableNotFoundError(
            f"{_sentence(server)} It happened while {doing}.",
            "Check the spelling, the database, and what this login may see.",
            details=details,
        )
    if "invalid column name" in text:
        return ColumnNotFoundError(
            f"{_sentence(server)} It happened while {doing}.",
            "Check the spelling.",
            details=details,
        )
    return TranshipError(
        f"{settings.address} refused a request while {doing}: {_sentence(server or said)}",
        details=details,
    )


def missing_libraries(said: str) -> ConfigurationError:
    """The error for a machine on which Microsoft's ODBC driver does not load.

    Depending on the library that is missing, the driver fails when it is imported or when it connects.
    """
    return ConfigurationError(
        f"Microsoft's SQL Server driver cannot be loaded: {said}",
        "It needs system libraries. On Debian or Ubuntu: "
        f"sudo apt-get install --no-install-recommends {' '.join(SYSTEM_PACKAGES)}",
    )


def _refusal(
    text: str, settings: SqlServerSettings, details: dict[str, str]
) -> ConnectionFailedError | None:
    """The error for a server that answered and said no."""
    if "cannot open database" in text:  # 4060; the server adds "the login failed", so it goes first
        return ConnectionFailedError(
            f'The login "{settings.user}" cannot open the database "{settings.database}" on '
            f"{settings.address} (4060).",
            "Check the database's name, and that the login has a user in it.",
            details=details,
        )
    if "login failed" in text:  # 18456
        return ConnectionFailedError(
            f'{settings.address} refused the login "{settings.user}" (18456).',
            "Check user and password, and that the server allows SQL Server authentication.",
            details=details,
        )
    if "does not match host name" in text:
        return ConnectionFailedError(
            f'The certificate of {settings.address} is made out for another name than "{settings.host}".',
            "Connect by the name that the certificate has (the driver does not match addresses), or give "
            'that name: driver_keywords={"HostnameInCertificate": "db.example.com"}.',
            details=details,
        )
    if "certificate" in text:
        return ConnectionFailedError(
            f"The certificate of {settings.address} is not trusted by this machine.",
            "Either set SSL_CERT_FILE to a PEM file with the certificate authority that signed it, "
            "or, where nobody can stand between, set trust_server_certificate to true.",
            details=details,
        )
    if "ssl provider" in text or "encryption not supported" in text:
        return ConnectionFailedError(
            f"No encrypted connection to {settings.address} could be made.",
            "Check that the server offers TLS 1.2, or set encrypt to no on a network you trust.",
            details=details,
        )
    return None


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!")) else f"{text}."


@contextmanager
def driver_errors(
    driver: Any, settings: SqlServerSettings, doing: str, *, driver_calls_only: bool = True
) -> Iterator[None]:
    """Let the errors of a block leave as errors of this library.

    Args:
        driver: The `mssql_python` module.
        settings: Where the block's calls go.
        doing: What the block does, for the message.
        driver_calls_only: Whether the block calls nothing but the driver, so that a `RuntimeError`
            must be one of its C++ layer.

    Raises:
        TranshipError: In place of whatever the driver raised.
    """
    kinds = (driver.exceptions.Exception, driver.exceptions.ConnectionStringParseError)
    if driver_calls_only:
        kinds = (*kinds, RuntimeError)
    try:
        yield
    except kinds as error:
        # Not chained: the driver's exception may hold what was sent to it.
        raise translate(error, settings, doing) from None
