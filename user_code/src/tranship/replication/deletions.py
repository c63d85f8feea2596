"""Rows that are gone from the source, and rows that the copy lacks: found by comparing all keys after a load.

A load by cursor never sees a deletion. So the source's keys are written to a table beside the target and compared with
it on the server; no key is held in memory here. What looks gone is asked for a second time before anything is done: one
scan may pass over a row that moves. More than a share of the copy never goes at once: an empty read, a wrong condition or
another table looks like deletions, too. Rows that an earlier read passed over are loaded by their key.
"""

import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any

import pyarrow as pa

from tranship.bookmarks import Bookmark, BookmarkMovedError
from tranship.cursors import Cursor
from tranship.errors import ConfigurationError, TranshipError
from tranship.frames import Batches
from tranship.replication.columns import DELETED_AT
from tranship.replication.config import parse_share
from tranship.replication.history import FollowedHistory
from tranship.replication.keys import (
    MOST_KEYS_LOOKED_UP,
    can_be_looked_up,
    comparable_keys,
    slices_of_keys,
)
from tranship.replication.plan import OnDelete, TablePlan
from tranship.replication.writing import BookmarkedWrites
from tranship.slices import AllOf, Slice, WholeTable
from tranship.tables import TableName, TableSchema
from tranship.target import StagedKeys, Target, Transaction
from tranship.writes import Declared, OnSchemaChange, WriteMode, WriteRequest

ALWAYS_ALLOWED_ROWS = 5
"""In a table of ten rows, three that are gone are no alarm."""
_ALL = Decimal(100)
Keys = Sequence[tuple[Any, ...]]


class DeletionsStoppedError(TranshipError):
    """More rows look gone from the source than may go at once; none was marked or removed.

    What to do: Look whether the source is whole. Where the rows were deleted on purpose, run once with `allow_deletes`.
    """


@dataclass(frozen=True, slots=True)
class DeletionGuard:
    """The most that one load may mark or remove.

    Args:
        source: The table that is asked for its keys.
        target: Its copy.
        percent: The most, in percent of the copy's rows.
        policy: What would happen to the rows.
        allows_all: Whether the run was told that they were deleted on purpose.
    """

    source: TableName
    target: TableName
    percent: Decimal
    policy: OnDelete
    allows_all: bool = False

    @classmethod
    def of(cls, plan: TablePlan, *, allows_all: bool) -> "DeletionGuard":
        """The guard of a table.

        Args:
            plan: The table's plan.
            allows_all: Whether the run was told that rows were deleted on purpose.
        """
        percent = parse_share(plan.delete_guard, f"delete_guard of {plan.source}")
        return cls(plan.source, plan.target, percent, plan.delete, allows_all)

    def check(self, *, keys: int, rows: int, gone: int) -> None:
        """Let it pass, or not.

        Args:
            keys: Keys that the source has.
            rows: Rows of the copy that are not marked.
            gone: How many of them are not among the keys.

        Raises:
            DeletionsStoppedError: It is too much; the message has the counts and what lets it pass once.
        """
        if self.allows_all or not gone:
            return
        done = "removed" if self.policy is OnDelete.REMOVE else "marked"
        if not keys:
            raise self._stopped(
                f"{self.source} gave no key at all, and {self.target} has {rows:,} rows; none was {done}."
            )
        if gone > ALWAYS_ALLOWED_ROWS and gone * _ALL > rows * self.percent:
            raise self._stopped(
                f"{gone:,} of the {rows:,} rows of {self.target} are not in {self.source} any more "
                f"({gone * _ALL / rows:.1f}%), and delete_guard is {self.percent.normalize():f}%; none was {done}."
            )

    def _stopped(self, what: str) -> DeletionsStoppedError:
        return DeletionsStoppedError(
            what,
            "All else was loaded. If they were deleted on purpose, launch the load once with the configuration "
            "allow_deletes: true; if a load is to let more rows go as a rule, raise delete_guard.",
        )


