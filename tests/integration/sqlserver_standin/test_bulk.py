"""Bulk loads with the driver's own `bulkcopy`."""

import datetime
from collections.abc import Callable
from decimal import Decimal

import mssql_python
import pyarrow as pa
import pytest

from standins.sqlserver.remote import SqlServerProcess

Connect = Callable[..., mssql_python.Connection]


@pytest.fixture
def table(server: SqlServerProcess, schema: str) -> str:
    server.execute(
        f"create table {schema}.t (id int not null primary key, n int null default 7, s nvarchar(5) null, twice as (n * 2), version rowversion)"
    )
    return f"{schema}.t"


def rows(cursor: mssql_python.Cursor, table: str) -> list[tuple]:
    return [
        tuple(row) for row in cursor.execute(f"select id, n, s from {table} order by id").fetchall()
    ]


def test_rows_come_in_with_defaults_for_what_is_null(
    cursor: mssql_python.Cursor, table: str
) -> None:
    loaded = cursor.bulkcopy(
        table, [(1, 10, "ä€"), (2, None, None)], column_mappings=["id", "n", "s"]
    )
    assert loaded["rows_copied"] == 2
    assert rows(cursor, table) == [(1, 10, "ä€"), (2, 7, None)]
    cursor.bulkcopy(table, [(3, None)], column_mappings=["id", "n"], keep_nulls=True)
    assert rows(cursor, table)[2:] == [(3, None, None)]


def test_arrow_comes_in_in_as_many_batches_as_asked_for(
    cursor: mssql_python.Cursor, table: str
) -> None:
    numbers = pa.table({"id": pa.array(range(2500), pa.int32()), "n": pa.array(range(2500), pa.int32())})  # fmt: skip
    loaded = cursor.bulkcopy_arrow(table, numbers, batch_size=1000, column_mappings=["id", "n"])
    assert loaded["rows_copied"] == 2500
    assert cursor.execute(f"select count(*), sum(n) from {table}").fetchall()[0][1] == 2499 * 1250


def test_what_does_not_fit_is_refused_and_nothing_stays(
    cursor: mssql_python.Cursor, table: str
) -> None:
    cursor.bulkcopy(table, [(1, 1)], column_mappings=["id", "n"])
    with pytest.raises(Exception, match="Violation of PRIMARY KEY"):
        cursor.bulkcopy(table, [(2, 1), (1, 1)], column_mappings=["id", "n"])
    assert rows(cursor, table) == [(1, 1, None)]


def test_identity_is_drawn_or_kept(server: SqlServerProcess, cursor: mssql_python.Cursor, schema: str) -> None:  # fmt: skip
    server.execute(f"create table {schema}.i (id int identity(5, 1) primary key, n int)")
    cursor.bulkcopy(f"{schema}.i", [(1,), (2,)], column_mappings=["n"])
    cursor.bulkcopy(f"{schema}.i", [(50, 3)], column_mappings=["id", "n"], keep_identity=True)
    server.execute(f"insert into {schema}.i (n) values (4)")
    told = cursor.execute(f"select id, n from {schema}.i order by n").fetchall()
    assert [tuple(row) for row in told] == [(5, 1), (6, 2), (50, 3), (51, 4)]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("bit", True),
        ("tinyint", 255),
        ("smallint", -32768),
        ("bigint", -(2**63)),
        ("decimal(19,4)", Decimal("-12.3400")),
        ("money", Decimal("922337203685477.5807")),
        ("float", 1.5e-300),
        ("date", datetime.date(1, 1, 1)),
        ("datetime", datetime.datetime(2026, 1, 2, 3, 4, 5, 997000)),
        ("datetime2(6)", datetime.datetime(2026, 1, 2, 3, 4, 5, 123456)),
        ("varchar(20)", "é"),
        ("nvarchar(max)", "x" * 9000),
        ("varbinary(max)", b"\x00\xff" * 5000),
    ],
)
def test_values_come_in_as_they_are(
    server: SqlServerProcess, cursor: mssql_python.Cursor, schema: str, kind: str, value: object
) -> None:
    server.execute(f"create table {schema}.v (id int primary key, v {kind} null)")
    cursor.bulkcopy(f"{schema}.v", [(1, value), (2, None)])
    told = cursor.execute(f"select v from {schema}.v order by id").fetchall()
    assert [row[0] for row in told] == [value, None]


def test_rows_without_their_announcement_are_refused(cursor: mssql_python.Cursor) -> None:
    with pytest.raises(Exception, match="Invalid object name"):
        cursor.bulkcopy("dbo.nothing", [(1,)])
