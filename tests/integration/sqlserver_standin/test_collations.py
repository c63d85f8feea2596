"""The stand-in compares, groups, orders and keeps unique as the collation of each text says."""

from collections.abc import Callable

import mssql_python
import pytest

from standins.sqlserver.remote import SqlServerProcess

EQUAL = [
    ("SQL_Latin1_General_CP1_CI_AS", "abc", "ABC", True),
    ("SQL_Latin1_General_CP1_CI_AS", "abc", "abc  ", True),
    ("SQL_Latin1_General_CP1_CI_AS", " abc", "abc", False),
    ("Latin1_General_CI_AS", "é", "É", True),
    ("Latin1_General_CI_AS", "é", "e", False),
    ("Latin1_General_CI_AS", "e\u0301", "é", True),
    ("Latin1_General_CI_AS", "straße", "STRASSE", True),
    ("Latin1_General_CI_AS", "a\u00adb", "ab", True),
    ("Latin1_General_CS_AS", "abc", "ABC", False),
    ("Latin1_General_CI_AI", "é", "E", True),
    ("Latin1_General_CI_AS", "\uff21", "a", True),
    ("Latin1_General_CI_AS_WS", "\uff21", "a", False),
    ("Japanese_CI_AS", "あ", "ア", True),
    ("Japanese_CI_AS_KS", "あ", "ア", False),
    ("Latin1_General_BIN2", "abc", "ABC", False),
    ("Latin1_General_BIN2", "abc", "abc ", True),
    ("Latin1_General_100_BIN2_UTF8", "é", "e\u0301", False),
]
"""Two texts, and whether they are equal; the documentation of the names, and for blanks in all of them that of `=`."""


@pytest.fixture
def texts(server: SqlServerProcess, schema: str) -> Callable[..., str]:
    """Make a table of texts under a collation."""

    def make(collation: str, *values: str, key: str = "") -> str:
        name = f"{schema}.Texts"
        server.execute(
            f"create table {name} (T nvarchar(20) collate {collation} not null {key}, N int identity)"
        )
        for value in values:
            server.execute(f"insert into {name} (T) values (N'{value}')")
        return name

    return make


@pytest.mark.parametrize(("collation", "one", "other", "same"), EQUAL)
def test_two_texts_are_one_everywhere_or_nowhere(
    cursor: mssql_python.Cursor,
    texts: Callable[..., str],
    collation: str,
    one: str,
    other: str,
    *,
    same: bool,
) -> None:
    table = texts(collation, one, other)
    number = 1 if same else 2
    asked = {
        "a comparison with a value": f"select 3 - count(*) from {table} where T = N'{one}'",
        "a written collation": f"select case when N'{one}' = N'{other}' collate {collation} then 1 else 2 end",
        "a list": f"select 3 - count(*) from {table} where T in (N'{one}')",
        "a subquery": f"select 3 - count(*) from {table} where T in (select T from {table} where N = 2)",
        "a join": f"select 3 - count(*) from {table} a join {table} b on a.T = b.T where a.N = 1",
        "groups": f"select count(*) from (select T, count(*) c from {table} group by T) g",
        "distinct rows": f"select count(*) from (select distinct T from {table}) d",
        "a union": f"select count(*) from (select T from {table} where N = 1 union select T from {table} where N = 2) u",
        "a distinct count": f"select count(distinct T) from {table}",
        "partitions of a window": f"select 3 - max(c) from (select count(*) over (partition by T) c from {table}) w",
    }
    answers = {name: cursor.execute(query).fetchall()[0][0] for name, query in asked.items()}
    assert answers == dict.fromkeys(asked, number)


@pytest.mark.parametrize("key", ["primary key", "unique"])
@pytest.mark.parametrize(("collation", "one", "other", "same"), EQUAL)
def test_a_key_keeps_out_what_its_collation_takes_for_the_same(
    server: SqlServerProcess,
    cursor: mssql_python.Cursor,
    texts: Callable[..., str],
    collation: str,
    one: str,
    other: str,
    key: str,
    *,
    same: bool,
) -> None:
    table = texts(collation, one, key=key)
    if not same:
        server.execute(f"insert into {table} (T) values (N'{other}')")
        return
    with pytest.raises(mssql_python.Error, match="Cannot insert duplicate key"):
        cursor.execute(f"insert into {table} (T) values (N'{other}')")
    cursor.execute(f"update {table} set T = N'{other}' where T = N'{one}'")
    assert cursor.execute(f"select T from {table}").fetchall()[0][0] == other


def test_the_least_and_the_greatest_are_by_what_counts(
    cursor: mssql_python.Cursor, texts: Callable[..., str]
) -> None:
    table = texts("Latin1_General_CI_AS", "b", "A", "C")
    row = cursor.execute(f"select min(T), max(T) from {table}").fetchall()[0]
    assert tuple(row) == ("A", "C")
    ordered = cursor.execute(f"select T from {table} order by T desc").fetchall()
    assert [text for (text,) in ordered] == ["C", "b", "A"]
    ordered = cursor.execute(
        f"select T from {table} order by T collate Latin1_General_BIN2"
    ).fetchall()
    assert [text for (text,) in ordered] == ["A", "C", "b"]
    assert cursor.execute(f"select count(*) from {table} where T < N'B'").fetchall()[0][0] == 1


def test_the_catalogue_tells_each_columns_collation(
    server: SqlServerProcess, cursor: mssql_python.Cursor, schema: str
) -> None:
    server.execute(
        f"create table {schema}.A (Id int, Plain varchar(9), Own nvarchar(9) collate Latin1_General_BIN2)"
    )
    server.execute(f"alter table {schema}.A alter column Plain varchar(20) collate Japanese_CI_AI")
    expected = [("Id", None), ("Plain", "Japanese_CI_AI"), ("Own", "Latin1_General_BIN2")]
    found = cursor.execute(
        "select COLUMN_NAME, COLLATION_NAME from INFORMATION_SCHEMA.COLUMNS where TABLE_SCHEMA = ? "
        "order by ORDINAL_POSITION", schema,
    ).fetchall()  # fmt: skip
    assert [tuple(row) for row in found] == expected
    found = cursor.execute(
        f"select name, collation_name from sys.columns where object_id = object_id('{schema}.A') order by column_id"
    ).fetchall()
    assert [tuple(row) for row in found] == expected


def test_two_collations_do_not_meet_unless_one_is_written(
    cursor: mssql_python.Cursor, schema: str
) -> None:
    cursor.execute(
        f"create table {schema}.A (X nvarchar(9) collate Latin1_General_BIN2, Y nvarchar(9) collate Latin1_General_CI_AS)"
    )
    cursor.execute(f"insert into {schema}.A values (N'a', N'A')")
    with pytest.raises(mssql_python.Error, match="Cannot resolve the collation conflict"):
        cursor.execute(f"select count(*) from {schema}.A where X = Y")
    written = f"select count(*) from {schema}.A where X = Y collate Latin1_General_CI_AS"
    assert cursor.execute(written).fetchall()[0][0] == 1


def test_a_group_shows_one_of_its_spellings_and_counts_them_all(
    cursor: mssql_python.Cursor, texts: Callable[..., str]
) -> None:
    table = texts("Latin1_General_CI_AS", "a", "A", "b")
    rows = cursor.execute(
        f"select T, count(*), max(T), max(N) from {table} group by T having T <> N'' order by T"
    ).fetchall()
    assert [(text.lower(), count, most) for text, count, _, most in rows] == [
        ("a", 2, 2),
        ("b", 1, 3),
    ]
