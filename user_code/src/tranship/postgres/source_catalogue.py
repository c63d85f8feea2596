"""What tables a Postgres database has and what their columns are, in few queries however many tables.

`pg_catalog` shows every role all tables, columns and keys, also those that it may not read, so nothing of them is hidden:
https://www.postgresql.org/docs/current/catalogs.html
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from tranship.patterns import table_not_found
from tranship.pgsql.driver import SqlCursor
from tranship.postgres.clocks import is_local_clock
from tranship.postgres.connection import connect
from tranship.postgres.settings import PostgresSettings
from tranship.postgres.source_types import READABLE_AS, equality_of, moved_as, source_type
from tranship.postgres.types import printed_type
from tranship.systems import Catalogue, SourceTable
from tranship.tables import Column, TableName, TableSchema
from tranship.visibility import Visibility

DEFAULT_SCHEMA = "public"
FOREIGN = "f"
_VIEWS = frozenset({"v"})
NO_POLICY = "no policy lets it see any"

# Partitions are rows of the table that they are partitions of, and would come twice.
_PRESENT = """
    select n.nspname::text, c.relname::text, c.relkind in ('v')
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'f', 'v', 'm') and not c.relispartition
      and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    order by 1, 2
"""
_RELATIONS = """
    select n.nspname::text, c.relname::text, c.oid, c.relkind::text, obj_description(c.oid, 'pg_class'),
           row_security_active(c.oid)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'f', 'v', 'm')
      and (n.nspname::text, c.relname::text) in (select * from unnest(%s::text[], %s::text[]))
"""
_COLUMNS = """
    select a.attrelid, a.attname::text, format_type(a.atttypid, a.atttypmod),
           (with recursive base as (
                select t.typbasetype as oid, t.typtypmod as modifier from pg_type t
                where t.oid = a.atttypid and t.typtype = 'd'
                union all
                select t.typbasetype, t.typtypmod from base join pg_type t on t.oid = base.oid
                where t.typtype = 'd')
            select format_type(base.oid, base.modifier)
            from base join pg_type t on t.oid = base.oid where t.typtype <> 'd'),
           a.attnotnull, a.attgenerated <> '', a.attidentity <> '', pg_get_expr(d.adbin, d.adrelid),
           col_description(a.attrelid, a.attnum), has_column_privilege(a.attrelid, a.attnum, 'select'),
           l.collname::text, coalesce(l.collisdeterministic, true)
    from pg_attribute a
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    left join pg_collation l on l.oid = a.attcollation
    where a.attrelid = any(%s::oid[]) and a.attnum > 0 and not a.attisdropped
    order by a.attrelid, a.attnum
"""
_KEYS = """
    select i.indrelid, array_agg(a.attname::text order by k.position)
    from pg_index i, unnest(i.indkey::int2[]) with ordinality as k(attnum, position), pg_attribute a
    where i.indisprimary and i.indrelid = any(%s::oid[]) and k.position <= i.indnkeyatts
      and a.attrelid = i.indrelid and a.attnum = k.attnum
    group by i.indrelid
"""
# https://www.postgresql.org/docs/current/ddl-rowsecurity.html: without a policy for it a role sees no row.
_POLICIES = """
    select p.polrelid, p.polname::text
    from pg_policy p
    where p.polrelid = any(%s::oid[]) and p.polcmd in ('r', '*')
      and (0 = any(p.polroles) or exists (select from unnest(p.polroles) as r(oid) where pg_has_role(r.oid, 'usage')))
    order by 1, 2
"""
# reltuples is of the last VACUUM or ANALYZE, and the planner takes it for as many pages as there are now; -1 is unknown,
# and before version 14 it was 0: https://www.postgresql.org/docs/current/catalog-pg-class.html
_ESTIMATES = """
    with recursive tree(root, oid) as (
        select c.oid, c.oid from pg_class c where c.oid = any(%s::oid[])
        union all
        select t.root, i.inhrelid from tree t join pg_inherits i on i.inhparent = t.oid)
    select t.root,
           sum(case when c.relkind = 'f' then c.reltuples
                    else c.reltuples / nullif(c.relpages, 0) * (pg_relation_size(c.oid) / current_setting('block_size')::float8)
               end)::bigint
    from tree t join pg_class c on c.oid = t.oid
    where c.relkind in ('r', 'm', 'f')
    group by t.root
    having bool_and(c.reltuples > 0 and c.relpages > 0)
"""
_SIZES = """
    with recursive tree(root, oid) as (
        select c.oid, c.oid from pg_class c where c.oid = any(%s::oid[]) and c.relkind in ('r', 'p', 'm')
        union all
        select t.root, i.inhrelid from tree t join pg_inherits i on i.inhparent = t.oid)
    select t.root, sum(pg_total_relation_size(t.oid))::bigint from tree t group by t.root
"""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view, with what its schema in Arrow terms has no place for.

    Args:
        oid: Its object id.
        kind: One letter of `pg_class.relkind`.
        schema: Its columns, key and comments.
        unreadable: The columns that this role may not select.
        defaults: What fills columns where a row names no value, by column.
        identity: The columns that the server numbers itself.
        computed: The columns that it computes from others.
    """

    oid: int
    kind: str
    schema: TableSchema
    unreadable: tuple[str, ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict[str, str])
    identity: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()

    @property
    def is_view(self) -> bool:
        """Whether it has no rows of its own."""
        return self.kind in _VIEWS


