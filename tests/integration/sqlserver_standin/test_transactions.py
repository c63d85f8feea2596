"""Transactions: isolation, errors that leave them open, conflicts, rowversion."""

from collections.abc import Callable

import mssql_python
import pymssql
import pytest

from standins.sqlserver.remote import SqlServerProcess

Connect = Callable[..., mssql_python.Connection]


@pytest.fixture
def table(server: SqlServerProcess, schema: str) -> str:
    server.execute(f"create table {schema}.t (id int not null primary key, n int null)")
    server.execute(f"insert into {schema}.t values (1, 10), (2, 20)")
    return f"{schema}.t"


def rows(connection: mssql_python.Connection, table: str) -> list[tuple]:
    return [
        tuple(row)
        for row in connection.cursor().execute(f"select id, n from {table} order by id").fetchall()
    ]


def test_uncommitted_rows_are_seen_by_nobody_else_and_a_rollback_removes_them(
    connect: Connect, table: str
) -> None:
    writer, reader = connect(autocommit=False), connect()
    writer.cursor().execute(f"insert into {table} values (3, 30)")
    assert rows(writer, table) == [(1, 10), (2, 20), (3, 30)]
    assert rows(reader, table) == [(1, 10), (2, 20)]
    writer.rollback()
    assert rows(writer, table) == [(1, 10), (2, 20)]


def test_a_commit_shows_the_rows_to_a_read_committed_transaction(
    connect: Connect, table: str
) -> None:
    reader, writer = connect(autocommit=False), connect(autocommit=False)
    assert rows(reader, table) == [(1, 10), (2, 20)]
    writer.cursor().execute(f"delete from {table} where id = 1")
    writer.commit()
    assert rows(reader, table) == [(2, 20)]


def test_a_snapshot_transaction_does_not_see_later_commits(connect: Connect, table: str) -> None:
    reader, writer = connect(), connect()
    cursor = reader.cursor()
    cursor.execute("set transaction isolation level snapshot")
    cursor.execute("begin transaction")
    assert rows(reader, table) == [(1, 10), (2, 20)]
    writer.cursor().execute(f"update {table} set n = 0")
    assert rows(reader, table) == [(1, 10), (2, 20)]
    cursor.execute("commit")
    assert rows(reader, table) == [(1, 0), (2, 0)]


def test_an_update_conflict_under_snapshot_is_3960_and_ends_the_transaction(
    connect: Connect, table: str
) -> None:
    first, second = connect(), connect()
    cursor = first.cursor()
    cursor.execute("set transaction isolation level snapshot")
    cursor.execute("begin transaction")
    rows(first, table)
    second.cursor().execute(f"update {table} set n = 5 where id = 1")
    with pytest.raises(
        mssql_python.Error, match="Snapshot isolation transaction aborted due to update conflict"
    ):
        cursor.execute(f"update {table} set n = 6 where id = 1")
    assert cursor.execute("select @@trancount").fetchval() == 0
    assert rows(second, table) == [(1, 5), (2, 20)]


def test_the_second_of_two_writers_of_one_row_waits_and_may_give_up(
    connect: Connect, table: str
) -> None:
    first, second = connect(autocommit=False), connect(autocommit=False)
    first.cursor().execute(f"update {table} set n = 1 where id = 1")
    cursor = second.cursor()
    cursor.execute("set lock_timeout 0")
    with pytest.raises(mssql_python.Error, match="Lock request time out period exceeded"):
        cursor.execute(f"update {table} set n = 2 where id = 1")
    first.commit()
    cursor.execute(f"update {table} set n = n + 5 where id = 1")
    second.commit()
    assert rows(first, table) == [(1, 6), (2, 20)]


def test_choosing_snapshot_inside_a_transaction_is_3951(connect: Connect, table: str) -> None:
    connection = connect(autocommit=False)
    rows(connection, table)
    cursor = connection.cursor()
    cursor.execute("set transaction isolation level snapshot")
    with pytest.raises(mssql_python.Error, match="did not start in snapshot isolation"):
        cursor.execute(f"select * from {table}")


def test_an_error_leaves_the_transaction_open_with_what_was_written(
    connect: Connect, table: str
) -> None:
    connection = connect(autocommit=False)
    cursor = connection.cursor()
    cursor.execute(f"insert into {table} values (3, 30)")
    cursor.execute(f"update {table} set n = n + 1 where id = 3")
    for wrong in (
        f"insert into {table} values (1, 1)",
        "select cast('x' as int)",
        "select * from missing",
        "select 1 / 0",
    ):
        with pytest.raises(mssql_python.Error):
            cursor.execute(wrong).fetchall()
        assert cursor.execute("select @@trancount").fetchval() == 1
    cursor.execute(f"insert into {table} values (4, 40)")
    connection.commit()
    assert rows(connection, table) == [(1, 10), (2, 20), (3, 31), (4, 40)]


def test_where_the_writes_cannot_be_repeated_the_transaction_is_doomed_loudly(
    connect: Connect, server: SqlServerProcess, schema: str
) -> None:
    server.execute(f"create table {schema}.k (id int identity primary key, n int not null)")
    connection = connect(autocommit=False)
    cursor = connection.cursor()
    cursor.execute(f"insert into {schema}.k (n) values (1)")
    cursor.execute(f"create table {schema}.made (id int)")
    with pytest.raises(mssql_python.IntegrityError):
        cursor.execute(f"insert into {schema}.k (n) values (null)")
    with pytest.raises(mssql_python.Error, match="The current transaction cannot be committed"):
        cursor.execute(f"insert into {schema}.k (n) values (2)")
    with pytest.raises(mssql_python.Error, match="The current transaction cannot be committed"):
        connection.commit()
    connection.rollback()
    assert cursor.execute(f"select count(*) from {schema}.k").fetchval() == 0


