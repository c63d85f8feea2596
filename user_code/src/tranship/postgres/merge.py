"""Rows that wait in a temporary table, and how they come from there into the table: all, or by key, which an index finds in whatever spelling."""

import hashlib
from collections.abc import Sequence

from psycopg2 import sql

from tranship.equality import Rules
from tranship.errors import DuplicateRowsError, WriteFailedError
from tranship.pgsql import keys
from tranship.pgsql.driver import SqlCursor, column_list, qualified
from tranship.postgres.casting import ColumnPlan
from tranship.tables import TableName, TableSchema
from tranship.writes import WriteRequest

# "C" lowers A to Z whatever the database's locale is, and so may stand in an index.
LOWER = 'lower({} collate "C")'
STAGING = sql.Identifier("pg_temp", "tranship_staging")
_COMPARABLE = {
    "smallint", "integer", "bigint", "numeric", "real", "double precision", "boolean", "text", "varchar", "char",
    "bytea", "uuid", "date", "time", "timestamp", "timestamptz", "interval", "jsonb",
}  # fmt: skip
_TEXTS = frozenset({"text", "varchar", "char"})


def create_staging(cursor: SqlCursor, plans: Sequence[ColumnPlan]) -> None:
    """A temporary table for the rows of this transaction; it ends with it."""
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(plan.name), sql.SQL(str(plan.type)))
        for plan in plans
    ]
    cursor.execute(
        sql.SQL("create temporary table tranship_staging ({}) on commit drop").format(
            sql.SQL(", ").join(columns)
        )
    )


def insert_staged(
    cursor: SqlCursor,
    table: TableName,
    names: Sequence[str],
    staging: sql.Composable = STAGING,
) -> int:
    """Copy all staged rows into the table, on the server."""
    columns = column_list(names)
    cursor.execute(
        sql.SQL("insert into {} ({}) overriding system value select {} from {}").format(
            qualified(table), columns, columns, staging
        )
    )
    return cursor.rowcount


def merge_staged(
    cursor: SqlCursor,
    request: WriteRequest,
    plans: Sequence[ColumnPlan],
    schema: TableSchema,
) -> tuple[int, int]:
    """Update the rows whose key was staged and differ, and insert the others.

    Where a unique index on exactly the key exists, rows that others insert meanwhile are updated;
    elsewhere the table is closed to other writers until the commit, so that no key comes twice.
    A row whose key is staged in another spelling, which its source takes for the same key, makes way for it.

    Returns:
        How many rows were updated and how many inserted.

    Raises:
        WriteFailedError: A key is null, or occurs twice in the incoming rows.
    """
    rules = _rules_for(request, plans, schema)
    _check_keys(cursor, request, rules)
    table, key = qualified(request.table), request.key
    values = [plan for plan in plans if plan.name not in key]
    unique = _has_unique_index(cursor, request)
    if not unique or rules:
        # An index of bytes cannot see that another writer inserts the same key in another spelling.
        cursor.execute(sql.SQL("lock table {} in share row exclusive mode").format(table))
    if rules:
        _remove_other_spellings(cursor, request, rules)
    updated = _update_staged(cursor, table, key, values) if values else 0
    conflict = _on_conflict(key, values) if unique else sql.SQL("")
    inserted = _insert_missing(cursor, table, key, plans, conflict)
    return updated, inserted


def mark_absent(cursor: SqlCursor, request: WriteRequest, mark: str) -> int:
    """Say of rows whose key was not staged since when they are gone, after all that were staged are in the table.

    Returns:
        How many; those that had been marked before stay as they are.
    """
    cursor.execute(
        sql.SQL(
            "update {} as t set {} = current_timestamp where t.{} is null and not exists (select from {} as s where {})"
        ).format(
            qualified(request.table),
            sql.Identifier(mark),
            sql.Identifier(mark),
            STAGING,
            _same_key(request.key),
        )
    )
    return cursor.rowcount


def _update_staged(
    cursor: SqlCursor, table: sql.Composable, key: Sequence[str], values: Sequence[ColumnPlan]
) -> int:
    cursor.execute(
        sql.SQL("update {} as t set {} from {} as s where {} and ({})").format(
            table,
            _assignments(values, "s"),
            STAGING,
            _same_key(key),
            _differences(values, "t", "s"),
        )
    )
    return cursor.rowcount


def _insert_missing(
    cursor: SqlCursor,
    table: sql.Composable,
    key: Sequence[str],
    plans: Sequence[ColumnPlan],
    conflict: sql.Composable,
) -> int:
    cursor.execute(
        sql.SQL(
            "insert into {} ({}) overriding system value select {} from {} as s "
            "where not exists (select from {} as t where {}){}"
        ).format(
            table,
            column_list(plan.name for plan in plans),
            sql.SQL(", ").join(sql.Identifier("s", plan.name) for plan in plans),
            STAGING,
            table,
            _same_key(key),
            conflict,
        )
    )
    return cursor.rowcount


def _same_key(key: Sequence[str]) -> sql.Composable:
    return sql.SQL(" and ").join(
        sql.SQL("t.{0} = s.{0}").format(sql.Identifier(name)) for name in key
    )


