"""The commits of a database in their order, and which rows each changed for as long as a snapshot is open that is older."""

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from standins.sqlserver.locks.row_keys import RowKey

Changed = set[RowKey] | None
"""Which rows of a table were changed; None for any of them."""


@dataclass(frozen=True, slots=True)
class _Commit:
    number: int
    changed: Mapping[int, Changed]


class Commits:
    """Numbers the commits, so that a session knows what its snapshot does not show."""

    def __init__(self) -> None:
        self._turn = threading.RLock()
        self.count = 0
        self._last: dict[int, int] = {}
        self._snapshots: dict[int, int] = {}
        self._kept: deque[_Commit] = deque()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Alone while a snapshot is taken or a transaction commits, so that each snapshot shows all commits up to its number."""
        with self._turn:
            yield

    def snapshot(self, spid: int) -> int:
        """The number of the snapshot that a session takes now; inside of `turn`."""
        self._snapshots[spid] = self.count
        return self.count

    def forget(self, spid: int) -> None:
        """The session's snapshot is closed."""
        with self._turn:
            if self._snapshots.pop(spid, None) is not None:
                self._prune()

    def are_watched(self, spid: int) -> bool:
        """Whether anybody but this session has a snapshot open, so that it must be known which rows a commit changed."""
        return any(other != spid for other in tuple(self._snapshots))

    def committed(self, spid: int, changed: Mapping[int, Changed]) -> None:
        """The session has committed changes of these tables; inside of `turn`."""
        self._snapshots.pop(spid, None)
        self.count += 1
        self._last.update(dict.fromkeys(changed, self.count))
        if changed and self._snapshots:
            self._kept.append(_Commit(self.count, dict(changed)))
        self._prune()

    def _prune(self) -> None:
        oldest = min(self._snapshots.values(), default=self.count)
        while self._kept and self._kept[0].number <= oldest:
            self._kept.popleft()

    def changed_table(self, table: int, since: int) -> bool:
        """Whether anything of the table was committed after a snapshot."""
        return self._last.get(table, 0) > since

    def changed_rows(self, table: int, rows: Changed, since: int) -> bool:
        """Whether one of these rows was changed by a commit after a snapshot."""
        with self._turn:
            for commit in self._kept:
                if commit.number <= since or table not in commit.changed:
                    continue
                theirs = commit.changed[table]
                if rows is None or theirs is None or not rows.isdisjoint(theirs):
                    return True
        return False
