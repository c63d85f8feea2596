"""Errors carry SQL Server's numbers and texts; what is not supported says so."""

import mssql_python
import pymssql
import pytest

from standins.sqlserver.errors import SqlError
from standins.sqlserver.remote import SqlServerProcess


def number_of(server: SqlServerProcess, sql: str) -> tuple[int, str]:
    with pytest.raises(SqlError) as caught:
        server.execute(sql)
    return caught.value.number, caught.value.message


def test_a_wrong_password_is_18456_without_the_password_in_it(server: SqlServerProcess) -> None:
    with pytest.raises(mssql_python.OperationalError, match="Login failed for user 'sa'") as caught:
        mssql_python.connect(server.odbc(password="wrong-secret"))
    assert "wrong-secret" not in str(caught.value)
    with pytest.raises(pymssql.OperationalError) as refused:
        pymssql.connect(
            "127.0.0.1", "nobody", server.password, "AdventureWorksDW", port=str(server.port)
        )
    assert refused.value.args[0][0] == 18456


def test_an_unknown_database_is_4060(server: SqlServerProcess) -> None:
    with pytest.raises(
        mssql_python.Error, match='Cannot open database "Nowhere" requested by the login'
    ):
        mssql_python.connect(server.odbc(database="Nowhere"))


@pytest.mark.parametrize(
    ("sql", "number", "text"),
    [
        ("select * from Missing.Thing", 208, "Invalid object name 'Missing.Thing'."),
        (
            "select * from [AdventureWorksDW].[dbo].[NoSuch]",
            208,
            "Invalid object name 'AdventureWorksDW.dbo.NoSuch'.",
        ),
        ("select Nope from {s}.t", 207, "Invalid column name 'Nope'."),
        ("select x.a from {s}.t", 4104, 'The multi-part identifier "x.a" could not be bound.'),
        ("selec 1", 102, "Incorrect syntax near 'selec'."),
        ("select a from {s}.t where", 102, "Incorrect syntax near"),
        ("select @nobody", 137, 'Must declare the scalar variable "@nobody".'),
        (
            "insert into {s}.t (a, b) values (1, N'x')",
            2627,
            "Violation of PRIMARY KEY constraint 'PK_{s}'. Cannot insert duplicate key in object '{s}.t'. The duplicate key value is (1).",
        ),
        (
            "insert into {s}.t (a, c) values (2, 1)",
            515,
            "Cannot insert the value NULL into column 'b', table 'AdventureWorksDW.{s}.t'; column does not allow nulls. INSERT fails.",
        ),
        ("update {s}.t set b = null", 515, "UPDATE fails"),
        (
            "insert into {s}.t (a, b) values (2, N'123456')",
            2628,
            "String or binary data would be truncated in table 'AdventureWorksDW.{s}.t', column 'b'. Truncated value: '12345'.",
        ),
        (
            "insert into {s}.t (a, b, c) values (2, N'x', 256)",
            220,
            "Arithmetic overflow error for data type tinyint, value = 256.",
        ),
        (
            "select cast(3000000000 as int)",
            8115,
            "Arithmetic overflow error converting expression to data type int.",
        ),
        (
            "select cast('abc' as int)",
            245,
            "Conversion failed when converting the varchar value 'abc' to data type int.",
        ),
        (
            "select cast(N'abc' as decimal(5,2))",
            8114,
            "Error converting data type nvarchar to numeric.",
        ),
        (
            "select cast('nonsense' as datetime2)",
            241,
            "Conversion failed when converting date and/or time from character string.",
        ),
        ("select 1 / 0", 8134, "Divide by zero error encountered."),
        ("select a, count(*) from {s}.t", 8120, "is invalid in the select list"),
        (
            "create table {s}.t (a int)",
            2714,
            "There is already an object named 't' in the database.",
        ),
        ("drop table {s}.missing", 3701, "Cannot drop the table"),
        ("commit", 3902, "no corresponding BEGIN TRANSACTION"),
        (
            "select nosuchfunction(1)",
            195,
            "'nosuchfunction' is not a recognized built-in function name",
        ),
        ("exec nosuchprocedure", 2812, "Could not find stored procedure 'nosuchprocedure'"),
        ("use Nowhere", 911, "Database 'Nowhere' does not exist."),
    ],
)
def test_an_error_has_the_number_and_text_of_sql_server(
    server: SqlServerProcess, schema: str, sql: str, number: int, text: str
) -> None:
    server.execute(
        f"create table {schema}.t (a int not null, b nvarchar(5) not null, c tinyint, constraint PK_{schema} primary key (a))"
    )
    server.execute(f"insert into {schema}.t values (1, N'one', 1)")
    found, message = number_of(server, sql.format(s=schema))
    assert found == number
    assert text.format(s=schema) in message


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("select * from openjson('[]')", "openjson"),
        ("create table #t (a int)", "temporary tables"),
        ("select format(1, 'x')", "format"),
        ("select top 5 percent a from (values (1)) v(a)", "PERCENT"),
        ("create index i on t (a)", "CREATE INDEX"),
        ("create view v as select 1 a", "CREATE VIEW"),
        ("grant select to public", "GRANT"),
        ("select 'a' collate Turkish_CI_AS", "Turkish_CI_AS"),
        (
            "create table dbo.x (a nvarchar(5) collate Danish_Norwegian_CI_AS)",
            "Danish_Norwegian_CI_AS",
        ),
        ("select 1 where 'a' like '[a-z]'", "LIKE"),
        ("set xact_abort on", "XACT_ABORT"),
        ("select a from (values (1)) v(a) group by rollup (a)", "ROLLUP"),
        ("declare @t table (a int)", "table variables"),
        ("select * from (values (1)) v(a) for xml auto", "FOR"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    server: SqlServerProcess, sql: str, named: str
) -> None:
    _, message = number_of(server, sql)
    assert "stand-in" in message or "Incorrect syntax" in message
    assert named.lower() in message.lower()


def test_sqlstates_reach_python_as_exception_classes(
    cursor: mssql_python.Cursor, schema: str
) -> None:
    cursor.execute(f"create table {schema}.t (a int not null primary key)")
    cursor.execute(f"insert into {schema}.t values (1)")
    with pytest.raises(mssql_python.ProgrammingError, match="Invalid object name"):
        cursor.execute("select * from nowhere")
    with pytest.raises(mssql_python.IntegrityError, match="PRIMARY KEY"):
        cursor.execute(f"insert into {schema}.t values (1)")
    with pytest.raises(mssql_python.DataError, match="Conversion failed"):
        cursor.execute("select cast('x' as int)")


def test_an_error_in_the_middle_of_a_result_reaches_the_client(
    cursor: mssql_python.Cursor, server: SqlServerProcess, schema: str
) -> None:
    import pyarrow as pa

    server.execute(f"create table {schema}.t (a nvarchar(10))")
    server.load(f"{schema}.t", [pa.record_batch({"a": [str(i) for i in range(60000)] + ["bad"]})])
    with pytest.raises(
        mssql_python.Error, match="Conversion failed when converting the nvarchar value 'bad'"
    ):
        cursor.execute(f"select cast(a as int) from {schema}.t").fetchall()
    assert cursor.execute("select 1").fetchval() == 1
