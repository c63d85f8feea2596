"""Which session a connection has, and how the one of a lost connection is ended.

A connection that breaks in the middle of a transaction leaves a session that Redshift may keep, with its
locks, until it notices: hours later, where a NAT gateway dropped it silently.
https://docs.aws.amazon.com/redshift/latest/dg/PG_TERMINATE_BACKEND.html
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg2


@dataclass(frozen=True, slots=True)
class Session:
    """A session of Redshift: its process, and when it started, as process numbers come again."""

    process: int
    started: datetime


def current_session(cursor: Any, log: logging.Logger) -> Session | None:
    """The session of a connection in autocommit mode; `None` where Redshift does not show it."""
    cursor.execute("select pg_backend_pid()")
    (process,) = cursor.fetchone()
    started = _started(cursor, process, log)
    return Session(process, started) if started is not None else None


def end_session(cursor: Any, session: Session, log: logging.Logger) -> bool:
    """End a session if it is still there.

    Args:
        cursor: A cursor of another connection of the same user, in autocommit mode.
        session: The session.
        log: Where this is told.

    Returns:
        Whether it was still there.
    """
    if _started(cursor, session.process, log) != session.started:
        return False
    log.info("Ending session %d, whose connection was lost.", session.process)
    cursor.execute("select pg_terminate_backend(%s)", (session.process,))
    return True


def _started(cursor: Any, process: int, log: logging.Logger) -> datetime | None:
    try:
        cursor.execute("select starttime from stv_sessions where process = %s", (process,))
        row = cursor.fetchone()
    except psycopg2.ProgrammingError as error:
        # Not on every kind of Redshift, and not to every user.
        log.debug("stv_sessions cannot be read: %s", str(error).strip())
        return None
    return row[0] if row is not None else None
