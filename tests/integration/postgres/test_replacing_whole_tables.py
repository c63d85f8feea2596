"""Replacing a whole table: new rows, and everything that hung on the old ones."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg2.extensions
import pyarrow as pa
import pytest
from psycopg2 import sql

from tranship.frames import Batches
from tranship.postgres.settings import PostgresSettings
from tranship.postgres.writer import write
from tranship.tables import Column, SourceType, TableName, TableSchema
from tranship.writes import WriteRequest, WriteResult

Load = Callable[..., WriteResult]
Run = Callable[..., list[tuple[Any, ...]]]


def products(*rows: tuple[int, str | None]) -> pa.Table:
    schema = TableSchema(
        (
            Column("ID", pa.int32(), nullable=False, source_type=SourceType("int")),
            Column("na me", pa.large_string(), comment="100% of the name"),
        ),
        primary_key=("ID",),
        comment="All products",
    ).to_arrow()
    ids, names = (
        pa.array([row[0] for row in rows], pa.int32()),
        pa.array([row[1] for row in rows], pa.large_string()),
    )
    return pa.table([ids, names], schema=schema)


def test_a_missing_table_is_created_with_types_key_and_comments(
    table: TableName, load: Load, sql_rows: Run
) -> None:
    result = load(table, products((1, "a"), (2, None)), times=1)
    assert (result.rows, result.details["method"]) == (2, "created")
    assert sql_rows('select * from {} order by "ID"', table) == [(1, "a"), (2, None)]
    described = sql_rows(
        "select a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, col_description(c.oid, a.attnum), "
        "obj_description(c.oid), (select pg_get_constraintdef(k.oid) from pg_constraint k "
        "where k.conrelid = c.oid and contype = 'p') from pg_class c join pg_attribute a on a.attrelid = c.oid "
        f"and a.attnum > 0 where c.relnamespace = '{table.schema}'::regnamespace and c.relkind = 'r' order by attnum"
    )
    assert described == [
        ("ID", "integer", True, None, "All products", 'PRIMARY KEY ("ID")'),
        ("na me", "text", False, "100% of the name", "All products", 'PRIMARY KEY ("ID")'),
    ]


def test_replacing_twice_gives_the_same_rows_and_leaves_the_neighbour(
    table: TableName, load: Load, sql_rows: Run
) -> None:
    neighbour = TableName(table.schema, "neighbour")
    load(neighbour, products((7, "n")))
    load(table, products((1, "old"), (2, "old")))
    result = load(table, products((3, "new")))
    assert result.details["method"] == "swapped"
    assert sql_rows("select * from {}", table) == [(3, "new")]
    assert sql_rows("select * from {}", neighbour) == [(7, "n")]
    relations = sql_rows(
        f"select relname::text from pg_class where relnamespace = '{table.schema}'::regnamespace and relkind = 'r'"
    )
    assert sorted(relations) == sorted([(table.name,), ("neighbour",)])


def test_an_empty_frame_replaces_the_rows_with_nothing(
    table: TableName, load: Load, sql_rows: Run
) -> None:
    load(table, products((1, "a")))
    assert load(table, products()).rows == 0
    assert sql_rows("select count(*) from {}", table) == [(0,)]


@pytest.fixture
def roles(postgres_connection: psycopg2.extensions.connection, postgres_schema: str) -> Any:
    """Two roles that own nothing: a reader, and the owner of other people's tables."""
    names = (f"{postgres_schema}_reader", f"{postgres_schema}_owner")
    with postgres_connection.cursor() as cursor:
        postgres_connection.autocommit = True
        for name in names:
            cursor.execute(sql.SQL("create role {}").format(sql.Identifier(name)))
            cursor.execute(
                sql.SQL("grant usage, create on schema {} to {}").format(
                    sql.Identifier(postgres_schema), sql.Identifier(name)
                )
            )
        yield names
        cursor.execute("reset role")
        for name in names:
            cursor.execute(sql.SQL("drop owned by {} cascade").format(sql.Identifier(name)))
            cursor.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


