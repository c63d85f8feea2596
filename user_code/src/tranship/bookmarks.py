"""Bookmarks: how far each table was loaded, kept beside its rows and committed with them.

One for each table. A write names the bookmark it started from and fails where another one stands there now, so two loads of
one table can never both count.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tranship.errors import TranshipError
from tranship.identity import SourceIdentity
from tranship.tables import TableName


@dataclass(frozen=True, slots=True)
class Bookmark:
    """How far one table was loaded.

    Args:
        table: The table, in the target.
        source: Where its rows come from.
        mode: How it is kept up to date.
        cursor_column: The source's column that the value is of.
        cursor_value: The highest value loaded, as text; `None` where no row had one.
        loading: How far an unfinished first load is: `{"column": ..., "after": ...}`, or `"next"` where an
            earlier version of this library began it.
        signature: What the rows depend on; another one needs a full load.
        facts: What the source's rows were at that moment, for the checks.
        write_id: The write that set it.
        run_id: The run that set it.
        updated_at: When it was set.
        identity: The source that the rows came from, beyond its name; `None` in bookmarks of old.
    """

    table: TableName
    source: str
    mode: str
    signature: str
    write_id: str
    cursor_column: str | None = None
    cursor_value: str | None = None
    loading: Mapping[str, Any] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    run_id: str | None = None
    updated_at: datetime | None = None
    identity: SourceIdentity | None = None

    @property
    def loading_place(self) -> str:
        """Where an unfinished first load goes on, in words: `after id 41`."""
        loading = self.loading or {}
        word, place = (
            ("at", loading["next"]) if "next" in loading else ("after", loading.get("after"))
        )
        return f"{word} {loading.get('column')} {place}"


class BookmarkMovedError(TranshipError):
    """Another run loaded the same table meanwhile; nothing of this load was written.

    Not transient: the same write can never succeed, only a load that starts from the new bookmark.

    What to do: Run the load again; a pool with one slot keeps loads of one table apart.
    """


class Bookmarks(ABC):
    """Where the bookmarks of a target are kept, by calls that take part in the caller's transaction."""

    @abstractmethod
    def create(self, transaction: Any) -> None:
        """Make the place where it is missing."""

    @abstractmethod
    def read_all(self, transaction: Any, table: TableName | None = None) -> list[Bookmark]:
        """All bookmarks in order of their tables, or that of one table."""

    @abstractmethod
    def move(self, transaction: Any, new: Bookmark, *, expected_write_id: str | None) -> None:
        """Put a bookmark in the place of the one that a load started from.

        Args:
            transaction: The one that writes the rows.
            new: The bookmark.
            expected_write_id: The write that set the old one; `None` where there was none.

        Raises:
            BookmarkMovedError: Another write's bookmark stands there now.
        """

    @abstractmethod
    def remove(self, transaction: Any, table: TableName) -> bool:
        """Remove a bookmark; the next load is a full one.

        Returns:
            Whether there was one.
        """

    @abstractmethod
    def forget_source(self, transaction: Any, bookmark: Bookmark, write_id: str) -> None:
        """Let a bookmark name no source: the next load takes the one it finds for that of the rows."""

    @abstractmethod
    def set_cursor(self, transaction: Any, table: TableName, value: str, write_id: str) -> bool:
        """Move a bookmark's value by hand; the next load starts from there.

        Returns:
            Whether there was a bookmark to move.
        """

    def read(self, transaction: Any, table: TableName) -> Bookmark | None:
        """The bookmark of a table, if it has one."""
        bookmarks = self.read_all(transaction, table)
        return bookmarks[0] if bookmarks else None
