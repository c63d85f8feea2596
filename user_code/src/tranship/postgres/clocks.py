"""The server's clock: what it shows, which columns it fills, and times that it has and Python has not."""

import re
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from tranship.cursors import Cursor, Kind, has_zone, kind_of
from tranship.tables import Column

_FIRST, _LAST = "0001-01-02", "9999-12-30"
"""Python's dates end a day further, in any zone; Postgres has infinity and years before 1, which are held to these."""
# https://www.postgresql.org/docs/current/functions-datetime.html#FUNCTIONS-DATETIME-CURRENT
_NOW = re.compile(
    r"\b(now|current_timestamp|localtimestamp|clock_timestamp|statement_timestamp|transaction_timestamp)\b|'now'",
    re.IGNORECASE,
)
_UTC = r"'(?:etc/)?(?:utc|gmt|zulu|universal|greenwich)'(?:::text)?"
# As `at time zone` and as the function that older versions print it as.
_IN_UTC = re.compile(rf"at time zone {_UTC}|timezone\({_UTC},", re.IGNORECASE)


def is_local_clock(column: Column, default: str | None) -> bool:
    """Whether a column's default is a wall clock: a time without a zone, and not that of UTC.

    Which zone it shows is for each session to say, so one of UTC is taken for what it may become.

    Example:
        >>> import pyarrow as pa
        >>> column = Column("changed", pa.timestamp("us"))
        >>> is_local_clock(column, "now()"), is_local_clock(column, "(now() AT TIME ZONE 'utc'::text)")
        (True, False)
        >>> is_local_clock(Column("changed", pa.timestamp("us", "UTC")), "now()")
        False
    """
    if default is None or kind_of(column) is not Kind.TIME or has_zone(column.type):
        return False
    return _NOW.search(default) is not None and _IN_UTC.search(default) is None


def clock(cursor: Cursor) -> sa.ColumnElement[Any]:
    """What the server's clock shows; of a column without a zone nobody knows whether it shows UTC."""
    # The transaction's start, which an index can be asked with, as it stays the same for all rows.
    if cursor.has_zone:
        return sa.func.now()
    shown = sa.func.greatest(
        sa.literal_column("localtimestamp"),
        sa.func.timezone(sa.literal_column("'UTC'"), sa.func.now()),
    )
    return sa.cast(shown, sa.Date() if cursor.kind is Kind.DATE else sa.TIMESTAMP())


def within_reach(value: sa.ColumnElement[Any], cursor: Cursor) -> sa.ColumnElement[Any]:
    """A date or time, held to those that Python has; null where it is."""
    kind, rest = ("timestamptz", " 00:00:00+00") if cursor.has_zone else ("timestamp", "")
    kind = "date" if cursor.kind is Kind.DATE else kind
    first: sa.ColumnElement[Any] = sa.literal_column(f"{kind} '{_FIRST}{rest}'")
    last: sa.ColumnElement[Any] = sa.literal_column(f"{kind} '{_LAST}{rest}'")
    # Of a null and a value both functions take the value.
    held = sa.func.greatest(sa.func.least(value, last), first)
    return sa.case((value.is_(None), sa.null()), else_=held)


def in_utc(value: Any) -> Any:
    """The driver gives instants in the zone of its session."""
    is_instant = isinstance(value, datetime) and value.tzinfo is not None
    return value.astimezone(UTC) if is_instant else value