STATE = """
with relation as (select oid from pg_class where relnamespace = '{schema}'::regnamespace and relname = '{name}')
select
  (select array_agg(row(relowner::regrole, relacl, reloptions, relreplident, relpersistence)::text) from pg_class where oid = r.oid),
  (select array_agg(row(attname, format_type(atttypid, atttypmod), attnotnull, attacl, attoptions, nullif(attstattarget, -1),
          attstorage, col_description(attrelid, attnum), pg_get_expr(adbin, adrelid))::text order by attnum)
   from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
   where attrelid = r.oid and attnum > 0),
  (select array_agg(row(pg_get_indexdef(indexrelid), indisclustered, indisreplident,
          obj_description(indexrelid, 'pg_class'))::text order by indexrelid::regclass::text)
   from pg_index where indrelid = r.oid),
  (select array_agg(row(conname, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint'))::text order by conname)
   from pg_constraint where conrelid = r.oid),
  obj_description(r.oid, 'pg_class')
from relation r
"""


def test_everything_that_hangs_on_the_table_survives_the_swap(
    table: TableName, load: Load, sql_rows: Run, roles: tuple[str, str]
) -> None:
    reader, _owner = roles
    other = TableName(table.schema, "other")
    load(other, products((1, "x"), (2, "y"), (3, "z")))
    load(table, products((1, "old")))
    quoted_schema = f'"{table.schema}"'
    for statement in (
        'create index "USING % idx" on {} (lower("na me")) include ("ID") with (fillfactor = 50) where "ID" > 0',
        'create unique index "plain unique" on {} ("na me" desc nulls last)',
        'alter table {} add constraint "uni que" unique ("na me", "ID") deferrable initially deferred',
        'alter table {} add constraint "positive" check ("ID" > 0)',
        f'alter table {{}} add constraint "fk" foreign key ("ID") references {quoted_schema}.other ("ID") on delete cascade',
        f'alter table {{}} add constraint "fk2" foreign key ("ID") references {quoted_schema}.other ("ID") not valid',
        f"comment on index {quoted_schema}.\"USING % idx\" is 'an index''s comment %'",
        "comment on constraint \"uni que\" on {} is 'why'",
        "comment on constraint \"fk\" on {} is 'why not'",
        "alter table {} set (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_enabled = false)",
        'alter table {} alter column "na me" set statistics 500',
        'alter table {} alter column "na me" set (n_distinct = 5)',
        'alter table {} alter column "na me" set storage external',
        "alter table {} alter column \"na me\" set default 'it''s %s'",
        'alter table {} add column "loaded at" timestamptz default now()',
        'alter table {} add column double bigint generated always as ("ID" * 2) stored',
        "alter table {} add column serial bigserial",
        'alter table {} cluster on "plain unique"',
        "alter table {} replica identity full",
        f'grant select, insert on {{}} to "{reader}" with grant option',
        "grant select on {} to public",
        f'grant update ("na me") on {{}} to "{reader}"',
    ):
        sql_rows(statement, table)
    state = STATE.format(schema=table.schema, name=table.name)
    before = sql_rows(state)
    frame = products((2, "new"), (3, "newer"))
    result = load(table, frame, on_schema_change="evolve")
    assert result.details.get("in_place_because") is None
    assert result.details["method"] == "swapped"
    assert sql_rows(state) == before
    assert sql_rows(
        'select "ID", "na me", double, serial is not null from {} order by 1', table
    ) == [
        (2, "new", 4, True),
        (3, "newer", 6, True),
    ]
    load(table, frame, on_schema_change="evolve")
    assert sql_rows(state) == before
    sql_rows('insert into {} ("ID", "na me") values (1, \'by hand\')', table)
    assert sql_rows("select count(distinct serial) from {}", table) == [(3,)]


def test_dependent_views_survive_with_their_own_grants_and_dependents(
    table: TableName, load: Load, sql_rows: Run, roles: tuple[str, str]
) -> None:
    reader, _ = roles
    load(table, products((1, "old")))
    schema = f'"{table.schema}"'
    for statement in (
        f'create view {schema}."a view" with (security_barrier = true, check_option = local) as '
        'select t."ID", upper(t."na me") as "up %" from {} t where t."ID" > 0',
        f'create view {schema}.above as select *, count(*) over () as n from {schema}."a view"',
        f'create view {schema}.grouped as select "ID", "na me" from {{}} group by "ID"',
        f'create view {schema}.twice as select a."ID" from {{}} a join {{}} b using ("ID")',
        f'grant select on {schema}."a view", {schema}.above to "{reader}"',
        f"comment on view {schema}.\"a view\" is 'looked at'",
        f'create function {schema}.f() returns setof {schema}."a view" language sql as \'select * from {schema}."a view"\'',
    ):
        sql_rows(statement, *([table] * statement.count("{}")))
    state = (
        "select relname, pg_get_viewdef(oid), relacl::text, reloptions::text, obj_description(oid), oid from pg_class "
        f"where relkind = 'v' and relnamespace = '{table.schema}'::regnamespace order by relname"
    )
    before = sql_rows(state)
    assert len(before) == 4
    result = load(table, products((2, "new")))
    assert result.details["method"] == "swapped"
    assert sql_rows(state) == before
    assert sql_rows(f"select * from {schema}.above") == [(2, "NEW", 1)]
    assert sql_rows(f"select * from {schema}.f()") == [(2, "NEW")]
    assert sql_rows(f"select * from {schema}.grouped") == [(2, "new")]
    assert sql_rows(f"select * from {schema}.twice") == [(2,)]


