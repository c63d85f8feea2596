"""`changes: auto`: each load chooses by what it knows what changed, and says why.

The record of changes where the source keeps one that this login may read, else a rowversion, else the cursor that was named, else
all rows by key. What a copy followed is part of its signature: a load that chooses otherwise than the one before loads all of the
table, as the place of one way says nothing about a place of another.
"""

from dataclasses import dataclass, replace

from tranship.bookmarks import Bookmark
from tranship.change_feeds import ChangesLostError
from tranship.cursors import Kind, kind_of
from tranship.errors import ConfigurationError
from tranship.replication.bookmark_facts import change_position
from tranship.replication.plan import FollowedChanges, LateRows, OnGap, TablePlan
from tranship.source import Source


@dataclass(frozen=True, slots=True)
class Choice:
    """By what a load knows what changed.

    Args:
        plan: The table's plan, with nothing left to choose.
        why: Why it is so, in words; `None` where the settings say it.
        on_gap: What happens where the copy followed a record of changes and this load does not.
    """

    plan: TablePlan
    why: str | None = None
    on_gap: OnGap = OnGap.RELOAD

    @classmethod
    def of(cls, plan: TablePlan, source: Source) -> "Choice":
        """Choose for a load.

        Args:
            plan: The table's plan.
            source: The table as it is now.
        """
        if plan.changes is not FollowedChanges.AUTO:
            return cls(plan)
        try:
            source.change_feed().position()
        except ConfigurationError as error:
            untracked = error.what.rstrip(".")
        else:
            why = "the source tracks its changes, and this login may see them"
            return cls(_without_cursor(plan, FollowedChanges.TRACKING), why)
        version = next(
            (one.name for one in source.schema.columns if _grows_by_itself(plan, source, one.name)),
            None,
        )
        if version is not None:
            why = f"{untracked}; it has the rowversion {version}"
        elif plan.cursor is not None:
            why = f"{untracked}; it has no rowversion, and {plan.cursor} is the cursor that the settings name"
        else:
            why = f"{untracked}; it has no rowversion, and the settings name no cursor"
        if version in {None, plan.cursor}:
            chosen = replace(plan, changes=FollowedChanges.CURSOR, on_gap=OnGap.RELOAD)
        else:
            chosen = replace(_without_cursor(plan, FollowedChanges.CURSOR), cursor=version)
        return cls(chosen, why, plan.on_gap)

    @property
    def followed(self) -> str:
        """What is followed, in words."""
        if self.plan.changes is FollowedChanges.TRACKING:
            return "the source's record of changes"
        return f"the cursor {self.plan.cursor}" if self.plan.cursor else "no cursor"

    def turn(self, bookmark: Bookmark) -> str | None:
        """Why a copy cannot be brought on from its bookmark, because it followed something else; `None` where it did not.

        Args:
            bookmark: Of the load before.

        Raises:
            ChangesLostError: It followed a record of changes, which is no more, and the settings say to fail then.
        """
        if self.why is None:
            return None
        tracked = change_position(bookmark) is not None
        tracks = self.plan.changes is FollowedChanges.TRACKING
        if tracked and not tracks and self.on_gap is OnGap.FAIL:
            raise ChangesLostError(
                f"{self.plan.target} followed the source's record of changes, and cannot any more: {self.why}. Nothing was written.",
                "Let the record be kept again; or run the load once with full_reload, or set on_gap to reload.",
            )
        if tracked == tracks and (tracks or bookmark.cursor_column == self.plan.cursor):
            return None
        return f"it follows {self.followed} now, and did not until now, because {self.why}"


def as_loaded(plan: TablePlan, bookmark: Bookmark) -> TablePlan:
    """The plan by which a copy was loaded, for who holds it against its source.

    Args:
        plan: The table's plan.
        bookmark: What the last load left.
    """
    if plan.changes is not FollowedChanges.AUTO:
        return plan
    if change_position(bookmark) is not None:
        return _without_cursor(plan, FollowedChanges.TRACKING)
    if bookmark.cursor_column == plan.cursor:
        return replace(plan, changes=FollowedChanges.CURSOR, on_gap=OnGap.RELOAD)
    followed = _without_cursor(plan, FollowedChanges.CURSOR)
    return replace(followed, cursor=bookmark.cursor_column)


def _without_cursor(plan: TablePlan, changes: FollowedChanges) -> TablePlan:
    return replace(
        plan,
        changes=changes,
        cursor=None,
        lookback=None,
        late_rows=LateRows.READ,
        on_cursor_back=None,
        on_gap=plan.on_gap if changes is FollowedChanges.TRACKING else OnGap.RELOAD,
    )


def _grows_by_itself(plan: TablePlan, source: Source, name: str) -> bool:
    return kind_of(source.schema.column(name)) is Kind.ROWVERSION and not plan.columns.mask.get(
        name
    )
