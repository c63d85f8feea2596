"""Functions over text, in a table of their own."""

from standins.sqlserver.functions import Call, Handler, registrar
from standins.sqlserver.typed import Typed
from standins.sqlserver.types import BIGINT, INT, MAX, SqlType

TEXT_FUNCTIONS: dict[str, Handler] = {}
register = registrar(TEXT_FUNCTIONS)


def _longest(value: Typed) -> SqlType:
    """The type of a function that gives text no longer than its argument's."""
    kind = value.type
    assert kind is not None
    name = "nvarchar" if kind.is_national else "varchar"
    return SqlType(name, MAX if kind.is_large else kind.length)


def _widest(value: Typed) -> SqlType:
    kind = value.type
    assert kind is not None
    return SqlType(
        "nvarchar" if kind.is_national else "varchar",
        MAX if kind.is_large else 4000 if kind.is_national else 8000,
    )


@register("len")
def _len(call: Call) -> Typed:
    call.arity(1)
    value = call.text(0)
    return Typed(
        f"cast(t_len({value.sql}) as {'bigint' if value.type and value.type.is_large else 'integer'})",
        BIGINT if value.type and value.type.is_large else INT,
    )


def _same_text(pattern: str) -> Handler:
    def handler(call: Call) -> Typed:
        call.arity(1)
        value = call.text(0)
        return Typed(pattern.format(value.sql), _longest(value), value.nullable)

    return handler


for _name, _pattern in {
    "upper": "upper({})",
    "lower": "lower({})",
    "ltrim": "ltrim({}, ' ')",
    "rtrim": "rtrim({}, ' ')",
    "trim": "trim({}, ' ')",
    "reverse": "reverse({})",
}.items():
    TEXT_FUNCTIONS[_name] = _same_text(_pattern)


@register("left", "right")
def _left_right(call: Call) -> Typed:
    call.arity(2)
    value = call.text(0)
    return Typed(
        f"{call.name.lower()}({value.sql}, greatest({call.integer(1)}, 0))",
        _longest(value),
        value.nullable,
    )


@register("substring")
def _substring(call: Call) -> Typed:
    call.arity(3)
    value, start, length = call.argument(0), call.integer(1), call.integer(2)
    if value.type is not None and value.type.is_binary:
        data = f"unhex(substr(hex({value.sql}), greatest({start}, 1) * 2 - 1, greatest({length} + least({start} - 1, 0), 0) * 2))"
        return Typed(data, SqlType("varbinary", value.type.length or MAX))
    value = call.text(0)
    text = (
        f"substr({value.sql}, greatest({start}, 1), greatest({length} + least({start} - 1, 0), 0))"
    )
    return Typed(text, _longest(value), value.nullable)


@register("replace")
def _replace(call: Call) -> Typed:
    call.arity(3)
    value, old, new = (call.text(index) for index in range(3))
    escaped = rf"regexp_replace({old.sql}, '([\\.*+?^${{}}()|\[\]])', '\\\1', 'g')"
    # case-insensitive, as the collation is
    replaced = f"case when {old.sql} = '' then {value.sql} else regexp_replace({value.sql}, {escaped}, replace({new.sql}, '\\', '\\\\'), 'gi') end"
    return Typed(replaced, _widest(value))


@register("charindex")
def _charindex(call: Call) -> Typed:
    call.arity(2, 3)
    needle, text = call.text(0), call.text(1)
    if len(call.nodes) == 2:
        return Typed(f"cast(strpos(lower({text.sql}), lower({needle.sql})) as integer)", INT)
    start = f"greatest({call.integer(2)}, 1)"
    found = f"strpos(substr(lower({text.sql}), {start}), lower({needle.sql}))"
    return Typed(
        f"cast(case when {found} = 0 then 0 else {found} + {start} - 1 end as integer)", INT
    )


@register("concat")
def _concat(call: Call) -> Typed:
    values = [call.text(index) for index in range(len(call.nodes))]
    national = any(value.type and value.type.is_national for value in values)
    large = any(value.type and value.type.is_large for value in values)
    joined = " || ".join(f"coalesce({value.sql}, '')" for value in values)
    length = sum(value.type.length if value.type else 0 for value in values)
    return Typed(
        f"({joined})",
        SqlType(
            "nvarchar" if national else "varchar", MAX if large or length > 4000 else max(length, 1)
        ),
        nullable=False,
    )


@register("replicate")
def _replicate(call: Call) -> Typed:
    call.arity(2)
    value = call.text(0)
    kind = _widest(value)
    text = f"case when {call.integer(1)} >= 0 then repeat({value.sql}, {call.integer(1)}) end"
    return Typed(text if kind.length == MAX else f"left({text}, {kind.length})", kind)


@register("space")
def _space(call: Call) -> Typed:
    call.arity(1)
    return Typed(f"repeat(' ', {call.integer(0)})", SqlType("varchar", 8000))


@register("char", "nchar")
def _char(call: Call) -> Typed:
    call.arity(1)
    name = call.name.lower()
    kind = SqlType("nvarchar" if name == "nchar" else "varchar", 2 if name == "nchar" else 1)
    highest = 65535 if name == "nchar" else 127
    return Typed(
        f"case when {call.integer(0)} between 0 and {highest} then chr({call.integer(0)}) when {call.integer(0)} is not null then t_fail(50000, 'The SQL Server stand-in does not support {name}() above {highest}.') end",
        kind,
    )


@register("ascii", "unicode")
def _unicode(call: Call) -> Typed:
    call.arity(1)
    return Typed(f"cast(unicode({call.text(0).sql}) as integer)", INT)
