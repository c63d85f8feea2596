"""Loads by the source's own record of changes: rows that changed since the copy's version, and keys of rows that are gone.

The version that a load leads to is committed with its rows. A record that does not reach back to the copy's version, for whatever
reason, is answered by the whole table, never by fewer rows.
"""

# pyarrow-stubs leave out the types of what an array of any type holds.
# pyright: reportUnknownMemberType=false

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta

import pyarrow as pa
from typing_extensions import override

from tranship.bookmarks import Bookmark
from tranship.change_feeds import (
    GONE_SINCE,
    ChangeFeed,
    ChangePosition,
    Changes,
    ChangesLostError,
    RecordKind,
    RecordTerms,
)
from tranship.errors import ConfigurationError
from tranship.frames import Batches
from tranship.replication.bookmark_facts import (
    backfill_after_write,
    change_facts,
    change_position,
)
from tranship.replication.change_detection import ChangeDetection
from tranship.replication.columns import DELETED_AT
from tranship.replication.config import span_in_words
from tranship.replication.deletions import (
    DeletionGuard,
    DetectedDeletes,
    keyless,
    refuse_a_copy,
    take_turn,
)
from tranship.replication.history import FollowedHistory
from tranship.replication.keys import comparable_keys
from tranship.replication.plan import OnDelete, OnGap
from tranship.replication.writing import BookmarkedWrites
from tranship.slices import WholeTable
from tranship.tables import TableSchema
from tranship.target import StagedKeys, Transaction
from tranship.writes import Declared, OnSchemaChange, WriteMode, WriteRequest

_MOST_CHANGED = 0.2
"""The share of a table beyond which reading all of it costs the source less than joining the changes to their rows."""
_FEW_ROWS = 10_000
"""Of a smaller table it is of no account how it is read."""
_ROWS_PER_SECOND = 20_000
"""What a connection brings at least of rows that are not very wide; docs/measurements.md has some times as many."""


