"""Scalar functions of T-SQL as DuckDB text. To add one: a function of a `Call`, registered under its T-SQL name.

Text and dates have files of their own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlglot import exp

from standins.sqlserver.conversions import convert
from standins.sqlserver.errors import SqlError, unsupported
from standins.sqlserver.expressions import Expressions, Scope
from standins.sqlserver.typed import NULL, Typed, common_type, identifier, text_literal
from standins.sqlserver.types import (
    BIGINT,
    BIT,
    FLOAT,
    INT,
    NVARCHAR_MAX,
    UNIQUEIDENTIFIER,
    SqlType,
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call in the text: its arguments as trees, translated on request."""

    name: str
    nodes: Sequence[exp.Expr]
    compiler: Expressions
    scope: Scope

    def arity(self, low: int, high: int | None = None) -> None:
        """Checks the number of arguments.

        Raises:
            SqlError: 174.
        """
        if not low <= len(self.nodes) <= (low if high is None else high):
            raise SqlError(174, f"The {self.name} function requires {low} argument(s).", 15)

    def argument(self, index: int) -> Typed:
        """Argument `index`, translated."""
        return self.compiler.value(self.nodes[index], self.scope)

    def text(self, index: int) -> Typed:
        """Argument `index` as character data."""
        value = self.argument(index)
        return (
            value
            if value.type is not None and value.type.is_string
            else convert(value, NVARCHAR_MAX)
        )

    def integer(self, index: int) -> str:
        """Argument `index` as int."""
        return convert(self.argument(index), INT).sql

    def word(self, index: int) -> str:
        """Argument `index` as a bare word (a date part) in lower case."""
        node = self.nodes[index]
        return (
            node.name if isinstance(node, (exp.Column, exp.Var, exp.Literal)) else node.sql()
        ).lower()


Handler = Callable[[Call], Typed]
FUNCTIONS: dict[str, Handler] = {}


def registrar(handlers: dict[str, Handler]) -> Callable[..., Callable[[Handler], Handler]]:
    """A decorator that puts handlers into `handlers` under T-SQL names in lower case."""

    def register_as(*names: str) -> Callable[[Handler], Handler]:
        def add(handler: Handler) -> Handler:
            handlers.update(dict.fromkeys(names, handler))
            return handler

        return add

    return register_as


register = registrar(FUNCTIONS)


@register("isnull")
def _isnull(call: Call) -> Typed:
    call.arity(2)
    first, second = call.argument(0), call.argument(1)
    kind = first.type or second.type or INT
    return Typed(
        f"coalesce({convert(first, kind).sql}, {convert(second, kind).sql})", kind, second.nullable
    )


@register("coalesce")
def _coalesce(call: Call) -> Typed:
    values = [call.argument(index) for index in range(len(call.nodes))]
    kind = common_type([value.type for value in values])
    if kind is None:
        raise SqlError(
            4127,
            "At least one of the arguments to COALESCE must be an expression that is not the NULL constant.",
        )
    return Typed(
        f"coalesce({', '.join(convert(value, kind).sql for value in values)})",
        kind,
        all(value.nullable for value in values),
    )


@register("nullif")
def _nullif(call: Call) -> Typed:
    call.arity(2)
    first, second = call.argument(0), call.argument(1)
    equal = call.compiler.compare("=", "equal to", first, second)
    return Typed(f"(case when {equal} then null else {first.sql} end)", first.type)


@register("iif")
def _iif(call: Call) -> Typed:
    call.arity(3)
    yes, no = call.argument(1), call.argument(2)
    kind = common_type([yes.type, no.type]) or INT
    condition = call.compiler.condition(call.nodes[0], call.scope)
    return Typed(
        f"(case when {condition} then {convert(yes, kind).sql} else {convert(no, kind).sql} end)",
        kind,
    )


@register("datalength")
def _datalength(call: Call) -> Typed:
    call.arity(1)
    value = call.argument(0)
    kind = value.type
    if kind is None:
        return Typed("cast(null as integer)", INT)
    if kind.is_string or kind.name == "xml":
        size = (
            f"t_units({value.sql}) * 2"
            if kind.is_national or kind.name == "xml"
            else f"length({value.sql})"
        )
    elif kind.is_binary:
        size = f"octet_length({value.sql})"
    else:
        size = f"case when {value.sql} is not null then {kind.max_bytes} end"
    result = BIGINT if kind.is_large else INT
    return Typed(f"cast({size} as {result.storage})", result)


