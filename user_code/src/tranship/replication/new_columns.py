"""Which columns the rows that were loaded before still lack, as a bookmark's facts keep it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self

from tranship.bookmarks import Bookmark

_WRITTEN, _UNFILLED = "written", "unfilled"
_MOST_CHARACTERS = 20_000
"""Of column names in a bookmark; a table with longer ones is asked for its columns instead."""
_PATIENCE = 4
"""A column without any value is looked at again when a quarter of the time has passed that it was empty before."""


@dataclass(frozen=True, slots=True)
class Unfilled:
    """Columns that old rows lack.

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
        kept = bookmark.facts.get(_UNFILLED) if bookmark is not None else None
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
            _UNFILLED: {
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
            >>> Unfilled(("Region",), since=monday, looked=tuesday).is_due(datetime(2024, 1, 2, 3, tzinfo=UTC))
            False
        """
        return self.looked is None or now - self.looked >= (self.looked - self.since) / _PATIENCE

    def looked_at(self, now: datetime) -> "Unfilled":
        """The same after a look that found nothing."""
        return replace(self, looked=now)

    def done_up_to(self, by: str, after: str | None) -> "Unfilled":
        """The same after one more range."""
        return replace(self, by=by, after=after)


def noted(
    bookmark: Bookmark | None,
    names: Sequence[str],
    in_table: Callable[[], Collection[str]],
) -> Unfilled | None:
    """What old rows lack once rows of these columns are written into a part of the table.

    Args:
        bookmark: Of the load before.
        names: The columns that are written.
        in_table: Gives those that the table has, for bookmarks that do not say what was written.
    """
    if bookmark is None:
        return None
    before = bookmark.facts.get(_WRITTEN)
    known = set(in_table() if before is None else before)
    known_already = Unfilled.of(bookmark)
    new = [name for name in names if name not in known]
    if not new:
        return known_already
    lacking = [*(known_already.columns if known_already else ()), *new]
    return Unfilled(tuple(dict.fromkeys(lacking)), since=datetime.now(UTC))


def written_facts(names: Sequence[str]) -> dict[str, Any]:
    """The columns of a write, for a bookmark's facts; nothing where they would not fit there."""
    return {} if sum(map(len, names)) > _MOST_CHARACTERS else {_WRITTEN: list(names)}
