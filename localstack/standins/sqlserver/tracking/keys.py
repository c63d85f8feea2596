"""Which keys of tracked tables open transactions changed: of two that change one key, the second is refused.

DuckDB sees two updates of a row, or two deletes, but lets an update and a delete of the same row both commit, and then the history of the key
would tell another story than the table. SQL Server has locks for it.
"""

import threading
from collections.abc import Iterable

Key = tuple[int, tuple[str, ...]]
"""A table's id, and the texts of a key's values."""


class ChangedKeys:
    """The keys that open transactions changed, and the version at which each was last committed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: dict[Key, object] = {}
        self._committed: dict[Key, int] = {}

    def claim(self, owner: object, keys: Iterable[Key], snapshot: int) -> bool:
        """Takes keys for a transaction that reads as of version `snapshot`; False where another one was there before."""
        with self._lock:
            for key in keys:
                if self._owners.get(key, owner) is not owner:
                    return False
                if self._committed.get(key, 0) > snapshot:
                    return False
                self._owners[key] = owner
        return True

    def release(self, owner: object, keys: Iterable[Key], version: int | None = None) -> None:
        """Lets go of keys at the end of a transaction, committed as `version` or rolled back."""
        with self._lock:
            for key in keys:
                if self._owners.get(key) is owner:
                    del self._owners[key]
                if version is not None:
                    self._committed[key] = version

    def start_again(self) -> None:
        """Forgets what was committed, when versions go back."""
        with self._lock:
            self._committed.clear()
