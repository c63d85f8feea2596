"""Loads one table, exactly once: decides what is to be read, writes it, and moves the bookmark with the rows.

Whatever happens in between, the next load continues from the bookmark that was committed last, and rows read twice
replace themselves.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from tranship.bookmarks import Bookmark, BookmarkMovedError
from tranship.change_feeds import ChangesLostError
from tranship.cursors import Cursor
from tranship.errors import (
    ConfigurationError,
    RowsOutsideSliceError,
    SchemaDriftError,
    TranshipError,
)
from tranship.history import Versions
from tranship.replication.bookmark_facts import stall_warning
from tranship.replication.change_detection import (
    ChangeDetection,
    change_detection_of,
)
from tranship.replication.choice import Choice
from tranship.replication.chunks import Backfill, FirstLoad
from tranship.replication.columns import ColumnChanges, column_changes
from tranship.replication.cursors import KEYLESS_CURSOR, check_lookback, cursor_of
from tranship.replication.deletions import DeletionGuard, DetectedDeletes, detect_deletes
from tranship.replication.guard import SourceChangedError, SourceGuard
from tranship.replication.history import FollowedHistory
from tranship.replication.keys import change_of_rules, digest_rules, refuse_collisions, rules_of
from tranship.replication.plan import Mode, OnDelete, OnGap, TablePlan
from tranship.replication.tracked_changes import TrackedChanges
from tranship.replication.writing import (
    BookmarkedWrites,
    measured_columns,
    signature_of,
)
from tranship.slices import Slice
from tranship.source import Source
from tranship.tables import TableSchema
from tranship.target import Target
from tranship.writes import OnSchemaChange, WriteMode, WriteResult

Result = TypeVar("Result")

_ATTEMPTS = 4
"""How often a load starts again because another run moved the bookmark."""


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What one run asks of a table's load.

    Args:
        run_id: The run, for the bookmark.
        partitions: Gives the slice of the partitions to replace by the column's name, for mode `partition`.
        full_reload: Whether to forget the bookmark and load everything again.
        start_from: A cursor value to start from instead of the bookmark's.
        allow_deletes: Whether rows may go from the copy however many they are.
        measured: Columns of the source to measure, for the checks; all of them for `True`.
        mask_key: The secret that columns are hashed under.
    """

    run_id: str | None = None
    partitions: Callable[[str], Slice] | None = None
    full_reload: bool = False
    start_from: str | None = None
    allow_deletes: bool = False
    measured: bool | tuple[str, ...] = False
    mask_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What one load did.

    Args:
        plan: The table.
        what: The kind of load, and why: "rows from the bookmark on", "everything, because ...".
        writes: What was written: one write, or one for each chunk.
        bookmark: The bookmark that it left.
        schema: The target's columns in terms of the source.
        deletes: What comparing the keys found; `None` where they were not compared.
        chosen_because: Why it followed what it did, where each load chooses.
        figures: Numbers of what changed, and of how far the copy was behind, where the source says it.
        versions: What was done to the table's history; `None` where none is kept.
    """

    plan: TablePlan
    what: str
    writes: tuple[WriteResult, ...]
    bookmark: Bookmark
    schema: TableSchema
    deletes: DetectedDeletes | None = None
    chosen_because: str | None = None
    figures: Mapping[str, int | float] = field(default_factory=dict[str, int | float])
    versions: Versions | None = None

    @property
    def rows(self) -> int:
        """Rows that were written, in all."""
        return sum(write.rows for write in self.writes)


def load(
    plan: TablePlan,
    source: Source,
    target: Target,
    request: LoadRequest,
    log: logging.Logger | None = None,
) -> LoadReport:
    """Bring one table up to date.

    Args:
        plan: How it is moved.
        source: Where it comes from.
        target: Where it goes.
        request: What this run asks for.
        log: Where it is told what is done and why.

    Returns:
        What was done.

    Raises:
        ConfigurationError: The settings do not fit the source's columns.
        SchemaDriftError: The source's columns are not those of the target.
        NewSourceError: The source is another one than that of the last load, and `on_new_source` is `fail`.
        TransientError: The last passing fault; the next load continues from where this one came to.
        TranshipError: Anything else; the rows and the bookmark are as they were.

    Example:
        >>> source = SqlServerSource.open(sqlserver, plan.source_request)  # doctest: +SKIP
        >>> load(plan, source, PostgresTarget(postgres), LoadRequest())  # doctest: +SKIP
    """
    return _Load.of(plan, source, target, request, log or logging.getLogger(__name__)).run()


@dataclass(slots=True)
class _Load:
    request: LoadRequest
    writes: BookmarkedWrites
    cursor: Cursor | None
    changed: ChangeDetection
    choice: Choice
    plan: TablePlan
    source: Source
    target: Target
    log: logging.Logger

    @classmethod
    def of(
        cls,
        plan: TablePlan,
        source: Source,
        target: Target,
        request: LoadRequest,
        log: logging.Logger,
    ) -> "_Load":
        choice = Choice.of(plan, source)
        if choice.why is not None:
            log.info("%s follows %s: %s.", plan.target, choice.followed, choice.why)
        plan = choice.plan
        changes = column_changes(plan, source.schema, request.mask_key)
        key = _key_of(plan, source, changes)
        rules = rules_of(plan, source, source.key if key else ())
        cursor = _cursor_of(plan, source, changes, has_key=bool(key))
        all_rules = {**rules, **digest_rules(plan, source.schema)}
        writes = BookmarkedWrites(
            plan=plan,
            source=source,
            target=target,
            log=log,
            changes=changes,
            key=key,
            rules=rules,
            signature=signature_of(plan, source.key, cursor, changes.mask_key, all_rules),
            run_id=request.run_id,
            measured=measured_columns(request.measured, changes),
            guard=SourceGuard(plan, source, log, accepts_new=request.full_reload),
            history=FollowedHistory.of(plan, source, target, changes, rules, log),
        )
        changed: ChangeDetection = change_detection_of(writes, cursor)
        if plan.changes.record is not None:
            guard = DeletionGuard.of(plan, allows_all=request.allow_deletes)
            changed = TrackedChanges(writes, guard)
        return cls(request, writes, cursor, changed, choice, plan, source, target, log)

    def run(self) -> LoadReport:
        refuse_collisions(
            self.plan, self.source, enforces_keys=self.target.capabilities.enforces_keys
        )
        self.target.prepare(self.plan.target)
        again: tuple[type[TranshipError], ...] = (BookmarkMovedError, SourceChangedError)
        if self.plan.on_gap is OnGap.RELOAD:
            # Truncated or cleaned up since it was asked whether they can be had: the next round finds the gap.
            again = (*again, ChangesLostError)
        what = self._until_bookmark_holds(self._bring_up_to_date, "loaded", again)
        if self.cursor is not None:
            backfill = Backfill(self.writes, self.cursor)
            filled = self._until_bookmark_holds(lambda: backfill.run(self._bookmark()), "filled")
            what += f"; {filled}" if filled else ""
        deletes = None
        if self.changed.finds_deletes:
            deletes = self.changed.deletes
        elif self.plan.delete is not OnDelete.IGNORE:
            deletes = self._until_bookmark_holds(self._detect_deletes, "compared")
        bookmark = self._bookmark()
        if (why := stall_warning(bookmark)) is not None:
            self.log.warning("%s may be behind: %s", self.plan.target, why)
        changes = self.writes.changes
        schema = changes.written(self.source.schema.select(changes.read))
        history = self.writes.history
        return LoadReport(
            self.plan,
            what,
            tuple(self.writes.done),
            bookmark,
            schema,
            deletes,
            chosen_because=self.choice.why,
            figures=self.changed.figures,
            versions=None if history is None else history.versions,
        )

    def _until_bookmark_holds(
        self,
        call: Callable[[], Result],
        done: str,
        again: tuple[type[TranshipError], ...] = (BookmarkMovedError,),
    ) -> Result:
        """Start again where another run was faster, or the source became another one meanwhile."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return call()
            except again as error:
                if attempt == _ATTEMPTS:
                    raise
                since = " from there" if isinstance(error, BookmarkMovedError) else ""
                self.log.warning("%s It is %s again%s.", error.what, done, since)
        raise AssertionError("unreachable: the last round returns or raises")

    def _bookmark(self) -> Bookmark:
        """The bookmark, which a load has just written."""
        bookmark = self.target.bookmark(self.plan.target)
        if bookmark is None:
            raise TranshipError(
                f"The bookmark of {self.plan.target} vanished right after it was written.",
                "Somebody removed it; the next load is a full one.",
            )
        return bookmark

    def _detect_deletes(self) -> DetectedDeletes:
        return detect_deletes(
            self.writes, self.cursor, self._bookmark, allows_all=self.request.allow_deletes
        )

    # ---- what is to be read ----

    def _bring_up_to_date(self) -> str:
        bookmark = self.target.bookmark(self.plan.target)
        another_source = self.writes.guard.begin(bookmark)
        if self.plan.mode is Mode.PARTITION:
            return self._partitions(bookmark, another_source)
        if self.plan.mode is Mode.REPLACE:
            self.writes.replace_all(bookmark)
            return "the whole table" + (f"; {another_source}" if another_source else "")
        exists = self.target.schema_of(self.plan.target) is not None
        why = self._why_from_the_start(bookmark, exists=exists) or another_source
        if why is None and bookmark is not None:
            why = self.changed.why_reload(bookmark)
        self.changed.look(bookmark)
        if why is None and bookmark is not None:
            return self._go_on(bookmark)
        if self.request.start_from is not None:
            raise ConfigurationError(
                f"{self.plan.target} cannot be loaded from {self.request.start_from} on: {why}.",
                "Leave start_from out, so that all of it is loaded.",
            )
        self.log.info("Loading all of %s: %s.", self.plan.source, why)
        if (warning := self.changed.all_rows_warning) is not None:
            self.log.warning("%s", warning)
        # Into a table that readers use, a full load is one transaction: half of it is no use to them.
        is_free = not exists or self.target.is_empty(self.plan.target)
        first = FirstLoad(self.writes)
        if is_free and (column := first.column()) is not None:
            what = first.run(column, bookmark, self.changed.up_to)
            return what + self.changed.after_first_load(self._bookmark())
        self.writes.replace_all(bookmark, up_to=self.changed.up_to)
        return f"the whole table, because {why}"

    def _go_on(self, bookmark: Bookmark) -> str:
        """From where the last load came to."""
        if bookmark.loading is not None:
            what = FirstLoad(self.writes).resume(bookmark, bookmark.loading)
            return what + self.changed.after_first_load(self._bookmark())
        try:
            return self.changed.load(bookmark, self.request.start_from)
        except SchemaDriftError as error:
            if self.plan.on_schema_change is not OnSchemaChange.REBUILD:
                raise
            self.log.info("%s is rebuilt: %s", self.plan.target, error.what)
        self.writes.replace_all(bookmark, up_to=self.changed.up_to)
        return "the whole table, because its columns cannot be changed in place"

    def _partitions(self, bookmark: Bookmark | None, another_source: str | None) -> str:
        settings, slice_of = self.plan.partitions, self.request.partitions
        if settings is None or slice_of is None:
            raise ConfigurationError(
                f"{self.plan.source} is partitioned, and the run names no partition.",
                "Launch it for one partition or a range of them.",
            )
        name = self.writes.changes.own_name(settings.column, "what the table is partitioned by")
        part = slice_of(settings.column)
        try:
            self.writes.write(
                bookmark, part, self.writes.request(WriteMode.REPLACE, slice_of(name))
            )
        except RowsOutsideSliceError as error:
            raise self._spelled_otherwise(error, settings.column) from None
        if another_source is None:
            return f"the rows of {part}"
        return f"the rows of {part}; all other partitions are still of the source of before, for now {another_source}"

    def _spelled_otherwise(self, error: RowsOutsideSliceError, column: str) -> TranshipError:
        """What to do where the source takes texts for a partition's that the copy, by their bytes, does not."""
        rule = self.source.schema.column(column).equality
        if rule is None:
            return error
        return RowsOutsideSliceError(
            f"{error.what} The source, whose {rule.rule} takes more than equal bytes for the same, gave it for {column}.",
            f"Spell the values of {column} alike in the source; or partition by another column, or set mode to replace or merge.",
            details=error.details,
        )

    def _why_from_the_start(self, bookmark: Bookmark | None, *, exists: bool) -> str | None:
        """Why what was loaded before is no ground to build on; `None` where it is."""
        if self.request.full_reload:
            return "the run asked for a full reload"
        if bookmark is None:
            return "it was never loaded"
        if not exists:
            return f"{self.plan.target} is gone"
        if bookmark.mode not in {Mode.APPEND, Mode.MERGE}:
            return f"it was kept up to date by {bookmark.mode} until now"
        if (turn := self.choice.turn(bookmark)) is not None:
            return turn
        if bookmark.signature != self.writes.signature:
            changed = change_of_rules(bookmark.facts.get("key_rules"), self.writes.rules)
            if changed is not None:
                return changed
            return "its columns, key, cursor or condition were changed in the settings"
        return None


def _key_of(plan: TablePlan, source: Source, changes: ColumnChanges) -> tuple[str, ...]:
    """The columns that tell rows apart, as the target's data calls them; none where loads need none."""
    key = changes.target_names(source.key, "part of the key") if plan.is_incremental else ()
    if not key and plan.is_incremental and (hidden := source.hidden_keys()) is not None:
        raise hidden
    if not key and (plan.mode is Mode.MERGE or plan.delete is not OnDelete.IGNORE):
        raise ConfigurationError(
            f"{plan.source} has no primary key, and its settings name no key to tell rows apart by.",
            "Name the key: key: [id].",
        )
    return key


def _cursor_of(
    plan: TablePlan, source: Source, changes: ColumnChanges, *, has_key: bool
) -> Cursor | None:
    """The column that loads follow, where the plan names one."""
    if plan.cursor is not None and (refused := source.refused_cursor(plan.cursor)) is not None:
        raise refused
    cursor = cursor_of(plan, source.schema, has_key=has_key)
    if cursor is not None:
        check_lookback(plan, cursor, source)
    if cursor is not None and not has_key:
        changes.own_name(cursor.column, KEYLESS_CURSOR)
    return cursor
