"""The bookmarks of a target: found, shown on the terminal and as JSON, and changed by hand; values are checked before anything is written."""

import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from rich import box
from rich.table import Table

from tranship.bookmarks import Bookmark, BookmarkMovedError, Bookmarks
from tranship.cursors import Cursor, Kind, Value, kind_of
from tranship.errors import ConfigurationError, TableNotFoundError
from tranship.replication.plan import Mode
from tranship.tables import Column, TableName
from tranship.target import Target, Transaction

_DEFAULT_SCHEMA = ""
_BY_LOOKS = (
    (Kind.ROWVERSION, re.compile(r"0x[0-9a-f]+", re.IGNORECASE)),
    (Kind.DATE, re.compile(r"\d{4}-\d\d-\d\d")),
    (Kind.TIME, re.compile(r"\d{4}-\d\d-\d\d[T ].+")),
    (Kind.NUMBER, re.compile(r"[-+]?[\d.]+(?:e[-+]?\d+)?", re.IGNORECASE)),
)


@dataclass(frozen=True, slots=True)
class KeptBookmarks:
    """The bookmarks that a target keeps.

    Args:
        target: The target.
        schema: Look only at tables of this schema.
    """

    target: Target
    schema: str | None = None

    @property
    def place(self) -> str:
        """Where they are, for messages."""
        where = self.target.address
        return f"the schema {self.schema} of {where}" if self.schema else where

    def all(self) -> list[Bookmark]:
        """All bookmarks, in order of their tables."""
        with self.target.transaction("reading bookmarks") as transaction:
            return self.target.all_bookmarks(transaction, self.schema)

    def find(self, text: str) -> Bookmark:
        """The bookmark of a table, named with or without its schema; case may be left to us.

        Raises:
            TableNotFoundError: No such table has one; the message lists those that do.
            ConfigurationError: Several do.
        """
        wanted = TableName.parse(text, default_schema=_DEFAULT_SCHEMA)
        present = self.all()
        matching = [one for one in present if _is_meant(wanted, one.table)]
        if not matching:
            folded = TableName(wanted.schema.lower(), wanted.name.lower())
            matching = [one for one in present if _is_meant(folded, _folded(one.table))]
        if not matching:
            names = ", ".join(str(one.table) for one in present)
            raise TableNotFoundError(
                f"{text} has no bookmark in {self.place}.",
                f"There are those of {names}." if names else "No table was loaded yet.",
            )
        if len(matching) > 1:
            raise ConfigurationError(
                f"{text} may be {' or '.join(str(one.table) for one in matching)}.",
                "Name the schema too, in the case that it has.",
            )
        return matching[0]

    def column_type(self, bookmark: Bookmark) -> pa.DataType | None:
        """What the copy keeps the cursor's values as; `None` where it lacks the column by that name."""
        schema = self.target.schema_of(bookmark.table)
        if schema is None or bookmark.cursor_column is None:
            return None
        name = self.target.name(bookmark.cursor_column)
        return schema.column(name).type if name in schema.names else None

    def move(self, bookmark: Bookmark, value: str) -> None:
        """Set a bookmark's value.

        Raises:
            BookmarkMovedError: A load moved it meanwhile.
        """
        with self.target.transaction(
            f"moving the bookmark of {bookmark.table}", bookmark.table
        ) as transaction:
            table = self._unmoved(transaction, bookmark)
            table.set_cursor(transaction, bookmark.table, value, uuid.uuid4().hex)

    def adopt(self, bookmark: Bookmark) -> None:
        """Let a bookmark hold for the source that the next load finds.

        Raises:
            BookmarkMovedError: A load moved it meanwhile.
        """
        with self.target.transaction(f"changing the bookmark of {bookmark.table}") as transaction:
            self._unmoved(transaction, bookmark).forget_source(
                transaction, bookmark, uuid.uuid4().hex
            )

    def forget(self, bookmark: Bookmark) -> None:
        """Remove a bookmark.

        Raises:
            BookmarkMovedError: A load moved it meanwhile.
        """
        with self.target.transaction(
            f"removing the bookmark of {bookmark.table}", bookmark.table
        ) as transaction:
            self._unmoved(transaction, bookmark).remove(transaction, bookmark.table)

    def _unmoved(self, transaction: Transaction, bookmark: Bookmark) -> Bookmarks:
        """Where a bookmark is kept, once no load can change it and none has."""
        if not self.target.capabilities.ends_second_writers:
            self.target.lock(transaction, bookmark.table)
        places = self.target.bookmarks(bookmark.table)
        now = places.read(transaction, bookmark.table)
        if now is None or now.write_id != bookmark.write_id:
            raise BookmarkMovedError(
                f"The bookmark of {bookmark.table} was changed by a load meanwhile; nothing was done.",
                "Look at it and try again.",
            )
        return places


