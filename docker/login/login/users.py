"""The users file: names, roles and argon2id hashes, as JSON. Written by `python -m login users`, read anew when it changes."""

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from login.passwords import is_hash
from login.roles import ROLES

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")


class UsersError(ValueError):
    """A users file or a command on it that cannot be; the text says what to do."""


@dataclass(frozen=True, slots=True)
class User:
    """One line of the file."""

    name: str
    role: str
    password_hash: str


class UsersFile:
    """The users of a directory.

    Args:
        directory: The state directory.
    """

    def __init__(self, directory: Path):
        self._path = directory / "users.json"
        self._lock = directory / "users.lock"
        self._stamp: tuple[int, int, int] | None = None
        self._users: dict[str, User] = {}

    def all(self) -> Mapping[str, User]:
        """Every user by name; the file is read where it is another one than before.

        Raises:
            UsersError: The file is not one of ours.
        """
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._stamp, self._users = None, {}
            return self._users
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        if stamp != self._stamp:
            self._users = _read(self._path)
            self._stamp = stamp
        return self._users

    def find(self, name: str) -> User | None:
        """The user of a name; names differ by letters' case."""
        return self.all().get(name)

    def add(self, user: User) -> None:
        """Add a user.

        Raises:
            UsersError: There is one of that name, or the name or the role cannot be.
        """
        if not _NAME.fullmatch(user.name):
            raise UsersError(
                f"{user.name!r} is no name: letters, digits and . _ @ + -, the first a letter or a digit, 128 at most."
            )
        if user.role not in ROLES:
            raise UsersError(f"{user.role!r} is no role: {' or '.join(sorted(ROLES))}.")
        with self._changing() as users:
            if user.name in users:
                raise UsersError(
                    f"There is a user {user.name!r}: set a password with `password`, or remove it first."
                )
            users[user.name] = user

    def remove(self, name: str) -> None:
        """Remove a user.

        Raises:
            UsersError: There is none of that name.
        """
        with self._changing() as users:
            del users[_known(users, name)]

    def set_password(self, name: str, password_hash: str) -> None:
        """Give a user another password.

        Raises:
            UsersError: There is none of that name.
        """
        with self._changing() as users:
            users[name] = replace(users[_known(users, name)], password_hash=password_hash)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, User]]:
        # One at a time, and the service reads the old file or the new one.
        with self._lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            users = dict(self.all())
            yield users
            rows = [asdict(user) for user in sorted(users.values(), key=lambda one: one.name)]
            draft = self._path.with_suffix(".draft")
            draft.unlink(missing_ok=True)
            with os.fdopen(
                os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w"
            ) as file:
                json.dump({"users": rows}, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)


def _known(users: Mapping[str, User], name: str) -> str:
    if name not in users:
        raise UsersError(f"There is no user {name!r}. There are: {', '.join(users) or 'none'}.")
    return name


def _read(path: Path) -> dict[str, User]:
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text())["users"]
        users = [User(**row) for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise UsersError(f"{path} is no users file: {error}.") from error
    for user in users:
        if user.role not in ROLES or not is_hash(user.password_hash):
            raise UsersError(f"{path}: the role or the hash of {user.name!r} cannot be.")
    return {user.name: user for user in users}
