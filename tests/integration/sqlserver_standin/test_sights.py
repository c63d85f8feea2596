"""What the stand-in's catalogue shows to a login that lacks rights, as SQL Server documents it."""

import mssql_python
import pytest

from standins.sqlserver.remote import SqlServerProcess


@pytest.fixture(scope="module")
def server():
    """A stand-in of the tests' own: what its login may see, they change."""
    with SqlServerProcess(password="Correct-Horse-1") as running:
        yield running


@pytest.fixture
def cursor(server: SqlServerProcess):
    connection = mssql_python.connect(server.odbc(), autocommit=True)
    yield connection.cursor()
    server.restrict(denied=[])
    connection.close()


def asked(cursor: mssql_python.Cursor, statement: str) -> list[tuple]:
    return [tuple(row) for row in cursor.execute(statement).fetchall()]


# https://learn.microsoft.com/sql/t-sql/functions/has-perms-by-name-transact-sql: null where the class has no such right
def test_a_right_is_had_lacked_or_unknown_to_its_class(
    server: SqlServerProcess, cursor: mssql_python.Cursor
):
    question = "select has_perms_by_name(db_name(), 'DATABASE', 'unmask'), has_perms_by_name('dbo.t', 'OBJECT', 'UNMASK', 'c', 'COLUMN')"
    assert asked(cursor, question) == [(1, None)]
    server.restrict(denied=["UNMASK"])
    assert asked(cursor, question) == [(0, None)]


# https://learn.microsoft.com/sql/relational-databases/security/metadata-visibility-configuration
def test_constraints_and_policies_are_for_who_may_view_definitions_and_indexes_for_everybody(
    server: SqlServerProcess, cursor: mssql_python.Cursor
):
    cursor.execute("create table dbo.guarded (id int not null primary key)")
    server.restrict(table="dbo.guarded", policy="TenantFilter")
    constraints = (
        "select count(*) from INFORMATION_SCHEMA.TABLE_CONSTRAINTS where TABLE_NAME = 'guarded'"
    )
    policies = "select count(*) from sys.security_predicates where predicate_type = 0"
    keys = "select count(*) from sys.indexes where object_id = object_id('dbo.guarded') and is_primary_key = 1"
    assert [asked(cursor, one) for one in (constraints, policies, keys)] == [[(1,)]] * 3
    server.restrict(denied=["VIEW DEFINITION"])
    assert [asked(cursor, one) for one in (constraints, policies, keys)] == [[(0,)], [(0,)], [(1,)]]


# https://learn.microsoft.com/sql/relational-databases/system-catalog-views/sys-columns-transact-sql
def test_masked_and_encrypted_columns_are_marked(
    server: SqlServerProcess, cursor: mssql_python.Cursor
):
    cursor.execute("create table dbo.people (id int, mail nvarchar(40), salary int)")
    server.restrict(table="dbo.people", column="mail", masked=True)
    server.restrict(table="dbo.people", column="salary", encryption_type=2)
    marks = "select name, is_masked, encryption_type from sys.columns where object_id = object_id('dbo.people') order by column_id"
    assert asked(cursor, marks) == [("id", False, None), ("mail", True, None), ("salary", False, 2)]
