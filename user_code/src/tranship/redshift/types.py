"""Redshift's types: which one holds an Arrow column, which Arrow type is staged for it, what fits in what.

Source: https://docs.aws.amazon.com/redshift/latest/dg/c_Supported_data_types.html
"""

import re
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa

from tranship.arrow_types import is_uuid, plain_type
from tranship.errors import ConfigurationError, UnsupportedTypeError
from tranship.tables import Column, SourceType, is_binary, is_text

MAX_VARCHAR_BYTES = 65_535
MAX_VARBYTE_BYTES = 1_024_000
MAX_DECIMAL_DIGITS = 38
MAX_DECIMAL_SCALE = 37
"""https://docs.aws.amazon.com/redshift/latest/dg/r_Numeric_types201.html"""
UTF8_BYTES_PER_CHARACTER = 4
DEFAULT_VARCHAR_BYTES = 256
UUID_TEXT_BYTES = 36

_ALIASES = {
    "int2": "smallint",
    "int": "integer",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float": "double precision",
    "float8": "double precision",
    "numeric": "decimal",
    "dec": "decimal",
    "bool": "boolean",
    "character varying": "varchar",
    "nvarchar": "varchar",
    "text": "varchar",
    "character": "char",
    "nchar": "char",
    "bpchar": "char",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
    "time without time zone": "time",
    "time with time zone": "timetz",
    "varbinary": "varbyte",
    "binary varying": "varbyte",
}
_DECLARATION = re.compile(
    r"^\s*([a-z][a-z0-9 ]*?)\s*(?:\(\s*(max|\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*$", re.IGNORECASE
)
_INTEGER_DIGITS = {"smallint": 5, "integer": 10, "bigint": 19}
_PLAIN_ARROW: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "time": pa.time64("us"),
    "varchar": pa.large_string(),
    "char": pa.large_string(),
    "super": pa.large_string(),
    "varbyte": pa.large_binary(),
}


