"""What tables there are, and what the catalogue knows of each."""

from dataclasses import replace
from typing import Any

import pytest
from tests.integration.postgres_source.conftest import Make, Open, Run

from tranship.errors import ConnectionFailedError, TableNotFoundError
from tranship.postgres.settings import PostgresSettings
from tranship.postgres.source_catalogue import PostgresCatalogue
from tranship.source import SourceRequest
from tranship.systems import SourceSystem, system_as, system_of_url
from tranship.tables import TableName


@pytest.fixture
def catalogue(settings: PostgresSettings) -> Any:
    return system_as("postgres", SourceSystem).catalogue(settings)


def test_postgres_is_a_source_by_its_name_and_its_url(
    make: Make, settings: PostgresSettings, postgres_url: str
) -> None:
    table = make("id int primary key")
    found = system_of_url(postgres_url, SourceSystem)
    assert found.kind == "postgres"
    assert found.open_source(settings, SourceRequest(table)).key == ("id",)


def test_tables_and_views_are_listed_and_partitions_are_not(
    make: Make, run: Run, catalogue: Any, postgres_schema: str
) -> None:
    make("id int", name="Plain")
    run(f"create table {postgres_schema}.split (id int) partition by list (id)")
    run(f"create table {postgres_schema}.split_1 partition of {postgres_schema}.split default")
    run(f"create view {postgres_schema}.shown as select 1 as one")
    run(f"create materialized view {postgres_schema}.kept as select 1 as one")
    run(f"create sequence {postgres_schema}.counted")
    mine = {name.name: view for name, view in catalogue.present().items() if name.schema == postgres_schema}  # fmt: skip
    assert mine == {"Plain": False, "split": False, "shown": True, "kept": False}
    assert [one.name for one in catalogue.matching([f"{postgres_schema}.*"], views=True)] == ["Plain", "kept", "shown", "split"]  # fmt: skip
    assert not any(name.schema.startswith("pg_") for name in catalogue.present())


def test_all_that_is_known_of_several_tables_is_told(make: Make, run: Run, catalogue: Any) -> None:
    table = make(
        "id int generated always as identity, n serial, twice int generated always as (id * 2) stored, m money, "
        "at timestamp not null default now(), s text default 'x', primary key (n, id)",
        name="Known One",
    )
    run("comment on table {} is 'what it is'", table)
    run("comment on column {}.m is 'how much'", table)
    other = make("v int", name="other")
    run("insert into {} select generate_series(1, 1000)", other)
    run("analyze {}", other)

    found = catalogue.inspect([other, table])

    assert list(found) == [other, table]
    assert found[other].estimated_rows == 1000
    one = found[table]
    assert one.estimated_rows is None
    assert one.identity == ("id", "n")
    assert one.computed == ("twice",)
    assert one.local_clocks == ("at",)
    assert one.readable_as == {"m": "numeric(19,2)"}
    assert one.defaults["s"] == "'x'::text"
    assert one.schema.primary_key == ("n", "id")
    assert one.schema.comment == "what it is"
    assert one.schema.column("m").comment == "how much"
    assert [column.nullable for column in one.schema.columns] == [False, False, True, True, False, True]  # fmt: skip


def test_a_missing_table_is_told_with_names_that_are_close(
    make: Make, source: Open, catalogue: Any
) -> None:
    table = make("id int", name="Customers")
    close = TableName(table.schema, "custmers")
    with pytest.raises(TableNotFoundError, match=rf"Did you mean {table}\?"):
        source(close)
    with pytest.raises(TableNotFoundError, match=rf"Did you mean {table}\?"):
        catalogue.inspect([table, close])
    with pytest.raises(TableNotFoundError, match="There is no table"):
        catalogue.matching([f"{table.schema}.nothing like it"])


def test_rows_are_estimated_by_the_pages_that_there_are(make: Make, source: Open, run: Run) -> None:
    table = make("id int primary key, v text")
    assert source(table).estimated_rows() is None
    run("insert into {} select i, repeat('x', 50) from generate_series(1, 5000) i", table)
    run("analyze {}", table)
    assert source(table).estimated_rows() == 5000
    # Nobody counted these.
    run("insert into {} select i, repeat('x', 50) from generate_series(5001, 20000) i", table)
    assert 15_000 < (source(table).estimated_rows() or 0) < 25_000


def test_a_partitioned_table_has_the_rows_and_bytes_of_its_partitions(
    make: Make, source: Open, run: Run, catalogue: Any
) -> None:
    table = make("id int", name="gone")
    run("drop table {}", table)
    schema = table.schema
    run("create table {} (id int) partition by range (id)", table)
    run(f"create table {schema}.a partition of {{}} for values from (0) to (100)", table)
    run(f"create table {schema}.b partition of {{}} default partition by list (id)", table)
    run(f"create table {schema}.c partition of {schema}.b default")
    run("insert into {} select generate_series(0, 299)", table)
    assert source(table).estimated_rows() is None
    run("analyze {}", table)
    assert source(table).estimated_rows() == 300
    parts = catalogue.sizes([TableName(schema, name) for name in "ac"])
    assert catalogue.sizes([table]) == {table: sum(parts.values())}
    run(f"create view {schema}.v as select 1 as one")
    assert catalogue.sizes([TableName(schema, "v")]) == {}
    assert source(TableName(schema, "v")).estimated_rows() is None


def test_a_wrong_password_is_told_without_it(settings: PostgresSettings) -> None:
    wrong = replace(settings, user="nobody here", password="hunter2 is secret")
    with pytest.raises(ConnectionFailedError) as caught:
        PostgresCatalogue(wrong).present()
    assert "nobody here" in str(caught.value)
    assert "hunter2" not in str(caught.value)
