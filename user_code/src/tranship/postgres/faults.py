"""Postgres and driver errors as this library's: what happened, to which table, and what to do."""

import re
from collections.abc import Generator
from contextlib import contextmanager

import psycopg2

from tranship.errors import (
    ConnectionFailedError,
    DuplicateRowsError,
    TableNotFoundError,
    TranshipError,
    TransientError,
    ValueDoesNotFitError,
    WriteFailedError,
    redact,
)
from tranship.grants import missing_grant
from tranship.known_faults import known_fault
from tranship.postgres.known_faults import PASSING, REFUSALS
from tranship.postgres.settings import PostgresSettings
from tranship.tables import TableName

DOES_NOT_FIT_CLASS = "22"
"""SQLSTATE class of data exceptions: a value the column's type refuses."""
BROKEN_CONSTRAINT_CLASS = "23"
"""SQLSTATE class of integrity constraint violations."""

_CONTEXT = re.compile(
    r"^COPY .*, line (?P<row>\d+)(?:, column (?P<column>.+?))?(?:: .*)?$", re.MULTILINE
)
"""Where a COPY stood. In CSV it counts lines, of which a text may have several: "near", not "at"."""


def refused(error: psycopg2.Error, settings: PostgresSettings) -> TranshipError:
    """The error for a connection that was never made.

    The driver gives no error code at this point, so the server's (English) words decide.
    """
    message = _message(error, settings)
    where = ", ".join(settings.addresses)
    refusal = known_fault(REFUSALS, message)
    if refusal is None:
        return ConnectionFailedError(f"Postgres at {where} refused the connection: {message}")
    fault, _ = refusal
    values: dict[str, object] = {
        "where": where,
        "user": settings.user,
        "database": settings.database,
        "sslmode": settings.tls_mode,
        "default": "" if settings.sslmode else ", as everywhere but on this machine",
        "quoted_user": _quoted(settings.user),
        "quoted_database": _quoted(settings.database),
    }
    return fault.error(values, message)


def translate(
    error: psycopg2.Error,
    settings: PostgresSettings,
    *,
    doing: str = "",
    table: TableName | None = None,
    reading: bool = False,
) -> TranshipError:
    """The error for a statement that failed on a connection.

    Args:
        error: What the driver raised.
        settings: Of the connection; its password is struck from every text.
        doing: What was under way, such as "replace of public.stg_a".
        table: The table that is touched, for statements in remedies.
        reading: Whether rows are only read.
    """
    state = error.pgcode
    message = _message(error, settings)
    what = f"The {doing} failed" if doing else "A statement failed"
    details: dict[str, object] = {"sqlstate": state or "none"}
    passing = known_fault(PASSING, message, state)
    if passing is not None:
        return passing[0].error({}, message, before=f"{what}. ", details=details)
    if state is None or state.startswith("08"):
        if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
            return TransientError(
                f"{what}: the connection to {settings} was lost: {message}", details=details
            )
        return WriteFailedError(f"{what}: {message}", details=details)
    if state == "42501":
        return _denied(error, settings, what, message, details, table=table, reading=reading)
    if state.startswith((DOES_NOT_FIT_CLASS, BROKEN_CONSTRAINT_CLASS)):
        return _rows_refused(error, what, message, details, table)
    return _statement_refused(error, settings, what, message, details)


def _statement_refused(
    error: psycopg2.Error,
    settings: PostgresSettings,
    what: str,
    message: str,
    details: dict[str, object],
) -> TranshipError:
    """The error for what the server could not or would not do, whatever the rows are."""
    if error.pgcode == "57014":
        return WriteFailedError(
            f"{what}: it was cancelled: {message}",
            "If the statement timeout is too short, raise statement_timeout_seconds.",
            details=details,
        )
    if error.pgcode == "53100" or "No space left on device" in message:
        return WriteFailedError(
            f"{what}: the disk of Postgres at {settings.host} is full: {message}",
            "Free space there or enlarge the volume, then run again; the old rows are untouched. "
            "A full replace needs room for the old and the new table at once.",
            details=details,
        )
    if error.pgcode == "42P01":
        return TableNotFoundError(f"{what}: {message}", "Check schema and name.", details=details)
    if error.pgcode == "0A000" and "XML" in message:
        return WriteFailedError(
            f"{what}: Postgres at {settings.host} was built without XML support.",
            'Load xml columns as text: column_types={"<column>": "text"}.',
            details=details,
        )
    return WriteFailedError(f"{what}: {message}", details=details)