def test_an_error_leaves_identities_times_and_row_versions_as_they_were(
    connect: Connect, server: SqlServerProcess, schema: str
) -> None:
    server.execute(
        f"create table {schema}.k (id int identity primary key, at datetime2 not null default sysutcdatetime(), "
        "mark uniqueidentifier not null default newid(), n int not null, rv rowversion)"
    )
    connection = connect(autocommit=False)
    cursor = connection.cursor()
    cursor.execute(f"insert into {schema}.k (n) values (1), (2)")
    cursor.execute(f"update {schema}.k set n = 3 where id = 2")
    everything = f"select * from {schema}.k order by id"
    before = [tuple(row) for row in cursor.execute(everything).fetchall()]
    with pytest.raises(mssql_python.IntegrityError):
        cursor.execute(f"insert into {schema}.k (n) values (null)")
    assert [tuple(row) for row in cursor.execute(everything).fetchall()] == before
    connection.commit()
    assert [tuple(row) for row in cursor.execute(everything).fetchall()] == before


def test_transactions_nest_by_count(connect: Connect, table: str) -> None:
    connection = connect()
    cursor = connection.cursor()
    cursor.execute("begin tran begin transaction")
    cursor.execute(f"delete from {table}")
    cursor.execute("commit")
    assert cursor.execute("select @@trancount, xact_state()").fetchall()[0][0] == 1
    cursor.execute("rollback")
    assert rows(connection, table) == [(1, 10), (2, 20)]


def test_a_table_definition_rolls_back(connect: Connect, schema: str) -> None:
    connection = connect(autocommit=False)
    cursor = connection.cursor()
    cursor.execute(f"create table {schema}.made (a int identity primary key)")
    cursor.execute(f"insert into {schema}.made default values")
    connection.rollback()
    with pytest.raises(mssql_python.ProgrammingError, match="Invalid object name"):
        cursor.execute(f"select * from {schema}.made")


def test_pymssql_transactions_are_batches(server: SqlServerProcess, table: str) -> None:
    with pymssql.connect(
        "127.0.0.1", "sa", server.password, server.database, port=str(server.port)
    ) as connection:
        cursor = connection.cursor()
        cursor.execute(f"insert into {table} values (%d, %d)", (3, 30))
        connection.rollback()
        cursor.executemany(f"insert into {table} values (%d, %d)", [(4, 40), (5, 50)])
        connection.commit()
        cursor.execute(f"select id from {table} order by id")
        assert cursor.fetchall() == [(1,), (2,), (4,), (5,)]


# -- rowversion


def number(value: bytes) -> int:
    return int.from_bytes(value, "big")


def test_a_rowversion_grows_with_each_insert_and_update_across_tables(
    connect: Connect, server: SqlServerProcess, schema: str
) -> None:
    cursor = connect().cursor()
    for name in ("a", "b"):
        cursor.execute(
            f"create table {schema}.{name} (id int not null primary key, n int, rv rowversion)"
        )
    cursor.execute(f"insert into {schema}.a (id, n) values (1, 1), (2, 2)")
    cursor.execute(f"insert into {schema}.b (id, n) values (1, 1)")
    versions = [
        number(row[0])
        for row in cursor.execute(
            f"select rv from {schema}.a union all select rv from {schema}.b"
        ).fetchall()
    ]
    assert len(set(versions)) == 3
    cursor.execute(f"update {schema}.a set n = 9 where id = 1")
    changed = number(cursor.execute(f"select rv from {schema}.a where id = 1").fetchall()[0][0])
    assert changed > max(versions)
    assert number(cursor.execute("select @@dbts").fetchall()[0][0]) == changed
    bookmark = max(versions).to_bytes(8, "big")
    found = cursor.execute(f"select id from {schema}.a where rv > ?", bookmark).fetchall()
    assert [row[0] for row in found] == [1]
    found = cursor.execute(
        f"select id, cast(rv as bigint) from {schema}.a where rv > cast({max(versions)} as binary(8))"
    ).fetchall()
    assert [tuple(row) for row in found] == [(1, changed)]


def test_min_active_rowversion_stays_below_open_transactions(connect: Connect, schema: str) -> None:
    writer, reader = connect(autocommit=False), connect()
    reader.cursor().execute(f"create table {schema}.t (id int not null primary key, rv rowversion)")

    def lowest() -> int:
        return number(reader.cursor().execute("select min_active_rowversion()").fetchall()[0][0])

    before = lowest()
    writer.cursor().execute(f"insert into {schema}.t (id) values (1)")
    reader.cursor().execute(f"insert into {schema}.t (id) values (2)")
    assert lowest() == before
    writer.commit()
    assert lowest() == before + 2


def test_a_rowversion_cannot_be_written(cursor: mssql_python.Cursor, schema: str) -> None:
    cursor.execute(f"create table {schema}.t (id int not null primary key, rv rowversion)")
    with pytest.raises(
        mssql_python.Error, match="Cannot insert an explicit value into a timestamp column"
    ):
        cursor.execute(f"insert into {schema}.t (id, rv) values (1, 0x01)")