@dataclass(frozen=True, slots=True)
class DetectedDeletes:
    """What comparing the keys found.

    Args:
        keys: Keys that the source has.
        rows: Rows that were marked or removed now.
        returned: Rows that were marked and are in the source again.
        missed: Rows that the first look did not show and the second one did.
        lacking: Keys that the copy has no row for, up to a number.
        brought_back: Rows of those that are not new, and were loaded by their key.
    """

    keys: int
    rows: int
    returned: int = 0
    missed: int = 0
    lacking: Keys = field(default=(), compare=False, repr=False)
    brought_back: int = 0


@dataclass(slots=True)
class _Progress:
    """What was seen and done so far; anew with each repetition of a transaction."""

    write_id: str = ""
    gone: int = 0
    suspects: Keys = ()
    rows: int = 0
    returned: int = 0
    lacking: Keys = ()


@dataclass(slots=True)
class DeleteDetection:
    """One comparison of a copy's keys with those of its source.

    Args:
        target: Where the table is.
        table: The table.
        key: The key columns, as they are called in the target's data.
        keys_of: Reads the source's keys, in columns of these names: all of them, or those of a slice.
        lookups: Makes slices of the source that hold the rows of some keys; `None` where it cannot be
            asked by key.
        guard: How much may go at once.
        log: Where it is told.
        loaded: The write that the bookmark was of before the keys are read.
        history: The table's history, which what is done here goes into.
    """

    target: Target
    table: TableName
    key: Sequence[str]
    keys_of: Callable[[Slice], Batches]
    lookups: Callable[[Keys], list[Slice]] | None
    guard: DeletionGuard
    log: logging.Logger
    loaded: str
    history: FollowedHistory | None = None
    _progress: _Progress = field(default_factory=_Progress)

    def run(self) -> DetectedDeletes:
        """Mark or remove the rows whose key is not among the source's, at a second look either.

        Raises:
            BookmarkMovedError: Another run loaded or compared the table since the keys were read.
            DeletionsStoppedError: More rows look gone than may go at once; nothing was marked or removed.
            TranshipError: The keys cannot be read or written; the table is as it was.
        """
        keys = self.keys_of(WholeTable())
        rules = TableSchema.from_arrow(keys.schema).equalities(self.key)
        mark = DELETED_AT.name if self.guard.policy is OnDelete.MARK else None
        compared = self.target.staged_keys(self.table, tuple(self.key), rules, mark)
        if self.history is not None:
            compared = self.history.keys(compared)
        refuse_a_copy(self.target, self.table, compared.table)
        # Made anew where the key is another one than it was, and without a key of its own: a look may show a row twice.
        replace_keys = WriteRequest(
            compared.table,
            on_schema_change=OnSchemaChange.REBUILD,
            declared=Declared(key=tuple(self.key)),
        )
        first = self.target.write(
            replace_keys, keyless(keys), self.log, partial(self._first_look, compared)
        )
        self.loaded = self._progress.write_id
        if self._progress.gone:
            append = WriteRequest(compared.table, mode=WriteMode.APPEND)
            again = keyless(self._look_again())
            self.target.write(append, again, self.log, partial(self._second_look, compared))
        progress = self._progress
        if self.history is not None:
            self.history.committed()
        return DetectedDeletes(
            first.rows,
            progress.rows,
            progress.returned,
            missed=progress.gone - progress.rows,
            lacking=tuple(progress.lacking),
        )

    def _first_look(self, keys: StagedKeys, transaction: Transaction) -> None:
        """Count what looks gone; where nothing does, that was all."""
        self._progress = _Progress(self._take_turn(transaction))
        keys.respell(transaction)
        suspects = keys.count_deleted(transaction)
        self.guard.check(
            keys=keys.count(transaction), rows=keys.count_rows(transaction), gone=suspects
        )
        self._progress.gone = suspects
        if not suspects:
            self._finish(keys, transaction)
        elif suspects <= MOST_KEYS_LOOKED_UP:
            self._progress.suspects = keys.deleted(transaction)

    def _look_again(self) -> Batches:
        """The keys of the rows that look gone, as the source has them now; all keys where it cannot be asked so."""
        self.log.info(
            "%s rows of %s look gone from the source; it is asked a second time.",
            f"{self._progress.gone:,}",
            self.table,
        )
        if self.lookups is not None and self._progress.suspects:
            try:
                streams = [self.keys_of(part) for part in self.lookups(self._progress.suspects)]
            except ConfigurationError as error:  # values that the source's columns cannot have
                self.log.debug("Looking at all keys instead: %s", error)
            else:
                return _together(streams)
        return self.keys_of(WholeTable())

    def _second_look(self, keys: StagedKeys, transaction: Transaction) -> None:
        """Do what is to be done to the rows that are not among the keys now either."""
        self._take_turn(transaction)
        keys.respell(transaction)
        self._progress.rows = keys.remove_deleted(transaction)
        self._finish(keys, transaction)

    def _finish(self, keys: StagedKeys, transaction: Transaction) -> None:
        """Take back marks of rows that are in the source, note what the copy lacks, and let the keys go."""
        self._progress.returned = keys.unmark(transaction)
        self._progress.lacking = keys.lacking(transaction, MOST_KEYS_LOOKED_UP + 1)
        keys.clear(transaction)
        if self.history is not None:
            self.history.follow_all(transaction)

    def _take_turn(self, transaction: Transaction) -> str:
        """Make sure that nobody loaded the table since; gives the write that the bookmark is of from now on."""
        turn = None if self.history is None else self.history.turn
        return take_turn(self.target, self.table, transaction, self.loaded, turn).write_id


