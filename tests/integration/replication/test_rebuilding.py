"""`on_schema_change: rebuild`: a table is made anew where its columns cannot be changed in place."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from tests.integration.replication.conftest import Origin, Place, Replica, of

from tranship.errors import ConfigurationError, SchemaDriftError, WriteFailedError
from tranship.replication.config import PartitionSettings
from tranship.replication.plan import Mode
from tranship.writes import OnSchemaChange

REPLACE: dict[str, Any] = {"mode": Mode.REPLACE}
BY_TIME: dict[str, Any] = {"mode": Mode.MERGE, "cursor": "at"}
TABLE = (
    "create table {table} (a int not null primary key, b nvarchar(20) not null, at datetime2(3))"
)

modes = pytest.mark.parametrize("mode", [REPLACE, BY_TIME], ids=["replace", "merge by cursor"])


def loaded(
    origin: Callable[..., Origin], place: Place, mode: dict[str, Any], policy: str = "rebuild"
) -> Replica:
    """A table that was loaded once, whose texts then became numbers."""
    copy = of(origin(TABLE), place, **mode, on_schema_change=OnSchemaChange(policy))
    copy.origin.run("insert into {table} values (1, N'x', '2024-01-01')")
    copy.load()
    copy.origin.run(
        "drop table {table}",
        "create table {table} (a int not null primary key, b int not null, at datetime2(3), c int)",
        "insert into {table} values (1, 10, '2024-01-01', 1), (2, 20, '2024-01-02', null)",
    )
    return copy.changed()


@pytest.fixture
def made(origin: Callable[..., Origin], postgres: Place) -> Callable[..., Replica]:
    return partial(loaded, origin, postgres)


@pytest.fixture
def made_anywhere(origin: Callable[..., Origin], place: Place) -> Callable[..., Replica]:
    return partial(loaded, origin, place)


def types(copy: Replica) -> dict[str, str]:
    """The copy's columns, by name."""
    schema = copy.place.target.schema_of(copy.plan.target)
    assert schema is not None
    return {column.name: str(column.source_type) for column in schema.columns}


@modes
def test_types_that_do_not_fit_are_made_anew(
    made_anywhere: Callable[..., Replica], mode: dict[str, Any]
) -> None:
    copy = made_anywhere(mode)
    assert types(copy)["b"].startswith("varchar")
    for _ in range(2):
        copy.load()
        copy.assert_equal("a, b, at, c")
    assert types(copy)["b"] == "integer"


def test_columns_that_are_gone_are_dropped_where_the_table_is_replaced(
    made_anywhere: Callable[..., Replica],
) -> None:
    copy = made_anywhere(REPLACE)
    copy.load()
    copy.origin.run("alter table {table} drop column b")
    copy = copy.changed()
    copy.load()
    assert set(types(copy)) == {"a", "at", "c"}
    copy.assert_equal("a, at, c")


def test_grants_indexes_and_comments_survive_but_for_what_is_gone(
    made: Callable[..., Replica],
) -> None:
    copy = made(REPLACE)
    table, schema = copy.plan.target, copy.plan.target.schema
    copy.load()
    for statement in (
        "grant select on {} to public",
        "create index kept on {} (at)",
        "create index gone on {} (lower(b::text))",
        "comment on table {} is 'mine'",
    ):
        copy.place.rows(statement, table)
    copy.origin.run("alter table {table} drop column b")
    copy.changed().load()
    names = copy.place.rows(f"select indexname from pg_indexes where schemaname = '{schema}'")
    assert {name for (name,) in names} >= {"kept", f"{table.name}_pkey"}
    assert "gone" not in {name for (name,) in names}
    granted = copy.place.rows(
        "select 1 from information_schema.role_table_grants "
        f"where table_schema = '{schema}' and table_name = '{table.name}' and grantee = 'PUBLIC'"
    )
    assert granted == [(1,)]
    comment = copy.place.rows(f"""select obj_description('"{schema}"."{table.name}"'::regclass)""")
    assert comment == [("mine",)]


def test_a_view_on_what_would_be_gone_stands_in_the_way_and_is_named(
    made: Callable[..., Replica],
) -> None:
    copy = made(REPLACE)
    copy.place.rows(
        f'create view "{copy.plan.target.schema}".looking as select b from {{}}', copy.plan.target
    )
    before = copy.copied("a, b")
    with pytest.raises(WriteFailedError, match="looking"):
        copy.load()
    assert copy.copied("a, b") == before


def test_a_column_that_the_table_fills_by_itself_stays(made: Callable[..., Replica]) -> None:
    copy = made(REPLACE)
    copy.place.rows(
        "alter table {} add column loaded timestamptz not null default now()", copy.plan.target
    )
    copy.load()
    assert "loaded" in types(copy)
    copy.assert_equal("a, b, at, c")


def test_evolve_says_that_rebuild_would_do_it(made: Callable[..., Replica]) -> None:
    copy = made(REPLACE, "evolve")
    with pytest.raises(SchemaDriftError, match=r'Set on_schema_change to "rebuild"'):
        copy.load()


def test_a_table_of_partitions_is_not_rebuilt(replica: Callable[..., Replica]) -> None:
    with pytest.raises(ConfigurationError, match="mode partition replaces parts of it"):
        replica(
            mode=Mode.PARTITION,
            partitions=PartitionSettings(column="id", values=[1]),
            on_schema_change=OnSchemaChange.REBUILD,
        )
