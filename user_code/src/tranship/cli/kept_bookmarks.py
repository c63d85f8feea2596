"""The bookmarks of a target: all of them, one by its table's name, and changing one by hand."""

import uuid
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tranship.errors import ConfigurationError, TableNotFoundError
from tranship.replication.bookmarks import Bookmark, BookmarkMovedError, BookmarkTable
from tranship.replication.postgres_target import BOOKMARKS, PostgresTarget
from tranship.replication.redshift_target import BOOKMARK_SUFFIX, RedshiftTarget
from tranship.replication.targets import Target
from tranship.tables import TableName

_DEFAULT_SCHEMA = ""

# A table of somebody else's may have such a name; ours is known by its columns.
_OURS = "column_name in ('table_name', 'cursor_value', 'write_id')"
_IN_POSTGRES = f"""
    select table_schema, table_name
    from information_schema.columns
    where table_name = %s and {_OURS}
    group by table_schema, table_name
    having count(*) = 3
    order by table_schema, table_name
"""
_IN_REDSHIFT = f"""
    select table_schema, table_name
    from svv_columns
    where right(table_name, {len(BOOKMARK_SUFFIX)}) = %s and {_OURS}
    group by table_schema, table_name
    having count(*) = 3
    order by table_schema, table_name
"""


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
        match self.target:
            case PostgresTarget():
                where = str(self.target.settings)
            case RedshiftTarget():
                where = self.target.settings.address
            case _:
                where = self.target.kind
        return f"the schema {self.schema} of {where}" if self.schema else where

    def all(self) -> list[Bookmark]:
        """All bookmarks, in order of their tables."""
        with self.target.transaction("reading bookmarks") as cursor:
            found = [one for table in self._tables(cursor) for one in table.read_all(cursor)]
        return sorted(found, key=lambda bookmark: bookmark.table)

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
        ) as cursor:
            table = self._unmoved(cursor, bookmark)
            table.set_cursor(cursor, bookmark.table, value, uuid.uuid4().hex)

    def adopt(self, bookmark: Bookmark) -> None:
        """Let a bookmark hold for the source that the next load finds.

        Raises:
            BookmarkMovedError: A load moved it meanwhile.
        """
        with self.target.transaction(f"changing the bookmark of {bookmark.table}") as cursor:
            self._unmoved(cursor, bookmark).forget_source(cursor, bookmark, uuid.uuid4().hex)

    def forget(self, bookmark: Bookmark) -> None:
        """Remove a bookmark.

        Raises:
            BookmarkMovedError: A load moved it meanwhile.
        """
        with self.target.transaction(
            f"removing the bookmark of {bookmark.table}", bookmark.table
        ) as cursor:
            self._unmoved(cursor, bookmark).remove(cursor, bookmark.table)

    def _unmoved(self, cursor: Any, bookmark: Bookmark) -> BookmarkTable:
        """The table that keeps a bookmark, once no load can change it and none has."""
        if isinstance(self.target, PostgresTarget):
            # Redshift sees to it by itself: of two that write one table, the later one fails (1023).
            self.target.lock(cursor, bookmark.table)
        table = self.target.bookmarks(bookmark.table)
        now = table.read(cursor, bookmark.table)
        if now is None or now.write_id != bookmark.write_id:
            raise BookmarkMovedError(
                f"The bookmark of {bookmark.table} was changed by a load meanwhile; nothing was done.",
                "Look at it and try again.",
            )
        return table

    def _tables(self, cursor: Any) -> list[BookmarkTable]:
        if isinstance(self.target, RedshiftTarget):
            cursor.execute(_IN_REDSHIFT, (BOOKMARK_SUFFIX,))
        else:
            cursor.execute(_IN_POSTGRES, (BOOKMARKS,))
        return [
            BookmarkTable(TableName(schema, name))
            for schema, name in cursor.fetchall()
            if self.schema is None or schema.lower() == self.schema.lower()
        ]


def _is_meant(wanted: TableName, table: TableName) -> bool:
    return wanted.name == table.name and wanted.schema in {_DEFAULT_SCHEMA, table.schema}


def _folded(table: TableName) -> TableName:
    return TableName(table.schema.lower(), table.name.lower())
