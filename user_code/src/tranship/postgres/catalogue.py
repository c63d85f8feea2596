"""What Postgres's catalogue says of a table."""

from dataclasses import dataclass

import psycopg2.extensions
from psycopg2 import sql

from tranship.errors import TranshipError
from tranship.postgres.types import PostgresType, arrow_type
from tranship.tables import Column, SourceType, TableName, TableSchema

RELATION_KINDS = {
    "r": "table", "p": "partitioned table", "f": "foreign table", "v": "view",
    "m": "materialized view", "S": "sequence", "i": "index", "c": "composite type",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ExistingColumn:
    """One column of a table that is there.

    Args:
        name: Its name.
        type: Its type.
        nullable: Whether it accepts null.
        has_default: Whether a row that leaves it out gets a value.
        generated: Whether Postgres computes it; nobody may write it.
        identity: `a` (always), `d` (by default) or empty.
        comment: Its comment.
        base: The type whose values it holds, where its own is a domain.
    """

    name: str
    type: PostgresType
    nullable: bool
    has_default: bool
    generated: bool
    identity: str
    comment: str | None
    base: PostgresType | None = None


@dataclass(frozen=True, slots=True)
class UniqueIndex:
    """A unique index over whole columns and all rows.

    Args:
        name: Its name, and its constraint's.
        columns: Its columns in order.
        is_primary: Whether it is the primary key's.
        is_constraint: Whether a constraint stands behind it.
    """

    name: str
    columns: tuple[str, ...]
    is_primary: bool
    is_constraint: bool


@dataclass(frozen=True, slots=True)
class ExistingTable:
    """A table that is there.

    Args:
        oid: Its object id.
        name: Its schema and name.
        kind: One letter of `pg_class.relkind`.
        columns: Its columns in order.
        primary_key: The columns of its primary key in order.
        comment: Its comment.
        unique_indexes: What keeps its rows apart.
    """

    oid: int
    name: TableName
    kind: str
    columns: tuple[ExistingColumn, ...]
    primary_key: tuple[str, ...]
    comment: str | None
    unique_indexes: tuple[UniqueIndex, ...] = ()

    @property
    def writable(self) -> tuple[ExistingColumn, ...]:
        """The columns that rows may carry."""
        return tuple(column for column in self.columns if not column.generated)

    def column(self, name: str) -> ExistingColumn | None:
        """The column of that name, if there is one."""
        return next((column for column in self.columns if column.name == name), None)

    def schema(self) -> TableSchema:
        """The table in Arrow terms, each column with its Postgres type as source type; a domain's is its base."""
        columns = tuple(
            Column(
                name=column.name,
                type=arrow_type(column.base or column.type),
                nullable=column.nullable,
                source_type=_source_type(column.base or column.type),
                comment=column.comment,
            )
            for column in self.columns
        )
        return TableSchema(columns, self.primary_key, self.comment)


def find_table(cursor: psycopg2.extensions.cursor, table: TableName) -> ExistingTable | None:
    """The table of that name, or `None`."""
    cursor.execute(
        """
        select c.oid, c.relkind::text, obj_description(c.oid, 'pg_class'),
               coalesce((select json_agg(json_build_array(
                             k.relname, i.indisprimary,
                             exists (select from pg_constraint where conindid = k.oid and contype in ('p', 'u')),
                             (select json_agg(a.attname order by position)
                              from unnest(i.indkey::int2[]) with ordinality as p(attnum, position), pg_attribute a
                              where a.attrelid = i.indrelid and a.attnum = p.attnum and p.position <= i.indnkeyatts))
                         order by not i.indisprimary, k.relname)
                         from pg_index i join pg_class k on k.oid = i.indexrelid
                         where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indpred is null
                           and i.indexprs is null), '[]')
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = %s and c.relname = %s
        """,
        (table.schema, table.name),
    )
    found = cursor.fetchone()
    if found is None:
        return None
    oid, kind, comment, indexes = found
    unique = tuple(
        UniqueIndex(name, tuple(columns), primary, constraint)
        for name, primary, constraint, columns in indexes
    )
    key = next((index.columns for index in unique if index.is_primary), ())
    return ExistingTable(oid, table, kind, columns_of(cursor, oid), key, comment, unique)


def columns_of(cursor: psycopg2.extensions.cursor, oid: int) -> tuple[ExistingColumn, ...]:
    """The columns of a relation, in order."""
    cursor.execute(
        """
        select a.attname::text, format_type(a.atttypid, a.atttypmod), not a.attnotnull, a.atthasdef,
               a.attgenerated <> '', a.attidentity::text, col_description(a.attrelid, a.attnum),
               (with recursive base as (
                    select t.typbasetype as oid, t.typtypmod as modifier from pg_type t
                    where t.oid = a.atttypid and t.typtype = 'd'
                    union all
                    select t.typbasetype, t.typtypmod from base join pg_type t on t.oid = base.oid
                    where t.typtype = 'd')
                select format_type(base.oid, base.modifier)
                from base join pg_type t on t.oid = base.oid where t.typtype <> 'd')
        from pg_attribute a
        where a.attrelid = %s and a.attnum > 0 and not a.attisdropped
        order by a.attnum
        """,
        (oid,),
    )
    return tuple(
        ExistingColumn(
            name,
            _parsed(type_),
            nullable,
            default,
            generated,
            identity,
            comment,
            None if base is None else _parsed(base),
        )
        for name, type_, nullable, default, generated, identity, comment, base in cursor.fetchall()
    )


def has_schema(cursor: psycopg2.extensions.cursor, schema: str) -> bool:
    """Whether the schema is there."""
    cursor.execute("select 1 from pg_namespace where nspname = %s", (schema,))
    return cursor.fetchone() is not None


def quoted(table: TableName) -> sql.Composable:
    """The table's name for a statement."""
    return sql.Identifier(table.schema, table.name)


def _parsed(text: str) -> PostgresType:
    """A type as the catalogue prints it; one that we cannot take apart stays whole."""
    try:
        return PostgresType.parse(text)
    except TranshipError:
        return PostgresType(text)


def _source_type(type_: PostgresType) -> SourceType | None:
    if (
        "[" in type_.name
    ):  # lists of a user's own go into jsonb, also where they were read from an array
        return None
    try:
        return SourceType.parse(str(type_))
    except TranshipError:
        return None
