"""Where a load of a table without a key starts, so that rows which were committed late are found and none is lost.

Without a key nothing tells one row from another: what a load reads takes the place of what the copy has from its start
on. A start behind the bookmark brings late rows, and would take rows away that the source has purged since. So it is
counted: from a start on, the source must have as many rows as the copy.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from tranship.cursors import Cursor, Value
from tranship.slices import Interval, Slice, WholeTable
from tranship.source import Source
from tranship.tables import TableName, TableSchema
from tranship.target import Target


@dataclass(frozen=True, slots=True)
class Start:
    """Where a load starts.

    Args:
        value: The value that its rows lie at or beyond; `None` for all rows.
        after: Whether rows at the value itself are left where they are.
    """

    value: Value | None
    after: bool = False


@dataclass(frozen=True, slots=True)
class BothSides:
    """The rows of the source and those of its copy, counted by ranges of the cursor.

    Args:
        source: The table.
        target: Where its copy is.
        copy: The copy.
        cursor: The source's column.
        name: What it is called in the copy.
    """

    source: Source
    target: Target
    copy: TableName
    cursor: Cursor
    name: str

    def of_source(self, low: Value | None, high: Value | None) -> int:
        """Rows of the source between two values, both included."""
        return self.source.count(Interval(self.cursor.column, low, high))

    def of_copy(self, low: Value | None, high: Value | None) -> int:
        """Rows of the copy between two values, both included."""
        table = self.copy
        schema = self.target.schema_of(table) or TableSchema(())
        part: Slice = Interval(self.name, low, high)
        with self.target.transaction(f"counting rows of {table}") as cursor:
            count = sa.func.count(sa.literal_column("*"))
            return int(self.target.select(cursor, table, [count], part, schema)[0])

    def up_to(self, high: Value | None) -> tuple[int, int]:
        """Rows of the source and of the copy up to a value, from the source's first one on: it purges old ones."""
        low = self.source.lowest(self.cursor, WholeTable())
        return self.of_source(low, high), self.of_copy(low, high)

    def start(self, bookmark: Value | None, log: logging.Logger) -> Start:
        """The first place in the lookback from which the copy has no rows that the source has purged.

        Args:
            bookmark: The value that the lookback lies before.
            log: Where it is told that late rows cannot be told from purged ones.
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
            log.warning(
                "%s has fewer rows than its copy in the lookback before %s: some were purged there, and without "
                "a key those that were committed late meanwhile cannot be told from them. They are not read. "
                "Name a key, or purge rows only when they are older than the lookback.",
                self.source.table,
                self.cursor.text(bookmark),
            )
        return Start(bookmark, after=True) if low is None else Start(low)

    def _candidates(self, bookmark: Value) -> Iterator[Value]:
        """From the source's first row of the lookback on; else from the bookmark's own rows on."""
        lowest = self.source.lowest(self.cursor, self.cursor.window(bookmark))
        if lowest is None:
            return
        yield lowest
        if lowest != bookmark and self.of_source(bookmark, bookmark):
            yield bookmark