@dataclass(slots=True)
class TrackedChanges(ChangeDetection):
    """The changes that the source has recorded since the version of the bookmark.

    Args:
        writes: The load's writes.
        guard: How many rows may go at once.
    """

    writes: BookmarkedWrites
    guard: DeletionGuard
    _feed: ChangeFeed = field(init=False)
    _position: ChangePosition | None = None
    _deletes: DetectedDeletes | None = None
    _told_terms: RecordTerms | None = None
    _gap_found: str | None = None
    _changes: Changes | None = None

    def __post_init__(self) -> None:
        writes = self.writes
        record = writes.plan.changes.record or RecordKind.TRACKING
        self._feed = writes.source.change_feed(record, writes.changes.read)

    @property
    def _terms(self) -> RecordTerms:
        """What holds for the record; asked for, and its fault told, once in a load."""
        if self._told_terms is None:
            self._told_terms = self._feed.terms()
            if self._told_terms.fault is not None:
                self.writes.log.warning("%s.", self._told_terms.fault)
        return self._told_terms

    @override
    def why_reload(self, bookmark: Bookmark) -> str | None:
        self._gap_found = self._changes = None
        since = change_position(bookmark)
        gap = self._feed.gap(since) if since else "its bookmark is of no record of changes"
        if since is None or gap is not None:
            return self._gap(f"the changes since the last load cannot be had: {gap}")
        if (doubt := self._feed.doubt(since)) is not None:
            self.writes.log.info("All of %s is loaded again: %s.", self.writes.plan.source, doubt)
            return doubt
        names = self.writes.changes.written(
            self.writes.source.schema.select(self.writes.changes.read)
        ).names
        pending = backfill_after_write(bookmark, names, self.writes.names_in_table)
        if pending is not None:
            # https://learn.microsoft.com/sql/relational-databases/track-changes/manage-change-tracking-sql-server
            return f"{', '.join(pending.columns)} is new, and the values of old rows are no changes"
        return None if bookmark.loading is not None else self._too_many(since)

    def _gap(self, what: str) -> str:
        plan = self.writes.plan
        if plan.on_gap is OnGap.FAIL:
            raise ChangesLostError(
                f"{plan.target} cannot be brought up to date: {what}. Nothing was written.",
                "Run the load once with full_reload, or set on_gap to reload.",
            )
        self.writes.log.warning("All of %s is loaded again: %s.", plan.source, what)
        self._gap_found = what
        return what

    def _too_many(self, since: ChangePosition) -> str | None:
        """Why the whole table is read although its changes could be had."""
        estimate = self.writes.source.estimated_rows() or 0
        if estimate <= _FEW_ROWS:
            return None
        changed = self._feed.count(since)
        if changed <= estimate * _MOST_CHANGED:
            return None
        return f"{changed:,} of about {estimate:,} rows changed, of which reading all costs less"

    @override
    def look(self, bookmark: Bookmark | None) -> None:
        self._position = self._feed.position()
        self.writes.lasting = change_facts(self._position, before=bookmark, gap=self._gap_found)
        _ = self._terms  # a known fault of the server is told

    @property
    @override
    def all_rows_warning(self) -> str | None:
        plan, terms = self.writes.plan, self._terms
        rows = self.writes.source.estimated_rows() or 0
        expected = timedelta(seconds=rows / (_ROWS_PER_SECOND * plan.parallel))
        if terms.kept_for is None or expected <= terms.kept_for:
            return None
        return (
            f"About {rows:,} rows of {plan.source} take {span_in_words(expected)}, at {_ROWS_PER_SECOND:,} rows a second and "
            f"connection, and the source keeps changes for {span_in_words(terms.kept_for)}: those of the beginning would be cleaned up "
            f"before the load ends, and it would begin again. Raise parallel; or: {terms.remedy}"
        )

    @property
    @override
    def up_to(self) -> str | None:
        return None if self._position is None else str(self._position.version)

    @property
    @override
    def figures(self) -> dict[str, int | float]:
        changes, figures = self._changes, dict[str, int | float]()
        if changes is not None and changes.lag is not None:
            figures["versions_behind"] = changes.lag.versions
            if changes.lag.seconds is not None:
                figures["seconds_behind"] = changes.lag.seconds
        if changes is not None and changes.counts is not None:
            for kind, count in asdict(changes.counts).items():
                figures[f"changes_{kind}"] = count
        return figures

    @property
    @override
    def deletes(self) -> DetectedDeletes | None:
        return self._deletes

    @property
    @override
    def finds_deletes(self) -> bool:
        return True

    @override
    def after_first_load(self, bookmark: Bookmark) -> str:
        since = change_position(bookmark)
        if since is not None and (doubt := self._feed.doubt(since)) is not None:
            self.look(bookmark)
            self.writes.replace_all(bookmark, up_to=self.up_to)
            return f"; then all of it in one read: {doubt}"
        # The version was taken before the first chunk; what changed while the chunks were read comes now.
        return f"; then {self.load(bookmark, None)}"

    @override
    def load(self, bookmark: Bookmark, start_from: str | None) -> str:
        if start_from is not None:
            raise ConfigurationError(
                f"{self.writes.plan.target} follows the source's record of changes and cannot start from {start_from}.",
                "Leave start_from out; full_reload loads all of it.",
            )
        since = change_position(bookmark)
        if since is None:
            raise ConfigurationError(
                f"The bookmark of {self.writes.plan.target} names no version.",
                "Run it with full_reload.",
            )
        writes = self.writes
        with self._feed.changes(since, writes.changes.read, log=writes.log) as changes:
            self._changes = changes
            # Rows that the record has not yet are in the source and not in the copy: then no count is the copy's.
            counted = changes.rows_in_source if self._feed.is_immediate else None
            writes.lasting = change_facts(changes.position, counted, bookmark, is_counted=True)
            removal = self._staged(bookmark, changes)
            expected = bookmark if removal is None else removal.bookmark
            rows = writes.as_written(changes.rows)
            request = writes.request(WriteMode.MERGE)
            up_to = str(changes.position.version)
            writes.write(
                expected,
                WholeTable(),
                request,
                up_to=up_to,
                rows=rows,
                also=None if removal is None else removal.run,
            )
        merged = writes.done[-1].rows
        gone = removal.rows if removal is not None else 0
        if writes.plan.delete is not OnDelete.IGNORE:
            self._deletes = DetectedDeletes(changes.rows_in_source, gone)
        shown = f"{merged:,} rows that changed since {self._feed.name_of(since)}"
        return f"{shown}, and {gone:,} that are gone" if gone else shown

    # ---- rows that are gone ----

    def _staged(self, bookmark: Bookmark, changes: Changes) -> "_Removal | None":
        """The keys of rows that are gone, in the table beside the copy; `None` where none are, or they are left."""
        plan, writes = self.writes.plan, self.writes
        if plan.delete is OnDelete.IGNORE:
            return None
        stream = iter(changes.deleted_keys.open())
        first = next(stream, None)
        if first is None:
            return None

        def opened() -> Iterator[pa.RecordBatch]:
            yield first
            yield from stream

        read = replace(changes.deleted_keys, open=opened)
        of_keys = replace(writes.changes, read=writes.source.key, marks_deleted=False)
        keys: Batches = of_keys.applied(comparable_keys(read, writes.rules, plan))
        rules = TableSchema.from_arrow(keys.schema).equalities(writes.key)
        is_marked = plan.delete is OnDelete.MARK
        keys = self._marked_since(keys) if is_marked else _without_times(keys)
        mark, since = (DELETED_AT.name, GONE_SINCE.name) if is_marked else (None, None)
        staged = writes.target.staged_keys(plan.target, writes.key, rules, mark, since)
        if writes.history is not None:
            staged = writes.history.keys(staged)
        refuse_a_copy(writes.target, plan.target, staged.table)
        # First, and by itself: whoever stages keys and then waited for the table would wait for a load that has the table
        # and waits for the keys. From here on a second load, which would stage other keys, finds the bookmark moved.
        with writes.target.transaction(f"beginning a load of {plan.target}", plan.target) as own:
            claimed = take_turn(writes.target, plan.target, own, bookmark.write_id, writes.turn)
        request = WriteRequest(
            staged.table,
            on_schema_change=OnSchemaChange.REBUILD,
            declared=Declared(key=writes.key),
        )
        writes.target.write(request, keyless(keys), writes.log, _nothing_else)
        return _Removal(self.guard, staged, changes.rows_in_source, claimed, writes.history)

    def _marked_since(self, keys: Batches) -> Batches:
        """The keys, each with the time when its row went, as far as the source says it."""
        if GONE_SINCE.name not in keys.schema.names:
            self.writes.log.info(
                "The source does not say when rows of %s went, so it is the time of this load. %s",
                self.writes.plan.source,
                self._terms.times_remedy,
            )
        return _with_times(keys)


