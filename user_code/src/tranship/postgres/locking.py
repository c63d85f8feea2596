"""Locks a write takes: one name, so that writers of a table take turns; and, for moments, the table."""

import random
import time
from collections.abc import Sequence
from itertools import count

import psycopg2.errors
import psycopg2.extensions
from psycopg2 import sql

from tranship.budget import current_budget, duration
from tranship.errors import WriteFailedError
from tranship.tables import TableName

ATTEMPT_MILLISECONDS = 500
"""How long an attempt at an exclusive lock waits. Readers queue behind it for no longer, and it gives
up before the server looks for deadlocks (after 1 s), so that no reader is the victim of one."""
PATIENT_ATTEMPT_MILLISECONDS = 1_500
"""How long every fourth attempt waits: an autovacuum only steps aside for who waits over a second."""
LONGEST_PAUSE_SECONDS = 2.0


def lock_table_name(
    cursor: psycopg2.extensions.cursor, table: TableName, wait_seconds: float
) -> None:
    """Wait for our turn among the writers of a table; the turn ends with the transaction.

    Raises:
        psycopg2.errors.LockNotAvailable: Another writer did not finish in time.
    """
    cursor.execute("select set_config('lock_timeout', %s, true)", (_milliseconds(wait_seconds),))
    cursor.execute(
        "select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"tranship write {table}",)
    )
    # It stays: what the write waits for later, a row that another transaction holds, has an end too.


class TableHeldError(WriteFailedError):
    """Somebody held a table for longer than we wait. Loading the rows again would end at the same lock.

    What to do: End the session that the text names, and run the load again.
    """


def lock_exclusively(
    cursor: psycopg2.extensions.cursor,
    statements: Sequence[sql.Composable],
    table: TableName,
    wait_seconds: float,
) -> None:
    """Take exclusive locks without making readers queue behind us for long.

    Each attempt waits half a second for all of them; a failed one frees those it had. The rows lie loaded meanwhile,
    so this alone is repeated: for as long as the load may be tried again, where that is longer.

    Args:
        cursor: Of the write's transaction.
        statements: One per lock, in the order in which readers take them.
        table: Named in the error.
        wait_seconds: When to give up, at the earliest.

    Raises:
        TableHeldError: Somebody held the table all that time; the message says who.
    """
    budget = current_budget()
    wait_seconds = wait_seconds if budget is None else max(wait_seconds, budget.left)
    deadline = time.monotonic() + wait_seconds
    pause = 0.05
    for attempt in count(1):
        milliseconds = ATTEMPT_MILLISECONDS if attempt % 4 else PATIENT_ATTEMPT_MILLISECONDS
        cursor.execute("savepoint tranship_lock")
        cursor.execute("select set_config('lock_timeout', %s, true)", (f"{milliseconds}ms",))
        try:
            for statement in statements:
                cursor.execute(statement)
        except psycopg2.errors.LockNotAvailable:
            cursor.execute("rollback to savepoint tranship_lock")
            if time.monotonic() >= deadline:
                raise TableHeldError(
                    f"{table} could not be locked within {duration(wait_seconds)} to put the new rows in place, in "
                    f"{attempt} attempts{_holders(cursor, table)}.",
                    "End those sessions, or raise lock_wait_seconds; then run the load again.",
                ) from None
            time.sleep(random.uniform(pause / 2, pause))
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        else:
            cursor.execute("release savepoint tranship_lock")
            cursor.execute(
                "select set_config('lock_timeout', %s, true)", (_milliseconds(wait_seconds),)
            )
            return


def _holders(cursor: psycopg2.extensions.cursor, table: TableName) -> str:
    cursor.execute(
        """
        select distinct a.pid, a.usename, a.application_name, a.state
        from pg_locks l
        join pg_class c on c.oid = l.relation
        join pg_namespace n on n.oid = c.relnamespace
        join pg_stat_activity a on a.pid = l.pid
        where n.nspname = %s and c.relname = %s and l.granted and l.pid <> pg_backend_pid()
        order by a.pid
        """,
        (table.schema, table.name),
    )
    listed = [
        f"process {pid} ({user}, {application or 'unnamed'}, {state})"
        for pid, user, application, state in cursor.fetchall()
    ]
    return f"; it is held by {', '.join(listed)}" if listed else ""


def _milliseconds(seconds: float) -> str:
    return f"{max(round(seconds * 1000), 1)}ms"
