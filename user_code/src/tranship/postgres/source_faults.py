"""Errors of reading a source, with what can be done about them in the settings of a replication."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import psycopg2

from tranship.errors import ColumnNotFoundError, ConfigurationError, ValueDoesNotFitError, redact
from tranship.grants import quoted
from tranship.postgres.faults import translate
from tranship.postgres.settings import PostgresSettings
from tranship.tables import TableName

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_NO_COLUMN = "42703"
_WORDS = {
    "42601": "a syntax error",
    "42704": "a type or another object that does not exist",
    "42804": "types that do not go together",
    "42809": "an object of another kind",
    "42846": "a cast that Postgres does not have",
    "42883": "a function or an operator that does not exist for these types",
}
_PASSED_OVER = "22"


@contextmanager
def reading(settings: PostgresSettings, doing: str, table: TableName) -> Generator[None]:
    """Turn driver errors of a block that reads a source into this library's.

    Args:
        settings: Of the connection; its password is struck from every text.
        doing: What is under way, such as "read of public.orders".
        table: The table.

    Raises:
        ColumnNotFoundError: The table or the condition names a column that is not there.
        ConfigurationError: The condition or a cast is none that Postgres takes.
        ValueDoesNotFitError: A value has no form here, such as a date before the year 1.
        TranshipError: Anything else; see `tranship.postgres.faults`.
    """
    try:
        yield
    except psycopg2.Error as error:
        # The driver's traceback is cut: it may repeat statements with their values.
        raise _translated(error, settings, doing, table) from None
    except (ValueError, OverflowError) as error:
        raise ValueDoesNotFitError(
            f"The {doing} failed: the server gave a value that has no form here: {error}.",
            "Leave such rows out with where, or read the column as text with cast.",
        ) from None


def columns_denied(table: TableName, denied: Sequence[str], user: str) -> ConfigurationError:
    """The error for columns that a role may not select, with the statement that grants them; the server would name the table alone."""
    listed = ", ".join(map(quoted, denied))
    return ConfigurationError(
        f"{table} has columns that {user!r} may not select: {', '.join(denied)}.",
        f"Its owner runs: grant select ({listed}) on {quoted(table.schema)}.{quoted(table.name)} to {quoted(user)}; "
        f"or leave them out: exclude: [{', '.join(denied)}].",
        details={"columns": ", ".join(denied)},
    )


def _translated(
    error: psycopg2.Error, settings: PostgresSettings, doing: str, table: TableName
) -> Exception:
    message = redact(
        " ".join((error.diag.message_primary or str(error)).split()), [settings.password]
    )
    details = {"sqlstate": error.pgcode or "none"}
    if error.pgcode == _NO_COLUMN:
        return ColumnNotFoundError(
            f"The {doing} failed: {message}.",
            f"Where the condition (where) names it, correct that. Else {table} was changed after it was looked up: run the load "
            "again, which looks its columns up anew.",
            details=details,
        )
    words = _WORDS.get(error.pgcode or "")
    if words is not None:
        return ConfigurationError(
            f"The {doing} failed, for {words}: {message}.",
            f"Correct where, cast, key or parallel of {table}: they are read in Postgres's own words.",
            details=details,
        )
    if (error.pgcode or "").startswith(_PASSED_OVER):
        return ValueDoesNotFitError(
            f"The {doing} failed: {message}.",
            f"Correct where or cast of {table}, or the value at its source.",
            details=details,
        )
    return translate(error, settings, doing=doing, table=table, reading=True)
