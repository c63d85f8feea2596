"""Reads all rows of a table in chunks, ranges of a column that never changes, each committed with its place: a first load, or a backfill.

A load that is stopped goes on from the place that was committed last.

A column that the source has since a while is backfilled: a load by cursor sees only rows that changed since, and adding a
column changes no cursor. So the bookmark notes, in the transaction that adds the column, that old rows lack its values; then
all rows are read again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from tranship.bookmarks import Bookmark
from tranship.comparisons import sql_column
from tranship.cursors import Cursor, Kind, kind_of
from tranship.errors import ConfigurationError, TranshipError
from tranship.replication.bookmark_facts import PendingBackfill
from tranship.replication.columns import ColumnChanges
from tranship.replication.cursors import KEYLESS_CURSOR
from tranship.replication.plan import TablePlan
from tranship.replication.writing import BookmarkedWrites
from tranship.slices import Interval, Slice, WholeTable
from tranship.source import Source
from tranship.tables import Column, TableSchema
from tranship.writes import WriteMode


@dataclass(frozen=True, slots=True)
class ChunkColumn:
    """The column that chunks are ranges of.

    Args:
        column: The source's column.
        kind: What its values are.
    """

    column: Column
    kind: Kind

    @property
    def name(self) -> str:
        """Its name in the source."""
        return self.column.name

    def chunk(
        self, start: Any | None, last: Any | None, *, includes_start: bool = False
    ) -> Interval:
        """The rows beyond one value, up to another one and with it; `None` is open.

        Both are values that rows have: no next one is worked out, of which a type's own steps know better.
        """
        is_all = start is None and last is None
        return Interval(self.name, start, last, includes_low=includes_start, includes_null=is_all)

    def text(self, value: Any) -> str | None:
        """A value as the bookmark keeps it."""
        return self._as_cursor().text(value)

    def value(self, text: str) -> Any:
        """A value that the bookmark kept."""
        return self._as_cursor().value(text)

    def checked(self, value: Any) -> Any:
        """A value that the source gave.

        Raises:
            TranshipError: It is of another kind than the column's.
        """
        return self._as_cursor().checked(value)

    def _as_cursor(self) -> Cursor:
        return Cursor(self.name, self.kind, nullable=False, lookback=0, type=self.column.type)


def chunk_column(
    plan: TablePlan, source: Source, changes: ColumnChanges, named: str | None = None
) -> ChunkColumn | None:
    """The column to cut chunks by, if the table has one.

    It must order alike in the source, in Arrow and in the target, which texts do not, and never be null.

    Args:
        plan: The table's plan.
        source: The table.
        changes: What happens to its columns.
        named: The column that an unfinished load was begun with.

    Raises:
        ColumnNotFoundError: The plan names a column that the source lacks.
        ConfigurationError: The plan names a column that cannot be used.
    """
    wanted = named or plan.chunk_column
    candidate = wanted or next(iter(source.key), None)
    if candidate is None:
        return None
    column = source.schema.column(candidate)
    kind = kind_of(column)
    usable = (
        kind is not None
        and kind is not Kind.ROWVERSION
        and not column.nullable
        and changes.arrives_as_it_is(candidate)
    )
    if usable and kind is not None:
        return ChunkColumn(column, kind)
    if wanted:
        raise ConfigurationError(
            f'"{candidate}" of {plan.source} cannot be the chunk_column.',
            "Name a column of numbers, dates or times that is never null, and is moved as it is: "
            "neither masked nor cast.",
        )
    return None


@dataclass(frozen=True, slots=True)
class FirstLoad:
    """A large first load, whose chunks are committed one by one.

    Args:
        writes: The load's writes.
    """

    writes: BookmarkedWrites

    def column(self) -> ChunkColumn | None:
        """What to cut it by; `None` where it is small enough for one transaction, or cannot be cut."""
        plan, source = self.writes.plan, self.writes.source
        estimate = max(source.estimated_rows() or 0, 0)
        if 0 < estimate <= plan.chunk_rows:
            return None
        column = chunk_column(plan, source, self.writes.changes)
        if not estimate:  # a view, or a server that has not counted yet
            is_large = (
                column is not None
                and source.chunk_end(column.name, column.chunk(None, None), plan.chunk_rows)
                is not None
            )
            return column if is_large else None
        if column is None:
            self.writes.log.info(
                "%s has about %s rows and no key of numbers or times to cut it by: it is loaded in one "
                "transaction. Name a chunk_column to load it in chunks.",
                plan.source,
                f"{estimate:,}",
            )
        return column

    def run(
        self,
        column: ChunkColumn,
        bookmark: Bookmark | None,
        up_to: str | None,
        start: Any | None = None,
        *,
        includes_start: bool = False,
    ) -> str:
        """Commit the table a chunk at a time, each with the place where the next one starts.

        Args:
            column: What it is cut by.
            bookmark: The bookmark of before.
            up_to: The bookmark's value when all is loaded.
            start: The place to go on from.
            includes_start: Whether the rows at that place are to be loaded too.

        Returns:
            What was loaded, in words.

        Raises:
            TranshipError: No place to cut at was found, or a chunk cannot be written; those before it are kept.
        """
        writes, chunk_rows = self.writes, self.writes.plan.chunk_rows
        name = writes.changes.own_name(column.name, "what chunks are cut by")
        chunks = 0
        while True:
            rest = column.chunk(start, None, includes_start=includes_start)
            end = column.checked(writes.source.chunk_end(column.name, rest, chunk_rows))
            if end is not None and end == start and not includes_start:
                raise TranshipError(
                    f"{writes.plan.source} has rows beyond {column.name} {column.text(start)} of that same value, "
                    "so no place to cut its first load at was found.",
                    "Name another chunk_column, or a chunk_rows as large as the table.",
                )
            part = column.chunk(start, end, includes_start=includes_start)
            bookmark = writes.write(
                bookmark,
                part,
                writes.request(WriteMode.REPLACE, replace(part, column=name)),
                up_to=up_to,
                loading=None if end is None else {"column": column.name, "after": column.text(end)},
            )
            chunks += 1
            if end is None:
                return f"the whole table for the first time, in {chunks} chunks of {column.name}"
            writes.log.info("Loaded %s up to %s %s.", writes.plan.source, column.name, end)
            start, includes_start = end, False

    def resume(self, bookmark: Bookmark, loading: Mapping[str, Any]) -> str:
        """Go on with a first load that was stopped between two chunks.

        Args:
            bookmark: The bookmark that the last chunk left.
            loading: What it says of how far the load is.

        Raises:
            ConfigurationError: It cannot go on.
        """
        plan = self.writes.plan
        column = chunk_column(plan, self.writes.source, self.writes.changes, loading["column"])
        if column is None:
            raise ConfigurationError(
                f"The first load of {plan.source} cannot go on.", "Run it with full_reload."
            )
        # Until chunks ended with a value that rows have, the place was kept where the next one begins.
        includes_start = "next" in loading
        place = loading["next"] if includes_start else loading["after"]
        self.writes.log.info("Going on with %s from %s %s.", plan.source, column.name, place)
        start = column.value(place)
        return self.run(
            column, bookmark, bookmark.cursor_value, start, includes_start=includes_start
        )


@dataclass(frozen=True, slots=True)
class Backfill:
    """Fills what the bookmark says old rows lack.

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
        pending = PendingBackfill.of(bookmark)
        if pending is None or bookmark.loading is not None:
            return None
        shown = ", ".join(pending.columns)
        table, log = self.writes.plan.source, self.writes.log
        if pending.after is None and not self._is_worth_it(bookmark, pending):
            return None
        log.info("%s has new columns: %s. All rows are read again for them.", table, shown)
        if not self.writes.key:
            return self._replaced(bookmark, shown)
        column = chunk_column(self.writes.plan, self.writes.source, self.writes.changes, pending.by)
        ranges = self._by_ranges(bookmark, pending, column)
        return f"{shown} filled in old rows" + (f", in {ranges} ranges" if ranges > 1 else "")

    def _is_worth_it(self, bookmark: Bookmark, pending: PendingBackfill) -> bool:
        """Whether the new columns hold anything; where they do not yet, the bookmark keeps that they are new."""
        now = datetime.now(UTC)
        if pending.is_due(now):
            if self._hold_values(pending.columns):
                return True
            self.writes.note(bookmark, pending.looked_at(now))
        self.writes.log.info(
            "The new columns of %s hold nothing in any row yet (%s): old rows are filled once they do.",
            self.writes.plan.source,
            ", ".join(pending.columns),
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

    def _by_ranges(
        self, bookmark: Bookmark, pending: PendingBackfill, column: ChunkColumn | None
    ) -> int:
        """Merge all rows, a range at a time where the key can be cut."""
        writes = self.writes
        start = column.value(pending.after) if column is not None and pending.after else None
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
                left = pending.done_up_to(column.name, column.text(last))
            bookmark = self._merged(bookmark, part, left)
            ranges += 1
            if left is None:
                return ranges
            start = last

    def _merged(self, bookmark: Bookmark, part: Slice, left: PendingBackfill | None) -> Bookmark:
        merge = self.writes.request(WriteMode.MERGE)
        return self.writes.write(bookmark, part, merge, up_to=bookmark.cursor_value, filled=(left,))

    def _replaced(self, bookmark: Bookmark, shown: str) -> str:
        """Without a key, rows are replaced together: only where the source still has all that were loaded."""
        writes = self.writes
        name = writes.changes.own_name(self.cursor.column, KEYLESS_CURSOR)
        value = self.cursor.value(bookmark.cursor_value)
        in_source = writes.source.count(self.cursor.from_bookmark(None, up_to=value))
        schema = writes.target.schema_of(writes.plan.target) or TableSchema(())
        with writes.target.transaction(f"counting rows of {writes.plan.target}") as transaction:
            part = self.cursor.replaced(None, name)
            count = sa.func.count(sa.literal_column("*"))
            (in_copy,) = writes.target.select(
                transaction, writes.plan.target, [count], part, schema
            )
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
