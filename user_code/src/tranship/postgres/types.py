"""Postgres column types: which one a column needs, which Arrow type holds one, and which holds which.

The names are Postgres's own short ones (`varchar`, `timestamptz`), so that texts compare equal.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import pyarrow as pa

from tranship.arrow_types import is_json, is_uuid, plain_type
from tranship.errors import ConfigurationError, UnsupportedTypeError
from tranship.exactness import MAX_DIGITS
from tranship.tables import Column, SourceType, is_binary, is_text

MICROSECOND_DIGITS = 6
"""Fractional digits that Postgres's time types keep; also what they keep when none is declared."""

_SHORT_NAMES = {
    "int2": "smallint", "int4": "integer", "int": "integer", "int8": "bigint",
    "float4": "real", "float8": "double precision", "float": "double precision",
    "decimal": "numeric", "bool": "boolean",
    "character varying": "varchar", "character": "char", "bpchar": "char",
    "timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz",
    "time without time zone": "time", "time with time zone": "timetz",
}  # fmt: skip
_PART = r'(?:[a-z_][\w$]*|"(?:[^"]|"")+")'
_TYPE = re.compile(
    rf"^\s*(?P<name>{_PART}(?:\.{_PART})*(?:\s+(?:varying|precision))?)"
    r"\s*(?:\(\s*(?P<modifiers>\d+(?:\s*,\s*-?\d+)?)\s*\))?"
    r"(?P<zone>\s+with(?:out)?\s+time\s+zone)?(?P<array>(?:\[\d*\])*)\s*$",
    re.IGNORECASE,
)
_INTEGER_DIGITS = {"smallint": 5, "integer": 10, "bigint": 19}
_INTEGERS = tuple(_INTEGER_DIGITS)
_TIMES = {"time", "timetz", "timestamp", "timestamptz", "interval"}
_TIMESTAMPS = {"datetime2", "datetimeoffset", "timestamp", "timestamptz"}
_PRINTED = {
    "uniqueidentifier": "uuid", "uuid": "uuid", "xml": "xml", "json": "json", "jsonb": "jsonb", "numeric": "numeric",
    "timetz": "timetz", "inet": "inet", "cidr": "cidr", "macaddr": "macaddr", "macaddr8": "macaddr8",
    "tsvector": "tsvector", "tsquery": "tsquery", "int4range": "int4range", "int8range": "int8range",
    "numrange": "numrange", "tsrange": "tsrange", "tstzrange": "tstzrange", "daterange": "daterange",
}  # fmt: skip
"""Types whose values travel as the texts that Postgres prints and reads, by their names at the source."""
_ELEMENTS = {
    *_INTEGERS, "numeric", "real", "double precision", "boolean", "text", "varchar", "bpchar", "char", "bytea", "date", "time",
    "timestamp", "timestamptz", "interval", *_PRINTED,
} - {"uniqueidentifier"}  # fmt: skip
"""Types of which a column may be an array in any database."""
_TEXT_LIKE = {"char", "varchar", "uuid", "xml", "citext", "name"}