IN_PLACE = {
    "foreign keys point to it": (
        'create table {schema}.child (id int references {{}} ("ID") on delete no action deferrable initially deferred)'
    ),
    "it has identity columns": "alter table {{}} add column n int generated always as identity",
    "it has triggers": (
        "create function {schema}.note() returns trigger language plpgsql as 'begin return new; end'; "
        "create trigger note before insert on {{}} for each row execute function {schema}.note()"
    ),
    "it has row security policies": "alter table {{}} enable row level security",
    "it has extended statistics": 'create statistics {schema}.st on "ID", "na me" from {{}}',
    "a materialized view": "create materialized view {schema}.mv as select * from {{}}",
    "its row type is used elsewhere": "create function {schema}.g({{}}) returns int language sql as 'select 1'",
    "it is part of an inheritance tree": "create table {schema}.heir () inherits ({{}})",
    "it has rules": "create rule r as on update to {{}} do also select 1",
    "it is published": "create publication {plain} for table {{}}",
}


@pytest.mark.parametrize("reason", IN_PLACE)
def test_what_cannot_be_swapped_is_replaced_in_place_and_says_why(
    reason: str, table: TableName, load: Load, sql_rows: Run
) -> None:
    load(table, products((1, "old"), (2, "old")))
    statement = IN_PLACE[reason].format(schema=f'"{table.schema}"', plain=table.schema)
    if "{}" in statement:
        sql_rows(statement, table)
    try:
        oid = sql_rows("select %s::regclass::oid".replace("%s", f"'{_name(table)}'"))
        result = load(table, products((1, "new"), (3, "new")))
        assert reason in str(result.details["in_place_because"])
        assert result.details["method"] == "deleted and inserted"
        assert sql_rows('select "ID", "na me" from only {} order by 1', table) == [
            (1, "new"),
            (3, "new"),
        ]
        assert sql_rows("select %s::regclass::oid".replace("%s", f"'{_name(table)}'")) == oid
    finally:
        sql_rows(f"drop publication if exists {table.schema}")


def _name(table: TableName) -> str:
    return '"{}"."{}"'.format(table.schema, table.name.replace('"', '""'))


def test_what_only_the_drop_reveals_falls_back_to_moving_the_rows(
    table: TableName, load: Load, sql_rows: Run
) -> None:
    load(table, products((1, "old")))
    sql_rows(
        f'create function "{table.schema}".h() returns bigint begin atomic select count(*) from {{}}; end',
        table,
    )
    result = load(table, products((2, "new")))
    assert "depend" in str(result.details["in_place_because"])
    assert sql_rows("select * from {}", table) == [(2, "new")]
    assert sql_rows(f'select "{table.schema}".h()') == [(1,)]


def test_a_table_of_another_role_is_replaced_with_its_grants_alone(
    settings: PostgresSettings, table: TableName, load: Load, sql_rows: Run, roles: tuple[str, str]
) -> None:
    _, owner = roles
    load(table, products((1, "old")))
    sql_rows(f'alter table {{}} owner to "{owner}"', table)
    result = load(table, products((2, "new")))
    assert sql_rows("select * from {}", table) == [(2, "new")]
    owners = sql_rows(f"select tableowner from pg_tables where schemaname = '{table.schema}'")
    assert owners == [(owner,)]
    assert result.details["method"] in {"swapped", "deleted and inserted"}


def test_default_privileges_add_no_grant_to_a_swapped_table(
    table: TableName, load: Load, sql_rows: Run, roles: tuple[str, str]
) -> None:
    reader, _ = roles
    load(table, products((1, "old")))
    sql_rows(
        f'alter default privileges in schema "{table.schema}" grant all on tables to "{reader}"'
    )
    load(table, products((2, "new")))
    granted = sql_rows(
        f"select relacl::text from pg_class where relkind = 'r' and relnamespace = '{table.schema}'::regnamespace"
    )
    assert reader not in str(granted)


