"""Keeps the history of a table beside its copy: in the transaction of each write that changes the copy, by what that has then.

So the history at a time is what the copy had at that time, and both say the same whatever happens to a load: rows, versions and
bookmark are there together, or none of them. Which keys may have changed is known of a merge; elsewhere all are looked at, as after a
load that kept no history.
"""

import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from typing_extensions import override

from tranship.bookmarks import Bookmark
from tranship.equality import Rules
from tranship.errors import ColumnDrift, ConfigurationError, SchemaDriftError
from tranship.frames import Batches
from tranship.history import HistoryNames, HistoryRequest, KeptHistory, Touched, Versions
from tranship.own_tables import states_table
from tranship.replication.columns import DELETED_AT, ColumnChanges
from tranship.replication.plan import Mode, OnDelete, TablePlan
from tranship.source import Source
from tranship.tables import Column, TableName, TableSchema
from tranship.target import StagedKeys, Target, Transaction
from tranship.writes import Declared, OnSchemaChange, WriteMode, WriteRequest

_FACT = "history"
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_NO_KEY = "so the states of one row cannot be told from those of another"


@dataclass(slots=True)
class FollowedHistory:
    """The history of one table, through one load.

    Args:
        plan: The table's plan.
        target: Where it is kept.
        kept: The history.
        table: Its table.
        key: What tells rows apart, as the target's data calls it.
        log: Where it is told.
        versions: What was done so far, in transactions that were committed.
    """

    plan: TablePlan
    target: Target
    kept: KeptHistory
    table: TableName
    key: tuple[str, ...]
    log: logging.Logger
    versions: Versions = field(default_factory=Versions)
    _pending: Versions = field(default_factory=Versions)
    _now: datetime = _BEFORE_ALL

    @classmethod
    def of(
        cls,
        plan: TablePlan,
        source: Source,
        target: Target,
        changes: ColumnChanges,
        rules: Rules,
        log: logging.Logger,
    ) -> "FollowedHistory | None":
        """The history that a plan asks for; `None` where it asks for none.

        Args:
            plan: The table's plan.
            source: The table.
            target: Where its copy is.
            changes: What happens to its columns on the way.
            rules: How the copy compares the key's texts.
            log: Where it is told.

        Raises:
            ConfigurationError: Nothing tells the table's rows apart, or the target keeps no history.
        """
        if plan.history is None:
            return None
        key = _key_of(plan, source, changes)
        names = replace(plan.history, table=target.fitting(plan.history.table))
        mark = DELETED_AT.name if plan.delete is OnDelete.MARK else None
        own = {changes.target_name(name) or name: rule for name, rule in rules.items()}
        kept = target.history(HistoryRequest(names, plan.target, key, own, mark))
        return cls(plan, target, kept, names.table, key, log)

    @property
    def is_alone(self) -> bool:
        """Whether it stands in the place of the copy."""
        return self.plan.history is not None and self.plan.history.instead_of_copy

    @property
    def turn(self) -> TableName:
        """The table whose turn a load takes: where rows are written first."""
        return self.states if self.is_alone else self.plan.target

    # ---- in the order of a write ----

    def written(self, request: WriteRequest, incoming: TableSchema) -> WriteRequest:
        """Where the rows of a write go: to the copy, or where they wait for the history that stands in its place.

        Args:
            request: The write to the copy.
            incoming: The columns of the rows.

        Raises:
            SchemaDriftError: The history does not have these columns, and is not to follow.
        """
        if not self.is_alone:
            return request
        if request.on_schema_change is OnSchemaChange.ERROR and self.drift(incoming):
            drifts = [ColumnDrift(text, None, None, text) for text in self.drift(incoming)]
            raise SchemaDriftError(
                self.table,
                drifts,
                'Set on_schema_change to "evolve" to add columns and widen types.',
            )
        return self._to_states(request.declared)

    def drift(self, incoming: TableSchema) -> list[str]:
        """How the columns differ from those of the history, in words."""
        if self.target.schema_of(self.table) is None:
            return []
        instant = pa.timestamp("us", tz="UTC")
        from_, to, current = (self.plan.history or HistoryNames(self.table)).columns
        own = (
            Column(from_, instant, nullable=False),
            Column(to, instant),
            Column(current, pa.bool_(), nullable=False),
        )
        columns = TableSchema((*incoming.columns, *own))
        return self.target.drift(self.table, columns, Declared())

    def _to_states(self, declared: Declared | None) -> WriteRequest:
        return WriteRequest(
            self.states,
            on_schema_change=OnSchemaChange.REBUILD,
            declared=replace(declared or Declared(), key=self.key),
        )

    def prepare(self, bookmark: Bookmark | None) -> None:
        """See, before a write, that the table is this history's; nothing to see where the last load kept it.

        Raises:
            ConfigurationError: It is a copy, or was kept by another key.
        """
        before = self._facts(bookmark)
        if before is None:
            own_bookmark = self.target.bookmark_if_kept(self.table)
            if own_bookmark is not None:
                raise ConfigurationError(
                    f"The history of {self.plan.target} would be {self.table}, which is a copy of {own_bookmark.source}: it was not "
                    "touched.",
                    "Give one of them another name: target for the copy, history: {table: ...} for the history.",
                )
        elif before["key"] != list(self.key) and self.target.schema_of(self.table) is not None:
            raise ConfigurationError(
                f"{self.table} has the history by ({', '.join(before['key'])}), and the key is ({', '.join(self.key)}) now: "
                "which versions are of one row cannot be told. Nothing was written.",
                f"Rename it, so that another one begins: alter table {self.table} rename to ...; or give back the key.",
            )

    def begin(self, bookmark: Bookmark | None) -> None:
        """Begin the transaction of a write, or its repetition: its instant lies after that of the one before it, whatever the clock says.

        Args:
            bookmark: The one that the transaction started from.
        """
        self._pending = Versions()
        facts = self._facts(bookmark) or {}
        last = datetime.fromisoformat(facts["instant"]) if "instant" in facts else _BEFORE_ALL
        clock = _clock()
        self._now = max(clock, last + _TICK, self._now + _TICK)
        if self._now > clock:
            self.log.warning(
                "The clock says %s, and versions of %s begin at %s already: those of this load begin after that.",
                clock, self.table, max(last, self._now - _TICK),
            )  # fmt: skip

    def touch(self, transaction: Transaction, keys: TableName) -> None:
        """Follow, within the transaction, rows that are gone: those whose keys are in a table."""
        if self.is_alone:
            return  # they ended with the keys
        self._pending += self.kept.follow(transaction, self._now, keys)

    def follow(
        self, transaction: Transaction, bookmark: Bookmark | None, request: WriteRequest
    ) -> dict[str, Any]:
        """Follow what a write did, at its end.

        Args:
            transaction: The write's.
            bookmark: The one that the load started from.
            request: What became of the rows that were there.

        Returns:
            What the bookmark says of it.
        """
        if self.is_alone:
            replaced = None if request.mode is WriteMode.MERGE else request.slice
            self._pending += self.kept.absorb(transaction, self._now, self.states, replaced)
            return self._as_facts()
        touches_others = request.mode is not WriteMode.MERGE or request.marks_absent is not None
        is_known = self._facts(bookmark) is not None and not touches_others
        among = Touched.STAGED if is_known else Touched.ALL
        self._pending += self.kept.follow(transaction, self._now, among)
        return self._as_facts()

    def _as_facts(self) -> dict[str, Any]:
        instant = max(self._now, self._pending.instant or self._now)
        facts = {"table": str(self.table), "key": list(self.key), "instant": instant.isoformat()}
        return {_FACT: {**facts, **self._pending.as_facts()}}

    def committed(self, bookmark: Bookmark | None = None) -> None:
        """The transaction was committed; where its answer was lost, its bookmark tells what was done."""
        done = self._pending
        if bookmark is not None:
            done = Versions.of_facts(bookmark.facts.get(_FACT) or {})
        self._pending = Versions()
        self.versions += done
        self._tell(done)

    # ---- by itself ----

    def follow_all(self, transaction: Transaction) -> None:
        """Follow what was done to the copy by itself, such as rows that were removed because their keys are gone.

        Args:
            transaction: The one that did it, and has moved the bookmark.
        """
        places = self.target.bookmarks(self.plan.target)
        bookmark = places.read(transaction, self.target.table_name(self.plan.target))
        if not self.is_alone:
            self.begin(bookmark)
            self._pending = self.kept.follow(transaction, self._now, Touched.ALL)
        if bookmark is not None:
            noted = replace(bookmark, facts={**bookmark.facts, **self._as_facts()})
            places.move(transaction, noted, expected_write_id=bookmark.write_id)

    def keys(self, staged: StagedKeys) -> StagedKeys:
        """The staged keys, which end versions where there is no copy to remove rows from."""
        return KeysOfHistory(staged, self) if self.is_alone else staged

    def end(self, transaction: Transaction, keys: TableName, *, among: bool) -> int:
        """End versions by their keys, in a write's transaction or one of its own; gives how many."""
        if not among:  # found by comparing all keys, which no write did
            places = self.target.bookmarks(self.plan.target)
            self.begin(places.read(transaction, self.target.table_name(self.plan.target)))
        ended = self.kept.end(transaction, self._now, keys, among=among)
        self._pending += ended
        return ended.closed

    def stage(self, states: Batches) -> None:
        """Write states to the table beside the copy, for `take`; in a transaction of its own.

        Args:
            states: Rows as the copy gets them, with the columns of `tranship.history.state_schema`.
        """
        self.target.write(self._to_states(None), states, self.log, lambda _: None)

    def take(self, transaction: Transaction) -> None:
        """Add the staged states within a write's transaction, which moves the bookmark to behind them."""
        self._pending += self.kept.take(transaction, self.states)

    @property
    def states(self) -> TableName:
        """The table that states wait in."""
        return states_table(self.plan.target)

    def is_begun(self, bookmark: Bookmark) -> bool:
        """Whether the load of a bookmark kept this history."""
        return self._facts(bookmark) is not None

    def _facts(self, bookmark: Bookmark | None) -> dict[str, Any] | None:
        """What the last load says of this history; `None` where it kept none, or another one."""
        facts = (
            None if bookmark is None or bookmark.loading is not None else bookmark.facts.get(_FACT)
        )
        return facts if facts and facts["table"] == str(self.table) else None

    def _tell(self, done: Versions) -> None:
        if done.opened or done.closed:
            self.log.info(
                "%s: %s versions opened, %s closed.",
                self.table,
                f"{done.opened:,}",
                f"{done.closed:,}",
            )


