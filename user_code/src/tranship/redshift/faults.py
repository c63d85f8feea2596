"""What Redshift answers when a statement fails, as this library's errors."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import psycopg2

from tranship.errors import (
    TableNotFoundError,
    TranshipError,
    TransientError,
    WriteFailedError,
    redact,
)
from tranship.grants import missing_grant
from tranship.known_faults import known_fault
from tranship.redshift.known_faults import PASSING, refused_by_s3
from tranship.redshift.settings import RedshiftSettings

_BLOCK = re.compile(
    r"error:.*?code:\s*(\d+)\s*context:[ \t]*(.*?)\s*(?:query:|location:)", re.DOTALL
)
"""What Redshift's own engine appends: error, code, context, query, location, process."""
ALREADY_THERE = {"42P07", "42P06", "42701"}


def translate(
    error: psycopg2.Error,
    settings: RedshiftSettings,
    doing: str,
    *,
    lost: bool = False,
    schema: str | None = None,
    reading: bool = False,
) -> TranshipError:
    """The error for a statement that failed.

    Args:
        error: What the driver raised.
        settings: Of the connection; its secrets are struck from every text.
        doing: What was under way, such as "replace of public.fact_sales".
        lost: Whether the connection is gone.
        schema: Where the tables are that are touched, for the grant that may be missing.
        reading: Whether rows are only read.
    """
    message = message_of(error, settings)
    what = f"The {doing} failed"
    details: dict[str, object] = {"sqlstate": error.pgcode or "none"}
    if (lost or error.pgcode is None) and isinstance(
        error, psycopg2.OperationalError | psycopg2.InterfaceError
    ):
        return TransientError(
            f"{what}: the connection to {settings.address} was lost: {message}", details=details
        )
    passing = known_fault(PASSING, message, error.pgcode)
    if passing is not None:
        return passing[0].error({}, message, before=f"{what}. ", details=details)
    refused = refused_by_s3(what, message, settings)
    if refused is not None:
        refused.details |= details
        return refused
    if error.pgcode == "42501" or re.search(r"permission denied|must be owner", message):
        return _denied(error, settings, what, message, details, schema=schema, reading=reading)
    return _lasting(error, message, what, details)


def _lasting(
    error: psycopg2.Error, message: str, what: str, details: dict[str, object]
) -> TranshipError:
    if error.pgcode in {"42P01", "3F000"}:
        return TableNotFoundError(f"{what}: {message}", "Check schema and name.", details=details)
    if error.pgcode == "57014":
        return WriteFailedError(
            f"{what}: it was cancelled: {message}",
            "A person, statement_timeout or a query monitoring rule ended it.",
            details=details,
        )
    return WriteFailedError(f"{what}: {message}", details=details)


@contextmanager
def translated(
    settings: RedshiftSettings, doing: str, *, schema: str | None = None, reading: bool = False
) -> Generator[None]:
    """Turn driver errors of a block into this library's: see `translate`."""
    try:
        yield
    except psycopg2.Error as error:
        # The driver's traceback is cut: it may repeat statements with their values.
        raise translate(error, settings, doing, schema=schema, reading=reading) from None


def message_of(error: psycopg2.Error, settings: RedshiftSettings) -> str:
    """The server's own words with their detail, on one line, without secrets."""
    primary = error.diag.message_primary or str(error)
    detail = error.diag.message_detail or ""
    block = _BLOCK.search(detail)
    if block is not None:
        # Its first line repeats the primary message; the last ones are for Amazon's support.
        detail = f"(code {block[1]}" + (f"; {block[2]})" if block[2] else ")")
    return redact(" ".join(f"{primary} {detail}".split()), [settings.password])


def is_already_there(error: psycopg2.Error) -> bool:
    """Whether a CREATE lost a race against another that created the same thing."""
    message = str(error)
    return error.pgcode in ALREADY_THERE or (
        "already exists" in message
        or (
            "duplicate key" in message
            and re.search(r"pg_(class|namespace|type)", message) is not None
        )
    )


def _denied(
    error: psycopg2.Error,
    settings: RedshiftSettings,
    what: str,
    message: str,
    details: dict[str, object],
    *,
    schema: str | None,
    reading: bool,
) -> TranshipError:
    user = _session_user(error) or settings.user or "the database user"
    statement = missing_grant(
        error.diag.message_primary or message,
        user=user,
        schema=schema,
        reading=reading,
        creating=_query(error).startswith("create"),
    )
    remedy = (
        f"Ask its owner or an administrator to run: {statement};"
        if statement is not None
        else f"Only the owner may do this: connect as the owner, or make {user} the owner."
    )
    return WriteFailedError(f"{what}: {message}", remedy, details=details)


def _session_user(error: psycopg2.Error) -> str | None:
    """Whom the session serves. AWS puts a prefix before the names of temporary users, which is no part of them.

    https://docs.aws.amazon.com/redshift/latest/APIReference/API_GetClusterCredentials.html
    """
    cursor: Any = getattr(error, "cursor", None)
    if cursor is None or cursor.connection.closed:
        return None
    return str(cursor.connection.info.user).removeprefix("IAMA:").removeprefix("IAM:")


def _query(error: psycopg2.Error) -> str:
    query: Any = getattr(getattr(error, "cursor", None), "query", None)
    return (query or b"").decode(errors="replace").lstrip().lower()
