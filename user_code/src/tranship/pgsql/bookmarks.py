"""The table that bookmarks are kept in, in the words that Postgres and Redshift share: one row for each table."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from psycopg2 import sql
from typing_extensions import override

from tranship.bookmarks import Bookmark, BookmarkMovedError, Bookmarks
from tranship.identity import SourceIdentity
from tranship.pgsql.driver import SqlCursor
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
class BookmarkTable(Bookmarks):
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

    @override
    def create(self, transaction: SqlCursor) -> None:
        transaction.execute(sql.SQL(_CREATE).format(self._identifier))

    @override
    def read_all(self, transaction: SqlCursor, table: TableName | None = None) -> list[Bookmark]:
        transaction.execute(
            sql.SQL(
                "select {} from {} where table_name = coalesce(%s, table_name) order by 1"
            ).format(sql.SQL(", ").join(map(sql.Identifier, COLUMNS)), self._bound),
            (str(table) if table else None,),
        )
        return [_bookmark(row, self.name.schema) for row in transaction.fetchall()]

    @override
    def move(self, transaction: SqlCursor, new: Bookmark, *, expected_write_id: str | None) -> None:
        current = self.read(transaction, new.table)
        if (current.write_id if current else None) != expected_write_id:
            by = f" by run {current.run_id}" if current and current.run_id else ""
            raise BookmarkMovedError(
                f"{new.table} was loaded{by} while this load was on its way; nothing of it was written.",
                "Run the load again; a pool with one slot keeps loads of one table apart.",
            )
        self.remove(transaction, new.table)
        stamped = replace(new, updated_at=datetime.now(UTC))
        transaction.execute(
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

    @override
    def remove(self, transaction: SqlCursor, table: TableName) -> bool:
        transaction.execute(
            sql.SQL("delete from {} where table_name = %s").format(self._bound), (str(table),)
        )
        return transaction.rowcount > 0

    @override
    def forget_source(self, transaction: SqlCursor, bookmark: Bookmark, write_id: str) -> None:
        transaction.execute(
            sql.SQL(
                "update {} set facts = %s, write_id = %s, updated_at = %s where table_name = %s"
            ).format(self._bound),
            (json.dumps(dict(bookmark.facts)), write_id, datetime.now(UTC), str(bookmark.table)),
        )

    @override
    def set_cursor(
        self, transaction: SqlCursor, table: TableName, value: str, write_id: str
    ) -> bool:
        transaction.execute(
            sql.SQL(
                "update {} set cursor_value = %s, write_id = %s, updated_at = %s where table_name = %s"
            ).format(self._bound),
            (value, write_id, datetime.now(UTC), str(table)),
        )
        return transaction.rowcount > 0


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
