"""The systems that tests talk to, by address from the environment or started here on first use.

`TRANSHIP_TEST_SQLSERVER_URL`, `TRANSHIP_TEST_POSTGRES_URL`, `TRANSHIP_TEST_REDSHIFT_URL` and
`TRANSHIP_TEST_S3_ENDPOINT` name servers of your own; where one is unset, an embedded one is started, once per
pytest-xdist worker and only when a test asks for it.
"""

import functools
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import psycopg2
import pytest
from psycopg2 import extensions, sql

from standins.embedded import EmbeddedPostgres, EmbeddedRedshift, EmbeddedS3, EmbeddedSqlServer
from standins.embedded.loopback import without_proxy

if TYPE_CHECKING:
    import mssql_python

NO_ENGINE = "no Docker engine"
RUN_ENGINE_TESTS = ".ci/run"  # starts an engine of its own where none runs
ENGINE_TIMEOUT_SECONDS = 10

# Every server of a test is on this machine; what it installs comes through the proxy as ever.
os.environ.update(without_proxy(os.environ))

# ---- the servers ----


@pytest.fixture(scope="session")
def embedded_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """An embedded Postgres server, for tests that need databases of their own."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> str:
    """The Postgres database that tests write to."""
    given = os.environ.get("TRANSHIP_TEST_POSTGRES_URL")
    if given:
        return given
    server: EmbeddedPostgres = request.getfixturevalue("embedded_postgres")
    return server.create_database("warehouse")


@pytest.fixture(scope="session")
def sqlserver_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The SQL Server database that tests read from, with the sample warehouse in it."""
    given = os.environ.get("TRANSHIP_TEST_SQLSERVER_URL")
    if given:
        yield given
        return
    with EmbeddedSqlServer(tmp_path_factory.mktemp("sqlserver"), sample=1) as server:
        yield server.url()


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of S3 and its companions (IAM, STS, Redshift's control plane, Secrets Manager)."""
    given = os.environ.get("TRANSHIP_TEST_S3_ENDPOINT")
    if given:
        yield given
        return
    with EmbeddedS3(tmp_path_factory.mktemp("s3")) as server:
        yield server.endpoint


@pytest.fixture(scope="session")
def redshift_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The Redshift database that tests write to."""
    given = os.environ.get("TRANSHIP_TEST_REDSHIFT_URL")
    if given:
        yield given
        return
    # Always an embedded Postgres behind it: the stand-in adds its catalogue views to the database.
    server: EmbeddedPostgres = request.getfixturevalue("embedded_postgres")
    s3_endpoint: str = request.getfixturevalue("s3_endpoint")
    backend = server.create_database("redshift")
    directory = tmp_path_factory.mktemp("redshift")
    with EmbeddedRedshift(directory, backend, s3_endpoint) as gateway:
        yield gateway.url()


# ---- connections and places of a test's own ----


@pytest.fixture
def postgres_connection(postgres_url: str) -> Iterator[extensions.connection]:
    """A psycopg2 connection; what is not committed is rolled back after the test."""
    connection = psycopg2.connect(postgres_url.replace("+psycopg2", ""))
    yield connection
    connection.close()


@pytest.fixture
def postgres_schema(postgres_url: str) -> Iterator[str]:
    """The name of an empty schema; dropped after the test with all that is in it."""
    name = f"test_{secrets.token_hex(6)}"
    connection = psycopg2.connect(postgres_url.replace("+psycopg2", ""))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("create schema {}").format(sql.Identifier(name)))
        yield name
        # A test that failed may have left a transaction open; it must not block the next ones for ever.
        cursor.execute("set lock_timeout = '10s'")
        cursor.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(name)))
    connection.close()


@pytest.fixture
def sqlserver_connection(sqlserver_url: str) -> "Iterator[mssql_python.Connection]":
    """A `mssql-python` connection to the source; what is not committed is rolled back after the test."""
    connection = _connect_to_sqlserver(sqlserver_url)
    yield connection
    connection.close()


@pytest.fixture
def connect_to_source(sqlserver_url: str) -> "Iterator[Callable[..., mssql_python.Connection]]":
    """Make further connections to the source; they are closed after the test."""
    opened: list[mssql_python.Connection] = []

    def connect(*, autocommit: bool) -> "mssql_python.Connection":
        opened.append(_connect_to_sqlserver(sqlserver_url, autocommit=autocommit))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def source_table(sqlserver_url: str) -> Iterator[Callable[..., str]]:
    """Create tables in the source; they are dropped after the test.

    Call it with T-SQL that holds `{table}` where the table's name goes: first the CREATE TABLE statement, then any
    number of statements that fill it. It returns the table's name, which no other test has.

    Example:
        >>> name = source_table("create table {table} (id int)", "insert into {table} values (1)")
        ... # name is like "t_5f2c81d09a3b", in the schema dbo
    """
    connection = _connect_to_sqlserver(sqlserver_url, autocommit=True)
    created: list[str] = []

    def create(ddl: str, *statements: str) -> str:
        name = f"t_{secrets.token_hex(6)}"
        for position, statement in enumerate((ddl, *statements)):
            connection.cursor().execute(statement.replace("{table}", f"[dbo].[{name}]"))
            if position == 0:
                created.append(name)
        return name

    yield create
    for name in created:
        connection.cursor().execute(f"drop table [dbo].[{name}]")
    connection.close()


def _connect_to_sqlserver(url: str, *, autocommit: bool = False) -> "mssql_python.Connection":
    # Imported here: without the driver's system libraries the unit tests must still run.
    import mssql_python

    from standins.sample.connect import parse_url

    parts = parse_url(url)
    return mssql_python.connect(parts.connection_string(parts.database), autocommit=autocommit)


# ---- tests that need a Docker engine ----


@functools.cache
def why_no_engine() -> str:
    """Return why no Docker engine can be used, empty if one answers."""
    if shutil.which("docker") is None:
        return "the docker command is not installed"
    command = ["docker", "info", "--format", "{{.ServerVersion}}"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=ENGINE_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it does not answer within {ENGINE_TIMEOUT_SECONDS} s"
    return "" if answer.returncode == 0 else answer.stderr.strip()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `engine` where no engine answers; in CI that is a failure."""
    if item.get_closest_marker("engine") is None:
        return
    reason = why_no_engine()
    if not reason:
        return
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(f"CI must run every test, but there is {NO_ENGINE}: {reason}")
    pytest.skip(f"{NO_ENGINE}: {reason}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that were not run for lack of an engine, and the command that runs them."""
    skipped = [
        report.nodeid
        for report in terminalreporter.stats.get("skipped", [])
        if NO_ENGINE in str(report.longrepr)
    ]
    if skipped:
        terminalreporter.write_line(
            f"{len(skipped)} tests were not run for lack of a Docker engine: {', '.join(skipped)}. "
            f"To run them: {RUN_ENGINE_TESTS}",
            yellow=True,
        )
