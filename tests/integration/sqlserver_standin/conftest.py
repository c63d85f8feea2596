"""One stand-in for all tests here, in a process of its own; each test works in a schema of its own."""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator

import mssql_python
import pytest

from standins.sqlserver.remote import SqlServerProcess

PASSWORD = "Correct-Horse-1"


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Look until it holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def server() -> Iterator[SqlServerProcess]:
    with SqlServerProcess(password=PASSWORD) as running:
        yield running


@pytest.fixture
def schema(server: SqlServerProcess) -> str:
    name = f"t_{secrets.token_hex(4)}"
    server.execute(f"create schema {name}")
    return name


@pytest.fixture
def connect(server: SqlServerProcess) -> Iterator[Callable[..., mssql_python.Connection]]:
    opened: list[mssql_python.Connection] = []

    def open_connection(*, autocommit: bool = True, **options: object) -> mssql_python.Connection:
        connection = mssql_python.connect(server.odbc(**options), autocommit=autocommit)  # type: ignore[arg-type]
        opened.append(connection)
        return connection

    yield open_connection
    for connection in opened:
        with contextlib.suppress(mssql_python.Error):  # a test may have broken it
            connection.close()


@pytest.fixture
def cursor(connect: Callable[..., mssql_python.Connection]) -> mssql_python.Cursor:
    return connect().cursor()
