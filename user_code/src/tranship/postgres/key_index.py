"""The index by which a merge finds a key in whatever spelling, where the source compares texts by more than bytes."""

import hashlib
from collections.abc import Sequence

import psycopg2.extensions
from psycopg2 import sql

from tranship.equality import Rules
from tranship.pgsql import keys
from tranship.postgres.casting import ColumnPlan
from tranship.postgres.catalogue import quoted
from tranship.tables import TableSchema
from tranship.writes import WriteRequest

# "C" lowers A to Z whatever the database's locale is, and so may stand in an index.
LOWER = 'lower({} collate "C")'
_TEXTS = frozenset({"text", "varchar", "char"})


def rules_for(request: WriteRequest, plans: Sequence[ColumnPlan], schema: TableSchema) -> Rules:
    """How the key's texts are compared, for those that the table keeps as texts."""
    texts = {plan.name for plan in plans if plan.type.name in _TEXTS}
    return schema.equalities(texts.intersection(request.key))


def ensure_key_index(
    cursor: psycopg2.extensions.cursor, request: WriteRequest, rules: Rules
) -> None:
    """Create the index where it is missing and may be created; without it, each merge reads the whole table.

    Its name tells the rules it was made for, so a table that is compared in another way gets another one.
    """
    expressions = sql.SQL(", ").join(
        sql.SQL("({})").format(keys.fold(sql.Identifier(name), rules.get(name), LOWER))
        for name in request.key
    )
    text = f"{request.table} {expressions.as_string(cursor)}"
    name = f"tranship_key_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    cursor.execute(
        """
        select exists (select from pg_class where relname = %s and relnamespace = c.relnamespace)
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = %s and c.relname = %s
          and c.relkind = 'r' and pg_has_role(c.relowner, 'usage')
        """,
        (name, request.table.schema, request.table.name),
    )
    # No row: a partitioned or foreign table, or one whose owner is another role.
    if cursor.fetchone() == (False,):
        cursor.execute(
            sql.SQL("create index {} on {} ({})").format(
                sql.Identifier(name), quoted(request.table), expressions
            )
        )
