"""How a load that goes on from its bookmark knows what changed in the source since: one class for each way.

`RowsByCursor` follows a column that grows with every new or changed row; `AllRowsByKey` knows nothing and reads everything.
Another way is another `ChangeDetection`, and a line in `change_detection_of`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from typing_extensions import override

from tranship.bookmarks import Bookmark
from tranship.cursors import Cursor, Value
from tranship.errors import TranshipError
from tranship.replication.bookmark_facts import stall_facts
from tranship.replication.cursors import KEYLESS_CURSOR
from tranship.replication.deletions import DetectedDeletes
from tranship.replication.plan import OnCursorBack
from tranship.replication.writing import BookmarkedWrites
from tranship.slices import Interval, Slice, WholeTable
from tranship.source import HighWaterMark
from tranship.tables import TableSchema
from tranship.writes import WriteMode


class CursorWentBackError(TranshipError):
    """The source's highest cursor value is below the bookmark, and the settings say to fail then.

    What to do: Find out why; then set `on_cursor_back` to `reload` or `warn`, or name a key.
    """


class ChangeDetection(ABC):
    """One way to know what changed. A load asks it in the order of its methods."""

    def why_reload(self, bookmark: Bookmark) -> str | None:
        """Why what changed since this bookmark cannot be known, in words; `None` where it can."""
        del bookmark
        return None

    @property
    def all_rows_warning(self) -> str | None:
        """What stands in the way of loading all rows, in words, before the first one is read; `None` where nothing does."""
        return None

    def look(self, bookmark: Bookmark | None) -> None:
        """Ask the source how far it is, before any row is read: rows that come meanwhile belong to the next load."""
        del bookmark

    @property
    def up_to(self) -> str | None:
        """The bookmark's value once all rows of the last look are in the copy."""
        return None

    def after_first_load(self, bookmark: Bookmark) -> str:
        """Bring what changed while a first load was read in chunks, where this way knows; gives what was loaded, in words."""
        del bookmark
        return ""

    @property
    def deletes(self) -> DetectedDeletes | None:
        """What became of rows that are gone, where this way finds them."""
        return None

    @property
    def figures(self) -> dict[str, int | float]:
        """Numbers of what changed, and of how far the copy was behind, for who plots them."""
        return {}

    @property
    def finds_deletes(self) -> bool:
        """Whether rows that are gone are among what changed, so that no keys are compared."""
        return False

    @abstractmethod
    def load(self, bookmark: Bookmark, start_from: str | None) -> str:
        """Bring what changed since a bookmark, up to the last look.

        Args:
            bookmark: The bookmark.
            start_from: A value to start from in the bookmark's place.

        Returns:
            What was loaded, in words.

        Raises:
            TranshipError: It cannot be brought; the rows and the bookmark are as they were.
        """


def change_detection_of(writes: BookmarkedWrites, cursor: Cursor | None) -> ChangeDetection:
    """How the loads of a table know what changed.

    Args:
        writes: The load's writes.
        cursor: The cursor, where the table has one.
    """
    return AllRowsByKey(writes) if cursor is None else RowsByCursor(writes, cursor)


@dataclass(slots=True)
class AllRowsByKey(ChangeDetection):
    """Nothing tells what changed: all rows are merged.

    Args:
        writes: The load's writes.
    """

    writes: BookmarkedWrites

    @override
    def load(self, bookmark: Bookmark, start_from: str | None) -> str:
        self.writes.write(bookmark, WholeTable(), self.writes.request(WriteMode.MERGE))
        return "all rows, by key"