def _on_conflict(key: Sequence[str], values: Sequence[ColumnPlan]) -> sql.Composable:
    """What becomes of a row that somebody inserted meanwhile: it is updated too."""
    if not values:
        return sql.SQL(" on conflict ({}) do nothing").format(column_list(key))
    return sql.SQL(" on conflict ({}) do update set {}").format(
        column_list(key), _assignments(values, "excluded")
    )


def _remove_other_spellings(cursor: SqlCursor, request: WriteRequest, rules: Rules) -> None:
    _ensure_key_index(cursor, request, rules)
    t, s = sql.Identifier("t"), sql.Identifier("s")
    cursor.execute(
        sql.SQL("delete from {} as t using {} as s where {} and ({})").format(
            qualified(request.table),
            STAGING,
            keys.same_key(t, s, request.key, rules, LOWER),
            keys.other_spelling(t, s, request.key, rules),
        )
    )


def _check_keys(cursor: SqlCursor, request: WriteRequest, rules: Rules) -> None:
    _check_nulls(cursor, request)
    _check_unique(cursor, request, rules)


def _check_nulls(cursor: SqlCursor, request: WriteRequest) -> None:
    named = ", ".join(f'"{name}"' for name in request.key)
    any_null = sql.SQL(" or ").join(
        sql.SQL("{} is null").format(sql.Identifier(name)) for name in request.key
    )
    cursor.execute(sql.SQL("select count(*) from {} where {}").format(STAGING, any_null))
    (nulls,) = cursor.fetchone() or (0,)
    if nulls:
        raise WriteFailedError(
            f"{nulls} of the incoming rows for {request.table} have null in the key ({named}), so "
            "they match no row.",
            "Fill the key, or choose key columns without nulls.",
            details={"rows_with_null_key": nulls},
        )


def _check_unique(cursor: SqlCursor, request: WriteRequest, rules: Rules) -> None:
    columns = [sql.Identifier(name) for name in request.key]
    groups = [
        keys.fold(column, rules.get(name), LOWER)
        for name, column in zip(request.key, columns, strict=True)
    ]
    shown_columns = [
        sql.SQL('min({} collate "C")').format(column) if name in rules else column
        for name, column in zip(request.key, columns, strict=True)
    ]
    cursor.execute(
        sql.SQL("select {}, count(*) from {} group by {} having count(*) > 1 limit 1").format(
            sql.SQL(", ").join(shown_columns), STAGING, sql.SQL(", ").join(groups)
        )
    )
    if (duplicate := cursor.fetchone()) is not None:
        *values, count = duplicate
        shown = ", ".join(
            f'"{name}" = {value!r}' for name, value in zip(request.key, values, strict=True)
        )
        compared = ", ".join(sorted({rule.rule for rule in rules.values()}))
        as_compared = f", as {compared} compares texts" if compared else ""
        raise DuplicateRowsError(
            f"The incoming rows for {request.table} have the same key more than once: {shown} comes "
            f"{count} times{as_compared}.",
            "Remove the duplicates, or name more key columns.",
            details={"key": shown, "times": count},
        )


def _has_unique_index(cursor: SqlCursor, request: WriteRequest) -> bool:
    cursor.execute(
        """
        select exists (
            select from pg_index i
            join pg_class c on c.oid = i.indrelid
            join pg_namespace n on n.oid = c.relnamespace
            where n.nspname = %s and c.relname = %s and i.indisunique and i.indisvalid and i.indimmediate
              and i.indpred is null and i.indexprs is null
              and (select array_agg(a.attname::text order by a.attname::text)
                   from unnest(i.indkey::int2[]) with ordinality as k(attnum, position)
                   join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
                   where k.position <= i.indnkeyatts)
                  = (select array_agg(name order by name) from unnest(%s::text[]) as given(name)))
        """,
        (request.table.schema, request.table.name, list(request.key)),
    )
    return bool((cursor.fetchone() or (False,))[0])


def _assignments(plans: Sequence[ColumnPlan], source: str) -> sql.Composable:
    return sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(plan.name), sql.Identifier(source, plan.name))
        for plan in plans
    )


def _differences(plans: Sequence[ColumnPlan], left: str, right: str) -> sql.Composable:
    """Whether any value differs."""
    parts = [
        differs(plan.type.name, sql.Identifier(left, plan.name), sql.Identifier(right, plan.name))
        for plan in plans
    ]
    return sql.SQL(" or ").join(parts)


def differs(type_name: str, left: sql.Composable, right: sql.Composable) -> sql.Composable:
    """Whether two values of a type differ, nulls too; types without equality, such as json, are compared as text."""
    cast = sql.SQL("" if type_name in _COMPARABLE else "::text")
    return sql.SQL("{0}{2} is distinct from {1}{2}").format(left, right, cast)


def _rules_for(request: WriteRequest, plans: Sequence[ColumnPlan], schema: TableSchema) -> Rules:
    """How the key's texts are compared, for those that the table keeps as texts."""
    texts = {plan.name for plan in plans if plan.type.name in _TEXTS}
    return schema.equalities(texts.intersection(request.key))


def _ensure_key_index(cursor: SqlCursor, request: WriteRequest, rules: Rules) -> None:
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
                sql.Identifier(name), qualified(request.table), expressions
            )
        )
