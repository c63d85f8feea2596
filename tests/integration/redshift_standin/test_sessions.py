"""STV_SESSIONS shows whom a session serves, and PG_TERMINATE_BACKEND ends it with its locks."""

import datetime as dt
import time
from collections.abc import Iterator

import psycopg2
import pytest

from standins.redshift import RedshiftStandIn

from .conftest import USER, Connect, Database


@pytest.fixture
def sql(connect: Connect) -> Database:
    connection = connect()
    connection.autocommit = True
    return Database(connection)


@pytest.fixture
def guest(standin: RedshiftStandIn, sql: Database, schema: str) -> Iterator[tuple[str, str]]:
    """A user without rights, and its password."""
    name = f"u_{schema}"
    sql.run(f"create user {name} password 'Own-Secret-1'")
    yield name, "Own-Secret-1"
    sql.run(f"drop user {name}")


def process_of(database: Database) -> int:
    return database.run("select pg_backend_pid()")[0][0]


def processes(database: Database) -> set[int]:
    return {process for (process,) in database.run("select process from stv_sessions")}


def test_a_session_is_listed_with_its_user_and_start(sql: Database):
    found = sql.run(
        "select starttime, trim(user_name), trim(db_name), timeout_sec, getdate()"
        f" from stv_sessions where process = {process_of(sql)}"
    )
    ((started, user, name, timeout, now),) = found
    assert (user, name, timeout) == (USER, "standin", 0)
    assert dt.timedelta(seconds=-1) <= now - started < dt.timedelta(minutes=5)


def test_a_session_is_gone_when_its_client_left(sql: Database, connect: Connect):
    connection = connect()
    process = process_of(Database(connection))
    assert process in processes(sql)
    connection.close()
    wait_until_gone(sql, process)


def test_ending_a_session_frees_its_locks(sql: Database, connect: Connect):
    sql.run("create table t (id int)")
    lost = Database(connect())
    lost.run("lock table t")
    lost.run("insert into t values (1)")
    process = process_of(lost)
    assert sql.run(f"select pg_terminate_backend({process})") == [(1,)]
    sql.run("set statement_timeout to 10000")
    sql.run("insert into t values (2)")
    assert sql.run("select id from t") == [(2,)]
    wait_until_gone(sql, process)
    with pytest.raises(psycopg2.OperationalError):
        lost.run("select 1")


def test_a_user_sees_and_ends_only_its_own_sessions(standin, sql: Database, guest):
    user, password = guest
    first, second = (
        Database(psycopg2.connect(standin.url, user=user, password=password)) for _ in range(2)
    )
    try:
        first.connection.autocommit = True
        own = {process_of(first), process_of(second)}
        assert processes(first) == own
        assert own < processes(sql)
        error = first.refusal(f"select pg_terminate_backend({process_of(sql)})")
        assert (error.pgcode, "must be superuser" in str(error)) == ("42501", True)
        process = process_of(second)
        assert first.run(f"select pg_terminate_backend({process})") == [(1,)]
        wait_until_gone(first, process)
        assert first.run(f"select pg_terminate_backend({process})") == [(0,)]
    finally:
        first.connection.close()
        second.connection.close()


def wait_until_gone(database: Database, process: int) -> None:
    deadline = time.monotonic() + 10
    while process in processes(database):
        assert time.monotonic() < deadline, f"session {process} is still there"
        time.sleep(0.02)


def test_a_client_that_pools_connections_can_reset_one(connect: Connect):
    connection = connect()
    connection.cursor().execute("set query_group to 'mine'")
    connection.reset()
    assert Database(connection).run("select 1") == [(1,)]
