"""The T-SQL subset gives T-SQL's answers, not DuckDB's."""

from decimal import Decimal

import mssql_python
import pytest

from standins.sqlserver.remote import SqlServerProcess


@pytest.fixture
def people(server: SqlServerProcess, schema: str) -> str:
    server.execute(
        f"create table {schema}.People (Id int not null primary key, Name nvarchar(20), Boss int, Pay money)"
    )
    server.execute(
        f"insert into {schema}.People values (1, N'Ann', null, 10), (2, N'bob', 1, 20.5), (3, N'Cleo', 1, null), (4, N'dan ', 2, 5)"
    )
    return f"{schema}.People"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("7 % -3", 1),
        ("2.0 / 3", Decimal("0.666666")),
        ("cast(10 as money) / 3", Decimal("3.3333")),
        ("1 + 2.50", Decimal("3.50")),
        ("cast(1.999 as int)", 1),
        ("cast(-1.5 as decimal(3,0))", Decimal("-2")),
        ("cast(2.5 as decimal(1,0))", Decimal("3")),
        ("'a' + N'b' + 'c'", "abc"),
        ("'1' + 1", 2),
        ("len('ab  ')", 2),
        ("len(N'😀')", 2),
        ("datalength(N'ab')", 4),
        ("datalength('ab')", 2),
        ("isnull(cast(null as varchar(2)), 'long')", "lo"),
        ("coalesce(null, 2, 3)", 2),
        ("nullif(1, 1)", None),
        ("iif(1 = 2, 'y', 'n')", "n"),
        ("case when 'ABC' = 'abc ' then 1 else 0 end", 1),
        ("case 3 when 1 then 'one' else 'many' end", "many"),
        ("charindex('B', 'abc')", 2),
        ("replace('aXbx', 'x', '-')", "a-b-"),
        ("substring('abcdef', 0, 3)", "ab"),
        ("left('abc', 2) + right('abc', 1)", "abc"),
        ("upper('é') + lower('É')", "Éé"),
        ("convert(varchar(10), cast('2020-03-04 05:06:07' as datetime), 112)", "20200304"),
        (
            "convert(varchar(30), cast('2020-03-04 05:06:07' as datetime), 120)",
            "2020-03-04 05:06:07",
        ),
        ("convert(varchar(30), cast('2020-03-04 15:06:07' as datetime))", "Mar  4 2020  3:06PM"),
        (
            "cast(cast('2020-03-04 05:06:07.5' as datetime2(3)) as nvarchar(40))",
            "2020-03-04 05:06:07.500",
        ),
        ("cast(cast(12.345 as money) as varchar(20))", "12.35"),
        ("convert(varchar(10), 0x1F, 1)", "0x1F"),
        ("cast(0x0000000000000102 as bigint)", 258),
        ("cast(258 as binary(8))", b"\0\0\0\0\0\0\x01\x02"),
        ("try_cast('x' as int)", None),
        ("try_convert(date, '2020-02-30')", None),
        ("datediff(year, '2019-12-31', '2020-01-01')", 1),
        ("datediff(day, '2020-01-01T23:59:59', '2020-01-02')", 1),
        ("datepart(weekday, '2020-01-01')", 4),
        ("year('2020-01-01') * 100 + month('2020-05-01')", 202005),
        ("5 & 3 | 8", 9),
        ("~cast(5 as int)", -6),
        ("power(2, 10)", 1024),
        ("round(2.567, 1)", Decimal("2.600")),
        ("abs(-5)", 5),
        ("db_name()", "AdventureWorksDW"),
        ("suser_sname()", "sa"),
        ("schema_name()", "dbo"),
        ("object_id('dbo.nothing')", None),
    ],
)
def test_an_expression_has_the_value_t_sql_gives_it(
    cursor: mssql_python.Cursor, expression: str, expected: object
) -> None:
    value = cursor.execute(f"select {expression}").fetchval()
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select Id from {t} where Name = 'BOB'", [(2,)]),
        ("select Id from {t} where Name = 'dan'", [(4,)]),
        ("select Id from {t} where name like '%N%' order by id desc", [(4,), (1,)]),
        ("select top 2 Id from {t} order by Pay", [(3,), (4,)]),
        ("select Id from {t} order by Pay desc offset 1 rows fetch next 2 rows only", [(1,), (4,)]),
        (
            "select p.Name, b.Name from {t} p left join {t} b on p.Boss = b.Id where p.Id < 3 order by 1",
            [("Ann", None), ("bob", "Ann")],
        ),
        (
            "select count(*), count(Pay), sum(Pay), avg(Pay), min(Name), avg(Id) from {t}",
            [(4, 3, Decimal("35.5000"), Decimal("11.8333"), "Ann", 2)],
        ),
        ("select Boss, count(*) n from {t} group by Boss having count(*) > 1", [(1, 2)]),
        ("select distinct isnull(Boss, 0) b from {t} order by b", [(0,), (1,), (2,)]),
        ("select Id from {t} where Id in (select Boss from {t}) order by Id", [(1,), (2,)]),
        (
            "select Id from {t} a where exists (select * from {t} b where b.Boss = a.Id) and not Id = 2",
            [(1,)],
        ),
        (
            "select Id, row_number() over (partition by Boss order by Id desc) from {t} where Boss = 1 order by Id",
            [(2, 2), (3, 1)],
        ),
        ("select Id from {t} where Pay between 5 and 10 and Boss is not null", [(4,)]),
        ("with c as (select Id, Pay from {t} where Pay > 6) select sum(Id) from c", [(3,)]),
        ("select 1 union select 1 union all select null", [(1,), (None,)]),
        ("select Id from {t} except select 1 order by Id", [(2,), (3,), (4,)]),
        (
            "select (select max(Id) from {t} b where b.Boss = a.Id) m, [x y] = Id from {t} a where Id = 1",
            [(3, 1)],
        ),
        ("select [AdventureWorksDW].{t}.Id from [AdventureWorksDW].{t} where Id = 1", [(1,)]),
        ("select a.Id from {t} a, {t} b with (nolock) where a.Id = b.Boss and b.Id = 4", [(2,)]),
    ],
)
def test_a_query_gives_the_rows_t_sql_gives(
    cursor: mssql_python.Cursor, people: str, sql: str, expected: list[tuple]
) -> None:
    assert [tuple(row) for row in cursor.execute(sql.format(t=people)).fetchall()] == expected


