"""What a bookmark keeps beside its value: the key of the rows, the columns that old rows lack, the record of changes, how long a cursor has stood still."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from tranship.bookmarks import Bookmark
from tranship.change_feeds import ChangePosition
from tranship.cursors import Cursor, Kind
from tranship.source import HighWaterMark

_WRITTEN, _PENDING = "written", "unfilled"
_MOST_CHARACTERS = 20_000
"""Of column names in a bookmark; a table with longer ones is asked for its columns instead."""
_PATIENCE = 4
"""A column without any value is looked at again when a quarter of the time has passed that it was empty before."""
_STALLED = "standing_still"
_RECORD, _ROWS_IN_SOURCE = "change_record", "rows_in_source"
_RECORD_AT, _PAUSE, _GAP = "change_record_at", "seconds_since_the_load_before", "gap"
SEVERAL_LOADS = 3
"""From how many on a cursor that does not move is told of."""


def declared_key(bookmark: Bookmark | None) -> tuple[str, ...] | None:
    """The key that the source had at the last load; `None` where nobody wrote it down."""
    key = bookmark.facts.get("key") if bookmark is not None else None
    return None if key is None else tuple(key)


@dataclass(frozen=True, slots=True)
class PendingBackfill:
    """Columns whose values old rows lack, until a backfill brings them.

    Args:
        columns: Their names in the target's data.
        by: The source's column whose ranges are filled; `None` before the first range.
        after: The last value of it that is done, as text.
        since: When the columns were found to be new.
        looked: When the source was last asked whether they hold anything.
    """

    columns: tuple[str, ...]
    since: datetime
    by: str | None = None
    after: str | None = None
    looked: datetime | None = None

    @classmethod
    def of(cls, bookmark: Bookmark | None) -> Self | None:
        """What a bookmark says; `None` where no row lacks anything."""
        kept = bookmark.facts.get(_PENDING) if bookmark is not None else None
        if kept is None:
            return None
        return cls(
            tuple(kept["columns"]),
            datetime.fromisoformat(kept["since"]),
            kept["by"],
            kept["after"],
            datetime.fromisoformat(kept["looked"]) if kept["looked"] else None,
        )

    def as_facts(self) -> dict[str, Any]:
        """The same for a bookmark's facts."""
        return {
            _PENDING: {
                "columns": list(self.columns),
                "since": self.since.isoformat(),
                "by": self.by,
                "after": self.after,
                "looked": self.looked.isoformat() if self.looked else None,
            }
        }

    def is_due(self, now: datetime) -> bool:
        """Whether it is time to ask again if the columns hold anything: at once, then ever more seldom.

        Example:
            >>> monday, tuesday = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)
            >>> PendingBackfill(("Region",), since=monday, looked=tuesday).is_due(datetime(2024, 1, 2, 3, tzinfo=UTC))
            False
        """
        return self.looked is None or now - self.looked >= (self.looked - self.since) / _PATIENCE

    def looked_at(self, now: datetime) -> "PendingBackfill":
        """The same after a look that found nothing."""
        return replace(self, looked=now)

    def done_up_to(self, by: str, after: str | None) -> "PendingBackfill":
        """The same after one more range."""
        return replace(self, by=by, after=after)


def backfill_after_write(
    bookmark: Bookmark | None,
    names: Sequence[str],
    in_table: Callable[[], Collection[str]],
) -> PendingBackfill | None:
    """What old rows lack once rows of these columns are written into a part of the table.

    Args:
        bookmark: Of the load before.
        names: The columns that are written.
        in_table: Gives those that the table has, for bookmarks that do not say what was written.
    """
    if bookmark is None:
        return None
    written = bookmark.facts.get(_WRITTEN)
    known = set(in_table() if written is None else written)
    pending = PendingBackfill.of(bookmark)
    new = [name for name in names if name not in known]
    if not new:
        return pending
    lacking = [*(pending.columns if pending else ()), *new]
    return PendingBackfill(tuple(dict.fromkeys(lacking)), since=datetime.now(UTC))