@dataclass(frozen=True, slots=True)
class RedshiftType:
    """A column type of Redshift.

    Args:
        name: Its name, one for all its aliases: `integer`, `varchar`, `timestamptz`.
        length: Bytes that a varchar, char or varbyte holds; `None` where that is still to be measured.
        precision: Digits of a decimal.
        scale: Digits after the decimal point.
        as_text: Whether texts go into a SUPER as they are; they are parsed as JSON otherwise.

    Example:
        >>> str(RedshiftType.parse("numeric(18, 2)"))
        'decimal(18,2)'
        >>> RedshiftType.parse("super text").as_text
        True
    """

    name: str
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    as_text: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a type as it stands in DDL.

        Raises:
            ConfigurationError: The text is not a type declaration, or outside the type's limits.
        """
        match = _DECLARATION.match(text)
        if match is None:
            raise ConfigurationError(
                f"{text!r} is not a Redshift type.", "Write it as in DDL: varchar(200)."
            )
        spelled, first, second = match[1].lower(), match[2], match[3]
        if spelled in {"super text", "super json"}:
            return cls("super", as_text=spelled == "super text")
        name = _ALIASES.get(spelled, spelled)
        if name == "decimal":
            return cls(name, precision=int(first or 18), scale=int(second or 0))
        if name in {"varchar", "varbyte", "char"}:
            return cls(name, length=_declared_length(spelled, name, first))
        return cls(name)

    def __str__(self) -> str:
        if self.name == "decimal":
            return f"decimal({self.precision},{self.scale})"
        return f"{self.name}({self.length})" if self.length is not None else self.name

    @property
    def measured(self) -> bool:
        """Whether its width is still to be found from the data."""
        return self.name in {"varchar", "varbyte"} and self.length is None

    @property
    def holds_text(self) -> bool:
        """Whether its values are texts limited in bytes."""
        return self.name in {"varchar", "char"}

    @property
    def limit_bytes(self) -> int:
        """The most bytes one value can have in any column of this type."""
        return MAX_VARBYTE_BYTES if self.name == "varbyte" else MAX_VARCHAR_BYTES

    def arrow(self) -> pa.DataType:
        """The Arrow type that a column of this type is read as.

        Raises:
            UnsupportedTypeError: This library does not read the type.
        """
        if self.name == "decimal":
            return pa.decimal128(self.precision or 18, self.scale or 0)
        arrow = _PLAIN_ARROW.get(self.name)
        if arrow is None:
            raise UnsupportedTypeError(
                f"Redshift's {self.name} is not supported.",
                "Select other columns, or cast it in a view.",
            )
        return arrow

    def holds(self, incoming: "RedshiftType") -> bool:
        """Whether every value of another type is a value of this one, its width in bytes apart."""
        if self.name == incoming.name == "decimal":
            return _whole_digits(self) >= _whole_digits(incoming) and _scale(self) >= _scale(
                incoming
            )
        if self.name == incoming.name or (self.holds_text and incoming.holds_text):
            return True
        if incoming.name in _INTEGER_DIGITS:
            digits = _INTEGER_DIGITS[incoming.name]
            if self.name == "decimal":
                return _whole_digits(self) >= digits
            return _INTEGER_DIGITS.get(self.name, 0) >= digits
        if self.name == "super":
            return incoming.holds_text
        return (incoming.name, self.name) == ("real", "double precision")


def type_for(column: Column, declared: str | None = None) -> RedshiftType:
    """The Redshift type for a column of the data.

    Args:
        column: The column; its source type sizes texts exactly, where it has one.
        declared: A type that a person asked for instead.

    Raises:
        UnsupportedTypeError: No Redshift type holds the column.
        ConfigurationError: `declared` is not a type.

    Example:
        >>> str(type_for(Column("Name", pa.string(), source_type=SourceType.parse("nvarchar(50)"))))
        'varchar(200)'
        >>> type_for(Column("Name", pa.string())).measured
        True
    """
    if declared is not None:
        return RedshiftType.parse(declared)
    if is_uuid(column.type):
        return RedshiftType("varchar", length=UUID_TEXT_BYTES)
    type_ = plain_type(column.type)
    if pa.types.is_null(type_):
        raise UnsupportedTypeError(
            f'"{column.name}" holds only nulls and has no type, so Redshift cannot be told what it is.',
            f'Give it a type, or declare one: {{"column_types": {{"{column.name}": "varchar(100)"}}}}.',
        )
    if is_text(type_):
        return RedshiftType("varchar", length=_text_bytes(column.source_type))
    if is_binary(type_):
        return RedshiftType("varbyte", length=_binary_bytes(type_, column.source_type))
    if pa.types.is_decimal(type_):
        return _decimal(type_, column.name)
    if is_nested(type_):
        return RedshiftType("super")
    name = _scalar_name(type_)
    if name is None:
        raise UnsupportedTypeError(
            f'"{column.name}" is {column.type}, which has no type in Redshift.',
            "Cast it to a number, text, date or timestamp before it is written.",
        )
    return (
        RedshiftType("decimal", precision=20, scale=0) if name == "decimal" else RedshiftType(name)
    )


def varchar_width(measured_bytes: int, limit: int = MAX_VARCHAR_BYTES) -> int:
    """A column's width for texts of which the longest has so many bytes.

    Twice the longest, rounded up to a power of two: room for tomorrow's rows, without the width of
    65535 that makes the planner reserve memory nobody uses.

    Example:
        >>> varchar_width(40), varchar_width(0), varchar_width(60_000)
        (128, 256, 65535)
    """
    if measured_bytes <= 0:
        return DEFAULT_VARCHAR_BYTES
    return min(limit, max(16, 1 << (2 * measured_bytes - 1).bit_length()))


def is_nested(type_: pa.DataType) -> bool:
    """Whether values of an Arrow type are lists, structs or maps."""
    return pa.types.is_nested(type_) and not pa.types.is_union(type_)


def _scalar_name(type_: pa.DataType) -> str | None:
    if pa.types.is_boolean(type_):
        return "boolean"
    if pa.types.is_integer(type_):
        # One step wider where unsigned: Redshift has signed integers only.
        bits = type_.bit_width * (2 if pa.types.is_unsigned_integer(type_) else 1)
        return {8: "smallint", 16: "smallint", 32: "integer", 64: "bigint", 128: "decimal"}[bits]
    if pa.types.is_floating(type_):
        return "double precision" if type_.bit_width == 64 else "real"
    if pa.types.is_date(type_):
        return "date"
    if pa.types.is_timestamp(type_):
        return "timestamptz" if type_.tz is not None else "timestamp"
    if pa.types.is_time(type_):
        return "time"
    return None


def _decimal(type_: Any, column: str) -> RedshiftType:
    # Arrow allows a negative scale; the digits it drops are whole ones.
    scale = max(type_.scale, 0)
    precision = type_.precision - min(type_.scale, 0)
    if precision > MAX_DECIMAL_DIGITS:
        raise UnsupportedTypeError(
            f'"{column}" is {type_}; Redshift\'s decimals have {MAX_DECIMAL_DIGITS} digits at most.',
            f'Cast it, or declare a type: {{"column_types": {{"{column}": "decimal(38,{min(scale, 10)})"}}}}.',
        )
    if scale > MAX_DECIMAL_SCALE:
        raise UnsupportedTypeError(
            f'"{column}" is {type_}; Redshift\'s decimals have {MAX_DECIMAL_SCALE} digits after the point at most.',
            f'Cast it, or declare a type: {{"column_types": {{"{column}": "decimal(38,{MAX_DECIMAL_SCALE})"}}}}.',
        )
    return RedshiftType("decimal", precision=max(precision, scale, 1), scale=scale)


def _text_bytes(source: SourceType | None) -> int | None:
    if source is None:
        return None
    if source.name in {"uniqueidentifier", "uuid"}:
        return UUID_TEXT_BYTES
    if source.name == "numeric":  # of any number of digits, of which those of today say little
        return DEFAULT_VARCHAR_BYTES
    if source.length is None or "char" not in source.name:
        return None
    return min(source.length * UTF8_BYTES_PER_CHARACTER, MAX_VARCHAR_BYTES)


def _binary_bytes(type_: pa.DataType, source: SourceType | None) -> int | None:
    if pa.types.is_fixed_size_binary(type_):
        return type_.byte_width
    return source.length if source is not None and "binary" in source.name else None


def _declared_length(spelled: str, name: str, text: str | None) -> int:
    limit = {"varchar": MAX_VARCHAR_BYTES, "varbyte": MAX_VARBYTE_BYTES, "char": 4096}[name]
    if text is None:
        if spelled in {"text", "varchar", "character varying", "nvarchar", "bpchar"}:
            return DEFAULT_VARCHAR_BYTES
        return 64_000 if name == "varbyte" else 1
    length = limit if text.lower() == "max" else int(text)
    if not 1 <= length <= limit:
        raise ConfigurationError(
            f"{spelled}({text}) is outside of what Redshift allows.", f"Give 1 to {limit} bytes."
        )
    return length


def _scale(type_: RedshiftType) -> int:
    return type_.scale or 0


def _whole_digits(type_: RedshiftType) -> int:
    return (type_.precision or 18) - _scale(type_)
