"""What is checked after a load: counts and columns against the source, the key, and drift. No Dagster here.

Each check compares like with like. A table that is replaced is held against what streamed by while it was read, which
is the source at that moment. One that follows a cursor is held against the source's rows up to the bookmark.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from tranship.change_feeds import RecordKind
from tranship.comparisons import sql_column
from tranship.errors import ConfigurationError
from tranship.replication.bookmark_facts import (
    PendingBackfill,
    change_position,
    declared_key,
    gap_before,
    pause_before,
    rows_at_bookmark,
    stall_warning,
    time_between,
)
from tranship.replication.column_statistics import (
    ColumnStatistics,
    Sums,
    WindowSums,
    differences,
    differing,
    expressions,
    statistics_of,
    window,
)
from tranship.replication.config import span_in_words
from tranship.replication.history import FollowedHistory
from tranship.replication.plan import Mode, OnDelete
from tranship.replication.source_and_copy import WHOLE, NewerRows, Part, SourceAndCopy
from tranship.slices import Slice
from tranship.tables import TableSchema
from tranship.writes import Declared

Columns = dict[str, tuple[str, pa.DataType]]
"""The columns to compare: their names in the source and their types, by their names in the target."""
_TOO_MUCH_CHANGED = "too much was added or changed since to compare sums now."


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
    facts: Mapping[str, str | int] = field(default_factory=dict[str, str | int])
    is_warning: bool = False


def not_of_this_source(another: str | None) -> Finding:
    """What a check says that would hold the copy against a source which it is not a copy of."""
    return Finding(
        False,
        f"Unknown: the copy is of another source than the one that is there now: {another}. The next load takes its rows.",
    )


def unknown(why: str, facts: Mapping[str, str | int] | None = None) -> Finding:
    """What a check says that cannot compare now: not that it passed, and a warning rather than an alarm."""
    return Finding(False, f"Unknown: {why}", facts or {}, is_warning=True)


@dataclass(frozen=True)
class Verification(SourceAndCopy):
    """The checks of one table, for one run of them.

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

    loaded: Callable[[str], Slice] | None = None
    materialized: Callable[[str], Slice] | None = None

    # ---- rows ----

    def row_count(self) -> Finding:
        """As many rows in the copy as in the source, up to the same highest value."""
        plan = self.plan
        if plan.partitions is not None and self.loaded is None and self.materialized is None:
            return unknown("this deployment has loaded none of the table's partitions yet.")
        if plan.mode is Mode.REPLACE or self.cursor is None:
            part, expected = self._replaced()
            if expected is None:
                return unknown(
                    "the bookmark does not say how many rows were read; the next one will."
                )
            return self._counted(expected, self.count_copy(part), 0)
        part, newer = self.up_to_bookmark(), self.newer_count()
        copied_as = self.changes.target_name(part.column or "")
        rows_in_source, highest = self.source.aggregates(
            part.in_source,
            [
                self.source.counting(sa.literal_column("*")),
                sa.func.max(sql_column(part.column or "")),
            ],
        )
        aggregates: list[sa.ColumnElement[Any]] = [sa.func.count(sa.literal_column("*"))]
        if copied_as is not None:
            aggregates.append(sa.func.max(self.target.column(copied_as)))
        rows_in_copy, *highest_in_copy = self.select(aggregates, part)
        finding = self._counted(int(rows_in_source), int(rows_in_copy), newer)
        return self._confirmed(finding, highest, highest_in_copy) if finding.passed else finding

    def _counted(self, in_source: int, in_copy: int, newer: int) -> Finding:
        plan = self.plan
        missing, surplus = max(in_source - in_copy, 0), max(in_copy - in_source - newer, 0)
        facts = {"rows_in_source": in_source, "rows_in_copy": in_copy}
        if newer:
            facts["rows_newer_than_the_bookmark"] = newer
        if missing:
            return Finding(
                False,
                f"{missing:,} rows are missing: the source has {in_source:,}, the copy {in_copy:,}.",
                facts,
            )
        if surplus and plan.is_incremental and plan.delete is OnDelete.IGNORE:
            return Finding(
                True,
                f"{in_copy:,} rows, of which {surplus:,} are gone from the source; delete is ignore.",
                facts,
            )
        if surplus:
            return Finding(
                False,
                f"The copy has {surplus:,} rows more than the source: {in_copy:,} instead of {in_source:,}.",
                facts,
                # Rows may have been deleted in the source since they were loaded.
                is_warning=plan.is_incremental,
            )
        return Finding(True, f"{in_copy:,} rows on both sides.", facts)

    def _confirmed(self, finding: Finding, highest: Any, highest_in_copy: list[Any]) -> Finding:
        """A count that agrees, held against the highest value and against how far loads may go."""
        if (why := stall_warning(self.bookmark)) is not None:
            return unknown(why, finding.facts)
        same_count = finding.facts["rows_in_source"] == finding.facts["rows_in_copy"]
        if highest_in_copy and same_count and _plain(highest) != _plain(highest_in_copy[0]):
            column = self.followed().column
            return Finding(
                False,
                f'As many rows on both sides, but the highest "{column}" is {_plain(highest)} in the source, and '
                f"{_plain(highest_in_copy[0])} in the copy.",
                finding.facts,
            )
        return finding

    def recent_rows(self) -> Finding:
        """The rows right behind the bookmark have the same keys and cursor values, added up."""
        if self.cursor is None:
            return Finding(True, "No cursor is followed, so no row can come behind one.")
        cursor, value = self.followed(), self.bookmarked
        if value is None:
            return Finding(True, f'No row has a value of "{cursor.column}" yet.')
        sums = WindowSums.of(self.source, self.target, self.changes, cursor)
        recent = window(cursor, value)
        part = Part(recent.column, lambda name: replace(recent, column=name))
        if self.changes.target_name(cursor.column) is None:
            part = self.up_to_bookmark()
        newer, expected, actual = self.at_one_moment(
            lambda: sums.read(self.source.aggregates(part.in_source, sums.in_source())),
            lambda others: sums.read(self.select(sums.in_target(), part, others)),
        )
        if expected == actual:
            names = ", ".join(column.name for column in sums.columns) or "no column"
            return Finding(
                True,
                f"{expected['rows']:,} rows of {part.in_source} agree, with the sums of {names}.",
                _of_window(part, expected),
            )
        remedy = f"Load them again with start_from: {_plain(recent.low)}."
        return self._recent_rows_differ(part, newer, expected, actual, remedy)

    def _recent_rows_differ(
        self, part: Part, newer: NewerRows | None, expected: Sums, actual: Sums, remedy: str
    ) -> Finding:
        shown, facts = str(part.in_source), _of_window(part, expected)
        missing = int(expected["rows"]) - int(actual["rows"])
        if missing > 0:
            return Finding(
                False, f"{missing:,} rows of {shown} came late or were changed. {remedy}", facts
            )
        if newer is None or not newer.are_known:
            return unknown(_TOO_MUCH_CHANGED, facts)
        if missing < 0 and self.plan.delete is OnDelete.IGNORE:
            return unknown(
                f"{-missing:,} rows of {shown} are gone from the source; delete is ignore, so sums cannot be compared.",
                facts,
            )
        differ = ", ".join(differing(expected, actual)) or "the count of rows"
        return Finding(
            False,
            f"Rows of {shown} differ in {differ}: they were changed behind the bookmark. {remedy}",
            facts,
            is_warning=missing < 0,
        )

    def _replaced(self) -> tuple[Part, int | None]:
        """What a write that replaced rows left: counted as it streamed by, or in the source now."""
        part = self._partitions()
        if self.plan.partitions is None or self.loaded is not None:
            return part, rows_at_bookmark(self.bookmark)
        return part, self.source.count(part.in_source)

    def _partitions(self) -> Part:
        """The partitions that were loaded right before, or ever; the whole table without any."""
        partitions, of = self.plan.partitions, self.loaded or self.materialized
        return WHOLE if partitions is None or of is None else Part(partitions.column, of)

    # ---- the source's record of changes ----

    def changes_without_a_gap(self) -> Finding:
        """The last load had all changes since the one before."""
        gap, pause = gap_before(self.bookmark), pause_before(self.bookmark)
        facts = {} if pause is None else {"hours_since_the_load_before": _hours(pause)}
        if gap is None:
            return Finding(True, "No change was cleaned up before it was loaded.", facts)
        return Finding(False, f"The whole table was loaded: {gap}.", facts, is_warning=True)

    def retention_headroom(self) -> Finding:
        """Loads follow each other, and the last one, within half of the time that the source keeps changes for."""
        since = change_position(self.bookmark)
        if since is None:
            return Finding(True, "No record of changes is followed.")
        feed = self.source.change_feed(
            self.plan.changes.record or RecordKind.TRACKING, self.changes.read
        )
        try:
            terms, now = feed.terms(), feed.position()
        except ConfigurationError as error:
            return Finding(False, str(error), is_warning=True)
        if terms.kept_for is None and terms.remedy:
            return unknown(f"how long the source keeps changes is not known here: {terms.remedy}.")
        if terms.kept_for is None:
            return Finding(True, "The source does not clean changes up.")
        since_load = time_between(since, now)
        if since_load is None:
            return unknown(
                "what the source's clock showed at the last load is not known, or later than now."
            )
        longest = max(since_load, pause_before(self.bookmark) or since_load)
        facts: dict[str, str | int] = {
            "hours_since_the_last_load": _hours(since_load),
            "hours_kept": _hours(terms.kept_for),
        }
        used = f"{longest / terms.kept_for:.0%} of the {span_in_words(terms.kept_for)} that the source keeps changes for"
        if longest * 2 <= terms.kept_for:
            return Finding(True, f"The longest time without a load is {used}.", facts)
        since_when = (
            "since the last load" if longest == since_load else "between the last two loads"
        )
        return Finding(
            False,
            f"{span_in_words(longest)} passed {since_when}, {used}: when all of it has passed, the whole table is loaded. Load more "
            f"often; or: {terms.remedy}",
            facts,
            is_warning=True,
        )

    # ---- columns ----

    def columns(self, names: bool | tuple[str, ...]) -> Finding:
        """Non-null counts, sums, least and greatest values on both sides.

        Args:
            names: The source's columns to compare; all of them for `True`.
        """
        columns = self._comparable(names)
        newer: NewerRows | None = NewerRows(0)
        if self.cursor is not None:
            part = self.up_to_bookmark()
            newer, expected, actual = self.at_one_moment(
                lambda: self._measure_source(columns, part),
                lambda others: self._measure_copy(columns, part, others),
            )
        elif (record := self.plan.changes.record) is not None:
            expected = self._measure_unchanged(columns, record)
            if expected is None:
                return unknown(
                    "rows may have changed since the last load, so that sums cannot be compared now."
                )
            actual = self._measure_copy(columns, WHOLE)
        else:
            part = self._partitions()
            by_itself = self.plan.partitions is not None and self.loaded is None
            expected = (
                self._measure_source(columns, part)
                if by_itself
                else self.bookmark.facts.get("columns") or {}
            )
            actual = self._measure_copy(columns, part) if expected else {}
        if not expected:
            return unknown("nothing was measured at the last load; the next one does.")
        wrong = differences(
            {name: measured for name, measured in expected.items() if name in actual}, actual
        )
        facts: dict[str, str | int] = {"columns_compared": len(actual), **wrong}
        if wrong and (newer is None or not newer.are_known):
            return unknown(_TOO_MUCH_CHANGED, facts)
        if wrong:
            return Finding(
                False, f"{len(wrong)} columns differ from the source: {', '.join(wrong)}.", facts
            )
        return Finding(True, f"{len(actual)} columns agree with the source.", facts)

    def _comparable(self, names: bool | tuple[str, ...]) -> Columns:
        chosen: Columns = {}
        for name in self.changes.read if names is True else (names or ()):
            column = self.source.schema.column(name)
            copied_as = self.changes.target_name(name)
            settings = self.changes.settings
            plain = name not in settings.mask and name not in settings.cast
            if copied_as is not None and plain and self.source.is_countable(column):
                chosen[copied_as] = (name, column.type)
        return chosen

    def _measure_source(self, columns: Columns, part: Part) -> dict[str, ColumnStatistics]:
        types = {name: type_ for name, (_, type_) in columns.items()}
        aggregates = expressions(
            types, lambda name: sql_column(columns[name][0]), self.source.counting
        )
        if not aggregates:
            return {}
        return statistics_of(types, self.source.aggregates(part.in_source, aggregates))

    def _measure_unchanged(
        self, columns: Columns, record: RecordKind
    ) -> dict[str, ColumnStatistics] | None:
        """The source's columns, if no row of it has changed since the last load; else `None`."""
        since = change_position(self.bookmark)
        feed = self.source.change_feed(record, self.changes.read)
        if (
            since is None
            or not feed.is_immediate
            or feed.gap(since) is not None
            or feed.count(since)
        ):
            return None
        measured = self._measure_source(columns, WHOLE)
        return None if feed.count(since) else measured

    def _measure_copy(
        self, columns: Columns, part: Part, others: sa.ColumnElement[bool] | None = None
    ) -> dict[str, ColumnStatistics]:
        types = {name: type_ for name, (_, type_) in columns.items()}
        aggregates = expressions(types, self.target.column, sa.func.count)
        return statistics_of(types, self.select(aggregates, part, others)) if aggregates else {}

    # ---- the history ----

    def history(self, followed: FollowedHistory | None) -> Finding:
        """The versions that hold are of the keys that the copy has, and none begins before the one before it ended.

        Args:
            followed: The history.
        """
        if followed is None or not followed.is_begun(self.bookmark):
            return unknown("no load has begun the history yet; the next one does.")
        with self.target.transaction(f"counting the versions of {followed.table}") as transaction:
            counts = followed.kept.counts(transaction)
        facts = {"versions_that_hold": counts.open, "rows_in_copy": counts.rows}
        wrong = {
            "rows of the copy have no version that holds": counts.not_in_history,
            "versions hold whose key the copy lacks": counts.not_in_copy,
            "versions overlap another one of their key, or end before they begin": counts.overlapping,
        }
        amiss = [f"{number:,} {what}" for what, number in wrong.items() if number]
        if not amiss and counts.open != counts.rows:
            amiss = [f"{counts.open:,} versions hold, and the copy has {counts.rows:,} rows"]
        if amiss:
            remedy = "A run with full_reload holds every key against the copy again."
            return Finding(False, f"{'; '.join(amiss)}. {remedy}", facts)
        return Finding(True, f"{counts.open:,} versions hold, one for each row of the copy.", facts)

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
        if is_enforced and set(self.copy_schema.primary_key) == wanted and not (rules or padded):
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

    def schema_drift(self, followed: FollowedHistory | None = None) -> Finding:
        """The copy's columns are those that the source has now.

        Args:
            followed: The history, which may stand in the place of the copy.
        """
        # Of what is read, casts and all; nothing is read here.
        read = TableSchema.from_arrow(self.source.read(self.changes.read).schema)
        written = self.changes.written(read)
        if self.plan.is_incremental:
            key = self.changes.target_names(self.source.key, "part of the key")
            written = replace(written, primary_key=key)
        if not self.copy_schema.columns:
            return Finding(False, f"{self.plan.target} is gone; the next load makes it anew.")
        if followed is not None and followed.is_alone:
            drifts = followed.drift(written)
        else:
            declared = Declared(declared_key(self.bookmark))
            drifts = self.target.drift(self.plan.target, written, declared)
        if drifts:
            return Finding(
                False,
                f"The source has drifted: {'; '.join(drifts)}.",
                {"differences": len(drifts)},
                is_warning=True,
            )
        if (unfilled := PendingBackfill.of(self.bookmark)) is not None and unfilled.looked is None:
            lacking = ", ".join(unfilled.columns)
            return Finding(
                False,
                f"Rows that were loaded before lack the values of {lacking}.",
                {"columns_to_fill": lacking},
                is_warning=True,
            )
        return Finding(True, f"{len(written.columns)} columns as in the source.")


def _hours(span: timedelta) -> str:
    return f"{span.total_seconds() / 3600:.2f}"


def _of_window(part: Part, expected: Sums) -> dict[str, str | int]:
    return {"window": str(part.in_source), "rows_in_window": expected["rows"]}


def _plain(value: object) -> str:
    """A cursor's value in one spelling on both sides."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"0x{value.hex()}"
    if isinstance(value, str):  # bytes, which Redshift's driver gives as the text that it got
        return "0x" + value.removeprefix("\\x")
    if isinstance(value, datetime):
        aware = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return aware.isoformat()
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)