def take_turn(
    target: Target,
    table: TableName,
    transaction: Transaction,
    loaded: str,
    turn: TableName | None = None,
) -> Bookmark:
    """Make sure that nobody loaded or compared a table since, and that nobody else goes on with the keys beside it.

    Args:
        target: Where the table is.
        table: The table.
        transaction: The one that writes the keys, or what they lead to.
        loaded: The write that the bookmark was of before the keys were read.
        turn: The table whose turn it is, where that is another one.

    Returns:
        The bookmark, of another write from now on.

    Raises:
        BookmarkMovedError: Somebody did.
    """
    target.lock(transaction, turn or table)
    places = target.bookmarks(table)
    bookmark = places.read(transaction, target.table_name(table))
    # Rows that another run brought since would look as if they were gone.
    if bookmark is None or bookmark.write_id != loaded:
        raise BookmarkMovedError(
            f"{table} was loaded while its keys were read; no row was removed.",
            "Run the load again; a pool with one slot keeps loads of one table apart.",
        )
    moved = replace(bookmark, write_id=uuid.uuid4().hex)
    places.move(transaction, moved, expected_write_id=bookmark.write_id)
    return moved


def refuse_a_copy(target: Target, table: TableName, beside: TableName) -> None:
    """Never write keys over rows: a table of the source may be called as the table of keys is.

    Raises:
        ConfigurationError: The table beside a copy is another copy.
    """
    own_bookmark = target.bookmark_if_kept(beside)
    if own_bookmark is not None:
        raise ConfigurationError(
            f"The keys of {table} are written to {beside}, which is a copy of {own_bookmark.source}: it was not touched.",
            f"Give that copy another name (target:), then drop {beside} and forget its bookmark.",
        )


def keyless(keys: Batches) -> Batches:
    """The same keys, for a table that has no key itself."""
    schema = replace(TableSchema.from_arrow(keys.schema), primary_key=()).to_arrow()

    def opened() -> Iterator[pa.RecordBatch]:
        for batch in keys.open():
            yield batch.replace_schema_metadata(schema.metadata)

    return replace(keys, schema=schema, open=opened)


def _together(several: Sequence[Batches]) -> Batches:
    """Several streams of one schema as one."""

    def opened() -> Iterator[pa.RecordBatch]:
        for batches in several:
            yield from batches.open()

    return replace(several[0], open=opened)