def test_rows_are_inserted_updated_and_deleted(cursor: mssql_python.Cursor, schema: str) -> None:
    cursor.execute(
        f"create table {schema}.t (id int identity(10, 5) primary key, n nvarchar(5) not null default N'none', b bit, g uniqueidentifier default newid())"
    )
    cursor.execute(f"insert into {schema}.t default values")
    cursor.execute(f"insert {schema}.t (n, b) values (N'a', 1), (default, 0)")
    assert cursor.execute("select scope_identity(), @@rowcount").fetchall()[0][0] == 20
    cursor.execute(f"insert into {schema}.t (n) select n + N'x' from {schema}.t where id = 15")
    cursor.execute(
        f"set identity_insert {schema}.t on insert into {schema}.t (id, n) values (1, N'z') set identity_insert {schema}.t off"
    )
    cursor.execute(f"update x set n = upper(n) from {schema}.t x where x.b = 1")
    assert cursor.rowcount == 1
    cursor.execute(f"delete from {schema}.t where id = 10")
    assert [tuple(row) for row in cursor.execute(f"select id, n, b from {schema}.t order by id").fetchall()] == [
        (1, "z", None), (15, "A", True), (20, "none", False), (25, "ax", None),
    ]  # fmt: skip
    cursor.execute(f"truncate table {schema}.t")
    assert cursor.execute(f"select count(*) from {schema}.t").fetchval() == 0


def test_a_table_changes_its_columns_and_keeps_its_rows(
    cursor: mssql_python.Cursor, schema: str
) -> None:
    cursor.execute(
        f"create table {schema}.t (id int not null primary key, n nvarchar(5), gone int)"
    )
    cursor.execute(f"insert into {schema}.t values (1, N'12', 5)")
    cursor.execute(
        f"alter table {schema}.t add extra decimal(9,2) null, made int not null default 7"
    )
    cursor.execute(f"alter table {schema}.t drop column gone")
    cursor.execute(f"alter table {schema}.t alter column n nvarchar(50) not null")
    cursor.execute(f"insert into {schema}.t (id, n, extra) values (2, N'a longer text', 1.5)")
    assert [
        tuple(row) for row in cursor.execute(f"select * from {schema}.t order by id").fetchall()
    ] == [
        (1, "12", None, 7),
        (2, "a longer text", Decimal("1.50"), 7),
    ]
    cursor.execute(
        f"select COLUMN_NAME, DATA_TYPE, CHARACTER_MAXIMUM_LENGTH, IS_NULLABLE from INFORMATION_SCHEMA.COLUMNS where TABLE_SCHEMA = '{schema}' order by ORDINAL_POSITION"
    )
    assert [tuple(row) for row in cursor.fetchall()] == [
        ("id", "int", None, "NO"), ("n", "nvarchar", 50, "NO"), ("extra", "decimal", None, "YES"), ("made", "int", None, "NO"),
    ]  # fmt: skip
    with pytest.raises(mssql_python.IntegrityError, match="PRIMARY KEY"):
        cursor.execute(f"insert into {schema}.t (id, n) values (1, N'again')")


def test_a_checksum_changes_with_the_rows_and_not_with_their_order(
    cursor: mssql_python.Cursor, people: str
) -> None:
    def checksum() -> object:
        return cursor.execute(f"select checksum_agg(binary_checksum(*)) from {people}").fetchval()

    before = checksum()
    cursor.execute(f"update {people} set Name = N'Bob' where Id = 2")
    changed = checksum()
    assert changed != before
    cursor.execute(f"update {people} set Name = N'bob' where Id = 2")
    assert checksum() == before
    assert cursor.execute("select checksum('A'), checksum('a ')").fetchall()[0][0] is not None


def test_the_catalogue_counts_rows_and_tells_keys_and_isolation(
    cursor: mssql_python.Cursor, people: str
) -> None:
    name = people.split(".")[1]
    schema = people.split(".")[0]
    cursor.execute(
        "select s.name, t.name, p.rows from sys.tables t join sys.schemas s on s.schema_id = t.schema_id "
        f"join sys.partitions p on p.object_id = t.object_id and p.index_id in (0, 1) where s.name = '{schema}'"
    )
    assert [tuple(row) for row in cursor.fetchall()] == [(schema, name, 4)]
    cursor.execute(
        f"select sum(row_count) from sys.dm_db_partition_stats where object_id = object_id('{people}')"
    )
    assert cursor.fetchval() == 4
    cursor.execute(
        f"select c.COLUMN_NAME from INFORMATION_SCHEMA.KEY_COLUMN_USAGE c join INFORMATION_SCHEMA.TABLE_CONSTRAINTS k on k.CONSTRAINT_NAME = c.CONSTRAINT_NAME where c.TABLE_SCHEMA = '{schema}' and k.CONSTRAINT_TYPE = 'PRIMARY KEY'"
    )
    assert [row[0] for row in cursor.fetchall()] == ["Id"]
    cursor.execute(
        "select snapshot_isolation_state, is_read_committed_snapshot_on from sys.databases where name = db_name()"
    )
    assert tuple(cursor.fetchall()[0]) == (1, True)
