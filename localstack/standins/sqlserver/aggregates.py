"""Aggregate and window functions with T-SQL's result types: SUM of int is int, AVG of int is int, AVG of decimal is exact."""

from collections.abc import Callable

from sqlglot import exp

from standins.sqlserver import collations
from standins.sqlserver.arithmetic import divided
from standins.sqlserver.conversions import convert, narrow_integer
from standins.sqlserver.errors import SqlError, unsupported
from standins.sqlserver.functions import Call
from standins.sqlserver.typed import Typed, integer_digits
from standins.sqlserver.types import BIGINT, FLOAT, INT, MAX, SqlType

AGGREGATES = {
    "count",
    "count_big",
    "sum",
    "avg",
    "min",
    "max",
    "stdev",
    "stdevp",
    "var",
    "varp",
    "checksum_agg",
    "string_agg",
}
RANKINGS = {"row_number", "rank", "dense_rank", "ntile", "lag", "lead", "first_value", "last_value"}

Over = Callable[[str], str]
"""Adds OVER (...) to one function call; the identity outside of windows."""


def aggregate(call: Call, over: Over) -> Typed:
    """An aggregate call, with `over` applied to each DuckDB function in it.

    Raises:
        SqlError: 8117 for a type that has no such aggregate.
    """
    name = call.name.lower()
    node = call.nodes[0] if call.nodes else None
    distinct = ""
    if isinstance(node, exp.Distinct):
        if len(node.expressions) != 1:
            raise unsupported("DISTINCT over several columns")
        node, distinct = node.expressions[0], "distinct "
    if name in {"count", "count_big"}:
        kind = INT if name == "count" else BIGINT
        counted = (
            "*"
            if node is None or isinstance(node, exp.Star)
            else call.compiler.value(node, call.scope).sql
        )
        if distinct and node is not None:
            item = call.compiler.value(node, call.scope)
            if item.type is not None and item.type.is_string:
                counted = collations.key(item)
        count = over(f"count({distinct}{counted})")
        return Typed(narrow_integer(count, INT) if kind == INT else count, kind, nullable=False)
    if node is None:
        raise SqlError(174, f"The {name} function requires 1 argument(s).", 15)
    value = call.compiler.value(node, call.scope)
    kind = value.type
    if kind is None or (kind.name == "bit" and name not in {"min", "max"}):
        raise SqlError(
            8117,
            f"Operand data type {kind.name if kind else 'NULL'} is invalid for {name} operator.",
        )
    if name in {"min", "max"}:
        if kind.name == "datetimeoffset":
            return Typed(over(f"{name}({value.sql})"), kind)
        if (
            kind.name in {"bit", "text", "ntext", "image", "xml", "rowversion"}
            and kind.name != "rowversion"
        ):
            raise SqlError(8117, f"Operand data type {kind.name} is invalid for {name} operator.")
        if kind.is_string:
            return Typed(over(f"arg_{name}({value.sql}, {collations.key(value)})"), kind)
        return Typed(
            over(f"{name}({value.sql})"),
            SqlType("varbinary", 8) if kind.name == "rowversion" else kind,
        )
    if name == "checksum_agg":
        return Typed(over(f"bit_xor({distinct}{convert(value, INT).sql})"), INT)
    if name == "string_agg":
        return _string_agg(call, value, over, distinct)
    if not kind.is_number:
        raise SqlError(8117, f"Operand data type {kind.name} is invalid for {name} operator.")
    if name in {"stdev", "stdevp", "var", "varp"}:
        word = {
            "stdev": "stddev_samp",
            "stdevp": "stddev_pop",
            "var": "var_samp",
            "varp": "var_pop",
        }[name]
        return Typed(over(f"{word}({distinct}{value.sql})"), FLOAT)
    total = over(f"sum({distinct}{value.sql})")
    if name == "sum":
        return _sum(total, kind)
    return _average(
        total, over(f"count({distinct}{value.sql})"), over(f"avg({distinct}{value.sql})"), kind
    )


def _sum(total: str, kind: SqlType) -> Typed:
    if kind.is_integer:
        target = BIGINT if kind == BIGINT else INT
        return Typed(narrow_integer(total, target), target)
    if kind.name in {"float", "real"}:
        return Typed(total, FLOAT)
    target = (
        SqlType("money")
        if "money" in kind.name
        else SqlType("decimal", precision=38, scale=kind.scale)
    )
    return Typed(f"cast({total} as {target.storage})", target)


def _average(total: str, count: str, mean: str, kind: SqlType) -> Typed:
    if kind.name in {"float", "real"}:
        return Typed(mean, FLOAT)
    if kind.is_integer:
        target = BIGINT if kind == BIGINT else INT
        return Typed(f"cast(({total}) // nullif({count}, 0) as {target.storage})", target)
    scale = integer_digits(kind)[1]
    target = (
        SqlType("money")
        if "money" in kind.name
        else SqlType("decimal", precision=38, scale=max(scale, 6))
    )
    wanted = 4 if target.name == "money" else target.scale
    return Typed(divided(total, scale, f"nullif({count}, 0)", 0, target, wanted), target)


def _string_agg(call: Call, value: Typed, over: Over, distinct: str) -> Typed:
    call.arity(2)
    if distinct:
        raise unsupported("string_agg of DISTINCT")
    text = convert(value, SqlType("nvarchar", MAX))
    return Typed(over(f"string_agg({text.sql}, {call.text(1).sql})"), SqlType("nvarchar", MAX))


def ranking(call: Call, over: Over) -> Typed:
    """A function that only exists with OVER."""
    name = call.name.lower()
    if name in {"row_number", "rank", "dense_rank"}:
        return Typed(over(f"{name}()"), BIGINT, nullable=False)
    if name == "ntile":
        return Typed(over(f"ntile({call.integer(0)})"), BIGINT, nullable=False)
    value = call.argument(0)
    rest = [call.integer(1)] if len(call.nodes) > 1 else []
    if len(call.nodes) > 2:
        rest.append(convert(call.argument(2), value.type or INT).sql)
    return Typed(over(f"{name}({', '.join([value.sql, *rest])})"), value.type)
