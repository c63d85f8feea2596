"""What a source itself records of a table's changes: which rows changed since a version, and which are gone.

A cursor column shows rows that are there; a record of changes shows those that are not, too. A source that keeps one hands
out a `ChangeFeed` (`Source.change_feed`).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import pyarrow as pa

from tranship.errors import TranshipError
from tranship.frames import Batches
from tranship.tables import Column

GONE_SINCE = Column("__gone_since", pa.timestamp("us", tz="UTC"))
"""The last column of deleted keys, where the source can say when their deletion was committed; null where it cannot any more."""


class RecordKind(StrEnum):
    """Which of a source's records of changes is followed."""

    TRACKING = "tracking"
    """SQL Server's Change Tracking: written with the change itself."""
    CAPTURE = "cdc"
    """SQL Server's Change Data Capture: written from the log, some seconds later."""


class ChangesLostError(TranshipError):
    """The source's record of changes does not reach back to what the copy has.

    Not transient: the same changes can never be had, only the whole table.

    What to do: Run the load again, which reloads the table; keep the record for longer than the longest time between two loads.
    """


@dataclass(frozen=True, slots=True)
class ChangePosition:
    """A place in a source's record of changes.

    Args:
        version: The last change that is before it.
        record: What tells the record from one that was begun anew, of which no version says anything about this one.
        at: What the source's own clock showed, in UTC; `None` where nobody asked it.
    """

    version: int
    record: str
    at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class RecordTerms:
    """What holds for a source's record of changes, whatever is in it.

    Args:
        kept_for: How long a change is kept; `None` where it is for ever, or nobody knows.
        remedy: What keeps them for longer, as it runs.
        times_remedy: What lets this login see when changes were committed, as it runs.
        fault: What is known to be wrong with how this server keeps it, in words; `None` where nothing is.
    """

    kept_for: timedelta | None = None
    remedy: str = ""
    times_remedy: str = ""
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a copy was behind its source when the changes were read.

    Args:
        versions: How many versions.
        seconds: How old the oldest change is that it lacks, by the last change of each row; `None` where the source cannot say it.
    """

    versions: int
    seconds: float | None = None


@dataclass(slots=True)
class ChangeCounts:
    """How many rows changed, by what happened to them in all since the copy's version; complete once they are read."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed between two places, seen at one moment; each stream can be read once, deleted keys first.

    Args:
        position: The place that they lead to.
        deleted_keys: The keys of rows that are gone, or that the table's condition lets through no more.
        rows: The rows that are new or changed, as they are now.
        rows_in_source: How many rows the table has at that moment.
        lag: How far the copy was behind; `None` where nobody knows.
        counts: How many there are of each kind, where the source tells; complete once they are read.
    """

    position: ChangePosition
    deleted_keys: Batches
    rows: Batches
    rows_in_source: int
    lag: Lag | None = None
    counts: ChangeCounts | None = None


class ChangeFeed(ABC):
    """The record of one table's changes."""

    @property
    def is_immediate(self) -> bool:
        """Whether a change is in the record as soon as it is committed, so that a record without news says that nothing changed."""
        return True

    def name_of(self, position: ChangePosition) -> str:
        """A place, as people know it."""
        return f"version {position.version}"

    @abstractmethod
    def position(self) -> ChangePosition:
        """The place that the record is at now. Rows that are read afterwards have every change before it.

        Raises:
            ConfigurationError: There is no record, or this login may not see it; with the statements that change that.
        """

    def terms(self) -> RecordTerms:
        """What holds for the record, whatever is in it."""
        return RecordTerms()

    @abstractmethod
    def gap(self, since: ChangePosition) -> str | None:
        """Why changes since a place cannot be had, in words and figures; `None` where they can."""

    def doubt(self, since: ChangePosition) -> str | None:
        """Why changes since a place may not tell all although the record has them, in words; `None` where they do."""
        del since
        return None

    @abstractmethod
    def count(self, since: ChangePosition) -> int:
        """How many rows changed since a place."""

    @abstractmethod
    def changes(
        self, since: ChangePosition, columns: Sequence[str], *, log: Any = None
    ) -> AbstractContextManager[Changes]:
        """What changed since a place; the streams are of use inside of the block only.

        Args:
            since: The place.
            columns: The columns of the rows.
            log: Where it is said what the read sees.

        Raises:
            ChangesLostError: They cannot be had any more, also where that happens while they are read.
        """
