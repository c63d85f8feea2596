"""A lock on a directory that is free again the moment its holder is gone, however it went."""

import fcntl
import os
import time
from pathlib import Path

from standins.embedded.process import EmbeddedError

WAIT_SECONDS = 2.0
"""A holder that was killed a moment ago may not be quite gone."""


class DirectoryLock:
    """Keeps two processes from using one directory at once.

    Args:
        directory: The directory to lock; it must exist when the lock is taken.
    """

    def __init__(self, directory: Path):
        self._directory = directory
        self._file = -1

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            EmbeddedError: If another process, or another object of this one, has it.
        """
        path = self._directory / "in-use.lock"
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + WAIT_SECONDS
        while not _locked(file):
            if time.monotonic() > deadline:
                holder = os.read(file, 20).decode()
                os.close(file)
                raise EmbeddedError(
                    f"{self._directory} is in use by process {holder}. Stop that program, or use "
                    "another directory."
                )
            time.sleep(0.02)
        os.truncate(file, 0)
        os.write(file, str(os.getpid()).encode())
        self._file = file

    def release(self) -> None:
        """Give the lock back; does nothing if it is not held."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
