"""Transactions that read and see one moment: alone, or several that share it.

Under REPEATABLE READ every statement of a transaction sees what was committed before its first one, and another transaction sees the
same where it imports the snapshot that the first one has exported and still holds open.
https://www.postgresql.org/docs/current/sql-set-transaction.html
https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-SNAPSHOT-SYNCHRONIZATION
"""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg2.errors
import psycopg2.extensions

from tranship.errors import TransientError
from tranship.pgsql.driver import SqlConnection, SqlCursor
from tranship.postgres.connection import connect, open_connection
from tranship.postgres.settings import PostgresSettings


@contextmanager
def one_moment(settings: PostgresSettings, snapshot: str | None = None) -> Generator[SqlConnection]:
    """A connection whose one transaction sees one moment and changes nothing; closed at the end.

    Args:
        settings: Where.
        snapshot: The exported snapshot whose moment it is to be.

    Raises:
        TranshipError: As `tranship.postgres.connection.connect`.
    """
    with connect(settings) as connection:
        begin(connection, settings, snapshot)
        yield connection


def begin(
    connection: SqlConnection,
    settings: PostgresSettings,
    snapshot: str | None = None,
) -> None:
    """Let the transaction that begins now see one moment.

    Args:
        connection: Without a transaction yet.
        settings: How long it may wait for a table that somebody changes.
        snapshot: The exported snapshot whose moment it is to be.
    """
    connection.set_session(
        isolation_level=psycopg2.extensions.ISOLATION_LEVEL_REPEATABLE_READ, readonly=True
    )
    with connection.cursor() as cursor:
        if snapshot is not None:
            _import(cursor, snapshot)
        # Else a read waits for as long as a table is locked; and whoever only holds a snapshot is idle.
        cursor.execute("set local lock_timeout = %s", (round(settings.lock_wait_seconds * 1000),))
        cursor.execute("set local idle_in_transaction_session_timeout = 0")


def _import(cursor: SqlCursor, snapshot: str) -> None:
    try:
        cursor.execute("set transaction snapshot %s", (snapshot,))
    except (psycopg2.errors.UndefinedObject, psycopg2.errors.ObjectNotInPrerequisiteState) as error:
        raise TransientError(
            "The snapshot that a read over several connections shares is gone, as the connection that held it was lost: "
            f"{error.diag.message_primary}."
        ) from None


@dataclass(slots=True)
class SharedSnapshot:
    """A snapshot that so many transactions import; held open until the last of them has.

    Args:
        settings: Where.
        readers: How many import it.
    """

    settings: PostgresSettings
    readers: int = 1
    _connection: SqlConnection | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def exported(self) -> Generator[tuple[str, SqlConnection]]:
        """Its name, and the connection that holds it, for questions about the same moment before anybody imports it."""
        connection = self._connection = open_connection(self.settings)
        try:
            begin(connection, self.settings)
            with connection.cursor() as cursor:
                cursor.execute("select pg_export_snapshot()")
                (name,) = cursor.fetchone() or ("",)
            yield name, connection
        finally:
            connection.close()

    def imported(self) -> None:
        """Told by each reader when it has the snapshot; after the last one nothing needs to be held any more."""
        with self._lock:
            self.readers -= 1
            if self.readers == 0 and self._connection is not None:
                self._connection.close()