@dataclass(frozen=True)
class KeysOfHistory(StagedKeys):
    """Keys that are held against a view of the versions that hold: what is gone ends there, as no row can be removed.

    Args:
        staged: The keys.
        history: The history.
    """

    staged: StagedKeys
    history: FollowedHistory

    @property
    @override
    def table(self) -> TableName:
        return self.staged.table

    @override
    def count(self, transaction: Transaction) -> int:
        return self.staged.count(transaction)

    @override
    def count_rows(self, transaction: Transaction) -> int:
        return self.staged.count_rows(transaction)

    @override
    def count_deleted(self, transaction: Transaction) -> int:
        return self.staged.count_deleted(transaction)

    @override
    def deleted(self, transaction: Transaction) -> list[tuple[Any, ...]]:
        return self.staged.deleted(transaction)

    @override
    def remove_deleted(self, transaction: Transaction) -> int:
        return self.history.end(transaction, self.table, among=False)

    @override
    def count_staged(self, transaction: Transaction) -> int:
        return self.staged.count_staged(transaction)

    @override
    def remove_staged(self, transaction: Transaction) -> int:
        return self.history.end(transaction, self.table, among=True)

    @override
    def unmark(self, transaction: Transaction) -> int:
        return 0

    @override
    def lacking(self, transaction: Transaction, most: int) -> list[tuple[Any, ...]]:
        return self.staged.lacking(transaction, most)

    @override
    def respell(self, transaction: Transaction) -> None:
        """Another spelling is another version, which comes with the row."""

    @override
    def clear(self, transaction: Transaction) -> None:
        self.staged.clear(transaction)


def _clock() -> datetime:
    """The time of now."""
    return datetime.now(UTC)


def _key_of(plan: TablePlan, source: Source, changes: ColumnChanges) -> tuple[str, ...]:
    """What tells a history's rows apart: the key, and where partitions are replaced that of which a row is part."""
    key = changes.target_names(source.key, "part of the key")
    if not key:
        if (hidden := source.hidden_keys()) is not None:
            raise hidden
        raise ConfigurationError(
            f"{plan.source} is to have a history, and has no key, {_NO_KEY}.",
            "Name the key: key: [id]; or leave history out.",
        )
    if plan.mode is Mode.PARTITION and plan.partitions is not None:
        # A row that moved is in both partitions until the one that it left is loaded, too.
        column = changes.own_name(plan.partitions.column, "what the table is partitioned by")
        return tuple(dict.fromkeys([*key, column]))
    return key
