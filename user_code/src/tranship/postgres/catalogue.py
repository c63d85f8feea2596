"""What Postgres's catalogue says of a table."""

from dataclasses import dataclass

from typing_extensions import override

from tranship.errors import TranshipError
from tranship.pgsql.catalogue import ExistingColumn, ExistingTable
from tranship.pgsql.driver import SqlCursor
from tranship.postgres.types import PostgresType, arrow_type, printed_type
from tranship.tables import Column, SourceType, TableName

RELATION_KINDS = {
    "r": "table", "p": "partitioned table", "f": "foreign table", "v": "view",
    "m": "materialized view", "S": "sequence", "i": "index", "c": "composite type",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PostgresColumn(ExistingColumn[PostgresType]):
    """One column of a table that is there.

    Args:
        generated: Whether Postgres computes it; nobody may write it.
        identity: `a` (always), `d` (by default) or empty.
        base: The type whose values it holds, where its own is a domain.
    """

    generated: bool = False
    identity: str = ""
    base: PostgresType | None = None

    @override
    def read(self) -> Column:
        type_ = self.base or self.type
        return Column(
            self.name, arrow_type(type_), self.nullable, _source_type(type_), self.comment
        )


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
class PostgresTable(ExistingTable[PostgresColumn]):
    """A table that is there.

    Args:
        oid: Its object id.
        kind: One letter of `pg_class.relkind`.
        unique_indexes: What keeps its rows apart.
    """

    oid: int = 0
    kind: str = "r"
    unique_indexes: tuple[UniqueIndex, ...] = ()


def find_table(cursor: SqlCursor, table: TableName) -> PostgresTable | None:
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
    row = cursor.fetchone()
    if row is None:
        return None
    oid, kind, comment, indexes = row
    unique = tuple(
        UniqueIndex(name, tuple(columns), primary, constraint)
        for name, primary, constraint, columns in indexes
    )
    key = next((index.columns for index in unique if index.is_primary), ())
    return PostgresTable(table, columns_of(cursor, oid), key, comment, oid, kind, unique)


def columns_of(cursor: SqlCursor, oid: int) -> tuple[PostgresColumn, ...]:
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
        PostgresColumn(
            name,
            printed_type(type_),
            nullable,
            default,
            comment,
            generated,
            identity,
            None if base is None else printed_type(base),
        )
        for name, type_, nullable, default, generated, identity, comment, base in cursor.fetchall()
    )


def _source_type(type_: PostgresType) -> SourceType | None:
    if (
        "[" in type_.name
    ):  # lists of a user's own go into jsonb, also where they were read from an array
        return None
    try:
        return SourceType.parse(str(type_))
    except TranshipError:
        return None
