"""A column that the source has since a while: its values in the rows that were loaded before.

A load by cursor sees only rows that changed since, and adding a column changes no cursor. So the bookmark notes, in the
transaction that adds the column, that old rows lack its values; then all rows are read again, in ranges of the key that
are committed each with the place they reach. A load that is stopped goes on from there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from tranship.bookmarks import Bookmark
from tranship.comparisons import sql_column
from tranship.cursors import Cursor
from tranship.replication.chunks import ChunkColumn, chunk_column
from tranship.replication.new_columns import Unfilled
from tranship.replication.writing import BookmarkedWrites
from tranship.slices import Slice, WholeTable
from tranship.tables import TableSchema
from tranship.writes import WriteMode


@dataclass(frozen=True, slots=True)
class BackFill:
    """Fills what the bookmark says is lacking.

    Args:
        writes: The load's writes.
        cursor: What the load follows.
    """

    writes: BookmarkedWrites
    cursor: Cursor

    def run(self, bookmark: Bookmark) -> str | None:
        """Fill old rows.

        Returns:
            What was done, in words; `None` where nothing was lacking or there was nothing to fill with.
        """
        unfilled = Unfilled.of(bookmark)
        if unfilled is None or bookmark.loading is not None:
            return None
        shown = ", ".join(unfilled.columns)
        table, log = self.writes.plan.source, self.writes.log
        if unfilled.after is None and not self._is_worth_it(bookmark, unfilled):
            return None
        log.info("%s has new columns: %s. All rows are read again for them.", table, shown)
        if not self.writes.key:
            return self._replaced(bookmark, shown)
        column = chunk_column(
            self.writes.plan, self.writes.source, self.writes.changes, unfilled.by
        )
        ranges = self._by_ranges(bookmark, unfilled, column)
        return f"{shown} filled in old rows" + (f", in {ranges} ranges" if ranges > 1 else "")

    def _is_worth_it(self, bookmark: Bookmark, unfilled: Unfilled) -> bool:
        """Whether the new columns hold anything; where they do not yet, the bookmark keeps that they are new."""
        now = datetime.now(UTC)
        if unfilled.is_due(now):
            if self._hold_values(unfilled.columns):
                return True
            self.writes.note(bookmark, unfilled.looked_at(now))
        self.writes.log.info(
            "The new columns of %s hold nothing in any row yet (%s): old rows are filled once they do.",
            self.writes.plan.source,
            ", ".join(unfilled.columns),
        )
        return False

    def _hold_values(self, columns: Sequence[str]) -> bool:
        source, changes = self.writes.source, self.writes.changes
        own = [name for name in changes.read if changes.target_name(name) in columns]
        if any(
            not source.is_countable(source.schema.column(name)) or name in changes.settings.mask
            for name in own
        ):
            return True
        counts = [source.counting(sql_column(name)) for name in own]
        return bool(own) and any(source.aggregates(WholeTable(), counts))

    def _by_ranges(self, bookmark: Bookmark, unfilled: Unfilled, column: ChunkColumn | None) -> int:
        """Merge all rows, a range at a time where the key can be cut."""
        writes = self.writes
        start = column.value(unfilled.after) if column is not None and unfilled.after else None
        ranges = 0
        while True:
            last, part = None, WholeTable()
            if column is not None:
                rest = column.chunk(start, None)
                last = writes.source.chunk_end(column.name, rest, writes.plan.chunk_rows)
                if last is not None and start is not None and last <= start:
                    last = None  # more rows with one value than a range has
                part = column.chunk(start, last)
            left = None
            if column is not None and last is not None:
                left = unfilled.done_up_to(column.name, column.text(last))
            bookmark = self._merged(bookmark, part, left)
            ranges += 1
            if left is None:
                return ranges
            start = last

    def _merged(self, bookmark: Bookmark, part: Slice, left: Unfilled | None) -> Bookmark:
        merge = self.writes.request(WriteMode.MERGE)
        return self.writes.write(bookmark, part, merge, up_to=bookmark.cursor_value, filled=(left,))

    def _replaced(self, bookmark: Bookmark, shown: str) -> str:
        """Without a key, rows are replaced together: only where the source still has all that were loaded."""
        writes = self.writes
        name = writes.changes.own_name(self.cursor.column, "the cursor of a table without key")
        value = self.cursor.value(bookmark.cursor_value)
        in_source = writes.source.count(self.cursor.from_bookmark(None, up_to=value))
        schema = writes.target.schema_of(writes.plan.target) or TableSchema(())
        with writes.target.transaction(f"counting rows of {writes.plan.target}") as cursor:
            part = self.cursor.replaced(None, name)
            count = sa.func.count(sa.literal_column("*"))
            (in_copy,) = writes.target.select(cursor, writes.plan.target, [count], part, schema)
        if in_copy > in_source:
            writes.log.warning(
                "%s keeps null in %s for rows that were loaded before: it has %d rows that %s has purged, and without "
                "a key the others cannot be told from them. Name a key; or let a run with full_reload replace the "
                "copy by what the source has.",
                writes.plan.target, shown, in_copy - in_source, writes.plan.source,
            )  # fmt: skip
            return f"{shown} not filled in old rows, of which the source has purged some"
        writes.replace_all(bookmark, up_to=bookmark.cursor_value)
        return f"{shown} filled by reading the whole table"
