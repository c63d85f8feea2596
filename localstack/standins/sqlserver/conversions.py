"""CAST, CONVERT, assignment and implicit conversion between T-SQL types, as DuckDB expressions."""

import re

from standins.sqlserver.errors import SqlError, unsupported
from standins.sqlserver.typed import Typed, text_literal
from standins.sqlserver.types import FINEST, FINEST_SCALE, MAX, SqlType

# https://learn.microsoft.com/sql/t-sql/functions/cast-and-convert-transact-sql#date-and-time-styles
_STYLES = {
    101: "%m/%d/%Y",
    102: "%Y.%m.%d",
    103: "%d/%m/%Y",
    104: "%d.%m.%Y",
    105: "%d-%m-%Y",
    108: "%H:%M:%S",
    110: "%m-%d-%Y",
    111: "%Y/%m/%d",
    112: "%Y%m%d",
    20: "%Y-%m-%d %H:%M:%S",
    120: "%Y-%m-%d %H:%M:%S",
    23: "%Y-%m-%d",
}
_INNER = "\0"
_INTEGER_RANGE = {
    "tinyint": (0, 255),
    "smallint": (-(2**15), 2**15 - 1),
    "int": (-(2**31), 2**31 - 1),
}


def convert(
    value: Typed, target: SqlType, *, safe: bool = False, style: int | None = None
) -> Typed:
    """CAST or CONVERT: text too long is cut, as T-SQL does there.

    Args:
        value: what to convert.
        target: the type wanted.
        safe: TRY_CAST and TRY_CONVERT: NULL instead of an error.
        style: CONVERT's third argument.

    Raises:
        SqlError: a pair of types the stand-in (or T-SQL: 529) does not convert.
    """
    source = value.type
    if source is None:
        return Typed(f"cast(null as {target.storage})", target)
    if source == target and value.text is None:
        return value
    if not safe:
        return Typed(_convert(value, source, target, style), target, nullable=value.nullable)
    # DuckDB's TRY takes no function that raises errors itself, so those give way to their quiet twins.
    text = _convert(Typed(_INNER, source), source, target, style)
    quiet = re.sub(
        r"\bt_(int|number|float|bit|moment|short_moment|fine_text|guid|datetime)\(",
        r"t_try_\1(",
        text,
    )
    return Typed(f"try({quiet.replace(_INNER, value.sql)})", target)


def assign(value: Typed, target: SqlType, table: str, column: str) -> str:
    """What INSERT and UPDATE store: like `convert`, but text or bytes too long are error 2628."""
    source = value.type
    message = f"String or binary data would be truncated in table '{table}', column '{column}'. Truncated value: '"
    if source is None:
        return f"cast(null as {target.storage})"
    if target.name == "rowversion":
        raise SqlError(273, "Cannot insert an explicit value into a timestamp column.")
    if target.length > 0 and target.is_string:
        text = convert(value, SqlType("nvarchar" if target.is_national else "varchar", MAX)).sql
        narrow = source.is_string and 0 < source.length <= target.length and value.text is None
        fitted = text if narrow else f"t_fit({text}, {target.length}, {text_literal(message)})"
        return f"t_pad({fitted}, {target.length})" if target.name in {"char", "nchar"} else fitted
    if target.length > 0 and target.is_binary:
        data = convert(value, SqlType("varbinary", MAX if source.is_binary else target.length)).sql
        fitted = f"t_fit_bytes({data}, {target.length}, {text_literal(message)})"
        return f"t_pad_bytes({fitted}, {target.length})" if target.name == "binary" else fitted
    return convert(value, target).sql


def _convert(value: Typed, source: SqlType, target: SqlType, style: int | None) -> str:
    sql = value.sql
    textual = source.is_string or source.name in {
        "xml",
        "sql_variant",
        "hierarchyid",
        "geography",
        "geometry",
    }
    if target.is_string or target.name in {
        "xml",
        "sql_variant",
        "hierarchyid",
        "geography",
        "geometry",
    }:
        text = sql if textual else _to_text(sql, source, style)
        return _cut_text(text, source, target)
    if target.is_binary:
        return _to_binary(sql, source, target, style)
    if textual:
        return _from_text(sql, source, target)
    if target.is_integer or target.name == "bit":
        return _to_integer(sql, source, target)
    if target.is_number:
        return _to_number(sql, source, target)
    if target.is_datetime or target.name == "time":
        return _to_moment(sql, source, target)
    if source.is_binary and target.name == "uniqueidentifier":
        raise unsupported("converting binary to uniqueidentifier")
    raise _not_allowed(source, target)


