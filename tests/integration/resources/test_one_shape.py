"""The resources have one shape: what is learned of one holds for the others."""

import inspect
import secrets
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import polars as pl
import psycopg2
import pyarrow as pa
import pytest
from redshift_places import settings_of

from tranship import (
    Batches,
    KeyRange,
    PostgresResource,
    RedshiftResource,
    SqlServerResource,
    TableName,
    TableNotFoundError,
    TranshipError,
    Values,
    WriteRequest,
)
from tranship.errors import ColumnNotFoundError
from tranship.postgres.settings import PostgresSettings
from tranship.settings import settings_of as declared

Target = PostgresResource | RedshiftResource
ROWS = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "region": ["north", "north", "south"]})


@pytest.fixture
def postgres(postgres_url: str) -> PostgresResource:
    settings = PostgresSettings.from_url(postgres_url)
    return PostgresResource(
        **{name: getattr(settings, name) for name in declared(PostgresSettings)}
    )


@pytest.fixture
def redshift(redshift_url: str, bucket: str, iam_role: str, s3_endpoint: str) -> RedshiftResource:
    settings = settings_of(redshift_url, bucket, iam_role, s3_endpoint)
    return RedshiftResource(
        **{
            name: getattr(settings, name)
            for name in declared(type(settings))
            if name != "db_groups"
        }
    )


@pytest.fixture(params=["postgres", "redshift"])
def target(request: pytest.FixtureRequest) -> Target:
    return request.getfixturevalue(request.param)


@pytest.fixture
def schema(target: Target) -> Iterator[str]:
    """A schema of the test's own, dropped at its end."""
    name = f"shape_{secrets.token_hex(4)}"
    run(target, f"create schema {name}")
    yield name
    run(target, f"drop schema {name} cascade")


def run(target: Target, statement: str) -> None:
    with target.connect() as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        connection.commit()


def ids(batches: Batches) -> list[int]:
    return sorted(row["id"] for row in batches.to_table().to_pylist())


def test_what_is_written_is_counted_and_read_whole_and_in_slices(target: Target, schema: str):
    table = TableName(schema, "sales")
    for _ in range(2):
        assert target.write(WriteRequest(table), ROWS).rows == 3
    assert target.row_count(table) == 3
    assert target.row_count(table, KeyRange("id", 2)) == 2
    assert target.row_count(table, slice=Values("region", ("north",))) == 2
    assert ids(target.read(table)) == [1, 2, 3]
    south = target.read(table, slice=Values("region", ("south",)), columns=["id"])
    assert south.to_table().to_pylist() == [{"id": 3}]


@pytest.mark.parametrize("frame", [ROWS.to_pandas(), pl.DataFrame(ROWS.to_pydict()), Batches.of(ROWS), [ROWS]], ids=type)  # fmt: skip
def test_any_frame_is_written(target: Target, schema: str, frame: Any):
    table = TableName(schema, "sales")
    assert target.write(WriteRequest(table), frame).rows == 3
    assert ids(target.read(table)) == [1, 2, 3]


def test_an_empty_table_has_no_rows_and_a_missing_one_is_named(target: Target, schema: str):
    target.write(WriteRequest(TableName(schema, "empty")), ROWS.slice(0, 0))
    assert target.row_count(TableName(schema, "empty")) == 0
    missing = TableName(schema, "missing")
    for call in (target.row_count, target.read):
        with pytest.raises(TableNotFoundError, match=rf"no table {schema}\.missing"):
            call(missing)
    with pytest.raises(ColumnNotFoundError, match="nowhere"):
        target.row_count(TableName(schema, "empty"), KeyRange("nowhere", 1))


def test_tables_are_found_by_patterns(target: Target, schema: str):
    for name in ("dim_date", "dim_old", "sales"):
        target.write(WriteRequest(TableName(schema, name)), ROWS)
    run(target, f"create view {schema}.dim_view as select id from {schema}.sales")
    assert target.tables([f"{schema}.dim_*"], exclude=["*.*_old", "*.*__writes"]) == [
        TableName(schema, "dim_date")
    ]
    assert TableName(schema, "dim_view") in target.tables([f"{schema}.*"], views=True)
    assert target.tables([f"{schema}.nothing*"]) == []
    assert all(table.schema == "public" for table in target.tables())
    with pytest.raises(TableNotFoundError, match=rf"Did you mean {schema}\.sales"):
        target.tables([f"{schema}.sale"])


def test_the_servers_own_tables_are_not_among_them(target: Target):
    schemas = {table.schema for table in target.tables(["*.*"], views=True)}
    assert not {one for one in schemas if one.startswith("pg_") or one == "information_schema"}


def test_a_connection_rolls_back_what_is_not_committed_and_speaks_our_errors(
    target: Target, schema: str
):
    table = TableName(schema, "sales")
    target.write(WriteRequest(table), ROWS)
    with target.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"delete from {schema}.sales")
    assert target.row_count(table) == 3
    with (
        pytest.raises(TranshipError, match="nonsense"),
        target.connect() as connection,
        closing(connection.cursor()) as cursor,
    ):
        cursor.execute("select nonsense")
    assert isinstance(connection, psycopg2.extensions.connection)


def test_the_three_have_one_shape():
    """A SQL Server is written nowhere, so its resource has no `write`."""
    shapes = {
        "read": ["table", "slice", "columns", "log"],
        "row_count": ["table", "slice"],
        "tables": ["patterns", "exclude", "views"],
        "connect": [],
    }
    for resource in (SqlServerResource, PostgresResource, RedshiftResource):
        for name, parameters in shapes.items():
            own = inspect.signature(getattr(resource, name)).parameters
            assert [one for one in own if one in parameters] == parameters, (resource, name)
    for resource in (PostgresResource, RedshiftResource):
        own = list(inspect.signature(resource.write).parameters)
        assert own[1:5] == ["request", "frame", "log", "progress"]
    assert not hasattr(SqlServerResource, "write")