@dataclass(frozen=True, slots=True)
class PostgresType:
    """A column type with its modifiers, as it stands in DDL.

    Example:
        >>> str(PostgresType.parse("character varying(50)"))
        'varchar(50)'
        >>> PostgresType.parse("timestamp(3) with time zone")
        PostgresType(name='timestamptz', modifiers=(3,))
    """

    name: str
    modifiers: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a type as Postgres prints it or as a person writes it.

        Raises:
            ConfigurationError: The text is not a type: it may hold nothing else, as it becomes DDL.
        """
        match = _TYPE.match(text)
        if match is None:
            raise ConfigurationError(
                f"{text!r} is not a Postgres type.",
                "Write it as in DDL: numeric(19,4), jsonb, text.",
            )
        name = match["name"] if '"' in match["name"] else " ".join(match["name"].lower().split())
        zone = " ".join((match["zone"] or "").lower().split())
        name = f"{name} {zone}" if zone else name
        name = _SHORT_NAMES.get(name, name)
        modifiers = tuple(int(part) for part in (match["modifiers"] or "").split(",") if part)
        if name == "numeric" and len(modifiers) == 1:
            modifiers = (modifiers[0], 0)
        if name in _TIMES and modifiers == (MICROSECOND_DIGITS,):
            modifiers = ()
        if name == "char" and not modifiers and match["name"].lower() != "bpchar":
            modifiers = (1,)
        return cls(name + match["array"], modifiers)

    def __str__(self) -> str:
        if not self.modifiers:
            return "bpchar" if self.name == "char" else self.name
        listed = ",".join(str(modifier) for modifier in self.modifiers)
        name, bracket, dimensions = self.name.partition("[")
        return f"{name}({listed}){bracket}{dimensions}"


def printed_type(text: str) -> PostgresType:
    """A type as the catalogue prints it; one that cannot be taken apart stays whole."""
    try:
        return PostgresType.parse(text)
    except ConfigurationError:
        return PostgresType(text)


def column_type(column: Column, overrides: Mapping[str, str] | None = None) -> PostgresType:
    """The type a table's column needs to hold these values exactly.

    Args:
        column: Its Arrow type and, where known, its type at the source. The source type is used
            where the Arrow type still agrees with it: a function may have changed the column.
        overrides: Types that a person chose, by column name.

    Raises:
        UnsupportedTypeError: No Postgres type holds such values.

    Example:
        >>> str(column_type(Column("Price", pa.decimal128(19, 4), source_type=SourceType("money"))))
        'numeric(19,4)'
    """
    if overrides and column.name in overrides:
        return PostgresType.parse(overrides[column.name])
    if is_uuid(column.type):
        return PostgresType("uuid")
    if is_json(column.type):
        return PostgresType("json")
    arrow = plain_type(column.type)
    derived = _from_source(column.source_type, arrow) if column.source_type else None
    derived = derived or _from_arrow(arrow)
    if derived is None:
        raise UnsupportedTypeError(
            f'Column "{column.name}" is {column.type}, for which Postgres has no type.',
            f'Leave it out, cast it, or choose a type: column_types={{"{column.name}": "text"}}.',
            details={"column": column.name, "type": str(column.type)},
        )
    return derived


def _from_source(source: SourceType, arrow: pa.DataType) -> PostgresType | None:
    """The type for a type declared at the source, where the Arrow type agrees with it."""
    name = source.name
    if is_text(arrow):
        if name in {"nvarchar", "varchar", "nchar", "char", "character varying", "character"}:
            return (
                PostgresType("varchar", (source.length,)) if source.length else PostgresType("text")
            )
        if name.startswith("interval"):  # of fewer fields, too
            return PostgresType("interval")
        if name in {"bit", "bit varying"} and source.precision is not None:
            return PostgresType(name, (source.precision,))
        return PostgresType(_PRINTED[name]) if name in _PRINTED else None
    if pa.types.is_list(arrow):
        return _array(source)
    if pa.types.is_decimal(arrow):
        fixed = {"money": (19, 4), "smallmoney": (10, 4)}
        if name in fixed and arrow.scale <= fixed[name][1] and arrow.precision <= fixed[name][0]:
            return PostgresType("numeric", fixed[name])
        return PostgresType("numeric") if name == "numeric" and source.precision is None else None
    if pa.types.is_time(arrow) and name == "time":
        return PostgresType("time", _fewer_digits(source))
    if pa.types.is_timestamp(arrow) and name in _TIMESTAMPS:
        return PostgresType("timestamptz" if arrow.tz else "timestamp", _fewer_digits(source))
    return None


def _array(source: SourceType) -> PostgresType | None:
    """The array type of a column that was one at the source; `None` for elements of somebody's own making."""
    if not source.name.endswith("[]"):
        return None
    declared = PostgresType.parse(str(source))
    return declared if declared.name.partition("[")[0] in _ELEMENTS else None


def _fewer_digits(source: SourceType) -> tuple[int, ...]:
    """The declared fractional digits, where they are fewer than Postgres keeps anyway."""
    digits = source.precision
    return () if digits is None or digits >= MICROSECOND_DIGITS else (digits,)


def _from_arrow(arrow: pa.DataType) -> PostgresType | None:
    """The type for values of an Arrow type."""
    if pa.types.is_boolean(arrow):
        return PostgresType("boolean")
    if pa.types.is_uint64(arrow):
        return PostgresType("numeric", (20, 0))
    if pa.types.is_integer(arrow):
        bits = arrow.bit_width + (0 if pa.types.is_signed_integer(arrow) else 1)
        return PostgresType("smallint" if bits <= 16 else "integer" if bits <= 32 else "bigint")
    if pa.types.is_floating(arrow):
        return PostgresType("real" if arrow.bit_width <= 32 else "double precision")
    if pa.types.is_decimal(arrow):
        # A negative scale counts zeros before the point; Postgres takes it only from version 15 on.
        scale = min(max(arrow.scale, 0), MAX_DIGITS)
        precision = max(arrow.precision + max(-arrow.scale, 0), scale)
        # No wider than what every reader gives back: each value is held to it when it is written.
        return PostgresType("numeric", (min(precision, MAX_DIGITS), scale))
    if is_text(arrow) or pa.types.is_null(arrow):
        return PostgresType("text")
    if is_binary(arrow):
        return PostgresType("bytea")
    if pa.types.is_date(arrow):
        return PostgresType("date")
    if pa.types.is_timestamp(arrow):
        return PostgresType("timestamptz" if arrow.tz else "timestamp")
    if pa.types.is_time(arrow):
        return PostgresType("time")
    if pa.types.is_duration(arrow):
        return PostgresType("interval")
    if pa.types.is_nested(arrow):
        return PostgresType("jsonb")
    return None