@dataclass(frozen=True)
class PostgresCatalogue(Catalogue):
    """The tables of one database.

    Args:
        settings: Where it is.
    """

    settings: PostgresSettings
    default_schema = DEFAULT_SCHEMA

    @property
    @override
    def database(self) -> str:
        return self.settings.database

    @property
    @override
    def address(self) -> str:
        return ", ".join(self.settings.addresses)

    @property
    @override
    def user(self) -> str:
        return self.settings.user

    @override
    def present(self) -> dict[TableName, bool]:
        with connect(self.settings) as connection, connection.cursor() as cursor:
            return _present(cursor)

    @override
    def inspect(self, tables: Iterable[TableName]) -> dict[TableName, SourceTable]:
        wanted = list(dict.fromkeys(tables))
        with connect(self.settings) as connection, connection.cursor() as cursor:
            relations = relations_of(cursor, self.settings, wanted)
            estimates = estimated_rows(cursor, [one.oid for one in relations.values()])
        return {
            name: _source_table(name, relation, estimates.get(relation.oid))
            for name, relation in relations.items()
        }

    @override
    def sizes(self, tables: Iterable[TableName]) -> dict[TableName, int]:
        wanted = list(dict.fromkeys(tables))
        with connect(self.settings) as connection, connection.cursor() as cursor:
            cursor.execute(_RELATIONS, _names(wanted))
            oids = {row[2]: TableName(row[0], row[1]) for row in cursor.fetchall()}
            cursor.execute(_SIZES, (list(oids),))
            return {oids[oid]: int(size) for oid, size in cursor.fetchall()}


def relations_of(
    cursor: SqlCursor, settings: PostgresSettings, tables: Sequence[TableName]
) -> dict[TableName, Relation]:
    """What the catalogue says of tables, in the order they are named.

    Raises:
        TableNotFoundError: One of them does not exist; the message has names that are close.
    """
    cursor.execute(_RELATIONS, _names(tables))
    rows = {TableName(row[0], row[1]): row[2:] for row in cursor.fetchall()}
    for name in tables:
        if name not in rows:
            raise table_not_found(name, list(_present(cursor)), settings.database)
    oids = [row[0] for row in rows.values()]
    columns = _grouped(cursor, _COLUMNS, oids)
    keys = {oid: tuple(key) for oid, key in _ask(cursor, _KEYS, oids)}
    policies = _grouped(cursor, _POLICIES, oids)
    return {
        name: _relation(
            rows[name],
            columns.get(rows[name][0], []),
            keys.get(rows[name][0], ()),
            [policy for (policy,) in policies.get(rows[name][0], [])],
        )
        for name in tables
    }


def estimated_rows(cursor: SqlCursor, oids: Sequence[int]) -> dict[int, int]:
    """Rows by the server's own books, for the relations that it keeps them of."""
    return {oid: int(rows) for oid, rows in _ask(cursor, _ESTIMATES, oids)}


def _relation(
    row: tuple[Any, ...],
    columns: Sequence[tuple[Any, ...]],
    key: tuple[str, ...],
    policies: Sequence[str],
) -> Relation:
    oid, kind, comment, is_filtered = row
    filters = (tuple(policies) or (NO_POLICY,)) if is_filtered else ()
    names = [column[0] for column in columns]
    return Relation(
        oid=oid,
        kind=kind,
        schema=TableSchema(
            tuple(map(_column, columns)),
            key,
            comment,
            Visibility(filtered_by=filters, sees_filters=True),
        ),
        unreadable=tuple(column[0] for column in columns if not column[8]),
        defaults={
            column[0]: column[6] for column in columns if column[6] is not None and not column[4]
        },
        identity=tuple(
            name for name, column in zip(names, columns, strict=True) if _is_numbered(column)
        ),
        computed=tuple(name for name, column in zip(names, columns, strict=True) if column[4]),
    )


def _is_numbered(column: tuple[Any, ...]) -> bool:
    return column[5] or (column[6] or "").startswith("nextval(")


def _column(row: tuple[Any, ...]) -> Column:
    name, declared, base, not_null, *_, comment, _, collation, is_deterministic = row
    type_ = printed_type(base or declared)
    return Column(
        name=name,
        type=moved_as(type_),
        nullable=not not_null,
        source_type=source_type(type_),
        comment=comment,
        equality=equality_of(type_, collation, is_deterministic=is_deterministic),
    )


def _source_table(name: TableName, relation: Relation, rows: int | None) -> SourceTable:
    schema = relation.schema
    return SourceTable(
        name=name,
        schema=schema,
        is_view=relation.is_view,
        identity=relation.identity,
        computed=relation.computed,
        estimated_rows=rows,
        defaults=relation.defaults,
        local_clocks=tuple(
            column
            for column, default in relation.defaults.items()
            if is_local_clock(schema.column(column), default)
        ),
        readable_as={
            column.name: READABLE_AS[column.source_type.name]
            for column in schema.columns
            if column.source_type is not None and column.source_type.name in READABLE_AS
        },
    )


def _present(cursor: SqlCursor) -> dict[TableName, bool]:
    """Every table and view, and whether it is a view."""
    cursor.execute(_PRESENT)
    return {TableName(schema, name): is_view for schema, name, is_view in cursor.fetchall()}


def _names(tables: Sequence[TableName]) -> tuple[list[str], list[str]]:
    return [table.schema for table in tables], [table.name for table in tables]


def _ask(cursor: SqlCursor, query: str, oids: Sequence[int]) -> list[tuple[Any, ...]]:
    cursor.execute(query, (list(oids),))
    return cursor.fetchall()


def _grouped(
    cursor: SqlCursor, query: str, oids: Sequence[int]
) -> dict[int, list[tuple[Any, ...]]]:
    rows: dict[int, list[tuple[Any, ...]]] = {}
    for oid, *rest in _ask(cursor, query, oids):
        rows.setdefault(oid, []).append(tuple(rest))
    return rows