def _with_times(keys: Batches) -> Batches:
    """The same keys with the time of each, null where the source does not say it: the table of keys stays as it is."""
    if GONE_SINCE.name in keys.schema.names:
        return keys
    schema = keys.schema.append(pa.field(GONE_SINCE.name, GONE_SINCE.type))

    def opened() -> Iterator[pa.RecordBatch]:
        for batch in keys.open():
            times = pa.array([None] * batch.num_rows, GONE_SINCE.type)
            yield pa.RecordBatch.from_arrays([*batch.columns, times], schema=schema)

    return replace(keys, schema=schema, open=opened)


def _without_times(keys: Batches) -> Batches:
    """The same keys without the time of each, so that the table of keys needs no column for it."""
    names = [name for name in keys.schema.names if name != GONE_SINCE.name]
    if len(names) == len(keys.schema.names):
        return keys
    schema = keys.schema.remove(keys.schema.get_field_index(GONE_SINCE.name))

    def opened() -> Iterator[pa.RecordBatch]:
        for batch in keys.open():
            yield batch.select(names).replace_schema_metadata(schema.metadata)

    return replace(keys, schema=schema, open=opened)


def _nothing_else(transaction: Transaction) -> None:
    del transaction


@dataclass(slots=True)
class _Removal:
    """Marks or removes the rows whose keys are staged, in the transaction that brings the others."""

    guard: DeletionGuard
    staged: StagedKeys
    rows_in_source: int
    bookmark: Bookmark
    history: FollowedHistory | None = None
    rows: int = 0

    def run(self, transaction: Transaction) -> None:
        """Let them go."""
        gone = self.staged.count_staged(transaction)
        self.guard.check(
            keys=self.rows_in_source, rows=self.staged.count_rows(transaction), gone=gone
        )
        self.rows = self.staged.remove_staged(transaction) if gone else 0
        if self.history is not None and gone:
            self.history.touch(transaction, self.staged.table)
        self.staged.clear(transaction)
