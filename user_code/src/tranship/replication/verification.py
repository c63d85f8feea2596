"""What is checked after a load: counts and columns against the source, the key, and drift. No Dagster here.

Each check compares like with like. A table that is replaced is held against what streamed by while it was read, which
is the source at that moment. One that follows a cursor is held against the source's rows up to the bookmark.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from psycopg2 import sql

from tranship.comparisons import sql_column
from tranship.pgsql.keys import fold
from tranship.replication.bookmarks import Bookmark
from tranship.replication.columns import DELETED_AT, ColumnChanges
from tranship.replication.cursors import Cursor, cursor_of
from tranship.replication.facts import differences, expressions, facts_of, is_countable
from tranship.replication.new_columns import Unfilled
from tranship.replication.plan import Mode, OnDelete
from tranship.replication.source import Source
from tranship.replication.targets import Target
from tranship.replication.writing import declared_key
from tranship.slices import Interval, Slice, WholeTable
from tranship.tables import TableSchema
from tranship.writes import Declared


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Args:
        passed: Whether all is well.
        description: What was compared and what came out, in a sentence.
        facts: The numbers.
        is_warning: Whether a failure is worth a look rather than an alarm.
    """

    passed: bool
    description: str
    facts: Mapping[str, str | int] = field(default_factory=dict)
    is_warning: bool = False


def not_of_this_source(another: str | None) -> Finding:
    """What a check says that would hold the copy against a source which it is not a copy of."""
    return Finding(
        False,
        f"Unknown: the copy is of another source than the one that is there now: {another}. The next load takes its rows.",
    )


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


