"""Unmodified clients: SQLAlchemy's reflection and tables, pandas, pymssql, prepared statements, many rows at once."""

from collections.abc import Callable, Iterator
from decimal import Decimal

import mssql_python
import pandas as pd
import pymssql
import pytest
import sqlalchemy as sa

from standins.sqlserver.remote import SqlServerProcess


@pytest.fixture
def engine(server: SqlServerProcess) -> Iterator[sa.Engine]:
    engine = sa.create_engine(server.url())
    yield engine
    engine.dispose()


def test_the_version_says_that_it_is_a_stand_in(cursor: mssql_python.Cursor) -> None:
    assert "stand-in" in str(cursor.execute("select @@version").fetchval())
    assert cursor.execute("select serverproperty('Edition')").fetchval() == "Tranship stand-in"


def test_sqlalchemy_reflects_schemas_tables_columns_and_keys(
    server: SqlServerProcess, engine: sa.Engine, schema: str
) -> None:
    server.execute(
        f"create table {schema}.[Order Lines] (OrderNo nvarchar(20) not null, Line int not null, Amount money null default 0, "
        f"At datetime2(3) not null, Twice as (Line * 2), Rv rowversion, constraint PK_{schema} primary key (Line, OrderNo))"
    )
    server.execute(
        f"exec sp_addextendedproperty N'MS_Description', N'a comment', N'SCHEMA', N'{schema}', N'TABLE', N'Order Lines'; "
        f"exec sp_addextendedproperty @name=N'MS_Description', @value=N'how much', @level0type=N'SCHEMA', @level0name=N'{schema}', "
        "@level1type=N'TABLE', @level1name=N'Order Lines', @level2type=N'COLUMN', @level2name=N'Amount'"
    )
    inspector = sa.inspect(engine)
    assert {"dbo", "sys", "INFORMATION_SCHEMA", schema} <= set(inspector.get_schema_names())
    assert inspector.get_table_names(schema) == ["Order Lines"]
    columns = {column["name"]: column for column in inspector.get_columns("Order Lines", schema)}
    assert [
        (name, str(column["type"]).split(" COLLATE")[0], column["nullable"])
        for name, column in columns.items()
    ] == [
        ("OrderNo", "NVARCHAR(20)", False),
        ("Line", "INTEGER", False),
        ("Amount", "MONEY", True),
        ("At", "DATETIME2", False),
        ("Twice", "INTEGER", True),
        ("Rv", "TIMESTAMP", False),
    ]
    assert columns["Amount"].get("comment") == "how much"
    assert columns["Amount"]["default"] == "(0)"
    key = inspector.get_pk_constraint("Order Lines", schema)
    assert (key["name"], key["constrained_columns"]) == (f"PK_{schema}", ["Line", "OrderNo"])
    assert inspector.get_table_comment("Order Lines", schema) == {"text": "a comment"}
    assert inspector.get_foreign_keys("Order Lines", schema) == []
    assert inspector.has_table("order lines", schema)
    assert not inspector.has_table("nothing", schema)


def test_sqlalchemy_creates_fills_reads_changes_and_drops_a_table(
    engine: sa.Engine, schema: str
) -> None:
    metadata = sa.MetaData(schema=schema)
    table = sa.Table(
        "made",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Unicode(20)),
        sa.Column("price", sa.Numeric(10, 2)),
        sa.Column("big", sa.UnicodeText),
    )
    metadata.create_all(engine)
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            table.insert(), [{"name": f"n{i}", "price": i, "big": "x" * i} for i in range(50)]
        )
        key = connection.execute(table.insert().values(name="é😀")).inserted_primary_key
        assert key == (51,)
        connection.execute(
            table.update().where(table.c.name == "N1").values(price=sa.text("price + 0.5"))
        )
        assert connection.execute(table.delete().where(table.c.id > 49)).rowcount == 2
    with engine.connect() as connection:
        page = sa.select(table.c.name, table.c.price).order_by(table.c.id).offset(1).limit(2)
        assert connection.execute(page).fetchall() == [("n1", Decimal("1.50")), ("n2", 2)]
        assert (
            connection.scalar(
                sa.select(sa.func.count()).select_from(table).where(table.c.name.in_(["n3", "n4"]))
            )
            == 2
        )
    metadata.drop_all(engine)
    assert not sa.inspect(engine).has_table("made", schema)


def test_pandas_reads_and_writes(engine: sa.Engine, schema: str) -> None:
    frame = pd.DataFrame(
        {"a": [1, 2], "b": ["x", None], "c": pd.to_datetime(["2020-01-01", "2021-01-01"])}
    )
    frame.to_sql("frame", engine, schema=schema, index=False)
    back = pd.read_sql(
        sa.text(f"select * from {schema}.frame where a >= :low order by a"),
        engine,
        params={"low": 1},
    )
    assert back["a"].tolist() == [1, 2]
    assert back["b"].tolist()[0] == "x"
    assert back["b"].isna().tolist() == [False, True]
    assert back["c"].dt.year.tolist() == [2020, 2021]


def test_pymssql_reads_dictionaries_and_sends_nulls(server: SqlServerProcess, schema: str) -> None:
    with pymssql.connect(
        "127.0.0.1", "sa", server.password, server.database, port=str(server.port), autocommit=True
    ) as connection:
        cursor = connection.cursor(as_dict=True)
        cursor.execute(f"create table {schema}.t (a int, b nvarchar(10))")
        cursor.execute(f"insert into {schema}.t values (%d, %s), (%d, %s)", (1, "ü", 2, None))
        cursor.execute(f"select * from {schema}.t where a > %d order by a", (0,))
        assert cursor.fetchall() == [{"a": 1, "b": "ü"}, {"a": 2, "b": None}]


def test_executemany_runs_once_per_row(cursor: mssql_python.Cursor, schema: str) -> None:
    cursor.execute(
        f"create table {schema}.t (a int not null primary key, b nvarchar(20), c decimal(10,3))"
    )
    rows = [(i, f"row {i}" if i % 3 else None, i / 8) for i in range(500)]
    cursor.executemany(f"insert into {schema}.t values (?, ?, ?)", rows)
    cursor.execute(f"select a, b, c from {schema}.t order by a")
    assert [(a, b, float(c)) for a, b, c in cursor.fetchall()] == rows


def test_one_prepared_statement_runs_with_new_values(
    connect: Callable[..., mssql_python.Connection],
) -> None:
    cursor = connect().cursor()
    for value in (1, 2, None, 3):
        cursor.execute("select ? + 1", value)
        assert cursor.fetchval() == (None if value is None else value + 1)


def test_sp_executesql_and_describe(cursor: mssql_python.Cursor, schema: str) -> None:
    cursor.execute("exec sp_executesql N'select @a * 2 as doubled', N'@a int', @a = 21")
    assert cursor.fetchval() == 42
    cursor.execute(f"create table {schema}.t (a decimal(9,2) not null, b nvarchar(max))")
    cursor.execute(f"exec sp_describe_first_result_set N'select * from {schema}.t'")
    assert [(row.name, row.system_type_name, row.is_nullable) for row in cursor.fetchall()] == [
        ("a", "decimal(9,2)", False),
        ("b", "nvarchar(max)", True),
    ]


def test_a_batch_gives_several_results(cursor: mssql_python.Cursor) -> None:
    cursor.execute(
        "declare @n int = 2 select @n if @n > 1 select N'big' else select N'small'; select @@rowcount"
    )
    assert cursor.fetchval() == 2
    assert cursor.nextset()
    assert cursor.fetchval() == "big"
    assert cursor.nextset()
    assert cursor.fetchval() == 1
