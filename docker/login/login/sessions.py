"""Sessions, kept at the server: a cookie holds a random token, the file its hash. So a session ends when we say so."""

import hashlib
import secrets
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass

_REFRESH_SECONDS = 30
"""How exactly the last use of a session is known: the file is not written for each request."""
_CLOCK_SKEW_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who has logged in.

    Args:
        user: The name, as the audit calls them.
        role: What they may.
        source: `users` or `oidc`: how they logged in.
        credential: For one of the users file, the fingerprint of the password's hash: with another password the session ends.
    """

    user: str
    role: str
    source: str
    credential: str = ""


class Sessions:
    """The sessions of a state's database.

    Args:
        database: The database.
        idle_seconds: After how long without a request one ends.
        absolute_seconds: After how long each ends.
        clock: The time.
    """

    def __init__(
        self,
        database: sqlite3.Connection,
        *,
        idle_seconds: float,
        absolute_seconds: float,
        clock: Callable[[], float] = time.time,
    ):
        self._database = database
        self._idle_seconds = idle_seconds
        self.absolute_seconds = absolute_seconds
        self._clock = clock

    def begin(self, session: Session) -> str:
        """Keep a new session and give its token."""
        token = secrets.token_urlsafe(32)
        now = self._clock()
        self._forget_old(now)
        self._database.execute(
            "insert into sessions values (?, ?, ?, ?, ?, ?, ?)",
            (
                _hash(token),
                session.user,
                session.role,
                session.source,
                session.credential,
                now,
                now,
            ),
        )
        return token

    def find(self, token: str) -> Session | None:
        """The session of a token, while it lasts; its last use is now."""
        row = self._database.execute(
            "select user, role, source, credential, created, seen from sessions where token_hash = ?",
            (_hash(token),),
        ).fetchone()
        if row is None:
            return None
        *fields, created, seen = row
        now = self._clock()
        if not self._lasts(created, seen, now):
            self.end(token)
            return None
        if now - seen > _REFRESH_SECONDS:
            self._database.execute(
                "update sessions set seen = ? where token_hash = ?", (now, _hash(token))
            )
        return Session(*fields)

    def end(self, token: str) -> None:
        """End one session."""
        self._database.execute("delete from sessions where token_hash = ?", (_hash(token),))

    def end_all(self, user: str | None = None, source: str | None = None) -> int:
        """End every session, or those of a user, or of one who logged in by a certain way; gives how many."""
        return self._database.execute(
            "delete from sessions where (?1 is null or user = ?1) and (?2 is null or source = ?2)",
            (user, source),
        ).rowcount

    def _lasts(self, created: float, seen: float, now: float) -> bool:
        # Begun in the future: the clock went back, and how old the session is nobody can tell.
        if max(created, seen) > now + _CLOCK_SKEW_SECONDS:
            return False
        return now - created < self.absolute_seconds and now - seen < self._idle_seconds

    def _forget_old(self, now: float) -> None:
        self._database.execute(
            "delete from sessions where created < ? or seen < ?",
            (now - self.absolute_seconds, now - self._idle_seconds),
        )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
