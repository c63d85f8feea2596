"""After a load: which rows of the copy are gone from the source, and which it lacks though they are not new.

Both are what a cursor cannot show. Rows that are gone are marked or removed; rows that an earlier read passed over, or
that an earlier comparison removed although they were there, are loaded by their key.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tranship.bookmarks import Bookmark
from tranship.cursors import Cursor
from tranship.frames import Batches
from tranship.replication import key_rules
from tranship.replication.deletion_guard import DeletionGuard
from tranship.replication.deletions import Gone, KeyComparison
from tranship.replication.durations import parse_share
from tranship.replication.second_look import MOST_KEYS, is_askable, questions
from tranship.replication.writing import BookmarkedWrites
from tranship.slices import AllOf, Slice
from tranship.writes import WriteMode


def compare_keys(
    writes: BookmarkedWrites,
    cursor: Cursor | None,
    current: Callable[[], Bookmark],
    *,
    allows_all: bool,
) -> Gone:
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
    return _Comparison(writes, cursor, current).run(allows_all=allows_all)


@dataclass(frozen=True, slots=True)
class _Comparison:
    writes: BookmarkedWrites
    cursor: Cursor | None
    current: Callable[[], Bookmark]

    def run(self, *, allows_all: bool) -> Gone:
        writes, plan = self.writes, self.writes.plan
        guard = DeletionGuard(
            source=plan.source,
            target=plan.target,
            percent=parse_share(plan.delete_guard, f"delete_guard of {plan.source}"),
            policy=plan.delete,
            allows_all=allows_all,
        )
        comparison = KeyComparison(
            target=writes.target,
            table=plan.target,
            key=writes.key,
            keys_of=self._keys_of,
            questions=self._questions if self._is_askable else None,
            guard=guard,
            log=writes.log,
            loaded=self.current().write_id,
        )
        gone = comparison.run()
        if gone.rows or gone.returned or gone.missed:
            writes.log.info(
                "%s: %d rows are gone from the source (%s), %d came back; %d more looked gone and are there.",
                plan.target, gone.rows, plan.delete, gone.returned, gone.missed,
            )  # fmt: skip
        return replace(gone, brought_back=self._bring_back(gone.lacking))

    @property
    def _is_askable(self) -> bool:
        return is_askable(self.writes.changes, self.writes.source.schema, self.writes.source.key)

    def _keys_of(self, part: Slice) -> Batches:
        writes = self.writes
        keys = replace(writes.changes, read=writes.source.key, marks_deleted=False)
        read = writes.source.read(writes.source.key, part, log=writes.log)
        return writes.guard.confirmed(
            keys.applied(key_rules.comparable(read, writes.rules, writes.plan))
        )

    def _questions(self, rows: Sequence[tuple[Any, ...]]) -> list[Slice]:
        return questions(self.writes.source.schema, self.writes.source.key, rows)

    def _bring_back(self, lacking: Sequence[tuple[Any, ...]]) -> int:
        """Load the rows that lie at or below the bookmark and are not in the copy: no later load would."""
        if self.cursor is None or not lacking or not self._is_askable:
            return 0
        bookmark, writes = self.current(), self.writes
        value = self.cursor.value(bookmark.cursor_value)
        if value is None:
            return 0
        if len(lacking) > MOST_KEYS:
            writes.log.warning(
                "More than %s keys of %s are not in its copy. Those that are new come with the next load; if the check of "
                "the row count finds that others are missing, run a load with full_reload.",
                f"{MOST_KEYS:,}", writes.plan.source,
            )  # fmt: skip
            return 0
        not_new = self.cursor.up_to(value)
        brought = 0
        for asked in self._questions(lacking):
            part = AllOf((asked, not_new))
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