@dataclass(slots=True)
class RowsByCursor(ChangeDetection):
    """The rows whose cursor lies beyond the bookmark, or in the lookback before it.

    Args:
        writes: The load's writes.
        cursor: What it follows.
    """

    writes: BookmarkedWrites
    cursor: Cursor
    _high_water_mark: HighWaterMark = field(default_factory=lambda: HighWaterMark(None))

    @override
    def why_reload(self, bookmark: Bookmark) -> str | None:
        return self.writes.guard.renumbered(self.cursor, bookmark)

    @override
    def look(self, bookmark: Bookmark | None) -> None:
        self._high_water_mark = self.writes.source.highest(self.cursor)
        self.writes.lasting = stall_facts(self.cursor, self._high_water_mark, bookmark)

    @property
    @override
    def up_to(self) -> str | None:
        return self.cursor.text(self._high_water_mark.value)

    @override
    def load(self, bookmark: Bookmark, start_from: str | None) -> str:
        mark = self._high_water_mark
        start = start_from or bookmark.cursor_value
        value, committed = self.cursor.value(start), self.cursor.value(bookmark.cursor_value)
        beyond = self._beyond_the_clock()
        note = ""
        if start_from is None and mark.is_behind(committed):
            if (reloaded := self._cursor_went_back(bookmark)) is not None:
                return reloaded
            note = f", though the highest value is {self.up_to} now"
        elif mark.value is None and committed is not None:
            note = ", though the source has no value now"
        up_to = self._further(committed)
        if self.writes.key:
            self._merge(bookmark, value, beyond, up_to)
            return f"rows from the bookmark {start} on, by key{note}"
        self._replace(bookmark, value, beyond, up_to)
        return f"rows from the bookmark {start} on{note}"

    def _merge(
        self, bookmark: Bookmark, start: Value | None, beyond: Value | None, up_to: str | None
    ) -> None:
        final = self._high_water_mark.is_final and self.writes.plan.lookback is None
        part = (self.cursor.without_lookback() if final else self.cursor).from_bookmark(
            start, up_to=self._high_water_mark.value, after=final, beyond=beyond
        )
        self.writes.write(bookmark, part, self.writes.request(WriteMode.MERGE), up_to=up_to)

    def _replace(
        self, bookmark: Bookmark, start: Value | None, beyond: Value | None, up_to: str | None
    ) -> None:
        """Without a key, what is read takes the place of what the copy has from its start on."""
        counts = self._row_counts()
        begin = counts.start(start)
        cursor = self.cursor.without_lookback()
        part = cursor.from_bookmark(
            begin.value, up_to=self._high_water_mark.value, after=begin.after, beyond=beyond
        )
        replaced = cursor.replaced(begin.value, counts.name, after=begin.after)
        request = self.writes.request(WriteMode.REPLACE, replaced)
        self.writes.write(bookmark, part, request, up_to=up_to)

    def _further(self, committed: Value | None) -> str | None:
        """A bookmark never moves back, also where the source's newest rows were deleted."""
        values: list[Any] = [
            value for value in (self._high_water_mark.value, committed) if value is not None
        ]
        return self.cursor.text(max(values, default=None))

    def _beyond_the_clock(self) -> Value | None:
        """Beyond which value rows lie that every load reads and no bookmark is made of."""
        mark = self._high_water_mark
        if mark.server_clock is not None:
            self.writes.log.warning(
                'The highest "%s" of %s is %s, beyond the server\'s clock: rows beyond %s are read by every load, '
                "and the bookmark stays below them.",
                self.cursor.column,
                self.writes.plan.source,
                self.cursor.text(mark.furthest),
                self.cursor.text(mark.server_clock),
            )
        return mark.server_clock

    def _row_counts(self) -> "RowCounts":
        writes = self.writes
        return RowCounts(
            writes, self.cursor, writes.changes.own_name(self.cursor.column, KEYLESS_CURSOR)
        )

    # ---- a highest value below the bookmark ----

    def _cursor_went_back(self, bookmark: Bookmark) -> str | None:
        """Never a silent load of no rows where the source's highest cursor value lies below the bookmark.

        The newest rows were deleted, a value was corrected, an older state was restored, or a clock was set back. From
        then on rows may get values that no load from the bookmark on would read.

        Returns:
            What was loaded; `None` where the load goes on from the bookmark.

        Raises:
            CursorWentBackError: The settings say to fail, or nothing and there is no key.
        """
        plan, log, has_key = self.writes.plan, self.writes.log, bool(self.writes.key)
        what = (
            f'the highest "{self.cursor.column}" of {plan.source} is {self.up_to}, below the bookmark '
            f"{bookmark.cursor_value or ''}"
        )
        if not has_key:
            in_source, in_copy = self._row_counts().up_to(self._high_water_mark.value)
            if in_source == in_copy:
                log.warning(
                    "Now %s: its newest rows were deleted. The copy has the %d rows that are left, and keeps the others.",
                    what, in_copy,
                )  # fmt: skip
                return None
            what += f", with {in_source:,} rows up to there where the copy has {in_copy:,}"
        match plan.on_cursor_back or (OnCursorBack.RELOAD if has_key else OnCursorBack.FAIL):
            case OnCursorBack.RELOAD:
                log.warning("Now %s: all rows are read again.", what)
                return f"{self._reload(bookmark)}, because {what}"
            case OnCursorBack.WARN:
                log.warning("Now %s: rows that come between the two are not read.", what)
                return None
            case OnCursorBack.FAIL:
                raise self._went_back_error(what, bookmark)

    def _reload(self, bookmark: Bookmark) -> str:
        if not self.writes.key:
            self.writes.replace_all(bookmark, up_to=self.up_to)
            return "the whole table"
        merge = self.writes.request(WriteMode.MERGE)
        self.writes.write(bookmark, WholeTable(), merge, up_to=self.up_to)
        return "all rows, by key"

    def _went_back_error(self, what: str, bookmark: Bookmark) -> CursorWentBackError:
        return CursorWentBackError(
            f"Now {what}: rows were deleted or corrected, an older state was restored, or a clock was set back.",
            "Set on_cursor_back to reload, so that all of it is read again, or to warn, so that loads go on "
            "from the bookmark; or name a key, by which rows are told apart.",
            details={
                "table": str(self.writes.plan.source),
                "highest": self.up_to or "",
                "bookmark": bookmark.cursor_value or "",
            },
        )