def _not_allowed(source: SqlType, target: SqlType) -> SqlError:
    return SqlError(
        529, f"Explicit conversion from data type {source.name} to {target.name} is not allowed."
    )


def _cut_text(text: str, source: SqlType, target: SqlType) -> str:
    if target.length <= 0:
        return text
    fits = source.is_string and 0 < source.length <= target.length
    cut = text if fits else f"left({text}, {target.length})"
    return f"t_pad({cut}, {target.length})" if target.name in {"char", "nchar"} else cut


def _to_text(sql: str, source: SqlType, style: int | None) -> str:
    if source.is_integer or source.name in {"decimal", "numeric"}:
        return f"cast({sql} as varchar)"
    if source.name == "bit":
        return f"cast(cast({sql} as integer) as varchar)"
    if source.name in {"money", "smallmoney"}:
        if style not in {None, 0, 2}:
            raise unsupported(f"CONVERT of money with style {style}")
        return f"cast(cast({sql} as decimal(19,{4 if style == 2 else 2})) as varchar)"
    if source.is_binary:
        if style not in {1, 2}:
            raise unsupported("binary to text without style 1 or 2")
        return ("'0x' || " if style == 1 else "") + f"hex({sql})"
    if source.name == "uniqueidentifier":
        return f"upper(cast({sql} as varchar))"
    if source.name in {"float", "real"}:
        if style == 3:  # always 17 digits, and three of the exponent
            shown = f"printf('%.16e', cast({sql} as double))"
            return f"regexp_replace({shown}, 'e([+-])(\\d\\d)$', 'e\\10\\2')"
        if style not in {None, 0}:
            raise unsupported(f"CONVERT of float with style {style}")
        return f"t_float_text({sql})"
    return _moment_text(sql, source, style)


def _fraction(sql: str, scale: int, seventh: str = "'0'") -> str:
    """`.123`: the fraction of a second to `scale` digits."""
    return f"'.' || left(strftime({sql}, '%f') || {seventh}, {scale})" if scale else "''"


def _seventh_digit(sql: str, kind: SqlType) -> str:
    """The digit of a moment that its timestamp has no place for."""
    if not kind.is_fine:
        return "'0'"
    count = f"({sql}).t" if kind.name == "datetimeoffset" else f"({sql})"
    return f"cast({count} % 10 as varchar)"


def timestamp_of(sql: str, kind: SqlType) -> str:
    """A moment as a DuckDB timestamp, without its seventh digit; of a datetimeoffset, its instant."""
    if kind.name == "datetimeoffset":
        return f"t_micro(({sql}).t)" if kind.is_fine else f"({sql}).t"
    return f"t_micro({sql})" if kind.is_fine else sql


def _moment_text(sql: str, source: SqlType, style: int | None) -> str:
    scale = {"datetime": 3, "smalldatetime": 0, "date": 0}.get(source.name, source.scale)
    if source.name == "time":
        if style not in {None, 0, 108, 114, 120, 121, 126}:
            raise unsupported(f"CONVERT of time with style {style}")
        moment = f"(date '2000-01-01' + ({sql}))"
        return f"strftime({moment}, '%H:%M:%S') || {_fraction(moment, scale)}"
    if source.name == "datetimeoffset":
        if style not in {None, 0, 20, 21, 120, 121, 126}:
            raise unsupported(f"CONVERT of datetimeoffset with style {style}")
        local, minutes = _local(sql, source), f"({sql}).o"
        joint = "T" if style == 126 else " "
        offset = f"printf('%s%02d:%02d', case when {minutes} < 0 then '-' else '+' end, abs({minutes}) // 60, abs({minutes}) % 60)"
        gap = "" if style == 126 else "' ' || "
        return f"{_year_first(local, joint)} || {_fraction(local, scale, _seventh_digit(sql, source))} || {gap}{offset}"
    moment = f"cast({timestamp_of(sql, source)} as timestamp)"
    if style in _STYLES:
        return f"strftime({moment}, '{_STYLES[style]}')"
    if source.name == "date" and style in {None, 0, 21, 121, 126}:
        return f"left({_year_first(moment, ' ')}, 10)"
    if style in {None, 0, 100} and source.name in {"datetime", "smalldatetime"}:
        hour = f"((hour({moment}) + 11) % 12 + 1)"
        return f"strftime({moment}, '%b ') || lpad(cast(day({moment}) as varchar), 2, ' ') || strftime({moment}, ' %Y ') || lpad(cast({hour} as varchar), 2, ' ') || strftime({moment}, ':%M%p')"
    if style in {None, 0, 21, 25, 121, 126}:
        if source.name == "datetime":
            moment = f"t_round({moment}, 1000)"
        fraction = _fraction(moment, scale, _seventh_digit(sql, source))
        return f"{_year_first(moment, 'T' if style == 126 else ' ')} || {fraction}"
    raise unsupported(f"CONVERT of {source.name} with style {style}")


