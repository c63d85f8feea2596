"""A table of Postgres to read, and roles that may see only some of it."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest
from psycopg2 import sql
from statements import Rows, rows_of

from tranship.postgres.settings import PostgresSettings
from tranship.postgres.source import PostgresSource
from tranship.source import SourceRequest
from tranship.tables import TableName

Make = Callable[..., TableName]
Run = Callable[..., Rows]
Open = Callable[..., PostgresSource]
Role = Callable[..., PostgresSettings]


@pytest.fixture
def settings(postgres_url: str) -> PostgresSettings:
    return PostgresSettings.from_url(postgres_url)


@pytest.fixture
def run(postgres_connection: psycopg2.extensions.connection) -> Run:
    """Run a statement, committed at once; `{}` stands for quoted tables. Gives the rows, if any."""
    postgres_connection.autocommit = True

    def run(statement: str, *tables: TableName) -> Rows:
        names = [sql.Identifier(table.schema, table.name) for table in tables]
        return rows_of(postgres_connection, sql.SQL(statement).format(*names))

    return run


@pytest.fixture
def make(run: Run, postgres_schema: str) -> Make:
    """Make a table by its columns, with rows by their values."""

    def make(columns: str, *rows: str, name: str = "orders % ü") -> TableName:
        table = TableName(postgres_schema, name)
        run(f"create table {{}} ({columns})", table)
        for row in rows:
            literal = row.replace("{", "{{").replace("}", "}}")
            run(f"insert into {{}} values ({literal})", table)
        return table

    return make


@pytest.fixture
def source(settings: PostgresSettings) -> Open:
    """A table as a source."""

    def open_(
        table: TableName, as_: PostgresSettings | None = None, **request: Any
    ) -> PostgresSource:
        return PostgresSource.open(as_ or settings, SourceRequest(table, **request))

    return open_


@pytest.fixture
def role(settings: PostgresSettings, run: Run, postgres_schema: str) -> Iterator[Role]:
    """Make roles that may log in and use the schema, and run statements that grant them more."""
    made: list[str] = []

    def role(*grants: str) -> PostgresSettings:
        name = f"reader {secrets.token_hex(4)}"
        run(f"create role \"{name}\" login password 'secret of it'")
        made.append(name)
        run(f'grant usage on schema {postgres_schema} to "{name}"')
        for grant in grants:
            run(grant.replace("<role>", f'"{name}"'))
        return replace(settings, user=name, password="secret of it")

    yield role
    for name in made:
        run(f'drop owned by "{name}" cascade')
        run(f'drop role "{name}"')


def values(source: PostgresSource, *columns: str, **options: Any) -> list[tuple[Any, ...]]:
    """The rows that a read gives, as tuples."""
    names = columns or source.schema.names
    rows = source.read(names, **options).to_table().to_pylist()
    return [tuple(row.values()) for row in rows]
