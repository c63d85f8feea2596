"""Writes rows and the bookmark they lead to in one transaction, and finds out what became of a lost answer."""

import hashlib
import hmac
import json
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field, replace
from typing import Any

from tranship.bookmarks import Bookmark
from tranship.cursors import Cursor
from tranship.equality import Rules
from tranship.errors import DuplicateRowsError, SchemaDriftError, TranshipError
from tranship.frames import Batches
from tranship.replication.bookmark_facts import (
    PendingBackfill,
    backfill_after_write,
    declared_key,
    written_facts,
)
from tranship.replication.column_statistics import MeasuredBatches
from tranship.replication.columns import DELETED_AT, ColumnChanges
from tranship.replication.guard import SourceGuard
from tranship.replication.history import FollowedHistory
from tranship.replication.keys import comparable_keys, names_of_rules
from tranship.replication.marked_rows import MarkedRows
from tranship.replication.plan import FollowedChanges, OnDelete, TablePlan
from tranship.slices import Slice, WholeTable
from tranship.source import Source
from tranship.tables import TableName, TableSchema
from tranship.target import Target, Transaction
from tranship.writes import Declared, Extra, OnSchemaChange, WriteMode, WriteRequest, WriteResult


@dataclass(slots=True)
class BookmarkedWrites:
    """The writes of one load.

    Args:
        plan: The table.
        source: Where its rows come from.
        target: Where they go.
        log: Where it is told what was done.
        changes: What happens to the columns on the way.
        key: The columns that identify a row, as the target's data calls them.
        rules: How the source compares the key's texts, by the source's names.
        signature: What the rows depend on.
        run_id: The run, for the bookmark.
        measured: Columns to measure, for the checks.
        guard: Holds the load to one source.
        history: The table's history, where one is kept.
        lasting: What every bookmark of this load says beside the rest.
        done: What was written so far.
    """

    plan: TablePlan
    source: Source
    target: Target
    log: logging.Logger
    changes: ColumnChanges
    key: tuple[str, ...]
    rules: Rules
    signature: str
    run_id: str | None
    measured: tuple[str, ...]
    guard: SourceGuard
    history: FollowedHistory | None = None
    lasting: dict[str, Any] = field(default_factory=dict)
    done: list[WriteResult] = field(default_factory=list)

    def replace_all(self, bookmark: Bookmark | None, up_to: str | None = None) -> None:
        """Load everything anew, and the columns too where the settings ask for others since the last load.

        Rows that are marked as gone stay: no source can give them again.
        """
        marked = self.marked
        if marked.stay(bookmark, self.signature, self.log):
            merge = replace(self.request(WriteMode.MERGE), marks_absent=DELETED_AT.name)
            try:
                self._replace(bookmark, merge, up_to)
            except SchemaDriftError as error:
                is_rebuilt = self.plan.on_schema_change is OnSchemaChange.REBUILD
                if not is_rebuilt and bookmark and bookmark.signature == self.signature:
                    raise
                schema = self.target.schema_of(self.plan.target) or TableSchema(())
                marked.tell_lost(
                    schema, f"columns cannot be changed in place ({error.what})", self.log
                )
            else:
                return
        self._replace(bookmark, self.request(WriteMode.REPLACE), up_to)

    @property
    def marked(self) -> MarkedRows:
        """The copy's rows that are marked as gone."""
        return MarkedRows(self.plan, self.source, self.target, self.changes, self.key, self.rules)

    def _replace(self, bookmark: Bookmark | None, request: WriteRequest, up_to: str | None) -> None:
        try:
            self.write(bookmark, WholeTable(), request, up_to=up_to)
        except SchemaDriftError as error:
            if bookmark is None or bookmark.signature == self.signature:
                raise
            left = tuple(drift.column for drift in error.drifts if drift.incoming is None)
            self.log.info("The settings of %s were changed: %s", self.plan.source, error.what)
            request = replace(request, on_schema_change=OnSchemaChange.EVOLVE)
            self.write(bookmark, WholeTable(), request, up_to=up_to, leaves_out=left)

    @property
    def turn(self) -> TableName:
        """The table whose turn a load takes."""
        return self.plan.target if self.history is None else self.history.turn

    def request(self, mode: WriteMode, part: Slice | None = None) -> WriteRequest:
        """What is to be written, of a part of the target or all of it."""
        return WriteRequest(
            self.plan.target,
            mode=mode,
            slice=part or WholeTable(),
            key=self.key,
            on_schema_change=self.plan.on_schema_change,
        )

    def write(
        self,
        bookmark: Bookmark | None,
        part: Slice,
        request: WriteRequest,
        *,
        up_to: str | None = None,
        loading: dict[str, Any] | None = None,
        leaves_out: Sequence[str] = (),
        filled: tuple[PendingBackfill | None] | None = None,
        rows: Batches | None = None,
        also: Callable[[Transaction], None] | None = None,
    ) -> Bookmark:
        """Write rows and the bookmark they lead to in one transaction, and drop the columns that are left out.

        Args:
            bookmark: The one that the load started from.
            part: The rows of the source.
            request: Where they go, and how.
            up_to: The bookmark's value.
            loading: How far an unfinished first load is.
            leaves_out: Columns that the table loses.
            filled: What old rows lack after this write of a back-fill; by itself, each write finds out.
            rows: The rows as the target gets them, each key once, where they were read already.
            also: What else is done in the transaction, after the rows.
        """
        read = _Reads(self, part, given=rows)
        new = self._bookmark(up_to, loading)
        request = replace(request, declared=self._declared(bookmark, request, read))
        lasting = {**self.lasting, **self._columns_facts(bookmark, part, read, filled)}
        history = self.history
        if history is not None:
            history.prepare(bookmark)

        def move(transaction: Transaction) -> None:
            if history is not None:
                history.begin(bookmark)
            if history is None or not history.is_alone:
                self.target.drop_columns(transaction, request.table, leaves_out)
            if also is not None:
                also(transaction)
            facts = {**self._facts_of(request, read), **lasting}
            self._move(transaction, bookmark, replace(new, facts=facts), request)

        result, committed = self._written(request, read, new.write_id, move)
        if history is not None:
            history.committed(committed)
        self.done.append(result)
        return new

    def _written(
        self, request: WriteRequest, read: "_Reads", write_id: str, move: Extra
    ) -> tuple[WriteResult, Bookmark | None]:
        """What a write did; with its bookmark where that had to tell."""
        written = request
        if self.history is not None:
            written = self.history.written(
                request, TableSchema.from_arrow(read.stream.source.schema)
            )
        try:
            result = read.once_or_in_order(
                lambda batches: self.target.write(written, batches, self.log, move)
            )
            place = replace(result, table=request.table, mode=request.mode, slice=request.slice)
            return (result if written is request else place), None
        except TranshipError:
            # The answer to a COMMIT can be lost; the bookmark tells whether it was made.
            committed = self._committed(write_id)
            if committed is None:
                raise
            return self._result_of(committed, request, read), committed

    def _move(
        self,
        transaction: Transaction,
        bookmark: Bookmark | None,
        new: Bookmark,
        request: WriteRequest,
    ) -> None:
        """Let the history follow what was written, and put the bookmark that it leads to in the place of the old one."""
        # An unfinished first load enters the history as one, with its last chunk.
        history = self.history
        if history is not None and (history.is_alone or new.loading is None):
            followed = history.follow(transaction, bookmark, request)
            new = replace(new, facts={**new.facts, **followed})
        self.target.bookmarks(self.plan.target).move(
            transaction, new, expected_write_id=bookmark.write_id if bookmark else None
        )

    def _bookmark(self, up_to: str | None, loading: dict[str, Any] | None) -> Bookmark:
        """What a write leaves, before it is known what it wrote."""
        return Bookmark(
            table=self.target.table_name(self.plan.target),
            source=str(self.plan.source),
            mode=str(self.plan.mode),
            signature=self.signature,
            write_id=uuid.uuid4().hex,
            cursor_column=self.plan.cursor,
            cursor_value=up_to,
            loading=loading,
            run_id=self.run_id,
            identity=self.guard.identity,
        )

    def _declared(
        self, bookmark: Bookmark | None, request: WriteRequest, read: "_Reads"
    ) -> Declared:
        """What the source's key was at the last load, and whether rows of this one may come twice."""
        may_be_double = (
            bool(_written_key(request, read))
            and not self.target.capabilities.enforces_keys
            and not read.is_of_one_moment
        )
        return Declared(declared_key(bookmark), may_be_double)

    def _columns_facts(
        self,
        bookmark: Bookmark | None,
        part: Slice,
        read: "_Reads",
        filled: tuple[PendingBackfill | None] | None,
    ) -> dict[str, Any]:
        """Which columns are written, and which old rows lack."""
        names = read.stream.source.schema.names
        pending = filled[0] if filled else self._pending(bookmark, part, names)
        return {**written_facts(names), **(pending.as_facts() if pending else {})}

    def _facts_of(self, request: WriteRequest, read: "_Reads") -> dict[str, Any]:
        """What a bookmark says of the write that left it."""
        facts: dict[str, Any] = {
            **self.marked.facts,
            "rows": read.stream.rows,
            "slice": str(request.slice),
            "columns": read.stream.statistics(),
            "key": _written_key(request, read),
        }
        if self.rules:
            facts["key_rules"] = names_of_rules(self.rules)
        return facts

    def _result_of(self, committed: Bookmark, request: WriteRequest, read: "_Reads") -> WriteResult:
        """The result of a write whose answer was lost, of what its bookmark says."""
        self.log.warning("The %s was committed, although its answer was lost.", request)
        return WriteResult(
            request.table,
            request.mode,
            request.slice,
            int(committed.facts["rows"]),
            0,
            0.0,
            TableSchema.from_arrow(read.stream.source.schema),
            {"commit": "confirmed by the bookmark"},
        )

    def note(self, bookmark: Bookmark, pending: PendingBackfill) -> None:
        """Let the bookmark say what old rows lack, without writing a row."""
        table = self.plan.target
        noted = replace(
            bookmark,
            write_id=uuid.uuid4().hex,
            run_id=self.run_id,
            facts={**bookmark.facts, **pending.as_facts()},
        )
        with self.target.transaction(f"noting the new columns of {table}") as cursor:
            self.target.lock(cursor, self.turn)
            self.target.bookmarks(table).move(cursor, noted, expected_write_id=bookmark.write_id)

    def _pending(
        self, bookmark: Bookmark | None, part: Slice, names: Sequence[str]
    ) -> PendingBackfill | None:
        """What old rows lack once these columns are written; nothing where all rows are read."""
        if isinstance(part, WholeTable) or not (self.plan.cursor or self.plan.partitions):
            return None
        pending = backfill_after_write(bookmark, names, self.names_in_table)
        if pending is None or self.plan.partitions is None:
            return pending
        self.log.warning(
            "%s is new in %s: other partitions keep null in it until they are loaded again.",
            ", ".join(pending.columns),
            self.plan.target,
        )
        return None

    def names_in_table(self) -> set[str]:
        """The data's names of the columns that the table has."""
        schema = self.target.schema_of(self.plan.target)
        present = set(schema.names) if schema is not None else set[str]()
        written = self.changes.written(self.source.schema.select(self.changes.read))
        return {name for name in written.names if self.target.name(name) in present}

    def _committed(self, write_id: str) -> Bookmark | None:
        """The bookmark of a write, if it was committed."""
        try:
            bookmark = self.target.bookmark(self.plan.target)
        except TranshipError as error:
            self.log.warning("Whether the write was committed cannot be asked: %s", error)
            return None
        return bookmark if bookmark is not None and bookmark.write_id == write_id else None

    def rows(self, part: Slice, *, in_order: bool = False) -> Batches:
        """The source's rows as the target gets them."""
        return self.as_written(
            self.source.read(self.changes.read, part, log=self.log, in_order=in_order)
        )

    def as_written(self, rows: Batches) -> Batches:
        """Rows of the source as the target gets them, held to one source."""
        return self.guard.confirmed(
            self.changes.applied(comparable_keys(rows, self.rules, self.plan))
        )


