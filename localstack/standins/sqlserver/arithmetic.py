"""+ - * / % & | ^ with T-SQL's result types: whole-number division, exact decimals, joining text."""

from standins.sqlserver.conversions import convert
from standins.sqlserver.errors import SqlError, unsupported
from standins.sqlserver.typed import RANK, Typed, clash, integer_digits
from standins.sqlserver.types import INT, MAX, SqlType

_SIGNS = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "mod": "%",
    "bitwiseand": "&",
    "bitwiseor": "|",
    "bitwisexor": "^",
}
_WORDS = {"add": "add", "sub": "subtract", "mul": "multiply", "div": "divide", "mod": "modulo"}


def combine(operation: str, left: Typed, right: Typed) -> Typed:
    """`left operation right`; `operation` is the key of a sqlglot node, e.g. `add`.

    Raises:
        SqlError: 402 or 8117 for types that have no such operation.
    """
    if left.type is None and right.type is None:
        return Typed("cast(null as integer)", INT)
    kinds = [kind for kind in (left.type, right.type) if kind is not None]
    nullable = left.nullable or right.nullable
    if operation == "add" and all(kind.is_string for kind in kinds):
        return _join(left, right, kinds, nullable=nullable)
    if operation == "add" and all(kind.is_binary for kind in kinds):
        return Typed(f"({left.sql} || {right.sql})", SqlType("varbinary", MAX), nullable)
    if operation in {"add", "sub"} and any(
        kind.name in {"datetime", "smalldatetime"} for kind in kinds
    ):
        return _shift_days(operation, left, right, nullable=nullable)
    left, right = (_as_number(side, kinds, operation) for side in (left, right))
    if left.type is None or right.type is None:
        known = left.type or right.type or INT
        return Typed(f"cast(null as {known.storage})", known)
    if left.type.name in {"float", "real"} or right.type.name in {"float", "real"}:
        return _floating(operation, left, right, nullable=nullable)
    if left.type.is_integer and right.type.is_integer:
        return _whole(operation, left, right, nullable=nullable)
    return _exact(operation, left, right, nullable=nullable)


def _join(left: Typed, right: Typed, kinds: list[SqlType], *, nullable: bool) -> Typed:
    national = any(kind.is_national for kind in kinds)
    total = sum(kind.length for kind in kinds)
    limit = 4000 if national else 8000
    length = MAX if any(kind.is_large for kind in kinds) else min(total, limit)
    kind = SqlType("nvarchar" if national else "varchar", length)
    text = f"({left.sql} || {right.sql})"
    return Typed(
        f"left({text}, {limit})" if total > limit and length != MAX else text, kind, nullable
    )


def _shift_days(operation: str, left: Typed, right: Typed, *, nullable: bool) -> Typed:
    sign = "+" if operation == "add" else "-"
    if (
        left.type
        and right.type
        and left.type.name in {"datetime", "smalldatetime"}
        and right.type.is_integer
    ):
        return Typed(
            f"({left.sql} {sign} to_days(cast({right.sql} as integer)))", left.type, nullable
        )
    raise unsupported("this arithmetic on dates: use DATEADD and DATEDIFF")


def _as_number(side: Typed, kinds: list[SqlType], operation: str) -> Typed:
    """Text meets a number as that number's type; bit counts as int."""
    kind = side.type
    if kind is None:
        return side
    if kind.name == "bit":
        return convert(side, INT)
    if kind.is_number:
        return side
    numbers = [other for other in kinds if other.is_number]
    if kind.is_string and numbers:
        target = max(numbers, key=lambda other: RANK[other.name])
        return convert(side, target)
    if len(kinds) == 2 and kinds[0].name != kinds[1].name:
        raise clash(kinds[0], kinds[1], _WORDS.get(operation, _SIGNS[operation]))
    raise SqlError(
        8117,
        f"Operand data type {kind.name} is invalid for {_WORDS.get(operation, _SIGNS[operation])} operator.",
    )