def _year_first(moment: str, joint: str) -> str:
    return f"lpad(cast(year({moment}) as varchar), 4, '0') || strftime({moment}, '-%m-%d{joint}%H:%M:%S')"


def _local(sql: str, kind: SqlType) -> str:
    """The wall clock of a datetimeoffset, as a timestamp."""
    return f"({timestamp_of(sql, kind)} + to_minutes(cast(({sql}).o as integer)))"


def _to_binary(sql: str, source: SqlType, target: SqlType, style: int | None) -> str:
    if source.is_binary:
        data = sql
    elif source.is_integer or source.name == "bit":
        width = {"bit": 1, "tinyint": 1, "smallint": 2, "int": 4, "bigint": 8}[source.name]
        width = (
            8
            if target.name == "rowversion"
            else min(target.length if target.length > 0 else width, 8)
        )
        data = f"unhex(right(printf('%016x', cast({sql} as bigint)), {width * 2}))"
    elif source.is_string and style in {1, 2}:
        data = f"unhex(replace(lower({sql}), '0x', ''))" if style == 1 else f"unhex({sql})"
    elif source.name in {"hierarchyid", "geography", "geometry"}:
        data = f"encode({sql})"  # kept as text
    else:
        raise unsupported(f"converting {source.name} to {target.name}")
    if target.length <= 0:
        return data
    cut = data if 0 < source.length <= target.length else f"t_cut_bytes({data}, {target.length})"
    return (
        f"t_pad_bytes({cut}, {target.length})" if target.name in {"binary", "rowversion"} else cut
    )


def _from_text(sql: str, source: SqlType, target: SqlType) -> str:
    if target.is_integer:
        number = f"t_int({sql}, '{source.name}', '{target.name}')"
        return f"cast({number} as {target.storage})"
    if target.name == "bit":
        return f"t_bit({sql})"
    if target.name in {"float", "real"}:
        return f"cast(t_float({sql}) as {target.storage})"
    if target.name in {"money", "smallmoney"}:
        return f"cast(t_number(t_money({sql})) as {target.storage})"
    if target.is_number:
        return f"cast(t_number({sql}) as {target.storage})"
    if target.name == "uniqueidentifier":
        return f"t_guid({sql})"
    if target.name in {"datetime", "smalldatetime"}:
        return _to_moment(f"t_short_moment({sql})", SqlType("datetime2", scale=6), target)
    # Only these keep so much that the seventh digit counts, and telling it takes DuckDB its time.
    if target.is_fine or target.scale == FINEST_SCALE - 1:
        moment, source = f"t_fine_text({sql})", FINEST
    else:
        moment, source = f"t_moment({sql})", SqlType("datetime2", scale=6)
    if target.name == "datetimeoffset":
        return _with_offset(moment, source, target, f"t_minutes({sql})")
    return _to_moment(moment, source, target)


def _to_integer(sql: str, source: SqlType, target: SqlType) -> str:
    if target.name == "bit":
        number = f"t_from_bytes({sql})" if source.is_binary else sql
        return f"(({number}) <> 0)"
    if source.is_binary:
        number = f"t_from_bytes({sql})"
        if target.name == "bigint":
            return f"cast(case when {number} >= 9223372036854775808 then {number} - 18446744073709551616 else {number} end as bigint)"
        return f"cast({number} as {target.storage})"
    if source.name in {"float", "real", "decimal", "numeric"}:
        return f"cast(trunc({sql}) as {target.storage})"
    if source.is_datetime or source.name == "time" or source.name == "uniqueidentifier":
        raise (
            _not_allowed(source, target)
            if source.name != "datetime"
            else unsupported("converting datetime to a number")
        )
    return f"cast({sql} as {target.storage})"


