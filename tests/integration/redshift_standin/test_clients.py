"""Clients that know nothing of the stand-in work through it as they do with Redshift."""

import contextlib
from collections.abc import Iterator
from decimal import Decimal

import awswrangler as wr
import pandas as pd
import psycopg
import psycopg2
import pyarrow as pa
import pytest
import redshift_connector
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.base import PGDialect

from standins.redshift import RedshiftStandIn

from .conftest import PASSWORD, USER, Lake


@pytest.fixture
def driver(standin: RedshiftStandIn, schema: str) -> Iterator[redshift_connector.Connection]:
    connection = redshift_connector.connect(
        host="127.0.0.1", port=standin.port, user=USER, password=PASSWORD, database="standin",
        ssl=False,
    )  # fmt: skip
    connection.cursor().execute(f"set search_path to {schema}")
    connection.commit()
    yield connection
    connection.close()


def three_rows(lake: Lake, prefix: str) -> str:
    table = pa.table({"id": pa.array([1, 2, 3], pa.int32()), "name": ["a", "b", None]})
    return lake.put_parquet(f"{prefix}/part-0.parquet", table)


CREATE = "create table t (id int encode az64 distkey, name varchar(10) encode zstd) sortkey (id)"


def test_psycopg2_loads_and_rolls_back(connect, lake: Lake):
    connection = connect()
    url = three_rows(lake, "psycopg2")
    with connection, connection.cursor() as cursor:
        cursor.execute(CREATE)
    with connection.cursor() as cursor:
        cursor.execute(f"copy t from '{url}' {lake.authorization} format parquet")
        cursor.execute("select count(*) from t where name is not null or %s", (True,))
        assert cursor.fetchone() == (3,)
        connection.rollback()
        cursor.execute("select count(*) from t")
        assert cursor.fetchone() == (0,)


@pytest.mark.parametrize("prepare", [False, True], ids=["unprepared", "prepared"])
def test_psycopg3_loads_and_rolls_back(standin: RedshiftStandIn, schema, lake: Lake, prepare):
    url = three_rows(lake, "psycopg3")
    with psycopg.connect(standin.url, options=f"-c search_path={schema}") as connection:
        connection.execute(CREATE.encode(), prepare=prepare)
        connection.commit()
        copy = f"copy t from '{url}' {lake.authorization} format parquet"
        connection.execute(copy.encode(), prepare=prepare)
        found = connection.execute("select * from t where id >= %s order by id", (2,)).fetchall()
        assert found == [(2, "b"), (3, None)]
        connection.rollback()
        assert connection.execute("select count(*) from t", prepare=prepare).fetchone() == (0,)


def test_psycopg3_pipelines_are_answered_in_order(standin: RedshiftStandIn, schema, lake: Lake):
    url = three_rows(lake, "pipeline")
    with psycopg.connect(standin.url, options=f"-c search_path={schema}") as connection:
        with connection.pipeline():
            connection.execute(CREATE)
            connection.execute("insert into t values (%s, %s)", (9, "nine"))
            copy = f"copy t from '{url}' {lake.authorization} format parquet"
            connection.execute(copy.encode())
            last = connection.execute("select sum(id), count(*) from t")
        assert last.fetchone() == (15, 4)


def test_psycopg3_pipeline_after_an_error_is_skipped(standin: RedshiftStandIn, schema):
    with psycopg.connect(standin.url, options=f"-c search_path={schema}") as connection:
        connection.execute(CREATE)
        connection.commit()
        values = ("(1, 'a')", "(1, 'a') on conflict do nothing", "(2, 'b')")
        with pytest.raises(psycopg.errors.SyntaxError):
            _run_in_a_pipeline(connection, [f"insert into t values {v}" for v in values])
        connection.rollback()
        assert connection.execute("select count(*) from t").fetchone() == (0,)


def _run_in_a_pipeline(connection: psycopg.Connection, statements: list[str]) -> None:
    with connection.pipeline():
        for statement in statements:
            connection.execute(statement.encode())


def test_redshift_connector_loads_and_rolls_back(driver, lake: Lake):
    url = three_rows(lake, "driver")
    cursor = driver.cursor()
    cursor.execute(CREATE)
    driver.commit()
    cursor.execute(f"copy t from '{url}' {lake.authorization} format parquet")
    cursor.execute("select id, name from t where id > %s order by id", (1,))
    assert cursor.fetchall() == ([2, "b"], [3, None])
    driver.rollback()
    cursor.execute("select count(*) from t")
    assert cursor.fetchone() == [0]


def test_redshift_connector_hears_refusals(driver, lake: Lake):
    cursor = driver.cursor()
    with pytest.raises(redshift_connector.ProgrammingError, match="syntax error"):
        cursor.execute("insert into t values (1) on conflict do nothing")
    driver.rollback()
    with pytest.raises(redshift_connector.ProgrammingError, match="nonexistent table nowhere"):
        cursor.execute(f"copy nowhere from 's3://x/y' {lake.authorization} format parquet")
    driver.rollback()
    cursor.execute("select 1")
    assert cursor.fetchone() == [1]