def arrow_type(type_: PostgresType) -> pa.DataType:
    """The Arrow type that a column is read as; text for types that Arrow has no match for.

    A `numeric` without digits is text too: how wide it must be, only its values say.

    Example:
        >>> arrow_type(PostgresType.parse("numeric(10,2)"))
        Decimal128Type(decimal128(10, 2))
    """
    element, bracket, _ = type_.name.partition("[")
    if bracket:
        # Postgres declares no number of dimensions: int[] and int[][] are one type.
        return pa.list_(arrow_type(PostgresType(element, type_.modifiers)))
    plain = {
        "boolean": pa.bool_(), "smallint": pa.int16(), "integer": pa.int32(), "bigint": pa.int64(),
        "oid": pa.uint32(), "real": pa.float32(), "double precision": pa.float64(),
        "bytea": pa.large_binary(), "date": pa.date32(), "time": pa.time64("us"),
        "timestamp": pa.timestamp("us"), "timestamptz": pa.timestamp("us", tz="UTC"),
    }  # fmt: skip
    if type_.name == "numeric" and type_.modifiers:
        precision, scale = type_.modifiers
        precision, scale = max(precision, precision - scale, scale), max(scale, 0)
        if precision <= pa.decimal128(38, 0).precision:
            return pa.decimal128(precision, scale)
        if precision <= pa.decimal256(76, 0).precision:
            return pa.decimal256(precision, scale)
    return plain.get(type_.name, pa.large_string())


def holds(existing: PostgresType, incoming: PostgresType) -> bool:
    """Whether a column of one type holds every value of another exactly.

    Example:
        >>> holds(PostgresType.parse("bigint"), PostgresType.parse("integer"))
        True
        >>> holds(PostgresType.parse("varchar(50)"), PostgresType.parse("text"))
        False
    """
    if existing == incoming:
        return True
    if existing.name == "text":
        return incoming.name in _TEXT_LIKE
    if existing.name == "citext":
        return incoming.name in {"text", *_TEXT_LIKE}
    if existing.name == "varchar":
        return incoming.name in {"varchar", "char"} and _no_shorter(existing, incoming)
    if existing.name in _INTEGERS and incoming.name in _INTEGERS:
        return _INTEGER_DIGITS[existing.name] >= _INTEGER_DIGITS[incoming.name]
    if existing.name == "numeric":
        return _numeric_holds(existing, incoming)
    if existing.name == "double precision":
        return incoming.name in {"real", "smallint", "integer"}
    if existing.name == "real":
        return incoming.name == "smallint"
    if existing.name == "timestamp" and incoming.name == "date":
        return True
    if existing.name in _TIMES and existing.name == incoming.name:
        return _digits(existing) >= _digits(incoming)
    return False


def widened(existing: PostgresType, incoming: PostgresType) -> PostgresType | None:
    """The narrowest type that holds both, reached from the existing one; `None` where there is none.

    Example:
        >>> str(widened(PostgresType.parse("numeric(10,4)"), PostgresType.parse("numeric(12,2)")))
        'numeric(14,4)'
    """
    if holds(existing, incoming):
        return existing
    if holds(incoming, existing):
        return incoming
    numbers = [_numeric_digits(type_) for type_ in (existing, incoming)]
    if any(number is None for number in numbers):
        return None
    (whole, fraction), (other_whole, other_fraction) = [number for number in numbers if number]
    scale = max(fraction, other_fraction)
    return PostgresType("numeric", (max(whole, other_whole) + scale, scale))


def _no_shorter(existing: PostgresType, incoming: PostgresType) -> bool:
    if not existing.modifiers:
        return True
    return bool(incoming.modifiers) and existing.modifiers >= incoming.modifiers


def _digits(type_: PostgresType) -> int:
    return type_.modifiers[0] if type_.modifiers else MICROSECOND_DIGITS


def _numeric_digits(type_: PostgresType) -> tuple[int, int] | None:
    """Digits before and after the point; `None` for what is no bounded exact number."""
    if type_.name in _INTEGER_DIGITS:
        return _INTEGER_DIGITS[type_.name], 0
    if type_.name == "numeric" and type_.modifiers:
        precision, scale = type_.modifiers
        return precision - scale, scale
    return None


def _numeric_holds(existing: PostgresType, incoming: PostgresType) -> bool:
    if not existing.modifiers:
        return incoming.name == "numeric" or incoming.name in _INTEGERS
    held, wanted = _numeric_digits(existing), _numeric_digits(incoming)
    if held is None or wanted is None:
        return False
    return held[0] >= wanted[0] and held[1] >= wanted[1]
