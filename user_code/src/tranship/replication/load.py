"""Loads one table, exactly once: decides what is to be read, writes it, and moves the bookmark with the rows.

Whatever happens in between, the next load continues from the bookmark that was committed last, and rows read twice
replace themselves.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from tranship.bookmarks import Bookmark, BookmarkMovedError
from tranship.cursors import Cursor, Value
from tranship.errors import (
    ConfigurationError,
    RowsOutsideSliceError,
    SchemaDriftError,
    TranshipError,
)
from tranship.replication import key_rules, standing_still
from tranship.replication.backfill import BackFill
from tranship.replication.chunks import ChunkColumn, chunk_column
from tranship.replication.columns import ColumnChanges, column_changes
from tranship.replication.cursors import cursor_of
from tranship.replication.deletions import Gone
from tranship.replication.guard import SourceChangedError, SourceGuard
from tranship.replication.key_collisions import refuse_collisions
from tranship.replication.key_comparison import compare_keys
from tranship.replication.key_rules import digest_rules, rules_of
from tranship.replication.keyless import BothSides
from tranship.replication.plan import Mode, OnDelete, TablePlan
from tranship.replication.setbacks import set_back
from tranship.replication.wall_clocks import check_lookback
from tranship.replication.writing import (
    BookmarkedWrites,
    measured_columns,
    signature_of,
)
from tranship.slices import Slice, WholeTable
from tranship.source import HighWaterMark, Source
from tranship.tables import TableSchema
from tranship.target import Target
from tranship.writes import OnSchemaChange, WriteMode, WriteResult

Result = TypeVar("Result")

_KEYLESS_CURSOR = "the cursor of a table without key"
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
        gone: What comparing the keys found; `None` where they were not compared.
        schema: The target's columns in terms of the source.
    """

    plan: TablePlan
    what: str
    writes: tuple[WriteResult, ...]
    bookmark: Bookmark
    schema: TableSchema
    gone: Gone | None = None

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
    plan: TablePlan
    source: Source
    target: Target
    request: LoadRequest
    log: logging.Logger
    changes: ColumnChanges
    key: tuple[str, ...]
    cursor: Cursor | None
    writes: BookmarkedWrites

    @classmethod
    def of(
        cls,
        plan: TablePlan,
        source: Source,
        target: Target,
        request: LoadRequest,
        log: logging.Logger,
    ) -> "_Load":
        changes = column_changes(plan, source.schema, request.mask_key)
        key = changes.target_names(source.key, "part of the key") if plan.is_incremental else ()
        if not key and plan.is_incremental and (hidden := source.hidden_keys()) is not None:
            raise hidden
        if not key and (plan.mode is Mode.MERGE or plan.delete is not OnDelete.IGNORE):
            raise ConfigurationError(
                f"{plan.source} has no primary key, and its settings name no key to tell rows apart by.",
                "Name the key: key: [id].",
            )
        rules = rules_of(plan, source, source.key if key else ())
        if plan.cursor is not None and (refused := source.refused_cursor(plan.cursor)) is not None:
            raise refused
        cursor = cursor_of(plan, source.schema, has_key=bool(key))
        if cursor is not None:
            check_lookback(plan, cursor, source)
        if cursor is not None and not key:
            changes.own_name(cursor.column, _KEYLESS_CURSOR)
        return cls(
            plan=plan,
            source=source,
            target=target,
            request=request,
            log=log,
            changes=changes,
            key=key,
            cursor=cursor,
            writes=BookmarkedWrites(
                plan=plan,
                source=source,
                target=target,
                log=log,
                changes=changes,
                key=key,
                rules=rules,
                signature=signature_of(
                    plan,
                    source.key,
                    cursor,
                    changes.mask_key,
                    {**rules, **digest_rules(plan, source.schema)},
                ),
                run_id=request.run_id,
                measured=measured_columns(request.measured, changes),
                guard=SourceGuard(plan, source, log, accepts_new=request.full_reload),
            ),
        )

    def run(self) -> LoadReport:
        refuse_collisions(
            self.plan, self.source, enforces_keys=self.target.capabilities.enforces_keys
        )
        self.target.prepare(self.plan.target)
        again = (BookmarkMovedError, SourceChangedError)
        what = self._until_bookmark_holds(self._bring_up_to_date, "loaded", again)
        if self.cursor is not None:
            back_fill = BackFill(self.writes, self.cursor)
            filled = self._until_bookmark_holds(lambda: back_fill.run(self._bookmark()), "filled")
            what += f"; {filled}" if filled else ""
        gone = None
        if self.plan.delete is not OnDelete.IGNORE:
            gone = self._until_bookmark_holds(self._compare_keys, "compared")
        bookmark = self._bookmark()
        if (why := standing_still.of(bookmark)) is not None:
            self.log.warning("%s may be behind: %s", self.plan.target, why)
        schema = self.changes.written(self.source.schema.select(self.changes.read))
        return LoadReport(self.plan, what, tuple(self.writes.done), bookmark, schema, gone)

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

    # ---- what is to be read ----

    def _bring_up_to_date(self) -> str:
        bookmark = self.target.bookmark(self.plan.target)
        another = self.writes.guard.begin(bookmark)
        if self.plan.mode is Mode.PARTITION:
            return self._partitions(bookmark, another)
        if self.plan.mode is Mode.REPLACE:
            self.writes.replace_all(bookmark)
            return "the whole table" + (f"; {another}" if another else "")
        exists = self.target.schema_of(self.plan.target) is not None
        why = self._why_from_the_start(bookmark, exists=exists) or another
        if why is None and bookmark is not None:
            why = self.writes.guard.renumbered(self.cursor, bookmark)
        reached = HighWaterMark(None)
        if self.cursor is not None:
            reached = self.source.highest(self.cursor)
            self.writes.lasting = standing_still.facts_of(self.cursor, reached, bookmark)
        if why is None and bookmark is not None:
            if bookmark.loading is not None:
                return self._go_on(bookmark, bookmark.loading)
            try:
                return self._onwards(bookmark, reached)
            except SchemaDriftError as error:
                if self.plan.on_schema_change is not OnSchemaChange.REBUILD:
                    raise
                self.log.info("%s is rebuilt: %s", self.plan.target, error.what)
            self.writes.replace_all(bookmark, up_to=self._text(reached.value))
            return "the whole table, because its columns cannot be changed in place"
        if self.request.start_from is not None:
            raise ConfigurationError(
                f"{self.plan.target} cannot be loaded from {self.request.start_from} on: {why}.",
                "Leave start_from out, so that all of it is loaded.",
            )
        self.log.info("Loading all of %s: %s.", self.plan.source, why)
        # Into a table that readers use, a full load is one transaction: half of it is no use to them.
        is_free = not exists or self.target.is_empty(self.plan.target)
        if is_free and (column := self._chunk_column()) is not None:
            return self._in_chunks(column, bookmark, self._text(reached.value))
        self.writes.replace_all(bookmark, up_to=self._text(reached.value))
        return f"the whole table, because {why}"

    def _partitions(self, bookmark: Bookmark | None, another: str | None) -> str:
        settings, slice_of = self.plan.partitions, self.request.partitions
        if settings is None or slice_of is None:
            raise ConfigurationError(
                f"{self.plan.source} is partitioned, and the run names no partition.",
                "Launch it for one partition or a range of them.",
            )
        name = self.changes.own_name(settings.column, "what the table is partitioned by")
        part = slice_of(settings.column)
        try:
            self.writes.write(
                bookmark, part, self.writes.request(WriteMode.REPLACE, slice_of(name))
            )
        except RowsOutsideSliceError as error:
            raise self._spelled_otherwise(error, settings.column) from None
        if another is None:
            return f"the rows of {part}"
        return f"the rows of {part}; all other partitions are still of the source of before, for now {another}"

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
        if bookmark.signature != self.writes.signature:
            changed = key_rules.change(bookmark.facts.get("key_rules"), self.writes.rules)
            if changed is not None:
                return changed
            return "its columns, key, cursor or condition were changed in the settings"
        return None

    def _onwards(self, bookmark: Bookmark, reached: HighWaterMark) -> str:
        """The rows from the bookmark on; all of them for a merge without a cursor."""
        if self.cursor is None:
            self.writes.write(bookmark, WholeTable(), self.writes.request(WriteMode.MERGE))
            return "all rows, by key"
        start = self.request.start_from or bookmark.cursor_value
        value, committed = self.cursor.value(start), self.cursor.value(bookmark.cursor_value)
        beyond = self._beyond(self.cursor, reached)
        note = ""
        if self.request.start_from is None and reached.is_behind(committed):
            if (done := self._set_back(self.cursor, bookmark, reached)) is not None:
                return done
            note = f", though the highest value is {self._text(reached.value)} now"
        elif reached.value is None and committed is not None:
            note = ", though the source has no value now"
        if self.key:
            self._merge(self.cursor, bookmark, value, reached, beyond)
            return f"rows from the bookmark {start} on, by key{note}"
        both = self._both_sides(self.cursor)
        begin = both.start(value, self.log)
        cursor = self.cursor.without_lookback()
        part = cursor.from_bookmark(
            begin.value, up_to=reached.value, after=begin.after, beyond=beyond
        )
        replaced = cursor.replaced(begin.value, both.name, after=begin.after)
        self.writes.write(
            bookmark,
            part,
            self.writes.request(WriteMode.REPLACE, replaced),
            up_to=self._further(reached.value, committed),
        )
        return f"rows from the bookmark {start} on{note}"

    def _merge(
        self,
        cursor: Cursor,
        bookmark: Bookmark,
        start: Value | None,
        reached: HighWaterMark,
        beyond: Value | None,
    ) -> None:
        final = reached.is_final and self.plan.lookback is None
        part = (cursor.without_lookback() if final else cursor).from_bookmark(
            start, up_to=reached.value, after=final, beyond=beyond
        )
        moved = self._further(reached.value, cursor.value(bookmark.cursor_value))
        self.writes.write(bookmark, part, self.writes.request(WriteMode.MERGE), up_to=moved)

    def _beyond(self, cursor: Cursor, reached: HighWaterMark) -> Value | None:
        """Beyond which value rows lie that every load reads and no bookmark is made of."""
        if reached.server_clock is not None:
            self.log.warning(
                'The highest "%s" of %s is %s, beyond the server\'s clock: rows beyond %s are read by every load, '
                "and the bookmark stays below them.",
                cursor.column,
                self.plan.source,
                cursor.text(reached.furthest),
                cursor.text(reached.server_clock),
            )
        return reached.server_clock

    def _set_back(self, cursor: Cursor, bookmark: Bookmark, reached: HighWaterMark) -> str | None:
        def reload(up_to: str | None) -> None:
            if self.key:
                merge = self.writes.request(WriteMode.MERGE)
                self.writes.write(bookmark, WholeTable(), merge, up_to=up_to)
            else:
                self.writes.replace_all(bookmark, up_to=up_to)

        both = None if self.key else self._both_sides(cursor)
        value = bookmark.cursor_value or ""
        return set_back(self.plan, cursor, reached, value, self.log, both, reload)

    def _both_sides(self, cursor: Cursor) -> BothSides:
        name = self.changes.own_name(cursor.column, _KEYLESS_CURSOR)
        return BothSides(self.source, self.target, self.plan.target, cursor, name)

    def _further(self, *values: Value | None) -> str | None:
        """A bookmark never moves back, also where the source's newest rows were deleted."""
        there: list[Any] = [value for value in values if value is not None]
        return self._text(max(there, default=None))

    # ---- a large first load ----

    def _chunk_column(self) -> ChunkColumn | None:
        """What to cut a first load by; `None` where it is small enough for one transaction."""
        estimate = max(self.source.estimated_rows() or 0, 0)
        if 0 < estimate <= self.plan.chunk_rows:
            return None
        found = chunk_column(self.plan, self.source, self.changes)
        if not estimate:  # a view, or a server that has not counted yet
            whole = found and self.source.chunk_end(
                found.name, found.chunk(None, None), self.plan.chunk_rows
            )
            return None if whole is None else found
        if found is None:
            self.log.info(
                "%s has about %s rows and no key of numbers or times to cut it by: it is loaded in one "
                "transaction. Name a chunk_column to load it in chunks.",
                self.plan.source,
                f"{estimate:,}",
            )
        return found

    def _in_chunks(
        self,
        column: ChunkColumn,
        bookmark: Bookmark | None,
        up_to: str | None,
        start: Any | None = None,
        *,
        includes_start: bool = False,
    ) -> str:
        """Commit the table a range at a time, each with the place where the next one starts."""
        name = self.changes.own_name(column.name, "what chunks are cut by")
        chunks = 0
        while True:
            rest = column.chunk(start, None, includes_start=includes_start)
            end = column.checked(self.source.chunk_end(column.name, rest, self.plan.chunk_rows))
            if end is not None and end == start and not includes_start:
                raise TranshipError(
                    f"{self.plan.source} has rows beyond {column.name} {column.text(start)} of that same value, "
                    "so no place to cut its first load at was found.",
                    "Name another chunk_column, or a chunk_rows as large as the table.",
                )
            part = column.chunk(start, end, includes_start=includes_start)
            bookmark = self.writes.write(
                bookmark,
                part,
                self.writes.request(WriteMode.REPLACE, replace(part, column=name)),
                up_to=up_to,
                loading=None if end is None else {"column": column.name, "after": column.text(end)},
            )
            chunks += 1
            if end is None:
                return f"the whole table for the first time, in {chunks} chunks of {column.name}"
            self.log.info("Loaded %s up to %s %s.", self.plan.source, column.name, end)
            start, includes_start = end, False

    def _go_on(self, bookmark: Bookmark, loading: Mapping[str, Any]) -> str:
        """Go on with a first load that was stopped between two chunks."""
        column = chunk_column(self.plan, self.source, self.changes, loading["column"])
        if column is None:
            raise ConfigurationError(
                f"The first load of {self.plan.source} cannot go on.", "Run it with full_reload."
            )
        # Until chunks ended with a value that rows have, the place was kept where the next one begins.
        includes_start = "next" in loading
        place = loading["next"] if includes_start else loading["after"]
        self.log.info("Going on with %s from %s %s.", self.plan.source, column.name, place)
        start = column.value(place)
        return self._in_chunks(
            column, bookmark, bookmark.cursor_value, start, includes_start=includes_start
        )

    def _compare_keys(self) -> Gone:
        return compare_keys(
            self.writes, self.cursor, self._bookmark, allows_all=self.request.allow_deletes
        )

    def _text(self, value: Value | None) -> str | None:
        return self.cursor.text(value) if self.cursor else None
