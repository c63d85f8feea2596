"""A table of the source beside its copy, so that like is held against like: up to the bookmark, and at one moment.

A row that was changed since the load has a new cursor value: it lies beyond the bookmark in the source, and behind it in
the copy. Its key tells which one it is, and what it did to the rows behind the bookmark is left out of account.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import sqlalchemy as sa

from tranship.bookmarks import Bookmark
from tranship.cursors import Cursor, Value
from tranship.replication.columns import DELETED_AT, ColumnChanges
from tranship.replication.cursors import cursor_of
from tranship.replication.keys import can_be_looked_up, slices_of_keys
from tranship.replication.plan import Mode, TablePlan
from tranship.slices import AnyOf, Interval, Slice, WholeTable
from tranship.source import Source
from tranship.tables import TableSchema
from tranship.target import Target

Measured = TypeVar("Measured")
MOST_NEWER_KEYS = 1_000
"""Beyond this many rows, those that are newer are not told from the others."""
_LOOKS = 3
"""How often both sides are measured where rows are changed in between."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a table, in the source's name of its column and in the target's.

    Args:
        column: The column it is a part by; `None` for the whole table.
        of: Makes the slice of a column's name.
    """

    column: str | None
    of: Callable[[str], Slice]

    @property
    def in_source(self) -> Slice:
        """The slice of the source."""
        return self.of(self.column or "")

    def in_target(self, changes: ColumnChanges) -> Slice:
        """The slice of the copy; all of it where the column was not moved."""
        name = changes.target_name(self.column) if self.column else None
        return WholeTable() if name is None else self.of(name)


WHOLE = Part(None, lambda _: WholeTable())


@dataclass(frozen=True, slots=True)
class NewerRows:
    """The rows beyond the bookmark at a moment.

    Args:
        count: How many there are.
        are_known: Whether the copy's rows can be told from theirs.
        others: The condition that all other rows of the copy meet; `None` for every row.
    """

    count: int
    are_known: bool = True
    others: sa.ColumnElement[bool] | None = None


@dataclass(frozen=True)
class SourceAndCopy:
    """One table on both sides; what the copy looks like is looked up once.

    Args:
        plan: The table's plan.
        source: The table in the source.
        target: Where its copy is.
        changes: What happens to its columns on the way.
        bookmark: How far it was loaded, and what was read.
    """

    plan: TablePlan
    source: Source
    target: Target
    changes: ColumnChanges
    bookmark: Bookmark

    @cached_property
    def copy_schema(self) -> TableSchema:
        """The copy's columns and key; none where it is gone."""
        return self.target.schema_of(self.plan.target) or TableSchema(())

    # ---- the bookmark ----

    @cached_property
    def cursor(self) -> Cursor | None:
        """What its loads follow; `None` where they follow nothing."""
        return cursor_of(self.plan, self.source.schema, has_key=bool(self.source.key))

    def followed(self) -> Cursor:
        """The cursor of a table that has one."""
        if self.cursor is None:
            raise AssertionError("only asked of tables that follow a cursor")
        return self.cursor

    @property
    def bookmarked(self) -> Value | None:
        """The bookmark's value."""
        return self.followed().value(self.bookmark.cursor_value)

    def up_to_bookmark(self) -> Part:
        """The rows that the copy should have."""
        upper = self.followed().up_to(self.bookmarked)
        return Part(upper.column, lambda name: replace(upper, column=name))

    # ---- what is newer ----

    def newer_count(self) -> int:
        """How many rows of the source are beyond the bookmark now; those beyond its clock always are."""
        value = self.bookmarked
        return 0 if value is None else self.source.count_newer(self.followed(), value)

    def newer_rows(self) -> NewerRows:
        """The rows that lie beyond the bookmark now."""
        source, changes, value = self.source, self.changes, self.bookmarked
        count = self.newer_count()
        # Rows that are appended are never changed: what is behind the bookmark stays as it is.
        if not count or self.plan.mode is Mode.APPEND:
            return NewerRows(count)
        if count > MOST_NEWER_KEYS or not can_be_looked_up(changes, source.schema, source.key):
            return NewerRows(count, are_known=False)
        beyond = Interval(self.followed().column, value, includes_low=False)
        rows = source.read(source.key, beyond).to_table()
        keys = [tuple(row.values()) for row in rows.to_pylist()]
        if not keys:
            return NewerRows(count)
        names = changes.target_names(source.key, "part of the key")
        slices = slices_of_keys(source.schema, source.key, keys, names)
        predicate: Any = self.target.predicate(AnyOf(tuple(slices)), self.copy_schema)
        return NewerRows(count, others=None if predicate is None else sa.not_(predicate))

    def at_one_moment(
        self,
        in_source: Callable[[], Measured],
        in_copy: Callable[[sa.ColumnElement[bool] | None], Measured],
    ) -> tuple[NewerRows | None, Measured, Measured]:
        """Measure both sides without what was changed since; again where more was changed in between.

        Args:
            in_source: Measures the source.
            in_copy: Measures the copy's rows that meet a condition.

        Returns:
            The rows that are newer, `None` where they went on to change; and what was measured.
        """
        expected = actual = None
        for _ in range(_LOOKS):
            newer = self.newer_rows()
            expected, actual = in_source(), in_copy(newer.others)
            if expected == actual or self.newer_count() == newer.count:
                return newer, expected, actual
        if expected is None or actual is None:
            raise AssertionError("unreachable: there is at least one look")
        return None, expected, actual

    # ---- the copy ----

    def count_copy(self, part: Part) -> int:
        """How many rows the copy has of a part."""
        return int(self.select([sa.func.count(sa.literal_column("*"))], part)[0])

    def select(
        self,
        expressions: Sequence[sa.ColumnElement[Any]],
        part: Part,
        others: sa.ColumnElement[bool] | None = None,
    ) -> tuple[Any, ...]:
        """One row of aggregates over a part of the copy, without rows that are marked as gone.

        Args:
            expressions: The aggregates.
            part: The part.
            others: What its rows must meet beside.
        """
        table = self.plan.target
        # Rows that are marked as gone are not rows of the source any more.
        conditions = [others] if others is not None else []
        if self.changes.marks_deleted:
            conditions.append(self.target.column(DELETED_AT.name).is_(None))
        where = sa.and_(*conditions) if conditions else None
        # Looked up before: it may take a transaction of its own.
        schema = self.copy_schema
        with self.target.transaction(f"checking {table}", table) as transaction:
            return self.target.select(
                transaction, table, expressions, part.in_target(self.changes), schema, where=where
            )
