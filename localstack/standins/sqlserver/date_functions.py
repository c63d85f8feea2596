"""Functions over dates and times, in a table of their own."""

import datetime

from standins.sqlserver.conversions import convert, narrow_integer, timestamp_of
from standins.sqlserver.errors import unsupported
from standins.sqlserver.functions import Call, Handler, registrar
from standins.sqlserver.typed import Typed
from standins.sqlserver.types import (
    BIGINT,
    DATE,
    DATETIME,
    FINEST,
    FINEST_SCALE,
    INT,
    SqlType,
    nvarchar,
)

DATE_FUNCTIONS: dict[str, Handler] = {}
register = registrar(DATE_FUNCTIONS)


@register(
    "getdate",
    "current_timestamp",
    "getutcdate",
    "sysdatetime",
    "sysutcdatetime",
    "sysdatetimeoffset",
)
def _now(call: Call) -> Typed:
    """The server's clock is UTC; one value per statement, as in SQL Server."""
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None).isoformat(sep=" ")
    text = f"timestamp '{now}'"
    match call.name.lower():
        case "sysdatetime" | "sysutcdatetime":
            return Typed(f"t_fine({text})", FINEST, nullable=False)
        case "sysdatetimeoffset":
            kind = SqlType("datetimeoffset", scale=FINEST_SCALE)
            return Typed(f"t_fine_offset(t_fine({text}), 0)", kind, nullable=False)
    return Typed(f"t_ticks({text})", DATETIME, nullable=False)


_PARTS = {
    **dict.fromkeys(("year", "yy", "yyyy"), "year"),
    **dict.fromkeys(("quarter", "qq", "q"), "quarter"),
    **dict.fromkeys(("month", "mm", "m"), "month"),
    **dict.fromkeys(("dayofyear", "dy", "y"), "dayofyear"),
    **dict.fromkeys(("day", "dd", "d"), "day"),
    **dict.fromkeys(("week", "wk", "ww"), "week"),
    **dict.fromkeys(("hour", "hh"), "hour"),
    **dict.fromkeys(("minute", "mi", "n"), "minute"),
    **dict.fromkeys(("second", "ss", "s"), "second"),
    **dict.fromkeys(("millisecond", "ms"), "millisecond"),
    **dict.fromkeys(("microsecond", "mcs"), "microsecond"),
    **dict.fromkeys(("nanosecond", "ns"), "nanosecond"),
}


def _part(call: Call) -> str:
    part = _PARTS.get(call.word(0))
    if part is None:
        raise unsupported(f"the date part {call.word(0)}")
    return part


def _moment(value: Typed) -> Typed:
    if value.type is not None and (value.type.is_datetime or value.type.name == "time"):
        return value
    return convert(value, FINEST if value.type and value.type.is_string else DATETIME)


@register("dateadd")
def _dateadd(call: Call) -> Typed:
    call.arity(3)
    part, value = _part(call), _moment(call.argument(2))
    assert value.type is not None
    number = convert(call.argument(1), INT).sql
    part = "day" if part == "dayofyear" else part
    match part:
        case "quarter":
            step = f"to_months(({number}) * 3)"
        case "nanosecond":
            # Six digits of a second are kept here, so only whole microseconds can be added.
            fails = "t_fail(50000, 'The SQL Server stand-in adds nanoseconds by the thousand.')"
            step = f"to_microseconds(case when ({number}) % 1000 = 0 then ({number}) // 1000 else {fails} end)"
        case _:
            step = f"to_{part}s({number})"
    if value.type.name == "datetimeoffset":
        instant = timestamp_of(value.sql, value.type) + f" + {step}"
        if value.type.is_fine:
            instant = f"t_fine({instant}) + ({value.sql}).t % 10"
        shifted = f"struct_pack(t := {instant}, o := ({value.sql}).o)"
        return Typed(f"case when ({value.sql}) is null then null else {shifted} end", value.type)
    if value.type.name == "datetime":
        return Typed(f"t_ticks(t_round({value.sql}, 1000) + {step})", value.type)
    if value.type.is_fine:
        moved = f"t_fine({timestamp_of(value.sql, value.type)} + {step})"
        return Typed(f"({moved} + ({value.sql}) % 10)", value.type)
    return Typed(f"cast(({value.sql}) + {step} as {value.type.storage})", value.type)


@register("datediff", "datediff_big")
def _datediff(call: Call) -> Typed:
    call.arity(3)
    part = _part(call)
    if part in {"week", "nanosecond"}:
        raise unsupported(f"datediff in {part}s")
    part = "day" if part == "dayofyear" else part
    kind = BIGINT if call.name.lower().endswith("big") else INT
    sides = []
    for index in (1, 2):
        value = _moment(call.argument(index))
        assert value.type is not None
        name = value.type.name
        text = timestamp_of(value.sql, value.type)
        sides.append(
            f"(timestamp '1900-01-01' + ({text}))"
            if name == "time"
            else f"cast({text} as timestamp)"
        )
    return Typed(narrow_integer(f"date_diff('{part}', {sides[0]}, {sides[1]})", kind), kind)


@register("datepart", "datename", "year", "month", "day")
def _datepart(call: Call) -> Typed:
    name = call.name.lower()
    whole = name in {"year", "month", "day"}
    call.arity(1 if whole else 2)
    value = _moment(call.argument(0 if whole else 1))
    assert value.type is not None
    if value.type.name == "datetimeoffset":
        value = convert(value, FINEST)
    assert value.type is not None
    text = timestamp_of(value.sql, value.type)
    if not whole and call.word(0) in {"weekday", "dw"}:
        return (
            Typed(f"dayname({text})", nvarchar(30))
            if name == "datename"
            else Typed(f"cast(dayofweek({text}) + 1 as integer)", INT)
        )
    part = name if whole else _part(call)
    if part == "week" or (part in {"month"} and name == "datename"):
        if part == "week":
            raise unsupported("the date part week")
        return Typed(f"monthname({text})", nvarchar(30))
    number = {
        "second": f"second({text})",
        "millisecond": f"millisecond({text}) % 1000",
        "microsecond": f"microsecond({text}) % 1000000",
        "nanosecond": f"microsecond({text}) % 1000000 * 1000",
    }.get(part, f"{part}({text})")
    number = f"cast({number} as integer)"
    return (
        Typed(f"cast({number} as varchar)", nvarchar(30))
        if name == "datename"
        else Typed(number, INT, value.nullable)
    )


@register("eomonth")
def _eomonth(call: Call) -> Typed:
    call.arity(1)
    return Typed(f"last_day({convert(call.argument(0), DATE).sql})", DATE)


@register("datefromparts")
def _datefromparts(call: Call) -> Typed:
    call.arity(3)
    return Typed(f"make_date({', '.join(call.integer(index) for index in range(3))})", DATE)