@register("abs", "ceiling", "floor")
def _rounding(call: Call) -> Typed:
    call.arity(1)
    value = call.argument(0)
    if value.type is None or not value.type.is_number:
        raise unsupported(f"{call.name} of {value.type}")
    kind = value.type
    if call.name.lower() != "abs" and kind.name in {"decimal", "numeric"}:
        kind = SqlType(kind.name, precision=kind.precision)
    word = {"ceiling": "ceil"}.get(call.name.lower(), call.name.lower())
    return Typed(f"cast({word}({value.sql}) as {kind.storage})", kind, value.nullable)


@register("round")
def _round(call: Call) -> Typed:
    call.arity(2)
    value = call.argument(0)
    if value.type is None or not value.type.is_number:
        raise unsupported(f"round of {value.type}")
    return Typed(
        f"cast(round({value.sql}, {call.integer(1)}) as {value.type.storage})",
        value.type,
        value.nullable,
    )


@register("power", "sqrt", "exp", "log", "sign")
def _floating(call: Call) -> Typed:
    values = [call.argument(index) for index in range(len(call.nodes))]
    name = call.name.lower()
    call.arity(2 if name == "power" else 1)
    if name == "sign" and values[0].type is not None:
        return Typed(f"cast(sign({values[0].sql}) as {values[0].type.storage})", values[0].type)
    if name == "power" and (
        values[0].type is None or values[0].type.name not in {"float", "real", "int"}
    ):
        raise unsupported("power of anything but float and int")
    word = {"log": "ln", "power": "pow"}.get(name, name)
    text = f"{word}({', '.join(convert(value, FLOAT).sql for value in values)})"
    if name == "power" and values[0].type == INT:
        return Typed(f"cast(trunc({text}) as integer)", INT)
    return Typed(text, FLOAT)


@register("newid", "newsequentialid")
def _newid(call: Call) -> Typed:
    call.arity(0)
    return Typed("uuid()", UNIQUEIDENTIFIER, nullable=False)


@register("checksum", "binary_checksum")
def _checksum(call: Call) -> Typed:
    """An int that changes when a value does; not the number SQL Server computes, whose method is not public."""
    values: list[Typed] = []
    for node in call.nodes:
        if isinstance(node, exp.Star):
            values += [
                Typed(f"{identifier(source.alias)}.{identifier(column.name)}", column.type)
                for source in call.scope.sources
                for column in source.columns
            ]
        else:
            values.append(call.compiler.value(node, call.scope))
    folds = call.name.lower() == "checksum"
    texts = [
        f"lower(rtrim({value.sql}, ' '))"
        if folds and value.type and value.type.is_string
        else value.sql
        for value in values
    ]
    return Typed(f"cast((hash({', '.join(texts)}) >> 33) as integer)", INT, nullable=False)


@register("isnumeric")
def _isnumeric(call: Call) -> Typed:
    call.arity(1)
    return Typed(
        f"case when t_try_number({call.text(0).sql}) is not null then 1 else 0 end",
        INT,
        nullable=False,
    )


@register("hashbytes")
def _hashbytes(call: Call) -> Typed:
    """The hash of a value's bytes: UTF-16 of an nvarchar, the characters of a varchar, where they are ASCII."""
    call.arity(2)
    algorithm = call.word(0).strip("'")
    value = call.argument(1)
    if algorithm not in {"md5", "sha2_256", "sha1"} or value.type is None:
        raise unsupported("hashbytes with anything but md5, sha1 or sha2_256")
    if not (value.type.is_binary or value.type.is_string):
        raise SqlError(
            8116,
            f"Argument data type {value.type.name} is invalid for argument 2 of hashbytes function.",
        )
    word = {"sha2_256": "sha256"}.get(algorithm, algorithm)
    data = f"t_utf16({value.sql})" if value.type.is_national else value.sql
    return Typed(f"unhex({word}({data}))", SqlType("varbinary", 8000), value.nullable)


@register(
    "datetimefromparts",
    "datetime2fromparts",
    "switchoffset",
    "todatetimeoffset",
    "format",
)
def _refused(call: Call) -> Typed:
    raise unsupported(f"the function {call.name}")


def null_of(kind: SqlType) -> Typed:
    """A NULL of a type."""
    return convert(NULL, kind)


def text_constant(text: str | None, kind: SqlType) -> Typed:
    """A constant of a character type, or its NULL."""
    return null_of(kind) if text is None else Typed(text_literal(text), kind, nullable=False)


def integer_constant(value: int | None, kind: SqlType = INT) -> Typed:
    """A constant of an integer type, or its NULL."""
    return (
        null_of(kind)
        if value is None
        else Typed(f"cast({value} as {kind.storage})", kind, nullable=False)
    )


def bit_constant(value: bool) -> Typed:
    """A bit constant."""
    return Typed("true" if value else "false", BIT, nullable=False)
