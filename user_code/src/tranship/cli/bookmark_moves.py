"""What moving or forgetting a bookmark by hand leads to; values are checked before anything is written."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from tranship.bookmarks import Bookmark
from tranship.cursors import Cursor, Kind, Value, kind_of
from tranship.errors import ConfigurationError
from tranship.replication.plan import Mode
from tranship.tables import Column

_BY_LOOKS = (
    (Kind.ROWVERSION, re.compile(r"0x[0-9a-f]+", re.IGNORECASE)),
    (Kind.DATE, re.compile(r"\d{4}-\d\d-\d\d")),
    (Kind.TIME, re.compile(r"\d{4}-\d\d-\d\d[T ].+")),
    (Kind.NUMBER, re.compile(r"[-+]?[\d.]+(?:e[-+]?\d+)?", re.IGNORECASE)),
)


@dataclass(frozen=True, slots=True)
class Move:
    """A bookmark's new value.

    Args:
        new: The value, as bookmarks keep it.
        consequences: What follows from it, in sentences.
    """

    new: str
    consequences: tuple[str, ...]


def move_to(bookmark: Bookmark, text: str, column_type: pa.DataType | None = None) -> Move:
    """Hold a value against the cursor that a bookmark is of.

    Args:
        bookmark: The bookmark as it is.
        text: The value, as a person writes it.
        column_type: What the target keeps the cursor's values as, where it does.

    Raises:
        ConfigurationError: The table has no cursor, or the text is no value of it.

    Example:
        >>> from tranship.tables import TableName
        >>> at_ten = Bookmark(TableName("s", "t"), "dbo.t", "append", "", "", "Id", "10")
        >>> move_to(at_ten, "5").new
        '5'
    """
    if bookmark.cursor_column is None:
        raise ConfigurationError(
            f"{bookmark.table} is kept up to date by {bookmark.mode} without a cursor, so its bookmark has no "
            "value.",
            "Every load reads all rows that it was asked for; there is nothing to set.",
        )
    kind = _kind(bookmark, column_type)
    cursor = Cursor(bookmark.cursor_column, kind, nullable=False, lookback=0)
    old = cursor.value(bookmark.cursor_value)
    zoned = old.tzinfo is not None if isinstance(old, datetime) else _is_zoned(column_type)
    new = _value(cursor, text, zoned=zoned)
    return Move(cursor.text(new) or "", tuple(_consequences(bookmark, old, new, cursor)))


def consequences_of_reset(bookmark: Bookmark) -> tuple[str, ...]:
    """What follows from forgetting a bookmark, in sentences."""
    if bookmark.mode not in {Mode.MERGE, Mode.APPEND}:
        return (
            f"{bookmark.table} is kept up to date by {bookmark.mode}: its loads are the same with or without a "
            "bookmark.",
        )
    found = [
        f"The next load of {bookmark.table} is a full one: it reads all of {bookmark.source} and puts that in "
        "the place of what is there, in one transaction.",
        "Rows that are gone from the source are gone from the copy then, those that were marked included.",
    ]
    if bookmark.loading is not None:
        found.append("Its first load is unfinished; what it has committed is loaded again.")
    return tuple(found)


def _consequences(
    bookmark: Bookmark, old: Value | None, new: Value, cursor: Cursor
) -> Iterator[str]:
    text = cursor.text(new)
    if bookmark.loading is not None:
        yield (
            f"Its first load is unfinished and goes on {bookmark.loading_place}; the value counts for the load "
            "after it."
        )
    yield (
        f'The next load reads the rows of {bookmark.source} whose "{cursor.column}" is {text} or higher, and '
        "those of the lookback in its settings before it."
    )
    if old is None:
        yield "No load has found a value yet: rows below this one are left out until a reset."
        return
    back: Any = new
    if back < old:
        yield "Rows that are read again take the place of those that are there."
        if bookmark.mode == Mode.APPEND:
            yield (
                "If the table has no key, the copy's rows from there on are replaced by those that the source "
                "has now: rows that it has purged since are lost."
            )
    else:
        yield (
            f"Rows between {bookmark.cursor_value} and {text} that were not loaded yet are skipped; only a "
            "reset, or a bookmark set back, brings them."
        )


def _kind(bookmark: Bookmark, column_type: pa.DataType | None) -> Kind:
    if bookmark.cursor_value is not None:
        for kind, looks in _BY_LOOKS:
            if looks.fullmatch(bookmark.cursor_value):
                return kind
    if column_type is not None:
        if pa.types.is_binary(column_type) or pa.types.is_large_binary(column_type):
            return Kind.ROWVERSION
        found = kind_of(Column(bookmark.cursor_column or "", column_type))
        if found is not None:
            return found
    raise ConfigurationError(
        f'No load of {bookmark.table} has found a value in "{bookmark.cursor_column}" yet, and the copy does not '
        "tell what its values are.",
        "Load the table once; then its bookmark can be set.",
    )


def _is_zoned(column_type: pa.DataType | None) -> bool:
    return column_type is not None and pa.types.is_timestamp(column_type) and bool(column_type.tz)


def _value(cursor: Cursor, text: str, *, zoned: bool) -> Value:
    value = cursor.value(text.strip())
    named = f'{text!r} is no value of the cursor "{cursor.column}"'
    if isinstance(value, Decimal) and not value.is_finite():
        raise ConfigurationError(f"{named}, which is a number.", "Write it like 12345.")
    if cursor.kind is Kind.ROWVERSION and not text.strip().lower().startswith("0x"):
        # Hexadecimal digits alone look like a number, and would mean another one.
        raise ConfigurationError(
            f"{named}, which is a rowversion.", "Write it like 0x00000000000007d1."
        )
    if isinstance(value, datetime) and (value.tzinfo is not None) is not zoned:
        raise ConfigurationError(
            f"{named}, whose times {'have a' if zoned else 'have no'} time zone.",
            f"Write it like 2024-01-31T09:30:00{'+00:00' if zoned else ''}.",
        )
    if value is None:
        raise ConfigurationError(f"{named}.", "Give a value.")
    return value
