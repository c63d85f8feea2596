"""The bookmarks of a target: all of them, one by its table's name, and changing one by hand."""

import uuid
from dataclasses import dataclass

import pyarrow as pa

from tranship.bookmarks import Bookmark, BookmarkMovedError, Bookmarks
from tranship.errors import ConfigurationError, TableNotFoundError
from tranship.tables import TableName
from tranship.target import Target, Transaction

_DEFAULT_SCHEMA = ""


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
        found = [one for one in present if _is_meant(wanted, one.table)]
        if not found:
            folded = TableName(wanted.schema.lower(), wanted.name.lower())
            found = [one for one in present if _is_meant(folded, _folded(one.table))]
        if not found:
            names = ", ".join(str(one.table) for one in present)
            raise TableNotFoundError(
                f"{text} has no bookmark in {self.place}.",
                f"There are those of {names}." if names else "No table was loaded yet.",
            )
        if len(found) > 1:
            raise ConfigurationError(
                f"{text} may be {' or '.join(str(one.table) for one in found)}.",
                "Name the schema too, in the case that it has.",
            )
        return found[0]

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
