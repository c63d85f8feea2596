"""Transactions, locks and conflicts as on Redshift, and faults that tests can arm."""

import os
import socket
import threading
import time
from typing import Any

import psycopg
import psycopg2
import pyarrow as pa
import pytest

from standins.redshift import RedshiftStandIn

from .conftest import Connect, Database, Lake


@pytest.fixture
def table(database: Database) -> Database:
    database.run("create table t (id int, v varchar(5))")
    database.run("insert into t values (1, 'a'), (2, 'b')")
    database.connection.commit()
    return database


def ids(url_connection: Database) -> list[Any]:
    found = [row[0] for row in url_connection.run("select id from t order by 1")]
    url_connection.connection.rollback()
    return found


def copy_of(lake: Lake, schema: str, rows: int = 1) -> str:
    table = pa.table({"id": pa.array(range(10, 10 + rows), pa.int32()), "v": ["x"] * rows})
    url = lake.put_parquet(f"{schema}/rows", table)
    return f"copy t from '{url}' {lake.authorization} format parquet"


def test_truncate_commits(table: Database):
    table.run("insert into t values (3, 'c')")
    table.run("truncate t")
    assert table.connection.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_IDLE
    table.connection.rollback()
    assert ids(table) == []


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("vacuum t", "VACUUM cannot run inside a transaction block"),
        ("alter table t append from t2", "ALTER TABLE APPEND cannot run inside a transaction block"),
        ("alter table t alter column v type varchar(9)",
         "ALTER TABLE ALTER COLUMN cannot run inside a transaction block"),
    ],
)  # fmt: skip
def test_some_commands_refuse_a_transaction_block(table: Database, sql, text):
    table.run("select 1")
    error = table.refusal(sql)
    assert (error.pgcode, text in str(error)) == ("25001", True)


def test_an_error_found_by_the_gateway_fails_the_transaction(table: Database):
    table.run("insert into t values (3, 'c')")
    with pytest.raises(psycopg2.errors.SyntaxError):
        table.run("insert into t values (4, 'd') on conflict do nothing")
    with pytest.raises(psycopg2.errors.InFailedSqlTransaction):
        table.run("select 1")
    table.connection.rollback()
    assert ids(table) == [1, 2]


def test_concurrent_deletes_of_the_same_rows_conflict_with_1023(table: Database, connect: Connect):
    second = Database(connect())
    second.run("select count(*) from t")
    table.run("delete from t where id = 1")
    caught: list[psycopg2.Error] = []

    def delete_too() -> None:
        try:
            second.run("delete from t where id = 1")
        except psycopg2.Error as error:
            caught.append(error)

    thread = threading.Thread(target=delete_too)
    thread.start()
    time.sleep(0.3)
    assert not caught, "the second writer waits for the first one's lock"
    table.connection.commit()
    thread.join(10)
    (error,) = caught
    assert error.pgcode == "XX000"
    assert str(error).startswith("1023\nDETAIL:  Serializable isolation violation on table")


def test_writers_of_one_table_wait_and_readers_do_not(table: Database, connect: Connect):
    table.run("insert into t values (3, 'c')")
    reader, writer = Database(connect()), Database(connect())
    assert ids(reader) == [1, 2]
    writer.run("set statement_timeout to 300")
    with pytest.raises(psycopg2.errors.QueryCanceled):
        writer.run("insert into t values (4, 'd')")


def test_a_writer_that_waited_behind_lock_sees_what_was_committed(table, connect: Connect):
    table.run("lock t")
    second = Database(connect())
    done = threading.Event()

    def replace() -> None:
        second.run("lock t")
        second.run("delete from t")
        second.run("insert into t values (9, 'z')")
        second.connection.commit()
        done.set()

    thread = threading.Thread(target=replace)
    thread.start()
    time.sleep(0.2)
    table.run("delete from t")
    table.run("insert into t values (8, 'y')")
    assert not done.is_set()
    table.connection.commit()
    thread.join(10)
    assert ids(table) == [9]


def test_a_cut_during_copy_leaves_the_old_rows(table, standin, connect: Connect, lake, schema):
    standin.faults.cut_during_copy()
    with pytest.raises(psycopg2.OperationalError):
        table.run(copy_of(lake, schema))
    assert ids(Database(connect())) == [1, 2]


def test_a_cut_before_commit_commits_nothing(table, standin: RedshiftStandIn, connect: Connect):
    table.run("delete from t")
    standin.faults.cut_before_commit()
    with pytest.raises(psycopg2.OperationalError):
        table.connection.commit()
    assert ids(Database(connect())) == [1, 2]


def test_a_cut_after_commit_leaves_the_new_rows(table, standin: RedshiftStandIn, connect: Connect):
    table.run("delete from t")
    standin.faults.cut_after_commit()
    with pytest.raises(psycopg2.OperationalError):
        table.connection.commit()
    assert ids(Database(connect())) == []


def test_a_delayed_copy_can_be_cancelled(table, standin: RedshiftStandIn, lake, schema):
    # psycopg, since psycopg2 cancels with the interpreter's lock held: the server is in here too.
    standin.faults.delay_copy(30)
    started = time.monotonic()
    with psycopg.connect(standin.url, options=f"-c search_path={schema}") as connection:
        ended = threading.Event()

        def cancel_until_it_ends() -> None:
            while not ended.wait(0.5):
                connection.cancel_safe()

        thread = threading.Thread(target=cancel_until_it_ends)
        thread.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute(copy_of(lake, schema).encode())
        ended.set()
        thread.join()
        connection.rollback()
    assert time.monotonic() - started < 25
    assert ids(table) == [1, 2]


def test_the_next_statement_fails_as_told(table: Database, standin: RedshiftStandIn):
    standin.faults.fail_next(pattern="^delete")
    table.run("select 1")
    error = table.refusal("delete from t")
    assert (error.pgcode, str(error).splitlines()[0]) == ("XX000", "1023")
    table.run("delete from t")
    assert [fault.point for fault in standin.faults.struck] == ["statement"]


def test_a_client_that_vanishes_during_a_copy_is_rolled_back(table, standin, connect, lake, schema):
    standin.faults.delay_copy(20)
    statement = copy_of(lake, schema)
    thread = threading.Thread(target=lambda: _ignore_loss(table, statement))
    thread.start()
    time.sleep(0.5)
    _hang_up(table)
    thread.join(10)
    assert not thread.is_alive()
    other = Database(connect())
    other.run("set statement_timeout to 5000")
    other.run("lock t")
    assert ids(other) == [1, 2]


def _ignore_loss(database: Database, sql: str) -> None:
    with pytest.raises(psycopg2.Error):
        database.run(sql)


def _hang_up(database: Database) -> None:
    duplicate = socket.socket(fileno=os.dup(database.connection.fileno()))
    duplicate.shutdown(socket.SHUT_RDWR)
    duplicate.close()


def test_statements_in_one_string_are_one_transaction(connect: Connect, lake: Lake, schema):
    connection = connect()
    connection.autocommit = True
    database = Database(connection)
    database.run("create table t (id int, v varchar(5))")
    with pytest.raises(psycopg2.Error):
        database.run("insert into t values (1, 'a'); insert into t values (1, 'too long')")
    assert database.run("select count(*) from t") == [(0,)]
    database.run(f"begin; insert into t values (1, 'a'); {copy_of(lake, schema)}; commit")
    assert database.run("select id from t order by 1") == [(1,), (10,)]