@dataclass(slots=True)
class _Reads:
    """The reads of one write: one, or a second one where the first may have shown a row twice."""

    writes: BookmarkedWrites
    part: Slice
    given: Batches | None = None
    stream: MeasuredBatches = field(init=False)
    _one_moment: bool | None = None

    def __post_init__(self) -> None:
        rows = self.writes.rows(self.part) if self.given is None else self.given
        self.stream = MeasuredBatches(rows, self.writes.measured)
        if self.given is not None:
            self._one_moment = True  # each key comes once

    @property
    def is_of_one_moment(self) -> bool:
        """Whether no row can come twice, or be passed over, because it moves; asked of the source once."""
        if self._one_moment is None:
            self._one_moment = self.writes.source.sees_one_moment()
        return self._one_moment

    def once_or_in_order(self, write: Callable[[Batches], WriteResult]) -> WriteResult:
        """Write what is read; where a key comes twice that may not be twice in the source, read once more in its order.

        Raises:
            DuplicateRowsError: Rows have the same key, also when they are read in order.
        """
        try:
            return write(self.stream.batches())
        except DuplicateRowsError as error:
            if self.is_of_one_moment:
                raise
            self.writes.log.warning(
                "%s Rows of %s may have moved while they were read under read committed: they are read once more, in "
                "the order of the key.",
                error.what,
                self.writes.plan.source,
            )
        self.stream = MeasuredBatches(
            self.writes.rows(self.part, in_order=True), self.writes.measured
        )
        try:
            return write(self.stream.batches())
        except DuplicateRowsError as error:
            raise DuplicateRowsError(
                f"{error.what} It was read twice, the second time in the order of the key.",
                f"{error.remedy} To rule out that rows move while they are read, switch row versions on in the source, and set "
                "parallel to 1: alter database current set allow_snapshot_isolation on",
                details=error.details,
            ) from None


