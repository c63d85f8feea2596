"""Bookmarks: how far each table was loaded, kept beside its rows and committed with them.

One row for each table. A write names the row it started from and fails where another one stands there
now, so two loads of one table can never both count.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from psycopg2 import sql

from tranship.errors import TranshipError
from tranship.identity import SourceIdentity
from tranship.tables import TableName

COLUMNS = (
    "table_name", "source", "mode", "cursor_column", "cursor_value", "loading", "signature", "facts",
    "write_id", "run_id", "updated_at",
)  # fmt: skip

_IDENTITY = "source_identity"
"""Where the identity is kept among the facts: tables that are there need no new column, which whoever may write
rows into them need not be allowed to add."""

# The same words for Postgres and Redshift; Redshift enforces no key, the writer's queue does.
_CREATE = """
    create table if not exists {} (
        table_name varchar(300) not null primary key,
        source varchar(1000) not null,
        mode varchar(20) not null,
        cursor_column varchar(600),
        cursor_value varchar(300),
        loading varchar(2000),
        signature varchar(64) not null,
        facts varchar(65535) not null,
        write_id varchar(64) not null,
        run_id varchar(64),
        updated_at timestamptz not null
    )
"""


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
    facts: Mapping[str, Any] = field(default_factory=dict)
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


@dataclass(frozen=True, slots=True)
class BookmarkTable:
    """The table that bookmarks are kept in, by statements that run in the caller's transaction.

    Args:
        name: Its name.
    """

    name: TableName

    @property
    def _identifier(self) -> sql.Identifier:
        return sql.Identifier(self.name.schema, self.name.name)

    @property
    def _bound(self) -> sql.Identifier:
        """The name in a statement with values, where the driver would take a percent sign for one of them."""
        return sql.Identifier(
            *(part.replace("%", "%%") for part in (self.name.schema, self.name.name))
        )

    def create(self, cursor: Any) -> None:
        """Create the table where it is missing."""
        cursor.execute(sql.SQL(_CREATE).format(self._identifier))

    def read(self, cursor: Any, table: TableName) -> Bookmark | None:
        """The bookmark of a table, if it has one."""
        found = self.read_all(cursor, table)
        return found[0] if found else None

    def read_all(self, cursor: Any, table: TableName | None = None) -> list[Bookmark]:
        """All bookmarks in order of their tables, or that of one table."""
        cursor.execute(
            sql.SQL(
                "select {} from {} where table_name = coalesce(%s, table_name) order by 1"
            ).format(sql.SQL(", ").join(map(sql.Identifier, COLUMNS)), self._bound),
            (str(table) if table else None,),
        )
        return [_bookmark(row, self.name.schema) for row in cursor.fetchall()]

    def move(self, cursor: Any, new: Bookmark, *, expected_write_id: str | None) -> None:
        """Put a bookmark in the place of the one that a load started from.

        Args:
            cursor: Of the transaction that writes the rows.
            new: The bookmark.
            expected_write_id: The write that set the old one; `None` where there was none.

        Raises:
            BookmarkMovedError: Another write's bookmark stands there now.
        """
        there = self.read(cursor, new.table)
        if (there.write_id if there else None) != expected_write_id:
            by = f" by run {there.run_id}" if there and there.run_id else ""
            raise BookmarkMovedError(
                f"{new.table} was loaded{by} while this load was on its way; nothing of it was written.",
                "Run the load again; a pool with one slot keeps loads of one table apart.",
            )
        self.remove(cursor, new.table)
        stamped = replace(new, updated_at=datetime.now(UTC))
        cursor.execute(
            sql.SQL("insert into {} ({}) values ({})").format(
                self._bound,
                sql.SQL(", ").join(map(sql.Identifier, COLUMNS)),
                sql.SQL(", ").join([sql.Placeholder()] * len(COLUMNS)),
            ),
            (
                str(stamped.table),
                stamped.source,
                stamped.mode,
                stamped.cursor_column,
                stamped.cursor_value,
                None if stamped.loading is None else json.dumps(stamped.loading),
                stamped.signature,
                json.dumps(_kept_facts(stamped)),
                stamped.write_id,
                stamped.run_id,
                stamped.updated_at,
            ),
        )

    def remove(self, cursor: Any, table: TableName) -> bool:
        """Remove a bookmark; the next load is a full one.

        Returns:
            Whether there was one.
        """
        cursor.execute(
            sql.SQL("delete from {} where table_name = %s").format(self._bound), (str(table),)
        )
        return cursor.rowcount > 0

    def forget_source(self, cursor: Any, bookmark: Bookmark, write_id: str) -> None:
        """Let a bookmark name no source: the next load takes the one it finds for that of the rows."""
        cursor.execute(
            sql.SQL(
                "update {} set facts = %s, write_id = %s, updated_at = %s where table_name = %s"
            ).format(self._identifier),
            (json.dumps(dict(bookmark.facts)), write_id, datetime.now(UTC), str(bookmark.table)),
        )

    def set_cursor(self, cursor: Any, table: TableName, value: str, write_id: str) -> bool:
        """Move a bookmark's value by hand; the next load starts from there.

        Returns:
            Whether there was a bookmark to move.
        """
        cursor.execute(
            sql.SQL(
                "update {} set cursor_value = %s, write_id = %s, updated_at = %s where table_name = %s"
            ).format(self._bound),
            (value, write_id, datetime.now(UTC), str(table)),
        )
        return cursor.rowcount > 0


def _kept_facts(bookmark: Bookmark) -> dict[str, Any]:
    if bookmark.identity is None:
        return dict(bookmark.facts)
    return {**bookmark.facts, _IDENTITY: bookmark.identity.as_json()}


def _bookmark(row: tuple[Any, ...], schema: str) -> Bookmark:
    fields = dict(zip(COLUMNS, row, strict=True))
    # Bookmarks stand beside their tables, so the schema is known: either name may have dots.
    name = fields.pop("table_name").removeprefix(f"{schema}.")
    loading, facts = fields.pop("loading"), json.loads(fields.pop("facts"))
    identity = facts.pop(_IDENTITY, None)
    return Bookmark(
        table=TableName(schema, name),
        loading=None if loading is None else json.loads(loading),
        facts=facts,
        identity=None if identity is None else SourceIdentity.of(identity),
        **fields,
    )
