"""Which rows a statement meets on its way: those whose keys its condition looks up, else all.

SQL Server waits for a changed row as soon as its scan comes to it, whatever the rest of the condition says of that row. A key is the only index
here, so a scan is narrowed by nothing but conditions that compare the key's first columns with values: equality for each, and for the first
column without one any of = <> and ranges.
"""

from typing import TYPE_CHECKING

from sqlglot import exp

from standins.sqlserver.locks.row_keys import RowKey, key_columns
from standins.sqlserver.typed import identifier

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from standins.sqlserver.conditions import Conditions
    from standins.sqlserver.expressions import Scope, Source
    from standins.sqlserver.locks.reads import Access

_RANGES = (exp.LT, exp.LTE, exp.GT, exp.GTE)


def narrow(
    accesses: "list[Access]", condition: exp.Expr | None, scope: "Scope", compiler: "Conditions"
) -> None:
    """Tell each access to a source of this scope which keys the condition looks up."""
    if condition is None:
        return
    parts = list(_conjuncts(condition))
    for access in accesses:
        source = access.source
        if source is None or not any(source is one for one in scope.sources):
            continue
        columns = key_columns(access.table)
        if any(column.type.name == "datetimeoffset" for column in columns):
            continue
        chosen: list[exp.Expr] = []
        for column in columns:
            named = [
                part for part in parts if _compares(part, column.name, source, scope, compiler)
            ]
            equalities = [part for part in named if isinstance(part, exp.EQ)]
            chosen += equalities or named
            if not equalities:
                break
        access.seek = " and ".join(compiler.condition(part, scope) for part in chosen)


def _conjuncts(condition: exp.Expr) -> "Iterator[exp.Expr]":
    while isinstance(condition, exp.Paren):
        condition = condition.this
    if isinstance(condition, exp.And):
        yield from _conjuncts(condition.this)
        yield from _conjuncts(condition.expression)
    else:
        yield condition


def _compares(
    part: exp.Expr, name: str, source: "Source", scope: "Scope", compiler: "Conditions"
) -> bool:
    """Whether a condition compares a column of the source with values that no row has to tell."""
    if isinstance(part, exp.Between):
        column, values = part.this, [part.args["low"], part.args["high"]]
    elif isinstance(part, exp.In):
        if part.args.get("query") is not None:
            return False
        column, values = part.this, part.expressions
    elif isinstance(part, (exp.EQ, *_RANGES)):
        column, values = part.this, [part.expression]
        if not isinstance(column, exp.Column):
            column, values = part.expression, [part.this]
    else:
        return False
    if not isinstance(column, exp.Column) or column.name.lower() != name.lower():
        return False
    if any(value.find(exp.Column, exp.Query) for value in values):
        return False
    return compiler.resolve(column, scope)[0] is source


def meets(
    access: "Access",
    rows: set[RowKey],
    connection: "duckdb.DuckDBPyConnection",
    parameters: dict[str, object],
) -> bool:
    """Whether the access reads one of these rows."""
    if not access.seek or access.source is None:
        return True
    columns = key_columns(access.table)
    typed = ", ".join(
        f"cast(k[{index}] as {column.type.storage}) as {identifier(column.name)}"
        for index, column in enumerate(columns, 1)
    )
    text = (
        f"select 1 from (select {typed} from (select unnest(cast($locked_rows as varchar[][])) as k)) as {identifier(access.source.alias)} "
        f"where {access.seek} limit 1"
    )
    listed = [list(row) for row in rows]
    return bool(connection.execute(text, {**parameters, "locked_rows": listed}).fetchall())