def _floating(operation: str, left: Typed, right: Typed, *, nullable: bool) -> Typed:
    if operation not in {"add", "sub", "mul", "div"}:
        raise SqlError(
            402,
            f"The data types are incompatible in the {_WORDS.get(operation, _SIGNS[operation])} operator.",
        )
    both_real = left.type == right.type == SqlType("real")
    kind = SqlType("real" if both_real else "float")
    sides = [f"cast({side.sql} as {kind.storage})" for side in (left, right)]
    text = (
        f"t_divide({sides[0]}, {sides[1]})"
        if operation == "div"
        else f"({sides[0]} {_SIGNS[operation]} {sides[1]})"
    )
    return Typed(text, kind, nullable)


def _whole(operation: str, left: Typed, right: Typed, *, nullable: bool) -> Typed:
    assert left.type is not None
    assert right.type is not None
    kind = max((left.type, right.type), key=lambda side: RANK[side.name])
    sides = [
        side.sql if side.type == kind else f"cast({side.sql} as {kind.storage})"
        for side in (left, right)
    ]
    if operation == "div":
        text = f"t_divide_whole({sides[0]}, {sides[1]})"
    elif operation == "mod":
        text = f"t_modulo({sides[0]}, {sides[1]})"
    elif operation == "bitwisexor":
        text = f"xor({sides[0]}, {sides[1]})"
    else:
        text = f"({sides[0]} {_SIGNS[operation]} {sides[1]})"
    return Typed(text, kind, nullable)


def _digits(side: Typed) -> tuple[int, int]:
    """A whole-number constant counts with the digits it has."""
    if side.type == INT and side.sql.isdigit():
        return len(side.sql), 0
    assert side.type is not None
    return integer_digits(side.type)


def _exact(operation: str, left: Typed, right: Typed, *, nullable: bool) -> Typed:
    """Decimal and money: https://learn.microsoft.com/sql/t-sql/data-types/precision-scale-and-length-transact-sql ."""
    (precision1, scale1), (precision2, scale2) = _digits(left), _digits(right)
    if operation in {"add", "sub"}:
        scale = max(scale1, scale2)
        precision = max(precision1 - scale1, precision2 - scale2) + scale + 1
    elif operation == "mul":
        scale, precision = scale1 + scale2, precision1 + precision2 + 1
    elif operation == "div":
        scale = max(6, scale1 + precision2 + 1)
        precision = precision1 - scale1 + scale2 + scale
    elif operation == "mod":
        scale = max(scale1, scale2)
        precision = min(precision1 - scale1, precision2 - scale2) + scale
    else:
        raise SqlError(
            402, f"The data types are incompatible in the '{_SIGNS[operation]}' operator."
        )
    if precision > 38:
        whole = precision - scale
        scale = min(scale, max(38 - whole, 6 if operation in {"mul", "div"} and scale > 6 else 0))
        precision = 38
    kind = SqlType("decimal", precision=precision, scale=scale)
    names = {side.type.name for side in (left, right) if side.type}
    if names & {"money", "smallmoney"} and not names & {"decimal", "numeric"}:
        kind = SqlType("smallmoney" if names == {"smallmoney"} else "money")
        scale = 4
    if operation == "div":
        return Typed(divided(left.sql, scale1, right.sql, scale2, kind, scale), kind, nullable)
    casts = [
        f"cast({side.sql} as decimal({digits[0]},{digits[1]}))"
        for side, digits in ((left, (precision1, scale1)), (right, (precision2, scale2)))
    ]
    text = (
        f"t_modulo({casts[0]}, {casts[1]})"
        if operation == "mod"
        else f"({casts[0]} {_SIGNS[operation]} {casts[1]})"
    )
    return Typed(f"cast({text} as {kind.storage})", kind, nullable)


def divided(left: str, scale1: int, right: str, scale2: int, kind: SqlType, scale: int) -> str:
    """Exact decimal division by whole numbers; digits beyond `scale` are dropped, as SQL Server does."""
    shift = scale - scale1 + scale2
    top = f"t_unscaled(cast({left} as decimal(38,{scale1})))"
    bottom = f"t_unscaled(cast({right} as decimal(38,{scale2})))"
    factor = f"cast({10 ** max(shift, 0)} as hugeint)"
    return f"cast(t_scaled(t_divide_whole({top} * {factor}, {bottom}), {scale}) as {kind.storage})"