def test_an_old_snapshot_sees_rows_after_a_swap(
    postgres_url: str, table: TableName, load: Load
) -> None:
    load(table, products((1, "old")))
    reader = psycopg2.connect(postgres_url.replace("+psycopg2", ""))
    reader.set_session(isolation_level="REPEATABLE READ")
    try:
        with reader.cursor() as cursor:
            cursor.execute("select 1")
            load(table, products((2, "new")), times=1)
            cursor.execute(f"select * from {_name(table)}")
            assert cursor.fetchall() == [(2, "new")]
    finally:
        reader.close()


def test_extra_statements_commit_with_the_rows_or_not_at_all(
    settings: PostgresSettings, table: TableName, load: Load, sql_rows: Run
) -> None:
    bookmarks = TableName(table.schema, "bookmarks")
    sql_rows("create table {} (at int)", bookmarks)

    def remember(cursor: psycopg2.extensions.cursor) -> None:
        cursor.execute(f'insert into "{table.schema}".bookmarks values (1)')

    def fail(cursor: psycopg2.extensions.cursor) -> None:
        remember(cursor)
        raise RuntimeError("no")

    for _ in range(2):
        write(settings, WriteRequest(table), Batches.of(products((1, "a"))), extra=remember)
    with pytest.raises(RuntimeError):
        write(settings, WriteRequest(table), Batches.of(products((2, "b"))), extra=fail)
    assert sql_rows("select * from {}", table) == [(1, "a")]
    assert sql_rows("select count(*) from {}", bookmarks) == [(2,)]


def test_a_role_with_no_more_than_its_schema_swaps_as_well(
    settings: PostgresSettings, table: TableName, load: Load, sql_rows: Run, roles: tuple[str, str]
) -> None:
    reader, owner = roles
    sql_rows(f"alter role \"{owner}\" login password '0wner'")
    plain = replace(settings, user=owner, password="0wner")
    for number in (1, 2):
        result = write(plain, WriteRequest(table), Batches.of(products((number, "x"))))
        if number == 1:
            sql_rows(f'grant select on {{}} to "{reader}"', table)
    assert result.details["method"] == "swapped"
    assert sql_rows("select * from {}", table) == [(2, "x")]
    granted = sql_rows(
        f"select relacl::text from pg_class where relkind = 'r' and relnamespace = '{table.schema}'::regnamespace"
    )
    assert f"{reader}=r/{owner}" in granted[0][0]


def test_a_partitioned_table_is_replaced_through_its_parent(
    table: TableName, load: Load, sql_rows: Run
) -> None:
    sql_rows('create table {} ("ID" int not null, "na me" text) partition by range ("ID")', table)
    for low, high in ((0, 10), (10, 20)):
        sql_rows(
            f'create table "{table.schema}".p{low} partition of {{}} for values from ({low}) to ({high})',
            table,
        )
    load(table, products((1, "a"), (11, "b")))
    result = load(table, products((2, "c"), (12, "d")))
    assert result.details["in_place_because"] == "it is not a plain table"
    assert sql_rows(
        "select tableoid::regclass::text like '%p10', \"ID\" from {} order by 2", table
    ) == [
        (False, 2),
        (True, 12),
    ]


def test_an_unlogged_table_stays_unlogged(table: TableName, load: Load, sql_rows: Run) -> None:
    load(table, products((1, "a")))
    sql_rows("alter table {} set unlogged", table)
    assert load(table, products((2, "b"))).details["method"] == "swapped"
    kinds = sql_rows(
        f"select distinct relpersistence::text from pg_class where relnamespace = '{table.schema}'::regnamespace"
    )
    assert kinds == [("u",)]


def test_a_table_altered_while_its_replacement_loads_is_loaded_again(
    settings: PostgresSettings, table: TableName, load: Load, sql_rows: Run
) -> None:
    load(table, products((1, "a")))
    altered: list[bool] = []

    def alter_once(rows: int, size: int) -> None:
        if not altered:
            altered.append(True)
            sql_rows('create index late on {} ("na me")', table)

    frame = products((2, "b"))
    result = write(settings, WriteRequest(table), Batches.of(frame), progress=alter_once)
    assert result.details["method"] == "swapped"
    indexes = sql_rows(
        f"select indexname::text from pg_indexes where schemaname = '{table.schema}' order by 1"
    )
    assert ("late",) in indexes
    assert sql_rows("select * from {}", table) == [(2, "b")]
