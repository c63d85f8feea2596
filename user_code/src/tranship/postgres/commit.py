"""Commit, and find out what became of it when the connection is lost at that very moment.

Whether the server committed is then unknown to the driver. The server knows: it keeps the state of
each recent transaction (https://www.postgresql.org/docs/current/functions-info.html, txid_status).
"""

import time
from dataclasses import dataclass
from typing import Any

import psycopg2
import psycopg2.extensions

from tranship.errors import TranshipError, TransientError, WriteFailedError
from tranship.postgres.connection import connect
from tranship.postgres.faults import translate
from tranship.postgres.settings import PostgresSettings
from tranship.writes import WriteMode, WriteRequest

ASK_FOR_SECONDS = 60.0
"""How long we ask a server that is away what became of the transaction."""


def commit(
    connection: psycopg2.extensions.connection,
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
