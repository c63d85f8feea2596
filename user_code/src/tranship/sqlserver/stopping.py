"""A cursor that another thread can cut short, and that is freed only while nobody does."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tranship.budget import duration
from tranship.deadlines import within
from tranship.errors import TransientError
from tranship.read_ahead import on_cancel
from tranship.sqlserver.lines import Line, line_of

FREE_SECONDS = 5.0
"""How long freeing a statement waits for a cancel of it that is under way."""

_log = logging.getLogger(__name__)


@contextmanager
def stoppable_cursor(connection: Any) -> Iterator[Any]:
    """A cursor that is closed at the end; what waits in it ends when its producer is cancelled.

    Freeing a statement in one thread while another cancels it would be a use after free, so the two take turns.
    Neither turn has an end that we could promise: both are calls of the driver, which may wait for the network or
    for the connection's other statement. So nobody waits for a turn without a deadline: a cancel that finds the
    statement being freed does nothing, and a statement whose cancel does not return is not freed but left to the
    end of its connection.

    Args:
        connection: The driver's connection; its only cursor, for as long as the block runs.
    """
    cursor = connection.cursor()
    turn = threading.Lock()

    def stop() -> None:
        if turn.acquire(blocking=False):
            try:
                cancel(cursor)
            finally:
                turn.release()

    try:
        with on_cancel(stop):
            yield _Bounded(cursor, line_of(connection))
    except Exception as error:
        # Where the driver knows no reason, the server's messages before it are all there is.
        for _, message in getattr(cursor, "messages", ()):
            error.add_note(str(message))
        raise
    finally:
        # The turn is not given back: the statement is gone, and a late cancel finds it taken.
        if turn.acquire(timeout=FREE_SECONDS):
            cursor.close()
        else:
            _log.warning(
                "The driver did not cancel a statement within %g s, so it is not freed.",
                FREE_SECONDS,
            )


class _Bounded:
    """A driver's cursor whose calls end: where the server says nothing for too long, its line is cut."""

    def __init__(self, cursor: Any, line: Line | None) -> None:
        self._cursor = cursor
        self._line = line

    def execute(self, *statement_and_values: Any) -> "_Bounded":
        self._call(self._cursor.execute, *statement_and_values)
        return self

    def fetchall(self) -> list[Any]:
        return self._call(self._cursor.fetchall)

    def nextset(self) -> Any:
        return self._call(self._cursor.nextset)

    def arrow_batch(self, rows: int) -> Any:
        return self._call(self._cursor.arrow_batch, rows)

    def _call(self, call: Callable[..., Any], *values: Any) -> Any:
        if self._line is None:
            return call(*values)
        seconds = self._line.answer_seconds
        with within(seconds, self._line.cut) as deadline:
            try:
                return call(*values)
            except Exception as error:
                if deadline.passed:
                    raise TransientError(
                        f"The server said nothing for {duration(seconds)}, so the connection was given up.",
                        "Look whether it, or what is between, is stuck. If a query does take that long until "
                        "its next rows, raise answer_timeout_seconds.",
                    ) from error
                raise


def cancel(cursor: Any) -> None:
    """Ask the server to stop the statement of a cursor that another thread is waiting for.

    SQLCancel is the one ODBC call that may come from another thread. The driver makes it only when
    an Arrow reader is closed, which is too late for a statement that has not returned yet.
    https://learn.microsoft.com/sql/odbc/reference/syntax/sqlcancel-function
    """
    stop = getattr(cursor.hstmt, "_cancel", None)
    if stop is not None:
        # It fails where the connection is lost, and then there is nothing left to stop.
        with suppress(RuntimeError):
            stop()
