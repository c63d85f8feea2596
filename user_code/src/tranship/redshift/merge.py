"""How rows in a temporary table come into the table by key, and the check that none of their keys comes twice."""

from string import ascii_lowercase, ascii_uppercase

from psycopg2 import sql

from tranship.equality import Rules
from tranship.errors import DuplicateRowsError
from tranship.pgsql import keys
from tranship.pgsql.driver import SqlCursor, column_list, qualified
from tranship.redshift.identifiers import fold
from tranship.redshift.plan import LoadPlan
from tranship.tables import TableSchema
from tranship.writes import WriteRequest

# Redshift's lower() knows letters that the rule of a key may tell apart.
LOWER = f"translate({{}}, '{ascii_uppercase}', '{ascii_lowercase}')"


def merge_staged(
    cursor: SqlCursor,
    request: WriteRequest,
    plan: LoadPlan,
    schema: TableSchema,
    temporary: sql.Identifier,
) -> None:
    """Update the rows whose key came, and insert the others.

    Raises:
        DuplicateRowsError: A key comes twice.
    """
    key = [fold(name) for name in request.key]
    rules = plan.equalities(schema.equalities(request.key))
    _check_unique(cursor, request, plan, temporary, key, rules)
    arriving = dict(zip(plan.names, staged_values(plan, temporary), strict=True))
    equal = _equal_keys(plan, key, arriving)
    if rules:
        _delete_other_spellings(cursor, plan, temporary, key, rules, equal)
    # All columns where all are key: MERGE wants something to set.
    changed = [name for name in plan.names if name not in key] or key
    cursor.execute(
        sql.SQL(
            """
            merge into {} using {} on {}
            when matched then update set {}
            when not matched then insert ({}) values ({})
            """
        ).format(
            qualified(plan.table),
            temporary,
            sql.SQL(" and ").join([*equal.values(), *_same_lengths(plan, temporary, key, rules)]),
            _assignments({name: arriving[name] for name in plan.names if name in changed}),
            column_list(plan.names),
            sql.SQL(", ").join(arriving.values()),
        )
    )


def mark_absent(
    cursor: SqlCursor,
    request: WriteRequest,
    plan: LoadPlan,
    schema: TableSchema,
    temporary: sql.Identifier | None,
) -> int:
    """Say of rows whose key was not staged since when they are gone, after all that were staged are in the table.

    Args:
        cursor: Of the write's transaction.
        request: The write; it names the column.
        plan: The columns.
        schema: The incoming columns.
        temporary: Where the rows are; `None` where none came.

    Returns:
        How many; those that had been marked before stay as they are.
    """
    mark = sql.Identifier(fold(request.marks_absent or ""))
    statement = sql.SQL("update {} set {} = current_timestamp where {} is null").format(
        qualified(plan.table), mark, mark
    )
    if temporary is not None:
        key = [fold(name) for name in request.key]
        rules = plan.equalities(schema.equalities(request.key))
        arriving = dict(zip(plan.names, staged_values(plan, temporary), strict=True))
        same = [
            *_equal_keys(plan, key, arriving).values(),
            *_same_lengths(plan, temporary, key, rules),
        ]
        statement += sql.SQL(" and not exists (select 1 from {} where {})").format(
            temporary, sql.SQL(" and ").join(same)
        )
    cursor.execute(statement)
    return cursor.rowcount


def _equal_keys(
    plan: LoadPlan, key: list[str], arriving: dict[str, sql.Composable]
) -> dict[str, sql.Composed]:
    target = sql.Identifier(plan.table.name)
    return {
        name: sql.SQL("{}.{} = {}").format(target, sql.Identifier(name), arriving[name])
        for name in key
    }


def check_declared_key(
    cursor: SqlCursor,
    request: WriteRequest,
    plan: LoadPlan,
    schema: TableSchema,
    temporary: sql.Identifier,
) -> None:
    """Refuse rows that a read has shown twice: Redshift enforces no key.

    Raises:
        DuplicateRowsError: A key comes twice.
    """
    key = request.key or schema.primary_key
    if key and set(key) <= set(schema.names):
        rules = plan.equalities(schema.equalities(key))
        _check_unique(cursor, request, plan, temporary, [fold(name) for name in key], rules)


def staged_values(plan: LoadPlan, temporary: sql.Composable | None = None) -> list[sql.Composable]:
    """What each column is filled with from the temporary table: the copied value, or a cast of it."""
    values: list[sql.Composable] = []
    for column in plan.columns:
        value: sql.Composable = sql.Identifier(column.name)
        if temporary is not None:
            value = sql.SQL("{}.{}").format(temporary, value)
        if column.parses_json:
            value = sql.SQL("json_parse({})").format(value)
        elif column.is_converted:
            value = sql.SQL("cast({} as {})").format(value, sql.SQL(str(column.type)))
        values.append(value)
    return values


def _assignments(values: dict[str, sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(
        [sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in values.items()]
    )


def _delete_other_spellings(
    cursor: SqlCursor,
    plan: LoadPlan,
    temporary: sql.Identifier,
    key: list[str],
    rules: Rules,
    equal: dict[str, sql.Composed],
) -> None:
    """A key that came in another spelling makes way: its columns are no part of what MERGE updates."""
    target = sql.Identifier(plan.table.name)
    texts = [name for name in key if name in rules]
    same = [keys.same_key(target, temporary, texts, rules, LOWER)]
    same += [equal[name] for name in key if name not in rules]
    cursor.execute(
        sql.SQL("delete from {} using {} where {} and ({})").format(
            qualified(plan.table),
            temporary,
            sql.SQL(" and ").join(same),
            keys.other_spelling(target, temporary, key, rules),
        )
    )


def _check_unique(
    cursor: SqlCursor,
    request: WriteRequest,
    plan: LoadPlan,
    temporary: sql.Identifier,
    key: list[str],
    rules: Rules,
) -> None:
    columns = {name: sql.Identifier(name) for name in key}
    shown_columns = [
        sql.SQL("min({})").format(column) if name in rules else column
        for name, column in columns.items()
    ]
    groups = [keys.fold(column, rules.get(name), LOWER) for name, column in columns.items()]
    groups += [
        sql.SQL("octet_length({})").format(columns[name]) for name in _by_bytes(plan, key, rules)
    ]
    cursor.execute(
        sql.SQL("select {}, count(*) from {} group by {} having count(*) > 1 limit 1").format(
            sql.SQL(", ").join(shown_columns), temporary, sql.SQL(", ").join(groups)
        )
    )
    duplicate = cursor.fetchone()
    if duplicate is not None:
        *values, count = duplicate
        shown = ", ".join(f"{name} {value!r}" for name, value in zip(key, values, strict=True))
        raise DuplicateRowsError(
            f"The {request} failed: {count} of its rows have the key {shown}.",
            "Keep one row for each key, or name more key columns.",
            details={"key": shown},
        )


def _same_lengths(
    plan: LoadPlan, temporary: sql.Identifier, key: list[str], rules: Rules
) -> list[sql.Composed]:
    """Trailing blanks mean nothing to Redshift's "="; to a source that compares bytes they do."""
    target = sql.Identifier(plan.table.name)
    return [
        sql.SQL("octet_length({0}.{2}) = octet_length({1}.{2})").format(
            target, temporary, sql.Identifier(name)
        )
        for name in _by_bytes(plan, key, rules)
    ]


def _by_bytes(plan: LoadPlan, key: list[str], rules: Rules) -> list[str]:
    """The key columns of texts that are one only where their bytes are."""
    varying = {column.name for column in plan.columns if column.type.name == "varchar"}
    return [name for name in key if name in varying and name not in rules]
