"""What mssql-python raises, as the errors a user meets.

The driver gives SQLSTATE as a sentence and the server's message as text, without the server's error
number, so the mapping goes by both texts: `tranship.sqlserver.known_faults` lists them. Every text is redacted
before it is shown.
"""

import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tranship.errors import (
    ColumnNotFoundError,
    ConfigurationError,
    ConnectionFailedError,
    TableNotFoundError,
    TranshipError,
    redact,
)
from tranship.known_faults import KnownFault, known_fault
from tranship.sqlserver.known_faults import ANSWERED, BROKEN, GONE, TIMED_OUT, UNREACHABLE
from tranship.sqlserver.settings import SqlServerSettings
from tranship.sqlserver.statements import quoted

SYSTEM_PACKAGES = ("libltdl7", "libkrb5-3", "libgssapi-krb5-2")
"""Debian packages that Microsoft's ODBC driver links against and its wheel does not bring."""

_ORIGIN = re.compile(r"^(\[[^\]]*\]\s*)+")

_NO_REASON = "unknown ddbc error"
"""What the driver says where it could not ask the ODBC driver for the reason."""
_STATE = re.compile(r"SQLSTATE code: (?P<state>\w{5})")


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
    message = redact(str(error), (settings.password,))
    server = _ORIGIN.sub("", redact(str(getattr(error, "ddbc_error", "")), (settings.password,)))
    details: dict[str, object] = {"server": settings.address, "driver": message}
    if "failed to load the driver" in message.lower():
        return missing_libraries(message)
    answered = _known(ANSWERED, message, settings, doing)
    if answered is not None:
        fault, values = answered
        details["error_number"] = fault.codes[0]
        context = f"{_sentence(server or message)} It happened while {doing} on {settings.address}."
        return fault.error(values, context, details=details)
    refusal = _untrusted(message.lower(), settings, details)
    if refusal is not None:
        return refusal
    missing = _missing(message.lower(), server, doing, details)
    if missing is not None:
        return missing
    unanswered = _known((UNREACHABLE, TIMED_OUT, *BROKEN, GONE), message, settings, doing)
    if unanswered is not None:
        fault, values = unanswered
        return fault.error(values, _sentence(server) if server else "", details=details)
    if not server or server.lower().startswith(_NO_REASON):
        return _without_reason(error, message, settings, doing, details)
    return TranshipError(
        f"{settings.address} refused a request while {doing}: {_sentence(server)}",
        details=details,
    )


def _known(
    faults: Sequence[KnownFault], message: str, settings: SqlServerSettings, doing: str
) -> tuple[KnownFault, dict[str, object]] | None:
    """The entry that fits, and what its sentences may name."""
    entry = known_fault(faults, message)
    if entry is None:
        return None
    fault, match = entry
    names = {"user": settings.user, "database": settings.database}
    names |= {key: value or "" for key, value in (match.groupdict() if match else {}).items()}
    values: dict[str, object] = {"address": settings.address, "doing": doing, **names}
    return fault, values | {f"quoted_{key}": quoted(value) for key, value in names.items()}


def _missing(
    text: str, server: str, doing: str, details: Mapping[str, object]
) -> TranshipError | None:
    """The error for a name that the server does not know, or does not show to this login."""
    if "invalid object name" in text or "base table or view not found" in text:
        return TableNotFoundError(
            f"{_sentence(server)} It happened while {doing}.",
            "Check the spelling, the database, and what this login may see.",
            details=details,
        )
    if "invalid column name" in text:
        return ColumnNotFoundError(
            f"{_sentence(server)} It happened while {doing}.",
            "Check the spelling, and what this login may see.",
            details=details,
        )
    return None


def _without_reason(
    error: Exception,
    message: str,
    settings: SqlServerSettings,
    doing: str,
    details: Mapping[str, object],
) -> TranshipError:
    """The error where the driver knows no reason: all that we know ourselves."""
    state = _STATE.search(message)
    notes = [redact(str(one), (settings.password,)) for one in getattr(error, "__notes__", ())]
    last = (
        f'the last message of the server was: "{notes[-1]}"'
        if notes
        else "the server had said nothing"
    )
    return TranshipError(
        f"The driver gave no reason for a failure while {doing} on {settings.address} (SQLSTATE "
        f"{state['state'] if state else 'unknown'}: {message}); {last}.",
        "Look at the server's log at this moment, and run it again. If it stays, read the table without the "
        "column that was added last (exclude), or with a cast of it.",
        details=details,
    )


def missing_libraries(reason: str) -> ConfigurationError:
    """The error for a machine on which Microsoft's ODBC driver does not load.

    Depending on the library that is missing, the driver fails when it is imported or when it connects.
    """
    return ConfigurationError(
        f"Microsoft's SQL Server driver cannot be loaded: {reason}",
        "It needs system libraries. On Debian or Ubuntu: "
        f"sudo apt-get install --no-install-recommends {' '.join(SYSTEM_PACKAGES)}",
    )


def _untrusted(
    text: str, settings: SqlServerSettings, details: Mapping[str, object]
) -> ConnectionFailedError | None:
    """The error for a connection that was not encrypted, or not with whom we meant."""
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
) -> Generator[None]:
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