@dataclass(frozen=True)
class Verification:
    """The checks of one table, for one run of them: what the copy looks like is looked up once.

    Args:
        source: The table in the source.
        target: Where its copy is.
        changes: What happens to its columns on the way.
        bookmark: How far it was loaded, and what was read.
        loaded: The slice that was loaded right before, by the column's name; `None` where the checks
            run by themselves.
        materialized: The slice of all partitions that were ever loaded, likewise.
    """

    source: Source
    target: Target
    changes: ColumnChanges
    bookmark: Bookmark
    loaded: Callable[[str], Slice] | None = None
    materialized: Callable[[str], Slice] | None = None

    # ---- rows ----

    def row_count(self) -> Finding:
        """As many rows in the copy as in the source."""
        plan = self.source.plan
        if plan.mode is Mode.REPLACE or self._cursor() is None:
            part, expected, moved = self._replaced()
        else:
            part = self._up_to_bookmark()
            expected, moved = self.source.count(part.in_source), self._newer()
        found = self._count(part)
        missing, surplus = max(expected - found, 0), max(found - expected - moved, 0)
        facts = {"rows_in_source": expected, "rows_in_copy": found}
        if moved:
            facts["rows_newer_than_the_bookmark"] = moved
        if missing:
            return Finding(
                False,
                f"{missing:,} rows are missing: the source has {expected:,}, the copy {found:,}.",
                facts,
            )
        if surplus and plan.is_incremental and plan.delete is OnDelete.IGNORE:
            return Finding(
                True,
                f"{found:,} rows, of which {surplus:,} are gone from the source; delete is ignore.",
                facts,
            )
        if surplus:
            return Finding(
                False,
                f"The copy has {surplus:,} rows more than the source: {found:,} instead of {expected:,}.",
                facts,
                # Rows may have been deleted in the source since they were loaded.
                is_warning=plan.is_incremental,
            )
        return Finding(True, f"{found:,} rows on both sides.", facts)

    def _replaced(self) -> tuple[Part, int, int]:
        """What a write that replaced rows left: counted as it streamed by, or in the source now."""
        if self.source.plan.partitions is None or self.loaded is not None:
            return self._partitions(), int(self.bookmark.facts.get("rows", 0)), 0
        part = self._partitions()
        return part, self.source.count(part.in_source), 0

    def _partitions(self) -> Part:
        """The partitions that were loaded right before, or ever; the whole table without any."""
        partitions, of = self.source.plan.partitions, self.loaded or self.materialized
        return WHOLE if partitions is None or of is None else Part(partitions.column, of)

    # ---- columns ----

    def columns(self, asked: bool | tuple[str, ...]) -> Finding:
        """Non-null counts, sums, least and greatest values on both sides."""
        measured = self._measured(asked)
        if self._cursor() is not None:
            part = self._up_to_bookmark()
            if newer := self._newer():
                return Finding(
                    True,
                    f"{newer:,} rows were added or changed since, so sums cannot be compared now.",
                    {"rows_newer_than_the_bookmark": newer},
                    is_warning=True,
                )
            expected = self._measure_source(measured, part)
        else:
            part = self._partitions()
            alone = self.source.plan.partitions is not None and self.loaded is None
            expected = (
                self._measure_source(measured, part)
                if alone
                else self.bookmark.facts.get("columns") or {}
            )
        if not expected:
            return Finding(
                True, "Nothing was measured at the last load; the next one does.", is_warning=True
            )
        found = self._measure_target(measured, part)
        wrong = differences(
            {name: facts for name, facts in expected.items() if name in found}, found
        )
        facts: dict[str, str | int] = {"columns_compared": len(found), **wrong}
        if wrong:
            return Finding(
                False, f"{len(wrong)} columns differ from the source: {', '.join(wrong)}.", facts
            )
        return Finding(True, f"{len(found)} columns agree with the source.", facts)

    def _measured(self, asked: bool | tuple[str, ...]) -> dict[str, tuple[str, pa.DataType]]:
        """Source name and type of each column to compare, by its name in the target."""
        names = self.changes.read if asked is True else (asked or ())
        chosen: dict[str, tuple[str, pa.DataType]] = {}
        for name in names:
            column = self.source.schema.column(name)
            written = self.changes.target_name(name)
            plain = (
                name not in self.changes.settings.mask and name not in self.changes.settings.cast
            )
            if written is not None and plain and is_countable(column):
                chosen[written] = (name, column.type)
        return chosen

    def _measure_source(
        self, measured: Mapping[str, tuple[str, pa.DataType]], part: Part
    ) -> dict[str, dict[str, str | None]]:
        types = {name: type_ for name, (_, type_) in measured.items()}
        own_names = {name: source for name, (source, _) in measured.items()}
        asked = expressions(
            types,
            lambda name: sql_column(own_names[name]),
            sa.func.count_big,
        )
        return facts_of(types, self.source.aggregates(part.in_source, asked)) if asked else {}

    def _measure_target(
        self, measured: Mapping[str, tuple[str, pa.DataType]], part: Part
    ) -> dict[str, dict[str, str | None]]:
        types = {name: type_ for name, (_, type_) in measured.items()}
        asked = expressions(types, self.target.column, sa.func.count)
        return facts_of(types, self._select(asked, part)) if asked else {}

    # ---- the key, and drift ----

    def unique_key(self, key: tuple[str, ...]) -> Finding:
        """No key twice in the copy."""
        shown = ", ".join(key)
        wanted = {self.target.name(name) for name in key}
        read = self.source.schema.select(self.changes.read)
        rules = self.changes.written(read).equalities(key)
        # Postgres would not have taken a second one; reading the whole table again proves nothing.
        if self.target.kind == "postgres" and set(self._schema.primary_key) == wanted and not rules:
            return Finding(True, f"The primary key ({shown}) holds.", {"key": shown})
        columns = sql.SQL(", ").join(
            fold(sql.Identifier(self.target.name(name)), rules.get(name), self.target.lower)
            for name in key
        )
        table = self.source.plan.target
        with self.target.transaction(
            f"looking for keys that come twice in {table}", table
        ) as cursor:
            cursor.execute(
                sql.SQL(
                    "select count(*), coalesce(sum(times), 0) from "
                    "(select count(*) as times from {} group by {} having count(*) > 1) as twice"
                ).format(self.target.identifier(table), columns)
            )
            keys, rows = cursor.fetchone()
        facts: dict[str, str | int] = {"key": shown, "keys_more_than_once": int(keys)}
        if keys:
            return Finding(
                False, f"{keys:,} keys ({shown}) come more than once, in {rows:,} rows.", facts
            )
        return Finding(True, f"No key ({shown}) comes twice.", facts)

    def schema_drift(self) -> Finding:
        """The copy's columns are those that the source has now."""
        written = self.changes.written(self.source.schema.select(self.changes.read))
        if self.source.plan.is_incremental:
            key = self.changes.target_names(self.source.key, "part of the key")
            written = replace(written, primary_key=key)
        drifts = self.target.drift(
            self.source.plan.target, written, Declared(declared_key(self.bookmark))
        )
        if drifts:
            return Finding(
                False,
                f"The source has drifted: {'; '.join(drifts)}.",
                {"differences": len(drifts)},
                is_warning=True,
            )
        if (unfilled := Unfilled.of(self.bookmark)) is not None and unfilled.looked is None:
            lacking = ", ".join(unfilled.columns)
            return Finding(
                False,
                f"Rows that were loaded before lack the values of {lacking}.",
                {"columns_to_fill": lacking},
                is_warning=True,
            )
        return Finding(True, f"{len(written.columns)} columns as in the source.")

    # ---- parts ----

    def _cursor(self) -> Cursor | None:
        return cursor_of(self.source.plan, self.source.schema, has_key=bool(self.source.key))

    def _up_to_bookmark(self) -> Part:
        upper = self._bookmarked()
        return Part(upper.column, lambda name: replace(upper, column=name))

    def _newer(self) -> int:
        """How many rows of the source are beyond the bookmark now; those beyond its clock always are."""
        cursor = self._followed()
        value = cursor.value(self.bookmark.cursor_value)
        return 0 if value is None else self.source.newer(cursor, value)

    def _bookmarked(self) -> Interval:
        cursor = self._followed()
        return cursor.up_to(cursor.value(self.bookmark.cursor_value))

    def _followed(self) -> Cursor:
        cursor = self._cursor()
        if cursor is None:
            raise AssertionError("only asked of tables that follow a cursor")
        return cursor

    @cached_property
    def _schema(self) -> TableSchema:
        """The copy's columns and key."""
        found = self.target.schema_of(self.source.plan.target)
        return found if found is not None else TableSchema(())

    def _count(self, part: Part) -> int:
        return int(self._select([sa.func.count(sa.literal_column("*"))], part)[0])

    def _select(self, asked: list[sa.ColumnElement[Any]], part: Part) -> tuple[Any, ...]:
        table = self.source.plan.target
        # Rows that are marked as gone are not rows of the source any more.
        there = (
            self.target.column(DELETED_AT.name).is_(None) if self.changes.marks_deleted else None
        )
        # Looked up before: it may take a transaction of its own.
        schema = self._schema
        with self.target.transaction(f"checking {table}", table) as cursor:
            return self.target.select(
                cursor, table, asked, part.in_target(self.changes), schema, where=there
            )