def _is_meant(wanted: TableName, table: TableName) -> bool:
    return wanted.name == table.name and wanted.schema in {_DEFAULT_SCHEMA, table.schema}


def _folded(table: TableName) -> TableName:
    return TableName(table.schema.lower(), table.name.lower())


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
    consequences = [
        f"The next load of {bookmark.table} is a full one: it reads all of {bookmark.source} and puts that in "
        "the place of what is there, in one transaction.",
        "Rows that are gone from the source are gone from the copy then, those that were marked included.",
    ]
    if bookmark.loading is not None:
        consequences.append("Its first load is unfinished; what it has committed is loaded again.")
    return tuple(consequences)


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
        kind = kind_of(Column(bookmark.cursor_column or "", column_type))
        if kind is not None:
            return kind
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


def overview(bookmarks: Sequence[Bookmark]) -> Table:
    """One line for each table."""
    shown = Table(box=box.SIMPLE_HEAD)
    shown.add_column("table", no_wrap=True)
    for heading in ("source", "mode", "cursor", "value"):
        shown.add_column(heading, overflow="fold")
    for heading in ("updated (UTC)", "run"):
        shown.add_column(heading, no_wrap=True)
    # Seldom of any use, and terminals are narrow.
    unfinished = any(bookmark.loading is not None for bookmark in bookmarks)
    if unfinished:
        shown.add_column("first load", overflow="fold")
    for bookmark in bookmarks:
        shown.add_row(
            str(bookmark.table),
            bookmark.source,
            bookmark.mode,
            bookmark.cursor_column or "-",
            bookmark.cursor_value or "-",
            _moment(bookmark.updated_at),
            (bookmark.run_id or "-")[:8],
            *([_first_load(bookmark)] if unfinished else []),
        )
    return shown


def details(bookmark: Bookmark) -> Table:
    """All about one table."""
    shown = Table(box=None, show_header=False, pad_edge=False)
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")
    for name, value in (
        ("table", str(bookmark.table)),
        ("source", bookmark.source),
        ("where that is", str(bookmark.identity or "not known yet")),
        ("mode", bookmark.mode),
        ("cursor", bookmark.cursor_column or "-"),
        ("value", bookmark.cursor_value or "-"),
        ("first load", _first_load(bookmark)),
        ("rows of the last write", f"{bookmark.facts.get('rows', '-')}"),
        ("what it wrote", f"{bookmark.facts.get('slice', '-')}"),
        ("updated (UTC)", _moment(bookmark.updated_at)),
        ("run", bookmark.run_id or "-"),
    ):
        shown.add_row(name, value)
    return shown


def as_json(bookmark: Bookmark) -> dict[str, Any]:
    """A bookmark as a program reads it."""
    updated = bookmark.updated_at
    return {
        "table": str(bookmark.table),
        "source": bookmark.source,
        "source_identity": bookmark.identity.as_json() if bookmark.identity else None,
        "mode": bookmark.mode,
        "cursor": bookmark.cursor_column,
        "value": bookmark.cursor_value,
        "updated_at": updated.astimezone(UTC).isoformat() if updated else None,
        "run_id": bookmark.run_id,
        "unfinished_first_load": None if bookmark.loading is None else dict(bookmark.loading),
        "facts": dict(bookmark.facts),
    }


def _moment(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _first_load(bookmark: Bookmark) -> str:
    if bookmark.loading is None:
        return "done"
    return f"unfinished: goes on {bookmark.loading_place}"