@dataclass(frozen=True, slots=True)
class Start:
    """Where a load of a table without key starts.

    Args:
        value: The value that its rows lie at or beyond; `None` for all rows.
        after: Whether rows at the value itself are left where they are.
    """

    value: Value | None
    after: bool = False


@dataclass(frozen=True, slots=True)
class RowCounts:
    """The rows of a source without key and those of its copy, counted by ranges of the cursor.

    Nothing tells one row from another: what a load reads takes the place of what the copy has from its start on. A start
    behind the bookmark brings rows that were committed late, and would take rows away that the source has purged since.
    So it is counted: from a start on, the source must have as many rows as the copy.

    Args:
        writes: The load's writes.
        cursor: The source's column.
        name: What it is called in the copy.
    """

    writes: BookmarkedWrites
    cursor: Cursor
    name: str

    def of_source(self, low: Value | None, high: Value | None) -> int:
        """Rows of the source between two values, both included."""
        return self.writes.source.count(Interval(self.cursor.column, low, high))

    def of_copy(self, low: Value | None, high: Value | None) -> int:
        """Rows of the copy between two values, both included."""
        target, table = self.writes.target, self.writes.plan.target
        schema = target.schema_of(table) or TableSchema(())
        part: Slice = Interval(self.name, low, high)
        with target.transaction(f"counting rows of {table}") as transaction:
            count = sa.func.count(sa.literal_column("*"))
            return int(target.select(transaction, table, [count], part, schema)[0])

    def up_to(self, high: Value | None) -> tuple[int, int]:
        """Rows of the source and of the copy up to a value, from the source's first one on: it purges old ones."""
        low = self.writes.source.lowest(self.cursor, WholeTable())
        return self.of_source(low, high), self.of_copy(low, high)

    def start(self, bookmark: Value | None) -> Start:
        """The first place in the lookback from which the copy has no rows that the source has purged.

        Where there is none, late rows cannot be told from purged ones, and that is logged.

        Args:
            bookmark: The value that the lookback lies before.
        """
        if bookmark is None:
            return Start(None)
        passed_over = 0
        for low in self._candidates(bookmark):
            if self.of_source(low, bookmark) >= self.of_copy(low, bookmark):
                break
            passed_over += 1
        else:
            low = None
        if passed_over:
            self.writes.log.warning(
                "%s has fewer rows than its copy in the lookback before %s: some were purged there, and without "
                "a key those that were committed late meanwhile cannot be told from them. They are not read. "
                "Name a key, or purge rows only when they are older than the lookback.",
                self.writes.source.table,
                self.cursor.text(bookmark),
            )
        return Start(bookmark, after=True) if low is None else Start(low)

    def _candidates(self, bookmark: Value) -> Iterator[Value]:
        """From the source's first row of the lookback on; else from the bookmark's own rows on."""
        lowest = self.writes.source.lowest(self.cursor, self.cursor.window(bookmark))
        if lowest is None:
            return
        yield lowest
        if lowest != bookmark and self.of_source(bookmark, bookmark):
            yield bookmark