def change_facts(
    position: ChangePosition,
    rows_in_source: int | None = None,
    before: Bookmark | None = None,
    gap: str | None = None,
    *,
    is_counted: bool = False,
) -> dict[str, Any]:
    """What a bookmark keeps of the record of changes that its version is of.

    Args:
        position: The place in the record.
        rows_in_source: How many rows the source had there; `None` where nobody knows.
        before: The bookmark of the load before.
        gap: Why the changes since that one could not be had.
        is_counted: Whether that nobody knows takes the place of how many rows were read.
    """
    facts: dict[str, Any] = {_RECORD: position.record}
    if rows_in_source is not None or is_counted:
        facts[_ROWS_IN_SOURCE] = rows_in_source
    if position.at is not None:
        facts[_RECORD_AT] = position.at.isoformat()
    since = change_position(before) if before is not None else None
    if since is not None and (pause := time_between(since, position)) is not None:
        facts[_PAUSE] = pause.total_seconds()
    if gap is not None:
        facts[_GAP] = gap
    return facts


def change_position(bookmark: Bookmark) -> ChangePosition | None:
    """The place in the source's record of changes that a copy is of; `None` where it is kept up to date in another way."""
    record = bookmark.facts.get(_RECORD)
    if record is None or bookmark.cursor_value is None:
        return None
    at = bookmark.facts.get(_RECORD_AT)
    return ChangePosition(
        int(bookmark.cursor_value), str(record), datetime.fromisoformat(at) if at else None
    )


def time_between(earlier: ChangePosition, later: ChangePosition) -> timedelta | None:
    """The time between two places by the source's own clock; `None` where that is not known, or the clock went back."""
    if earlier.at is None or later.at is None or later.at < earlier.at:
        return None
    return later.at - earlier.at


def pause_before(bookmark: Bookmark) -> timedelta | None:
    """How long after the load before a load came, by the source's clock; `None` where nobody knows."""
    seconds = bookmark.facts.get(_PAUSE)
    return None if seconds is None else timedelta(seconds=float(seconds))


def gap_before(bookmark: Bookmark) -> str | None:
    """Why the last load could not have the changes since the one before, in words; `None` where it had them."""
    gap = bookmark.facts.get(_GAP)
    return None if gap is None else str(gap)


def rows_at_bookmark(bookmark: Bookmark) -> int | None:
    """How many rows the source had at the last load; `None` where nobody wrote it down."""
    rows = bookmark.facts.get(_ROWS_IN_SOURCE, bookmark.facts.get("rows"))
    return None if rows is None else int(rows)


def written_facts(names: Sequence[str]) -> dict[str, Any]:
    """The columns of a write, for a bookmark's facts; nothing where they would not fit there."""
    return {} if sum(map(len, names)) > _MOST_CHARACTERS else {_WRITTEN: list(names)}


def stall_facts(
    cursor: Cursor, reached: HighWaterMark, bookmark: Bookmark | None
) -> dict[str, Any]:
    """What a bookmark keeps of how long a rowversion has stood still; nothing where every row may be loaded.

    A transaction that never ends keeps it where it is. So may a readable secondary, while rows with higher values arrive
    (https://learn.microsoft.com/sql/t-sql/functions/min-active-rowversion-transact-sql). Loads are then green and bring nothing.
    """
    if cursor.kind is not Kind.ROWVERSION or reached.furthest is None or reached.counter is None:
        return {}
    at, highest = cursor.text(reached.counter), cursor.text(reached.furthest)
    before = bookmark.facts.get(_STALLED) if bookmark is not None else None
    loads = before["loads"] + 1 if before is not None and before["at"] == at else 1
    return {_STALLED: {"at": at, "highest": highest, "loads": loads}}


def stall_warning(bookmark: Bookmark) -> str | None:
    """What to tell where it has stood still for several loads."""
    kept = bookmark.facts.get(_STALLED)
    if kept is None or kept["loads"] < SEVERAL_LOADS:
        return None
    return (
        f"for {kept['loads']} loads the source has let rows be loaded up to {kept['at']} only, and it has values up to "
        f"{kept['highest']}: rows beyond are not loaded. A transaction has been open since, or this is a readable secondary, "
        "where min_active_rowversion() may stand still: end the transaction, or read from the primary."
    )
