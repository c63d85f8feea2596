"""What Redshift answers when a statement fails, as this library's errors."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2

from tranship.errors import (
    TableNotFoundError,
    TranshipError,
    TransientError,
    WriteFailedError,
    redact,
)
from tranship.known_faults import known_fault
from tranship.redshift import s3_refusals
from tranship.redshift.known_faults import PASSING
from tranship.redshift.settings import RedshiftSettings

_BLOCK = re.compile(
    r"error:.*?code:\s*(\d+)\s*context:[ \t]*(.*?)\s*(?:query:|location:)", re.DOTALL
)
"""What Redshift's own engine appends: error, code, context, query, location, process."""
ALREADY_THERE = {"42P07", "42P06", "42701"}


def translate(
    error: psycopg2.Error, settings: RedshiftSettings, doing: str, *, lost: bool = False
) -> TranshipError:
    """The error for a statement that failed.

    Args:
        error: What the driver raised.
        settings: Of the connection; its secrets are struck from every text.
        doing: What was under way, such as "replace of public.fact_sales".
        lost: Whether the connection is gone.
    """
    said = words(error, settings)
    what = f"The {doing} failed"
    details: dict[str, object] = {"sqlstate": error.pgcode or "none"}
    if (lost or error.pgcode is None) and isinstance(
        error, psycopg2.OperationalError | psycopg2.InterfaceError
    ):
        return TransientError(
            f"{what}: the connection to {settings.address} was lost: {said}", details=details
        )
    passing = known_fault(PASSING, said, error.pgcode)
    if passing is not None:
        return passing[0].error({}, said, before=f"{what}. ", details=details)
    return _lasting(error, settings, said, what, details)


def _lasting(
    error: psycopg2.Error,
    settings: RedshiftSettings,
    said: str,
    what: str,
    details: dict[str, object],
) -> TranshipError:
    refused = s3_refusals.explain(what, said, settings)
    if refused is not None:
        refused.details |= details
        return refused
    if error.pgcode == "42501" or re.search(r"permission denied|must be owner", said):
        return WriteFailedError(f"{what}: {said}", _grant(said, settings), details=details)
    if error.pgcode in {"42P01", "3F000"}:
        return TableNotFoundError(f"{what}: {said}", "Check schema and name.", details=details)
    if error.pgcode == "57014":
        return WriteFailedError(
            f"{what}: it was cancelled: {said}",
            "A person, statement_timeout or a query monitoring rule ended it.",
            details=details,
        )
    return WriteFailedError(f"{what}: {said}", details=details)


@contextmanager
def translated(settings: RedshiftSettings, doing: str) -> Iterator[None]:
    """Turn driver errors of a block into this library's."""
    try:
        yield
    except psycopg2.Error as error:
        # The driver's traceback is cut: it may repeat statements with their values.
        raise translate(error, settings, doing) from None


def words(error: psycopg2.Error, settings: RedshiftSettings) -> str:
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
    said = str(error)
    return error.pgcode in ALREADY_THERE or (
        "already exists" in said
        or ("duplicate key" in said and re.search(r"pg_(class|namespace|type)", said) is not None)
    )


def _grant(said: str, settings: RedshiftSettings) -> str:
    user = settings.user or "the database user"
    match = re.search(r"permission denied for (\w+) (\S+)", said)
    kinds = {
        "schema": "grant usage, create on schema {name} to {user}",
        "relation": "grant select, insert, update, delete on {name} to {user}",
        "table": "grant select, insert, update, delete on {name} to {user}",
        "database": "grant create on database {name} to {user}",
    }
    if match and match[1] in kinds:
        return f"Ask its owner to run: {kinds[match[1]].format(name=match[2], user=user)};"
    return f"Only the table's owner may do this: connect as the owner, or change it to {user}."