def _written_key(request: WriteRequest, read: _Reads) -> tuple[str, ...]:
    return request.key or TableSchema.from_arrow(read.stream.source.schema).primary_key


def signature_of(
    plan: TablePlan,
    key: tuple[str, ...],
    cursor: Cursor | None = None,
    mask_key: bytes = b"",
    rules: Rules | None = None,
) -> str:
    """What a table's rows depend on; where it changes, those that are there are of no use.

    Of the secret that values are hashed under, it has no more than any of the digests.

    Example:
        >>> from tranship.tables import TableName
        >>> plan = TablePlan(TableName("dbo", "A"), TableName("staging", "A"))
        >>> len(signature_of(plan, ("id",)))
        32
    """
    depends = {
        "source": str(plan.source),
        "key": key,
        "cursor": plan.cursor,
        "cursor_kind": cursor.nature if cursor else None,
        "where": plan.where,
        "columns": plan.columns.model_dump(),
        "mark": plan.delete is OnDelete.MARK,
        **({"delete_flag": astuple(plan.delete_flag)} if plan.delete_flag is not None else {}),
        # Not there where it was not before, so that copies keep the signature that they had.
        **({"changes": str(plan.changes)} if plan.changes is not FollowedChanges.CURSOR else {}),
        "mask_key": hmac.new(mask_key, b"signature", hashlib.sha256).hexdigest()
        if mask_key
        else None,
    }
    if rules:  # Keys that bytes tell apart keep the signature that they had.
        depends["rules"] = {name: rule.to_text() for name, rule in rules.items()}
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:32]


def measured_columns(wanted: bool | tuple[str, ...], changes: ColumnChanges) -> tuple[str, ...]:
    """The columns to measure, as the target calls them; masked ones are not comparable."""
    names = changes.read if wanted is True else (wanted or ())
    return tuple(
        name
        for column in names
        if column not in changes.settings.mask and (name := changes.target_name(column)) is not None
    )
