"""The history of a table: every state that a row had, with the time from which and up to which it had it. Types only.

A row of a history is a version: it holds from `valid_from` on, up to `valid_to` and without it, which is null as long as it
holds. Of each key one version is open at most, and no two overlap. What a history is told comes in one of two ways: it is
held against the copy beside it (`KeptHistory.follow`), or it is given states, several for one key where the source knows of
them, each with its own instant (`KeptHistory.take`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any

import pyarrow as pa

from tranship.equality import Rules
from tranship.slices import Slice
from tranship.tables import Column, TableName, TableSchema

OPERATION = "tranship_operation"
"""The column of staged states that says what happened: one of `Operation`."""
INSTANT = "tranship_instant"
"""The column of staged states that says when it did."""
SEQUENCE = "tranship_sequence"
"""The column of staged states that puts those of one key in order: each has a higher number than the one before it."""
_STATE_COLUMNS = (
    Column(OPERATION, pa.string(), nullable=False),
    Column(INSTANT, pa.timestamp("us", tz="UTC"), nullable=False),
    Column(SEQUENCE, pa.int64(), nullable=False),
)


class Operation(StrEnum):
    """What a staged state says of its key."""

    UPSERT = "upsert"
    """The row has these values from the instant on."""
    DELETE = "delete"
    """The row is gone from the instant on; only its key counts."""


class Touched(Enum):
    """Which keys of a copy may have changed."""

    ALL = "all"
    STAGED = "staged"
    """Those that the write brings which the transaction is of: a merge."""


@dataclass(frozen=True, slots=True)
class HistoryNames:
    """What a history and its columns are called.

    Args:
        table: The table, beside the copy.
        valid_from: When a version begins.
        valid_to: When the next one begins, or the row was gone; null while it holds.
        is_current: Whether it holds.
        instead_of_copy: Whether it stands in the place of the copy, whose name is then a view of the versions that hold.
    """

    table: TableName
    valid_from: str = "valid_from"
    valid_to: str = "valid_to"
    is_current: str = "is_current"
    instead_of_copy: bool = False

    @property
    def columns(self) -> tuple[str, str, str]:
        """The columns that a history has beside those of its copy."""
        return self.valid_from, self.valid_to, self.is_current


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """What a target is asked to keep the history of.

    Args:
        names: What it is called.
        copy: The table that the rows are in.
        key: What tells rows apart, in the names of the data.
        rules: How the source compares the key's texts, by the same names.
        mark: The copy's column that tells since when a row is gone, where such rows stay; no part of the history.
    """

    names: HistoryNames
    copy: TableName
    key: tuple[str, ...]
    rules: Rules
    mark: str | None = None


@dataclass(frozen=True, slots=True)
class Versions:
    """What one step did to a history.

    Args:
        opened: Versions that were added.
        closed: Versions that got their end.
        is_new: Whether the history began with it.
        instant: When the versions begin that the copy's rows became; later than now where the clock went back.
    """

    opened: int = 0
    closed: int = 0
    is_new: bool = False
    instant: datetime | None = None

    def __add__(self, other: "Versions") -> "Versions":
        """Both together."""
        return Versions(
            self.opened + other.opened,
            self.closed + other.closed,
            self.is_new or other.is_new,
            other.instant or self.instant,
        )

    def as_facts(self) -> dict[str, Any]:
        """The counts, as a bookmark keeps them."""
        return {"opened": self.opened, "closed": self.closed}

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> "Versions":
        """The counts that a bookmark kept."""
        return cls(int(facts.get("opened", 0)), int(facts.get("closed", 0)))


@dataclass(frozen=True, slots=True)
class HistoryCounts:
    """How a history and its copy stand to each other, seen at one moment.

    Args:
        open: Versions that hold.
        rows: Rows of the copy that are not marked as gone.
        not_in_copy: Versions that hold and whose key the copy lacks.
        not_in_history: Rows of the copy whose key has no version that holds.
        overlapping: Versions that begin before another one of their key has ended, or end before they begin.
    """

    open: int
    rows: int
    not_in_copy: int
    not_in_history: int
    overlapping: int


class KeptHistory(ABC):
    """The history of one table, in the target. Every method takes part in the caller's transaction, which has the table's turn."""

    @abstractmethod
    def follow(self, transaction: Any, now: datetime, among: Touched | TableName) -> Versions:
        """Bring it to the copy as that is in this transaction: versions that differ end, rows without one get one.

        The table is made where it is missing, and gets the copy's new columns and types. Following twice does nothing.

        Args:
            transaction: The one that wrote the copy's rows.
            now: When that was. Where a key has a version that begins or ends then or later, all that is done here is done one
                microsecond after that.
            among: Which keys may have changed; those in a table, by columns of the key's names. Of a new history all are looked at.

        Raises:
            ConfigurationError: Its name is another table's, or a column of the data is called as one of its own.
            DuplicateRowsError: A key comes more than once in the copy.
            WriteFailedError: A key is null.
        """

    @abstractmethod
    def absorb(
        self, transaction: Any, now: datetime, rows: TableName, replaced: Slice | None
    ) -> Versions:
        """Bring it to rows that wait in a table, where no copy stands beside it.

        Args:
            transaction: The one that wrote the rows there.
            now: As of `follow`.
            rows: The table; it stays as it is.
            replaced: Which versions that hold end because their key is not among the rows: those of a slice, in the names of
                the data; `None` for none.

        Raises:
            ConfigurationError: As of `follow`; or the copy's name is a table's.
            DuplicateRowsError: A key comes more than once.
            WriteFailedError: A key is null.
        """

    @abstractmethod
    def end(self, transaction: Any, now: datetime, keys: TableName, *, among: bool) -> Versions:
        """End the versions that hold by their keys.

        Args:
            transaction: The one that knows of them.
            now: As of `follow`.
            keys: A table of keys, by columns of their names.
            among: Whether those end whose key is in it, or the others.
        """

    @abstractmethod
    def take(self, transaction: Any, states: TableName) -> Versions:
        """Add staged states, each at its own instant, in the order of their sequence.

        A state that changes nothing makes no version. Of several states of one key at one instant, one after another, the last
        counts: nobody saw the others. One whose instant does not lie after the one before it, in this step or before, begins a
        microsecond after that. States must be new ones: the history does not know which it was given before.

        Args:
            transaction: The one that moves the bookmark to behind these states.
            states: A table with the copy's columns and those of `state_schema`; it stays as it is.

        Raises:
            ConfigurationError: As of `follow`.
            DuplicateRowsError: Two states of a key have one sequence.
            WriteFailedError: A key is null.
        """

    @abstractmethod
    def counts(self, transaction: Any) -> HistoryCounts:
        """How it and the copy stand to each other."""


def state_schema(data: TableSchema) -> TableSchema:
    """The columns of staged states: those of the copy, and what happened, when, and in which order.

    Example:
        >>> state_schema(TableSchema((Column("id", pa.int64()),))).names
        ['id', 'tranship_operation', 'tranship_instant', 'tranship_sequence']
    """
    # A row that is gone has a key and nothing else; and a key has several states.
    nullable = (replace(column, nullable=True) for column in data.columns)
    return TableSchema((*nullable, *_STATE_COLUMNS))