def _to_number(sql: str, source: SqlType, target: SqlType) -> str:
    if source.is_binary:
        raise unsupported(f"converting {source.name} to {target.name}")
    if source.is_datetime or source.name in {"time", "uniqueidentifier"}:
        raise (
            _not_allowed(source, target)
            if source.name != "datetime"
            else unsupported("converting datetime to a number")
        )
    inner = f"cast({sql} as integer)" if source.name == "bit" else sql
    return f"cast({inner} as {target.storage})"


def _rounded(sql: str, source: SqlType, target: SqlType) -> str:
    """A moment without an offset, rounded to what `target` keeps, in its form."""
    if target.is_fine:
        if source.is_fine:
            return sql
        # To a finer type, a datetime is converted with all that it counts, 1/300 s (compatibility level 130).
        # https://learn.microsoft.com/sql/database-engine/breaking-changes-to-database-engine-features-in-sql-server-2016
        return f"t_fine_tick({sql})" if source.name == "datetime" else f"t_fine({sql})"
    moment = timestamp_of(sql, source)
    if target.name == "datetime":
        return f"t_datetime({moment})"
    if target.name == "smalldatetime":
        return f"t_round({moment}, 60000000)"
    if source.is_fine:
        return f"t_coarse({sql}, {10 ** (FINEST_SCALE - target.scale)})"
    if target.scale < 6:
        return f"t_round({moment}, {10 ** (6 - target.scale)})"
    return moment


def _with_offset(sql: str, source: SqlType, target: SqlType, minutes: str) -> str:
    """A wall clock with its offset, as a datetimeoffset of `target`."""
    pack = "t_fine_offset" if target.is_fine else "t_offset_moment"
    return f"{pack}({_rounded(sql, source, target)}, {minutes})"


def _to_moment(sql: str, source: SqlType, target: SqlType) -> str:
    if source.is_integer and target.name in {"datetime", "smalldatetime"}:
        return f"(timestamp '1900-01-01' + to_days(cast({sql} as integer)))"
    if not source.is_datetime and source.name != "time":
        raise _not_allowed(source, target)
    if source.name == "time" and target.name == "time":
        if target.scale >= min(source.scale, 6):
            return sql
        return f"t_round_time({sql}, {10 ** (6 - target.scale)})"
    if source.name == "time" and target.name == "date":
        raise _not_allowed(source, target)
    if source.name == target.name and source.scale == target.scale:
        return sql
    if source.name == target.name == "datetimeoffset":
        instant = _rounded(f"({sql}).t", _wall(source), _wall(target))
        return f"case when ({sql}) is null then null else struct_pack(t := {instant}, o := ({sql}).o) end"
    return _from_wall_clock(*_wall_clock(sql, source), target)


def _wall(kind: SqlType) -> SqlType:
    """The type of a datetimeoffset's moment alone."""
    return SqlType("datetime2", scale=kind.scale)


def _wall_clock(sql: str, source: SqlType) -> tuple[str, SqlType]:
    """A moment without its offset, and its type."""
    if source.name == "time":
        return f"(timestamp '1900-01-01' + ({sql}))", SqlType("datetime2", scale=6)
    if source.name == "date":
        return f"cast({sql} as timestamp)", SqlType("datetime2", scale=0)
    if source.name != "datetimeoffset":
        return sql, source
    if source.is_fine:
        return f"(({sql}).t + cast(({sql}).o as bigint) * 600000000)", FINEST
    return _local(sql, source), _wall(source)


def _from_wall_clock(sql: str, source: SqlType, target: SqlType) -> str:
    if target.name == "date":
        return f"cast({timestamp_of(sql, source)} as date)"
    if target.name == "time":
        clock = f"cast({timestamp_of(sql, source)} as time)"
        return clock if target.scale >= 6 else f"t_round_time({clock}, {10 ** (6 - target.scale)})"
    if target.name == "datetimeoffset":
        return _with_offset(sql, source, target, "0")
    return _rounded(sql, source, target)


def instant(value: Typed) -> str:
    """A datetimeoffset as the moment it names, for comparing and sorting."""
    return f"({value.sql}).t"


def narrow_integer(sql: str, target: SqlType) -> str:
    """`sql` as an integer type, with error 8115 where it does not fit."""
    low, high = _INTEGER_RANGE.get(target.name, (-(2**63), 2**63 - 1))
    message = text_literal(
        f"Arithmetic overflow error converting expression to data type {target.name}."
    )
    return f"cast(case when ({sql}) between {low} and {high} then ({sql}) when ({sql}) is not null then t_fail(8115, {message}) end as {target.storage})"
