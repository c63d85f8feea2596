"""Rows that are gone from the source: found by comparing all keys, looked at twice, then marked or removed.

A load by cursor never sees a deletion. So the source's keys are written to a table beside the target and compared with
it on the server; no key is held in memory here. What looks gone is asked for a second time before anything is done: one
scan may pass over a row that moves. And more than a share of the copy never goes at once.
"""

import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pyarrow as pa

from tranship.bookmarks import BookmarkMovedError
from tranship.errors import ConfigurationError
from tranship.frames import Batches
from tranship.replication.columns import DELETED_AT
from tranship.replication.deletion_guard import DeletionGuard
from tranship.replication.plan import OnDelete
from tranship.replication.second_look import MOST_KEYS
from tranship.slices import Slice, WholeTable
from tranship.tables import TableName, TableSchema
from tranship.target import StagedKeys, Target, Transaction
from tranship.writes import Declared, OnSchemaChange, WriteMode, WriteRequest

Keys = Sequence[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Gone:
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
class _Found:
    """What was found so far; anew with each repetition of a transaction."""

    write_id: str = ""
    gone: int = 0
    suspects: Keys = ()
    rows: int = 0
    returned: int = 0
    lacking: Keys = ()


@dataclass(slots=True)
class KeyComparison:
    """One comparison of a copy's keys with those of its source.

    Args:
        target: Where the table is.
        table: The table.
        key: The key columns, as they are called in the target's data.
        keys_of: Reads the source's keys, in columns of these names: all of them, or those of a slice.
        questions: Makes slices of the source that hold the rows of some keys; `None` where it cannot be
            asked by key.
        guard: How much may go at once.
        log: Where it is told.
        loaded: The write that the bookmark was of before the keys are read.
    """

    target: Target
    table: TableName
    key: Sequence[str]
    keys_of: Callable[[Slice], Batches]
    questions: Callable[[Keys], list[Slice]] | None
    guard: DeletionGuard
    log: logging.Logger
    loaded: str
    _found: _Found = field(default_factory=_Found)

    def run(self) -> Gone:
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
        self._refuse_a_copy(compared.table)
        # Made anew where the key is another one than it was, and without a key of its own: a look may show a row twice.
        replace_keys = WriteRequest(
            compared.table,
            on_schema_change=OnSchemaChange.REBUILD,
            declared=Declared(key=tuple(self.key)),
        )
        first = self.target.write(
            replace_keys, _keyless(keys), self.log, partial(self._first_look, compared)
        )
        self.loaded = self._found.write_id
        if self._found.gone:
            append = WriteRequest(compared.table, mode=WriteMode.APPEND)
            again = _keyless(self._asked_again())
            self.target.write(append, again, self.log, partial(self._second_look, compared))
        found = self._found
        return Gone(
            first.rows,
            found.rows,
            found.returned,
            missed=found.gone - found.rows,
            lacking=tuple(found.lacking),
        )

    def _refuse_a_copy(self, beside: TableName) -> None:
        """Never write keys over rows: a table of the source may be called as the table of keys is."""
        copied = self.target.bookmark_if_kept(beside)
        if copied is not None:
            raise ConfigurationError(
                f"The keys of {self.table} are written to {beside}, which is a copy of {copied.source}: it was not "
                "touched.",
                f"Give that copy another name (target:), then drop {beside} and forget its bookmark.",
            )

    def _first_look(self, keys: StagedKeys, transaction: Transaction) -> None:
        """Count what looks gone; where nothing does, that was all."""
        self._found = _Found(self._take_turn(transaction))
        keys.respell(transaction)
        suspects = keys.count_deleted(transaction)
        self.guard.check(
            keys=keys.count(transaction), rows=keys.count_rows(transaction), gone=suspects
        )
        self._found.gone = suspects
        if not suspects:
            self._finish(keys, transaction)
        elif suspects <= MOST_KEYS:
            self._found.suspects = keys.deleted(transaction)

    def _asked_again(self) -> Batches:
        """The keys of the rows that look gone, as the source has them now; all keys where it cannot be asked so."""
        self.log.info(
            "%s rows of %s look gone from the source; it is asked a second time.",
            f"{self._found.gone:,}",
            self.table,
        )
        if self.questions is not None and self._found.suspects:
            try:
                asked = [self.keys_of(part) for part in self.questions(self._found.suspects)]
            except ConfigurationError as error:  # values that the source's columns cannot have
                self.log.debug("Looking at all keys instead: %s", error)
            else:
                return _together(asked)
        return self.keys_of(WholeTable())

    def _second_look(self, keys: StagedKeys, transaction: Transaction) -> None:
        """Do what is to be done to the rows that are not among the keys now either."""
        self._take_turn(transaction)
        keys.respell(transaction)
        self._found.rows = keys.remove_deleted(transaction)
        self._finish(keys, transaction)

    def _finish(self, keys: StagedKeys, transaction: Transaction) -> None:
        """Take back marks of rows that are in the source, note what the copy lacks, and let the keys go."""
        self._found.returned = keys.unmark(transaction)
        self._found.lacking = keys.lacking(transaction, MOST_KEYS + 1)
        keys.clear(transaction)

    def _take_turn(self, transaction: Transaction) -> str:
        """Make sure that nobody loaded or compared the table since, and that nobody else goes on with these keys.

        Returns:
            The write that the bookmark is of from now on.
        """
        self.target.lock(transaction, self.table)
        places = self.target.bookmarks(self.table)
        bookmark = places.read(transaction, self.target.table_name(self.table))
        # Rows that another run brought since would look as if they were gone.
        if bookmark is None or bookmark.write_id != self.loaded:
            raise BookmarkMovedError(
                f"{self.table} was loaded while its keys were read; no row was removed.",
                "Run the load again; a pool with one slot keeps loads of one table apart.",
            )
        moved = replace(bookmark, write_id=uuid.uuid4().hex)
        places.move(transaction, moved, expected_write_id=bookmark.write_id)
        return moved.write_id


def _keyless(keys: Batches) -> Batches:
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
