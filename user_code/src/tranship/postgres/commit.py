"""Commit, and find out what became of it when the connection is lost at that very moment.

Whether the server committed is then unknown to the driver. The server knows: it keeps the state of
each recent transaction (https://www.postgresql.org/docs/current/functions-info.html, txid_status).
"""

import time

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
        cursor.execute("select txid_current()::text")
        (transaction,) = cursor.fetchone() or ("",)
    details["transaction_id"] = transaction
    try:
        connection.commit()
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        if error.pgcode is not None and not error.pgcode.startswith(("08", "57")):
            raise
        lost = translate(error, settings, doing=f"commit of the {request}")
    else:
        return
    status = _status(settings, transaction)
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


def _status(settings: PostgresSettings, transaction: str) -> str | None:
    """`committed`, `aborted`, or `None` where nobody can say."""
    deadline = time.monotonic() + ASK_FOR_SECONDS
    while True:
        status = None
        try:
            with connect(settings) as connection, connection.cursor() as cursor:
                cursor.execute("select txid_status(%s::bigint)", (transaction,))
                (status,) = cursor.fetchone() or (None,)
        except TranshipError as error:
            if not error.transient:
                return None
            status = "unreachable"
        if status not in {"in progress", "unreachable"}:
            return status
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.5)
