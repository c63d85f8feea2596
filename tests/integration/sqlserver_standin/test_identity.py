"""What the stand-in tells of itself, its database and its tables, and how it numbers rows: as the real one does."""

import uuid

import mssql_python
import pytest

from standins.sqlserver.remote import SqlServerProcess

RECOVERY = "select database_guid, recovery_fork_guid from sys.database_recovery_status"
DATABASE = "select service_broker_guid, group_database_id from sys.databases where name = db_name()"


def first(cursor: mssql_python.Cursor, statement: str) -> tuple:
    row = cursor.execute(statement).fetchone()
    return () if row is None else tuple(row)


def test_a_restore_changes_the_recovery_fork_alone(
    server: SqlServerProcess, cursor: mssql_python.Cursor
):
    (guid, _), (broker, group) = first(cursor, RECOVERY), first(cursor, DATABASE)
    restored = uuid.uuid4()
    server.become(recovery_fork_guid=str(restored))
    assert first(cursor, RECOVERY) == (guid, restored)
    assert first(cursor, DATABASE) == (broker, group)
    assert group is None


def test_a_login_without_the_right_sees_no_recovery_status(
    server: SqlServerProcess, cursor: mssql_python.Cursor
):
    server.become(is_visible=False)
    try:
        assert first(cursor, RECOVERY) == ()
        assert first(cursor, DATABASE)[0] is not None
    finally:
        server.become(is_visible=True)


def test_two_databases_have_nothing_in_common(cursor: mssql_python.Cursor):
    with SqlServerProcess(password="Correct-Horse-1") as other:
        elsewhere = mssql_python.connect(other.odbc(), autocommit=True)
        for statement in (RECOVERY, DATABASE):
            mine, theirs = first(cursor, statement), first(elsewhere.cursor(), statement)
            assert not {one for one in mine if one} & {one for one in theirs if one}
        elsewhere.close()


def test_a_table_that_is_created_anew_is_another_object(cursor: mssql_python.Cursor, schema: str):
    ids = []
    for _ in range(2):
        cursor.execute(f"create table {schema}.t (id int)")
        ids.append(first(cursor, f"select object_id('{schema}.t')"))
        cursor.execute(f"drop table {schema}.t")
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    ("statements", "last", "next_"),
    [
        ((), 3, 4),
        (("truncate table {t}",), None, 1),
        (("dbcc checkident ('{t}', reseed, 1)", "delete from {t} where id = 2"), 1, 2),
        (("truncate table {t}", "dbcc checkident ('{t}', reseed, 7)"), None, 7),
        (
            (
                "set identity_insert {t} on",
                "insert into {t} (id, n) values (40, 1)",
                "set identity_insert {t} off",
            ),
            40,
            41,
        ),
    ],
    ids=["as it is", "truncated", "reseeded", "reseeded while empty", "inserted by hand"],
)
def test_identity_columns_are_numbered_as_the_server_says(
    cursor: mssql_python.Cursor,
    schema: str,
    statements: tuple[str, ...],
    last: int | None,
    next_: int,
):
    table = f"{schema}.numbered"
    cursor.execute(f"create table {table} (id int identity primary key, n int)")
    cursor.execute(f"insert into {table} (n) values (1), (2), (3)")
    for statement in statements:
        cursor.execute(statement.replace("{t}", table))
    assert first(
        cursor,
        f"select cast(last_value as int) from sys.identity_columns where object_id = object_id('{table}')",
    ) == (last,)
    cursor.execute(f"insert into {table} (n) values (99)")
    assert first(cursor, f"select id from {table} where n = 99") == (next_,)
