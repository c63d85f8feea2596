"""Passwords as argon2id hashes, and checking them in the same time for names that nobody has."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MIN_LENGTH = 12
MAX_LENGTH = 1024
"""What is longer is refused before it is hashed."""

# The second choice of https://www.rfc-editor.org/rfc/rfc9106#section-4: 64 MiB, three passes, which is also the library's default.
_HASHER = PasswordHasher(time_cost=3, memory_cost=65536, parallelism=4)
_AT_ONCE = 2
_WAITING_AT_MOST = 32


class BusyError(Exception):
    """More passwords wait to be checked than is sensible."""


class UnfitPasswordError(ValueError):
    """A password that is not taken; the text says why."""


def hash_password(password: str) -> str:
    """The argon2id hash of a password, with its salt and parameters.

    Raises:
        UnfitPasswordError: It is too short or too long.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise UnfitPasswordError(
            f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters; this one has {len(password)}."
        )
    return _HASHER.hash(password)


def is_hash(text: str) -> bool:
    """Whether a text is an argon2id hash that can be checked."""
    try:
        _HASHER.check_needs_rehash(text)
    except InvalidHashError:
        return False
    return text.startswith("$argon2id$")


class PasswordCheck:
    """Checks passwords, a few at a time: each takes 64 MiB of memory."""

    def __init__(self) -> None:
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0
        # Of a password that nobody knows: checking it takes as long as checking one of somebody's.
        self._nobodys = _HASHER.hash("nobody's password, which is right for nobody")

    async def is_right(self, stored: str | None, password: str) -> bool:
        """Whether a password is the one of a stored hash; takes as long without one, and is false then.

        Raises:
            BusyError: Too many wait.
        """
        if len(password) > MAX_LENGTH:
            return False
        if self._waiting >= _WAITING_AT_MOST:
            raise BusyError
        self._waiting += 1
        try:
            async with self._at_once:
                right = await asyncio.to_thread(_verify, stored or self._nobodys, password)
        finally:
            self._waiting -= 1
        return right and stored is not None


def _verify(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