def detect_deletes(
    writes: BookmarkedWrites,
    cursor: Cursor | None,
    current: Callable[[], Bookmark],
    *,
    allows_all: bool,
) -> DetectedDeletes:
    """Compare the copy's keys with those of the source, and make good what differs.

    Args:
        writes: The load's writes.
        cursor: What the load follows.
        current: Gives the bookmark as it is.
        allows_all: Whether the run was told that the rows were deleted on purpose.

    Raises:
        BookmarkMovedError: Another run loaded the table meanwhile; the comparison has to begin again.
        DeletionsStoppedError: More rows look gone than may go at once.
        TranshipError: Keys cannot be read or written.
    """
    return _Deletes(writes, cursor, current).run(allows_all=allows_all)


@dataclass(frozen=True, slots=True)
class _Deletes:
    writes: BookmarkedWrites
    cursor: Cursor | None
    current: Callable[[], Bookmark]

    def run(self, *, allows_all: bool) -> DetectedDeletes:
        writes, plan = self.writes, self.writes.plan
        guard = DeletionGuard.of(plan, allows_all=allows_all)
        detection = DeleteDetection(
            target=writes.target,
            table=plan.target,
            key=writes.key,
            keys_of=self._keys_of,
            lookups=self._lookups if self._can_be_looked_up else None,
            guard=guard,
            log=writes.log,
            loaded=self.current().write_id,
            history=writes.history,
        )
        deletes = detection.run()
        if deletes.rows or deletes.returned or deletes.missed:
            writes.log.info(
                "%s: %d rows are gone from the source (%s), %d came back; %d more looked gone and are there.",
                plan.target, deletes.rows, plan.delete, deletes.returned, deletes.missed,
            )  # fmt: skip
        return replace(deletes, brought_back=self._bring_back(deletes.lacking))

    @property
    def _can_be_looked_up(self) -> bool:
        return can_be_looked_up(
            self.writes.changes, self.writes.source.schema, self.writes.source.key
        )

    def _keys_of(self, part: Slice) -> Batches:
        writes = self.writes
        keys = replace(writes.changes, read=writes.source.key, marks_deleted=False)
        read = writes.source.read(writes.source.key, part, log=writes.log)
        return writes.guard.confirmed(
            keys.applied(comparable_keys(read, writes.rules, writes.plan))
        )

    def _lookups(self, rows: Sequence[tuple[Any, ...]]) -> list[Slice]:
        return slices_of_keys(self.writes.source.schema, self.writes.source.key, rows)

    def _bring_back(self, lacking: Sequence[tuple[Any, ...]]) -> int:
        """Load the rows that lie at or below the bookmark and are not in the copy: no later load would."""
        if self.cursor is None or not lacking or not self._can_be_looked_up:
            return 0
        bookmark, writes = self.current(), self.writes
        value = self.cursor.value(bookmark.cursor_value)
        if value is None:
            return 0
        if len(lacking) > MOST_KEYS_LOOKED_UP:
            writes.log.warning(
                "More than %s keys of %s are not in its copy. Those that are new come with the next load; if the check of "
                "the row count finds that others are missing, run a load with full_reload.",
                f"{MOST_KEYS_LOOKED_UP:,}", writes.plan.source,
            )  # fmt: skip
            return 0
        not_new = self.cursor.up_to(value)
        brought = 0
        for looked_up in self._lookups(lacking):
            part = AllOf((looked_up, not_new))
            if not writes.source.count(part):
                continue
            merge = writes.request(WriteMode.MERGE)
            bookmark = writes.write(bookmark, part, merge, up_to=bookmark.cursor_value)
            brought += writes.done[-1].rows
        if brought:
            writes.log.warning(
                "%s lacked %d rows that are not new in %s: an earlier read had passed over them. They are loaded.",
                writes.plan.target, brought, writes.plan.source,
            )  # fmt: skip
        return brought
