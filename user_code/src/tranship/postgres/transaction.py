"""The transaction of a write: the locks that it takes, and a commit of which it is known what became of it.

When the connection is lost at the very moment of the commit, the driver does not know whether the server committed. The server knows: it
keeps the state of each recent transaction (https://www.postgresql.org/docs/current/functions-info.html, txid_status).
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import psycopg2
import psycopg2.errors
from psycopg2 import sql

from tranship.budget import current_budget, duration
from tranship.errors import TranshipError, TransientError, WriteFailedError
from tranship.pgsql.driver import SqlConnection, SqlCursor
from tranship.postgres.connection import connect
from tranship.postgres.faults import translate
from tranship.postgres.settings import PostgresSettings
from tranship.tables import TableName
from tranship.writes import WriteMode, WriteRequest

ATTEMPT_MILLISECONDS = 500
"""How long an attempt at an exclusive lock waits. Readers queue behind it for no longer, and it gives
up before the server looks for deadlocks (after 1 s), so that no reader is the victim of one."""
PATIENT_ATTEMPT_MILLISECONDS = 1_500
"""How long every fourth attempt waits: an autovacuum only steps aside for who waits over a second."""
LONGEST_PAUSE_SECONDS = 2.0


def lock_table_name(cursor: SqlCursor, table: TableName, wait_seconds: float) -> None:
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
    cursor: SqlCursor,
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


def _holders(cursor: SqlCursor, table: TableName) -> str:
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


ASK_FOR_SECONDS = 60.0
"""How long we ask a server that is away what became of the transaction."""


def commit(
    connection: SqlConnection,
    settings: PostgresSettings,
    request: WriteRequest,
    details: dict[str, str | int | float],
) -> None:
    """Commit, once and for sure.

    Raises:
        TransientError: Nothing was committed, or repeating the write is harmless.
        WriteFailedError: The server refused; or an append may or may not have been committed.
    """
    with connection.cursor() as cursor:
        cursor.execute("select txid_current()::text, pg_postmaster_start_time(), clock_timestamp()")
        transaction, started, now = cursor.fetchone() or ("", None, None)
    details["transaction_id"] = transaction
    try:
        connection.commit()
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        if error.pgcode is not None and not error.pgcode.startswith(("08", "57")):
            raise
        lost = translate(error, settings, doing=f"commit of the {request}")
    else:
        return
    status = _status(settings, transaction, Server(started, now))
    if status == "committed":
        details["commit"] = "confirmed on a second connection"
        return
    if status == "aborted" or request.mode != WriteMode.APPEND:
        raise TransientError(lost.what, lost.remedy, details=lost.details)
    raise WriteFailedError(
        f"The connection was lost during the commit of the {request}, and the server does not say "
        f"whether transaction {transaction} was committed.",
        f"Look whether the rows are in {request.table} before you run this again: appending twice "
        "would double them.",
        details={"transaction_id": transaction},
    )


@dataclass(frozen=True, slots=True)
class Server:
    """The server that a transaction was made on.

    Args:
        started: When its postmaster started.
        seen: When it was asked, by its own clock.
    """

    started: Any
    seen: Any

    def is_still(self, started: Any) -> bool:
        """Whether the one that answers now knows of our transaction.

        The same postmaster does, and so does one that was started since. One that is another and was running
        all the time is a standby that took over: it may have given our transaction's number to somebody else.

        Args:
            started: When the postmaster that answers now was started.
        """
        return started == self.started or started > self.seen


def _status(settings: PostgresSettings, transaction: str, server: Server) -> str | None:
    """`committed`, `aborted`, or `None` where nobody can say."""
    deadline = time.monotonic() + ASK_FOR_SECONDS
    while True:
        status = None
        try:
            with connect(settings) as connection, connection.cursor() as cursor:
                cursor.execute(
                    "select txid_status(%s::bigint), pg_postmaster_start_time()", (transaction,)
                )
                status, started = cursor.fetchone() or (None, None)
                if not server.is_still(started):
                    return None
        except TranshipError as error:
            if not error.transient:
                return None
            status = "unreachable"
        if status not in {"in progress", "unreachable"}:
            return status
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.5)
