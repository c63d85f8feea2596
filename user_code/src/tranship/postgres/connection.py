"""A connection to a Postgres server that speaks this library's errors."""

import logging
from collections.abc import Generator
from contextlib import contextmanager

import psycopg2

from tranship.bounded_connections import KEEPALIVES, BoundedConnection
from tranship.pgsql.driver import SqlConnection
from tranship.postgres.faults import refused, translated
from tranship.postgres.settings import SYSTEM_CERTIFICATES, PostgresSettings
from tranship.tls import system_authorities, tell_what_is_off

_LOGGER = logging.getLogger(__name__)


def open_connection(settings: PostgresSettings) -> SqlConnection:
    """A new connection; the caller closes it.

    Raises:
        ConnectionFailedError: Wrong credentials, database, or certificate.
        UnreachableError: Nobody answered, or the server is starting; it may be tried again.
        TransientError: The server has no connection left.
    """
    options = ["client_min_messages=error", "default_transaction_isolation='read committed'"]
    if settings.statement_timeout_seconds:
        options.append(f"statement_timeout={round(settings.statement_timeout_seconds * 1000)}")
    mode = settings.tls_mode
    verified = mode.startswith("verify")
    try:
        connection = psycopg2.connect(
            **settings.libpq_hosts(),
            dbname=settings.database,
            user=settings.user,
            password=settings.password,
            sslmode=mode,
            sslrootcert=_authorities(settings.sslrootcert) if verified else None,
            connect_timeout=settings.connect_timeout_seconds,
            application_name=settings.application_name,
            **KEEPALIVES,
            connection_factory=BoundedConnection,
            client_encoding="utf8",
        )
        connection.answer_seconds = settings.answer_timeout_seconds
        with connection.cursor() as cursor:
            for option in options:
                cursor.execute(f"set {option}")
        connection.commit()
    except psycopg2.Error as error:
        raise refused(error, settings) from None
    tell_what_is_off(mode, settings.host, "Postgres", _LOGGER)
    return connection


@contextmanager
def connect(settings: PostgresSettings) -> Generator[SqlConnection]:
    """A connection that is closed at the end, whatever happens.

    A transaction is open from the first statement on and is rolled back unless it was committed.
    Driver errors inside the block come out as this library's.

    Example:
        >>> with connect(settings) as connection, connection.cursor() as cursor:  # doctest: +SKIP
        ...     cursor.execute("select 1")

    Raises:
        ConnectionFailedError: The server refused us.
        TransientError: The connection was lost, or a deadlock was broken.
        WriteFailedError: The server refused a statement.
    """
    connection = open_connection(settings)
    try:
        with translated(settings):
            yield connection
    finally:
        connection.close()


def _authorities(file: str | None) -> str:
    """The file of trusted authorities; the bundled libpq knows no system store of its own."""
    if file is not None and file != SYSTEM_CERTIFICATES:
        return file
    return system_authorities() or SYSTEM_CERTIFICATES
