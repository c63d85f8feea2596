"""Connections to SQL Server through mssql-python; failures are quick, clear, and free of secrets."""

import importlib
import socket
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from tranship.errors import ConfigurationError, UnreachableError
from tranship.read_ahead import on_cancel
from tranship.sqlserver.driver_errors import driver_errors, missing_libraries
from tranship.sqlserver.idle_connection import IdleConnection
from tranship.sqlserver.settings import SqlServerSettings
from tranship.sqlserver.stopping import shut_down, watch_for_socket

if TYPE_CHECKING:
    import sqlalchemy as sa
    from mssql_python import Connection


CUT_SECONDS = 3.0
"""How long a cancel may take before the connection under it is cut."""


def driver() -> Any:
    """The `mssql_python` module, imported on first use: it loads Microsoft's ODBC driver.

    Raises:
        ConfigurationError: A system library is missing; the message has the command that adds it.
    """
    try:
        return importlib.import_module("mssql_python")
    except (ImportError, RuntimeError, OSError) as error:
        raise missing_libraries(f"{error}.") from error


@contextmanager
def connect(
    settings: SqlServerSettings,
    *,
    doing: str = "running a statement",
    reuse: IdleConnection | None = None,
    keep: IdleConnection | None = None,
) -> Generator["Connection"]:
    """A connection that is closed when the block ends; what the driver raises in it is translated.

    Every statement is its own transaction (autocommit), which is what a reader needs: a single
    SELECT sees one moment under snapshot isolation, and no lock outlives a statement.

    Args:
        settings: Where to connect.
        doing: What the block does, for error messages: "reading dbo.DimProduct".
        reuse: Where a connection may have been left to be used instead of a new one.
        keep: Where to leave the connection instead of closing it, unless the block fails.

    Yields:
        The driver's own connection.

    Raises:
        UnreachableError: Nothing answers at host and port.
        ConnectionFailedError: The server refused the login, the database, or TLS failed.
        TransientError: The connection was lost, or the server asked to try again.
        TranshipError: The server refused a statement in the block.

    Example:
        >>> with connect(settings) as connection:  # doctest: +SKIP
        ...     connection.cursor().execute("select 1").fetchone()
    """
    module = driver()
    with driver_errors(module, settings, doing, driver_calls_only=False):
        connection = reuse.take() if reuse is not None else None
        if connection is None:
            connection = open_connection(settings)
        with ExitStack() as stack:
            try:
                stack.enter_context(on_cancel(_cut_when_asked_again(connection)))
                yield connection
            except BaseException:
                connection.close()
                raise
            if keep is None:
                connection.close()
            else:
                keep.put(connection)


def _cut_when_asked_again(connection: "Connection") -> Callable[[], None]:
    """What ends every call of a connection: not at once, so that the server is asked to stop first."""
    first: list[float] = []

    def stop() -> None:
        first.append(time.monotonic())
        if time.monotonic() - first[0] >= CUT_SECONDS:
            shut_down(connection)

    return stop


def open_connection(settings: SqlServerSettings) -> "Connection":
    """A new connection that the caller closes. Prefer `connect`.

    Raises:
        UnreachableError: Nothing answers at host and port.
        ConnectionFailedError: The server refused the login, the database, or TLS failed.
    """
    module = driver()
    check_reachable(settings)
    # A pool would keep connections open, and a session's isolation level with them.
    module.pooling(enabled=False)
    with (
        driver_errors(module, settings, "connecting"),
        watch_for_socket(
            settings.port, settings.connect_timeout_seconds, settings.answer_timeout_seconds
        ) as remember,
    ):
        connection = module.connect(
            connection_string(settings),
            autocommit=True,
            timeout=settings.connect_timeout_seconds,
        )
        remember(connection)
        connection.timeout = settings.query_timeout_seconds
        return connection


def check_reachable(settings: SqlServerSettings) -> None:
    """Open and close a TCP connection: the ODBC driver keeps trying a closed port until its timeout.

    Raises:
        UnreachableError: The name does not resolve, the port is closed, or nothing answers.
    """
    try:
        socket.create_connection(
            (settings.host, settings.port), timeout=settings.connect_timeout_seconds
        ).close()
    except socket.gaierror as error:
        raise UnreachableError(
            f'The host "{settings.host}" is unknown: {error.strerror}.',
            "Check the host name, and the name server of this machine.",
        ) from error
    except TimeoutError as error:
        raise UnreachableError(
            f"{settings.address} did not answer within {settings.connect_timeout_seconds} s.",
            "Check host, port and firewall.",
        ) from error
    except OSError as error:
        raise UnreachableError(
            f"{settings.address} cannot be reached: {error.strerror or error}.",
            "Check host and port, and that the server is up.",
        ) from error


def connection_string(settings: SqlServerSettings) -> str:
    """The ODBC connection string. It holds the password: never log it."""
    login = {"UID": settings.user, "PWD": settings.password}
    parts = {
        "Server": f"{settings.host},{settings.port}",
        "Database": settings.database,
        **{key: value for key, value in login.items() if value},
        **settings.keywords(),
    }
    return ";".join(f"{key}={_quoted(value)}" for key, value in parts.items())


def _quoted(value: str) -> str:
    """A value in braces, in which only the closing brace needs doubling ([MS-ODBCSTR] 2.1.2)."""
    return "{" + value.replace("}", "}}") + "}"


def engine(settings: SqlServerSettings) -> "sa.Engine":
    """A SQLAlchemy engine without a pool, for reflection and for statements of your own.

    Nothing else of the library needs the dialect `mssql+mssqlpython`, which SQLAlchemy has since 2.1
    (https://docs.sqlalchemy.org/en/21/dialects/mssql.html#module-sqlalchemy.dialects.mssql.mssqlpython).

    Raises:
        ConfigurationError: The SQLAlchemy that is installed has no such dialect.

    Example:
        >>> import sqlalchemy as sa
        >>> sa.inspect(engine(settings)).get_table_names(schema="dbo")  # doctest: +SKIP
    """
    import sqlalchemy as sa
    from sqlalchemy.exc import NoSuchModuleError

    driver()
    try:
        return sa.create_engine(
            settings.url(),
            poolclass=sa.NullPool,
            creator=lambda: open_transactional(settings),
            hide_parameters=True,
        )
    except NoSuchModuleError as error:
        raise ConfigurationError(
            f"SQLAlchemy {sa.__version__} cannot make an engine for SQL Server over mssql-python.",
            "Install SQLAlchemy 2.1 or newer, or use connect(), which works with this one too.",
        ) from error


def open_transactional(settings: SqlServerSettings) -> "Connection":
    """A connection in which statements run in transactions, as SQLAlchemy expects it."""
    connection = open_connection(settings)
    connection.autocommit = False
    return connection
