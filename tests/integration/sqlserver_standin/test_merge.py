"""MERGE. docs/t-sql/statements/merge-transact-sql.md of MicrosoftDocs/sql-docs."""

import mssql_python
import pytest

from standins.sqlserver.errors import SqlError
from standins.sqlserver.remote import SqlServerProcess


@pytest.fixture
def table(server: SqlServerProcess, schema: str) -> str:
    server.execute(
        f"create table {schema}.t (id int not null primary key, n int null default 7, s nvarchar(5) null)"
    )
    server.execute(f"insert into {schema}.t values (1, 10, N'a'), (2, 20, N'b'), (3, 30, N'c')")
    return f"{schema}.t"


def rows(cursor: mssql_python.Cursor, table: str) -> list[tuple]:
    return [
        tuple(row) for row in cursor.execute(f"select id, n, s from {table} order by id").fetchall()
    ]


def test_rows_are_updated_deleted_and_inserted_by_the_first_clause_that_holds(
    cursor: mssql_python.Cursor, table: str
) -> None:
    cursor.execute(f"""merge into {table} with (holdlock) as t using (values (1, 11), (2, null), (4, 40)) as s (id, n) on t.id = s.id
        when matched and s.n is null then delete
        when matched then update set n = s.n, t.s = N'new'
        when not matched by target then insert (id, s) values (s.id, N'in')
        when not matched by source and t.n > 100 then delete
        when not matched by source then update set n = 0;""")
    assert cursor.rowcount == 4
    assert rows(cursor, table) == [(1, 11, "new"), (3, 0, "c"), (4, 7, "in")]


def test_a_source_is_a_table_a_query_or_a_common_table_expression(
    server: SqlServerProcess, cursor: mssql_python.Cursor, schema: str, table: str
) -> None:
    server.execute(
        f"create table {schema}.s (id int, n bigint); insert into {schema}.s values (1, 5)"
    )
    update = "when matched then update set n = t.n + s.n;"
    cursor.execute(f"merge {table} t using {schema}.s s on s.id = t.id {update}")
    cursor.execute(
        f"merge {table} as t using (select id, n from {schema}.s) s on s.id = t.id {update}"
    )
    cursor.execute(
        f"with s as (select * from {schema}.s) merge {table} as t using s on s.id = t.id {update}"
    )
    assert rows(cursor, table)[0] == (1, 25, "a")


def test_output_tells_what_was_done(cursor: mssql_python.Cursor, table: str) -> None:
    told = cursor.execute(f"""merge {table} as t using (values (1), (9)) as s (id) on t.id = s.id
        when matched then delete when not matched then insert (id) values (s.id) output $action, inserted.id, inserted.n as number;""")
    assert sorted(tuple(row) for row in told.fetchall()) == [("DELETE", None, None), ("INSERT", 9, 7)]  # fmt: skip


def test_several_statements_stand_behind_each_other(server: SqlServerProcess, cursor: mssql_python.Cursor, table: str) -> None:  # fmt: skip
    server.execute(
        f"update {table} set n = 1 merge {table} as t using (values (5)) as s (id) on t.id = s.id when not matched then insert (id) values (s.id); delete from {table} where id < 5"
    )
    assert rows(cursor, table) == [(5, 7, None)]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("using (values (1)) as s (id) on t.id = s.id when matched then delete", 10713),
        ("using (values (1), (1)) as s (id) on t.id = s.id when matched then delete;", 8672),
        ("using (values (1, N'too long')) as s (id, s) on t.id = s.id when matched then update set s = s.s;", 2628),
        ("using (values (4)) as s (id) on t.id = s.id when not matched then insert (id, n) values (s.id);", 213),
        ("using (values (4)) as s (id) on t.id = s.id when not matched then insert (id) values (t.id);", 4104),
        ("using (values (4)) as s (id) on t.id = s.id when matched then update set nothing = 1;", 207),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_and_changes_nothing(
    server: SqlServerProcess, cursor: mssql_python.Cursor, table: str, text: str, number: int
) -> None:
    before = rows(cursor, table)
    with pytest.raises(SqlError) as refused:
        server.execute(f"merge into {table} as t {text}")
    assert refused.value.number == number
    assert rows(cursor, table) == before


def test_output_of_what_was_is_refused_by_name(server: SqlServerProcess, table: str) -> None:
    text = f"merge {table} as t using (values (1)) as s (id) on t.id = s.id when matched then delete output deleted.id;"
    with pytest.raises(SqlError, match=r"does not support deleted\.id in OUTPUT of MERGE"):
        server.execute(text)