def _rows_refused(
    error: psycopg2.Error,
    what: str,
    message: str,
    details: dict[str, object],
    table: TableName | None,
) -> TranshipError:
    """The error for rows that a type or a constraint keeps out."""
    if (error.pgcode or "").startswith(DOES_NOT_FIT_CLASS):
        return _does_not_fit(error, what, message, details)
    if error.pgcode == "23502":
        column = error.diag.column_name
        return ValueDoesNotFitError(
            f'{what}: column "{column}" is not null in the table, but a row has null there{_row(error)}.',
            f"Fill the nulls, or drop the constraint: {_drop_not_null(error, table)} A replicated table "
            "follows its source with on_schema_change: evolve.",
            details=details | {"column": column},
        )
    if error.pgcode == "23505":
        return _duplicate(error, what, message, details)
    return WriteFailedError(
        f"{what}: rows break a constraint of the table: {message} {error.diag.message_detail or ''}",
        "Mend the rows or the constraint.",
        details=details,
    )


@contextmanager
def translated(
    settings: PostgresSettings,
    doing: str = "",
    table: TableName | None = None,
    *,
    reading: bool = False,
) -> Generator[None]:
    """Turn driver errors of a block into this library's: see `translate`."""
    try:
        yield
    except psycopg2.Error as error:
        # The driver's traceback is cut: it may repeat statements with their values.
        raise translate(error, settings, doing=doing, table=table, reading=reading) from None


def _denied(
    error: psycopg2.Error,
    settings: PostgresSettings,
    what: str,
    message: str,
    details: dict[str, object],
    *,
    table: TableName | None,
    reading: bool,
) -> TranshipError:
    """Who lacks which grant, and the statement that gives it."""
    query: bytes = getattr(getattr(error, "cursor", None), "query", None) or b""
    statement = missing_grant(
        error.diag.message_primary or message,
        user=settings.user,
        schema=table.schema if table is not None else None,
        reading=reading,
        creating=query.lstrip().lower().startswith(b"create"),
    )
    remedy = (
        f"Ask its owner or an administrator to run: {statement};"
        if statement is not None
        else f"Only the owner may do this: make {settings.user!r} a member of the owning role."
    )
    return WriteFailedError(
        f"{what}: user {settings.user!r} may not: {message}", remedy, details=details
    )


def _does_not_fit(
    error: psycopg2.Error, what: str, message: str, details: dict[str, object]
) -> ValueDoesNotFitError:
    match = _CONTEXT.search(error.diag.context or "")
    if match and match["column"]:
        details |= {"column": match["column"], "row": int(match["row"])}
        return ValueDoesNotFitError(
            f'{what}: near row {match["row"]}, column "{match["column"]}": {message}.',
            "Mend the value at its source, or choose a wider type with column_types.",
            details=details,
        )
    return ValueDoesNotFitError(
        f"{what}: {message}.",
        "Mend the value at its source, or choose a wider type with column_types.",
        details=details,
    )


_OF_A_WRITE = re.compile(r"tranship_(?:new|index|key|staging)")
"""Names that a table and its indexes have while they are loaded; nobody else knows them."""


def _duplicate(
    error: psycopg2.Error, what: str, message: str, details: dict[str, object]
) -> DuplicateRowsError:
    """Which rows have the same key, and of which index where its name means something to the reader."""
    name = error.diag.constraint_name or ""
    of_index = "" if not name or _OF_A_WRITE.search(name) else f' of the unique index "{name}"'
    return DuplicateRowsError(
        f"{what}: rows have the same key{of_index}: {error.diag.message_detail or message}",
        "Remove the duplicates from the rows, or use mode merge with the key columns. If the key of the source "
        "has changed, on_schema_change: evolve follows it.",
        details=details,
    )


def _drop_not_null(error: psycopg2.Error, table: TableName | None) -> str:
    """The statement, as it runs; the rows may have been on their way into a table of a passing name."""
    schema, name = error.diag.schema_name, error.diag.table_name
    if table is not None:
        schema, name = table.schema, table.name
    schema, name, column = (
        '"' + (part or "").replace('"', '""') + '"'
        for part in (schema, name, error.diag.column_name)
    )
    return f"alter table {schema}.{name} alter column {column} drop not null;"


def _row(error: psycopg2.Error) -> str:
    match = _CONTEXT.search(error.diag.context or "")
    return f" (near row {match['row']})" if match else ""


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _message(error: psycopg2.Error, settings: PostgresSettings) -> str:
    """The server's or driver's own words, without the password."""
    text = error.diag.message_primary or str(error)
    return redact(" ".join(text.split()), [settings.password])
