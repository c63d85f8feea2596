"""What is checked after a load: counts and columns against the source, the key, and drift. No Dagster here.

Each check compares like with like. A table that is replaced is held against what streamed by while it was read, which
is the source at that moment. One that follows a cursor is held against the source's rows up to the bookmark.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, TypeVar

import pyarrow as pa
import sqlalchemy as sa

from tranship.bookmarks import Bookmark
from tranship.comparisons import sql_column
from tranship.cursors import Cursor
from tranship.replication import standing_still
from tranship.replication.columns import DELETED_AT, ColumnChanges
from tranship.replication.cursors import cursor_of
from tranship.replication.facts import differences, expressions, facts_of
from tranship.replication.findings import WHOLE, Finding, Part, unknown
from tranship.replication.new_columns import Unfilled
from tranship.replication.newer_rows import NewerRows, newer_rows
from tranship.replication.plan import Mode, OnDelete, TablePlan
from tranship.replication.recent_rows import Summed, differing, window
from tranship.replication.writing import declared_key
from tranship.slices import Interval, Slice
from tranship.source import Source
from tranship.tables import TableSchema
from tranship.target import Target
from tranship.writes import Declared

Measured = TypeVar("Measured")
_LOOKS = 3
"""How often both sides are measured where rows are changed in between."""


@dataclass(frozen=True)
class Verification:
    """The checks of one table, for one run of them: what the copy looks like is looked up once.

    Args:
        plan: The table's plan.
        source: The table in the source.
        target: Where its copy is.
        changes: What happens to its columns on the way.
        bookmark: How far it was loaded, and what was read.
        loaded: The slice that was loaded right before, by the column's name; `None` where the checks
            run by themselves.
        materialized: The slice of all partitions that were ever loaded, likewise.
    """

    plan: TablePlan
    source: Source
    target: Target
    changes: ColumnChanges
    bookmark: Bookmark
    loaded: Callable[[str], Slice] | None = None
    materialized: Callable[[str], Slice] | None = None

    # ---- rows ----

    def row_count(self) -> Finding:
        """As many rows in the copy as in the source, up to the same highest value."""
        plan = self.plan
        if plan.partitions is not None and self.loaded is None and self.materialized is None:
            return unknown("this deployment has loaded none of the table's partitions yet.")
        if plan.mode is Mode.REPLACE or self._cursor() is None:
            part, expected = self._replaced()
            if expected is None:
                return unknown(
                    "the bookmark does not say how many rows were read; the next one will."
                )
            return self._counted(expected, self._count(part), 0)
        part, moved = self._up_to_bookmark(), self._newer()
        own = self.changes.target_name(part.column or "")
        high = sa.func.max(sql_column(part.column or ""))
        expected, highest = self.source.aggregates(
            part.in_source, [self.source.counting(sa.literal_column("*")), high]
        )
        asked: list[sa.ColumnElement[Any]] = [sa.func.count(sa.literal_column("*"))]
        if own is not None:
            asked.append(sa.func.max(self.target.column(own)))
        found, *reached = self._select(asked, part)
        finding = self._counted(int(expected), int(found), moved)
        return self._held_up(finding, highest, reached) if finding.passed else finding

    def _counted(self, expected: int, found: int, moved: int) -> Finding:
        plan = self.plan
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

    def _held_up(self, finding: Finding, highest: Any, reached: list[Any]) -> Finding:
        """A count that agrees, held against the highest value and against how far loads may go."""
        if (why := standing_still.of(self.bookmark)) is not None:
            return unknown(why, finding.facts)
        same_count = finding.facts["rows_in_source"] == finding.facts["rows_in_copy"]
        if reached and same_count and _plain(highest) != _plain(reached[0]):
            column = self._followed().column
            return Finding(
                False,
                f'As many rows on both sides, but the highest "{column}" is {_plain(highest)} in the source, and '
                f"{_plain(reached[0])} in the copy.",
                finding.facts,
            )
        return finding

    def recent_rows(self) -> Finding:
        """The rows right behind the bookmark have the same keys and cursor values, added up."""
        cursor = self._followed()
        value = cursor.value(self.bookmark.cursor_value)
        if value is None:
            return Finding(True, f'No row has a value of "{cursor.column}" yet.')
        summed = Summed.of(self.source, self.target, self.changes, cursor)
        recent = window(cursor, value)
        part = Part(recent.column, lambda name: replace(recent, column=name))
        if self.changes.target_name(cursor.column) is None:
            part = self._up_to_bookmark()
        newer, expected, found = self._at_one_moment(
            lambda: summed.read(self.source.aggregates(part.in_source, summed.in_source())),
            lambda others: summed.read(self._select(summed.in_target(), part, others)),
        )
        shown = str(part.in_source)
        facts: dict[str, str | int] = {"window": shown, "rows_in_window": expected["rows"]}
        if expected == found:
            names = ", ".join(column.name for column in summed.columns) or "no column"
            return Finding(
                True,
                f"{expected['rows']:,} rows of {shown} agree, with the sums of {names}.",
                facts,
            )
        missing = int(expected["rows"]) - int(found["rows"])
        remedy = f"Load them again with start_from: {_plain(recent.low)}."
        if missing > 0:
            return Finding(
                False, f"{missing:,} rows of {shown} came late or were changed. {remedy}", facts
            )
        if newer is None or not newer.are_known:
            return unknown("too much was added or changed since to compare sums now.", facts)
        if missing < 0 and self.plan.delete is OnDelete.IGNORE:
            return unknown(
                f"{-missing:,} rows of {shown} are gone from the source; delete is ignore, so sums cannot be compared.",
                facts,
            )
        differ = ", ".join(differing(expected, found)) or "the count of rows"
        return Finding(
            False,
            f"Rows of {shown} differ in {differ}: they were changed behind the bookmark. {remedy}",
            facts,
            is_warning=missing < 0,
        )

    def _at_one_moment(
        self,
        in_source: Callable[[], Measured],
        in_copy: Callable[[sa.ColumnElement[bool] | None], Measured],
    ) -> tuple[NewerRows | None, Measured, Measured]:
        """Measure both sides without what was changed since; again where more was changed in between.

        Returns:
            The rows that are newer, `None` where they went on to change; and what was measured.
        """
        cursor = self._followed()
        value = cursor.value(self.bookmark.cursor_value)
        expected = found = None
        for _ in range(_LOOKS):
            newer = NewerRows(0)
            if value is not None:
                newer = newer_rows(
                    self.plan,
                    self.source,
                    self.target,
                    self.changes,
                    cursor,
                    value,
                    lambda: self._schema,
                )
            expected, found = in_source(), in_copy(newer.others)
            if expected == found or self._newer() == newer.count:
                return newer, expected, found
        if expected is None or found is None:
            raise AssertionError("unreachable: there is at least one look")
        return None, expected, found

    def _replaced(self) -> tuple[Part, int | None]:
        """What a write that replaced rows left: counted as it streamed by, or in the source now."""
        part = self._partitions()
        if self.plan.partitions is None or self.loaded is not None:
            rows = self.bookmark.facts.get("rows")
            return part, None if rows is None else int(rows)
        return part, self.source.count(part.in_source)

    def _partitions(self) -> Part:
        """The partitions that were loaded right before, or ever; the whole table without any."""
        partitions, of = self.plan.partitions, self.loaded or self.materialized
        return WHOLE if partitions is None or of is None else Part(partitions.column, of)

    # ---- columns ----

    def columns(self, asked: bool | tuple[str, ...]) -> Finding:
        """Non-null counts, sums, least and greatest values on both sides."""
        measured = self._measured(asked)
        newer: NewerRows | None = NewerRows(0)
        if self._cursor() is not None:
            part = self._up_to_bookmark()
            newer, expected, found = self._at_one_moment(
                lambda: self._measure_source(measured, part),
                lambda others: self._measure_target(measured, part, others),
            )
        else:
            part = self._partitions()
            alone = self.plan.partitions is not None and self.loaded is None
            expected = (
                self._measure_source(measured, part)
                if alone
                else self.bookmark.facts.get("columns") or {}
            )
            found = self._measure_target(measured, part) if expected else {}
        if not expected:
            return unknown("nothing was measured at the last load; the next one does.")
        wrong = differences(
            {name: facts for name, facts in expected.items() if name in found}, found
        )
        facts: dict[str, str | int] = {"columns_compared": len(found), **wrong}
        if wrong and (newer is None or not newer.are_known):
            return unknown("too much was added or changed since to compare sums now.", facts)
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
            if written is not None and plain and self.source.is_countable(column):
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
            self.source.counting,
        )
        return facts_of(types, self.source.aggregates(part.in_source, asked)) if asked else {}

    def _measure_target(
        self,
        measured: Mapping[str, tuple[str, pa.DataType]],
        part: Part,
        others: sa.ColumnElement[bool] | None = None,
    ) -> dict[str, dict[str, str | None]]:
        types = {name: type_ for name, (_, type_) in measured.items()}
        asked = expressions(types, self.target.column, sa.func.count)
        return facts_of(types, self._select(asked, part, others)) if asked else {}

    # ---- the key, and drift ----

    def unique_key(self, key: tuple[str, ...]) -> Finding:
        """No key twice in the copy."""
        if not key:
            return Finding(True, "The table has no key, so none comes twice.", {"key": ""})
        shown = ", ".join(key)
        wanted = {self.target.name(name) for name in key}
        read = self.source.schema.select(self.changes.read)
        rules = self.changes.written(read).equalities(key)
        # Such a target would not have taken a second one; reading the whole table again proves nothing.
        is_enforced = self.target.capabilities.enforces_keys
        padded = self._zero_padded()
        if is_enforced and set(self._schema.primary_key) == wanted and not (rules or padded):
            return Finding(True, f"The primary key ({shown}) holds.", {"key": shown})
        keys, rows = self.target.count_duplicate_keys(self.plan.target, key, rules, padded)
        facts: dict[str, str | int] = {"key": shown, "keys_more_than_once": keys}
        if keys:
            return Finding(
                False, f"{keys:,} keys ({shown}) come more than once, in {rows:,} rows.", facts
            )
        return Finding(True, f"No key ({shown}) comes twice.", facts)

    def _zero_padded(self) -> set[str]:
        """Columns of the key, as the target's data calls them, of which the source does not count zero bytes at the end."""
        return {
            self.changes.own_name(name, "part of the key")
            for name in self.source.key
            if self.changes.arrives_as_it_is(name)
            and self.source.pads_with_zero_bytes(self.source.schema.column(name))
        }

    def schema_drift(self) -> Finding:
        """The copy's columns are those that the source has now."""
        # Of what is read, casts and all; nothing is read here.
        read = TableSchema.from_arrow(self.source.read(self.changes.read).schema)
        written = self.changes.written(read)
        if self.plan.is_incremental:
            key = self.changes.target_names(self.source.key, "part of the key")
            written = replace(written, primary_key=key)
        if not self._schema.columns:
            return Finding(False, f"{self.plan.target} is gone; the next load makes it anew.")
        drifts = self.target.drift(self.plan.target, written, Declared(declared_key(self.bookmark)))
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
        return cursor_of(self.plan, self.source.schema, has_key=bool(self.source.key))

    def _up_to_bookmark(self) -> Part:
        upper = self._bookmarked()
        return Part(upper.column, lambda name: replace(upper, column=name))

    def _newer(self) -> int:
        """How many rows of the source are beyond the bookmark now; those beyond its clock always are."""
        cursor = self._followed()
        value = cursor.value(self.bookmark.cursor_value)
        return 0 if value is None else self.source.count_newer(cursor, value)

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
        found = self.target.schema_of(self.plan.target)
        return found if found is not None else TableSchema(())

    def _count(self, part: Part) -> int:
        return int(self._select([sa.func.count(sa.literal_column("*"))], part)[0])

    def _select(
        self,
        asked: list[sa.ColumnElement[Any]],
        part: Part,
        others: sa.ColumnElement[bool] | None = None,
    ) -> tuple[Any, ...]:
        table = self.plan.target
        # Rows that are marked as gone are not rows of the source any more.
        conditions = [others] if others is not None else []
        if self.changes.marks_deleted:
            conditions.append(self.target.column(DELETED_AT.name).is_(None))
        there = sa.and_(*conditions) if conditions else None
        # Looked up before: it may take a transaction of its own.
        schema = self._schema
        with self.target.transaction(f"checking {table}", table) as cursor:
            return self.target.select(
                cursor, table, asked, part.in_target(self.changes), schema, where=there
            )


def _plain(value: Any) -> str:
    """A cursor's value in one spelling on both sides."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"0x{bytes(value).hex()}"
    if isinstance(value, str):  # bytes, which Redshift's driver gives as the text that it got
        return "0x" + value.removeprefix("\\x")
    if isinstance(value, datetime):
        aware = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return aware.isoformat()
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)