def test_redshift_connector_reads_every_type(driver):
    cursor = driver.cursor()
    cursor.execute(
        """
        select 1::smallint, 2::int, 3::bigint, 1.50::decimal(10, 2), 1.5::float8, true,
            'x'::varchar(5), date '2024-02-29', timestamp '2024-02-29 12:00:00.5',
            json_parse('{"a": 1}')
        """
    )
    row = cursor.fetchone()
    assert row is not None
    assert row[:7] == [1, 2, 3, Decimal("1.50"), 1.5, True, "x"]
    assert [str(v) for v in row[7:9]] == ["2024-02-29", "2024-02-29 12:00:00.500000"]
    assert row[9] == '{"a": 1}'


@pytest.mark.parametrize("dialect", ["postgresql+psycopg2", "postgresql+psycopg"])
def test_sqlalchemy_creates_inserts_and_selects(
    standin: RedshiftStandIn, schema, dialect, monkeypatch
):
    # As dialects of Redshift do: it does not know standard_conforming_strings, which SQLAlchemy's own one asks for.
    monkeypatch.setattr(PGDialect, "_set_backslash_escapes", lambda self, connection: None)
    url = standin.url.replace("postgresql", dialect)
    # With native hstore the psycopg dialect looks for the type inside a SAVEPOINT.
    engine = sa.create_engine(url, use_native_hstore=False)
    columns = [sa.Column("id", sa.Integer), sa.Column("name", sa.String(20))]
    table = sa.Table("made", sa.MetaData(), *columns, schema=schema)
    with contextlib.closing(engine.connect()) as connection:
        table.create(connection)
        connection.execute(sa.insert(table), [{"id": 1, "name": "a"}, {"id": 2, "name": None}])
        connection.commit()
        rows = connection.execute(sa.select(table).order_by(table.c.id)).all()
        assert [tuple(row) for row in rows] == [(1, "a"), (2, None)]
    engine.dispose()


@pytest.fixture
def wrangler(lake: Lake, aws_keys, monkeypatch) -> Lake:
    monkeypatch.setattr(wr.config, "s3_endpoint_url", lake.endpoint)
    monkeypatch.setattr(wr.config, "sts_endpoint_url", lake.endpoint)
    return lake


def frame(start: int = 0) -> pd.DataFrame:
    ids = [start + 1, start + 2]
    return pd.DataFrame({"id": ids, "name": ["x", None], "price": [Decimal("1.25"), None]})


def load(driver, lake: Lake, schema: str, rows: pd.DataFrame, **options) -> None:
    wr.redshift.copy(
        rows, f"s3://{lake.bucket}/wr/{schema}/", driver, table="w", schema=schema,
        iam_role=lake.role, use_threads=False, **options,
    )  # fmt: skip


def test_awswrangler_copy_overwrites_appends_and_upserts(driver, wrangler: Lake, schema):
    load(driver, wrangler, schema, frame(), mode="overwrite")
    load(driver, wrangler, schema, frame(10), mode="append")
    assert driver.cursor().execute("select id from w order by 1").fetchall() == (
        [1], [2], [11], [12],
    )  # fmt: skip
    changed = frame(1).assign(name=["new", "newer"])
    load(driver, wrangler, schema, changed, mode="upsert", primary_keys=["id"])
    rows = driver.cursor().execute("select id, name from w order by 1").fetchall()
    assert rows == ([1, "x"], [2, "new"], [3, "newer"], [11, "x"], [12, None])
    load(driver, wrangler, schema, frame(), mode="overwrite", overwrite_method="delete")
    assert driver.cursor().execute("select count(*) from w").fetchone() == [2]


def test_awswrangler_upsert_finds_the_primary_key(driver, wrangler: Lake, schema):
    load(driver, wrangler, schema, frame(), mode="overwrite", primary_keys=["id"])
    load(driver, wrangler, schema, frame(1), mode="upsert")
    assert driver.cursor().execute("select count(*) from w").fetchone() == [3]


def test_awswrangler_loads_nested_values_as_super(driver, wrangler: Lake, schema):
    rows = pd.DataFrame({"id": [1], "tags": [["a", "b"]]})
    load(driver, wrangler, schema, rows, mode="overwrite", serialize_to_json=True)
    found = driver.cursor().execute("select tags[0], tags from w").fetchone()
    assert found == ['"a"', '["a", "b"]']


def test_awswrangler_to_sql_and_read_sql_query(driver, wrangler: Lake, schema):
    wr.redshift.to_sql(frame(), driver, table="s", schema=schema, mode="overwrite")
    wr.redshift.to_sql(
        frame(1), driver, table="s", schema=schema, mode="upsert", primary_keys=["id"]
    )
    found = wr.redshift.read_sql_query(f"select id, name from {schema}.s order by id", driver)
    assert found["id"].tolist() == [1, 2, 3]
    assert found["name"].tolist()[:2] == ["x", "x"]


def test_awswrangler_unloads(driver, wrangler: Lake, schema):
    load(driver, wrangler, schema, frame(), mode="overwrite")
    found = wr.redshift.unload(
        f"select * from {schema}.w", f"s3://{wrangler.bucket}/un/{schema}/", driver,
        iam_role=wrangler.role,
    )  # fmt: skip
    assert sorted(found["id"].tolist()) == [1, 2]


def test_psycopg2_understands_a_lost_server(connect, standin: RedshiftStandIn):
    connection = connect()
    with connection.cursor() as cursor:
        cursor.execute("select 1")
    standin.faults.cut_before_commit()
    with pytest.raises(psycopg2.OperationalError):
        connection.commit()
    assert connection.closed
