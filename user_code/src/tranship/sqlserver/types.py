"""SQL Server's column types, as the Arrow types that mssql-python and this library agree on.

Exactness is the rule: money is a decimal, a uniqueidentifier keeps its canonical lower-case text, and
a datetimeoffset keeps its instant. One digit is lost: SQL Server counts 100 ns, Arrow here and
Postgres count microseconds, so the 7th digit of `time(7)`, `datetime2(7)` and `datetimeoffset(7)` is cut
off (towards the past, never rounded up into the next second or day).
"""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from tranship.arrow_types import ArrowArray
from tranship.errors import ConfigurationError, UnsupportedTypeError
from tranship.tables import SourceType, TableName

MICROSECONDS = pa.timestamp("us")
INSTANT = pa.timestamp("us", tz="UTC")
ROWVERSION_BYTES = 8

# Type list: https://learn.microsoft.com/sql/t-sql/data-types/data-types-transact-sql
_FIXED: dict[str, pa.DataType] = {
    "bit": pa.bool_(),
    # Unsigned on the wire; Postgres and Redshift have no unsigned types.
    "tinyint": pa.int16(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "money": pa.decimal128(19, 4),
    "smallmoney": pa.decimal128(10, 4),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "smalldatetime": MICROSECONDS,
    "datetime": MICROSECONDS,
    "datetime2": MICROSECONDS,
    "datetimeoffset": INSTANT,
    "char": pa.large_string(),
    "varchar": pa.large_string(),
    "text": pa.large_string(),
    "nchar": pa.large_string(),
    "nvarchar": pa.large_string(),
    "ntext": pa.large_string(),
    "xml": pa.large_string(),
    "json": pa.large_string(),
    "uniqueidentifier": pa.large_string(),
    "binary": pa.large_binary(),
    "varbinary": pa.large_binary(),
    "image": pa.large_binary(),
    "rowversion": pa.binary(ROWVERSION_BYTES),
}

_SYNONYMS = {"timestamp": "rowversion", "sysname": "nvarchar", "numeric": "decimal"}

_MAY_HOLD_NUL = frozenset({"char", "varchar", "text", "nchar", "nvarchar", "ntext", "json"})

_LARGE = frozenset({"text", "ntext", "image", "xml", "json"})

_WITH_LENGTH = frozenset({"char", "varchar", "nchar", "nvarchar", "binary", "varbinary"})
_WITH_FRACTION = frozenset({"time", "datetime2", "datetimeoffset"})


def source_type(
    data_type: str,
    *,
    length: int | None = None,
    precision: int | None = None,
    scale: int | None = None,
    fraction: int | None = None,
) -> SourceType:
    """A column's declared type from the columns of INFORMATION_SCHEMA.

    Args:
        data_type: DATA_TYPE: the base type, also of an alias type.
        length: CHARACTER_MAXIMUM_LENGTH; -1 is `max`.
        precision: NUMERIC_PRECISION.
        scale: NUMERIC_SCALE.
        fraction: DATETIME_PRECISION: digits after the second.

    Example:
        >>> str(source_type("nvarchar", length=50)), str(source_type("numeric", precision=9, scale=2))
        ('nvarchar(50)', 'decimal(9,2)')
    """
    name = _SYNONYMS.get(data_type.lower(), data_type.lower())
    if name == "decimal":
        return SourceType(name, precision=precision, scale=scale or 0)
    if name in _WITH_LENGTH:
        return SourceType(name, length=length if length is not None and length > 0 else None)
    if name in _WITH_FRACTION:
        return SourceType(name, precision=7 if fraction is None else fraction)
    if name == "float":
        # float(1..24) is stored and sent as real, and the catalogue calls it so.
        return SourceType("float", precision=None if precision == 53 else precision)
    return SourceType(name)


def arrow_type(source: SourceType) -> pa.DataType | None:
    """The Arrow type of a column, or `None` where its type cannot be moved.

    Example:
        >>> arrow_type(SourceType("money"))
        Decimal128Type(decimal128(19, 4))
    """
    name = _SYNONYMS.get(source.name, source.name)
    if name == "decimal":
        return pa.decimal128(
            18 if source.precision is None else source.precision, source.scale or 0
        )
    if name == "float":
        return pa.float32() if source.precision and source.precision <= 24 else pa.float64()
    return _FIXED.get(name)


def require_arrow_type(source: SourceType, table: TableName, column: str) -> pa.DataType:
    """The Arrow type of a column that is to be read.

    Raises:
        UnsupportedTypeError: Its type cannot be moved; the message says how to skip or cast it.
    """
    type_ = arrow_type(source)
    if type_ is None:
        raise UnsupportedTypeError(
            f'The column "{column}" of {table} is {source.name}, which cannot be moved as it is.',
            f'Skip it with exclude=["{column}"], or read it as text with '
            f'cast={{"{column}": "nvarchar(max)"}}.',
            details={"table": str(table), "column": column, "type": source.name},
        )
    return type_


def cast_type(text: str, table: TableName, column: str) -> SourceType:
    """The type that a user asks a column to be read as, checked before it goes into a statement.

    Raises:
        ConfigurationError: The text is not a type of SQL Server that can be moved.
    """
    parsed = SourceType.parse(text)
    name = _SYNONYMS.get(parsed.name, parsed.name)
    parsed = SourceType(name, parsed.length, parsed.precision, parsed.scale)
    if arrow_type(parsed) is None:
        raise ConfigurationError(
            f'"{column}" of {table} cannot be read as {text}: that is no type of SQL Server that can be moved.',
            f'Name another one, such as cast={{"{column}": "nvarchar(max)"}}.',
        )
    if name in _WITH_LENGTH and parsed.length is None and "max" not in text.lower():
        raise ConfigurationError(
            f'"{column}" of {table} is to be read as {text}, which SQL Server would cut to 30 characters.',
            f"Give it a length: {text}(max) or {text}(4000).",
        )
    return parsed


def may_hold_nul(source: SourceType) -> bool:
    """Whether texts of this type may hold U+0000, which Postgres and Redshift refuse."""
    return source.name in _MAY_HOLD_NUL


def is_large(source: SourceType) -> bool:
    """Whether a value may be larger than a page, so that rows must be counted in bytes.

    Example:
        >>> is_large(SourceType("nvarchar")), is_large(SourceType("nvarchar", length=50))
        (True, False)
    """
    return source.name in _LARGE or (
        source.name in {"varchar", "nvarchar", "varbinary"} and source.length is None
    )


Conversion = Callable[[ArrowArray], ArrowArray]


@dataclass(frozen=True, slots=True)
class WireForm:
    """What the driver gives for a column, and what makes our type of it.

    Args:
        type: The Arrow type that mssql-python 1.16 fetches a column of this type as.
        convert: From that to our type; `None` where the two are the same.
    """

    type: pa.DataType
    convert: Conversion | None = None


def wire_form(source: SourceType, target: pa.DataType) -> WireForm:
    """What mssql-python fetches for a column of this type (measured with 1.16.0)."""
    name = source.name
    if name == "tinyint":
        return WireForm(pa.uint8(), _cast_to(target))
    if name == "uniqueidentifier":
        return WireForm(pa.large_string(), _lower_case)
    if name == "time":
        return WireForm(pa.time64("ns"), _without_7th_digit)
    if name == "datetimeoffset":
        return WireForm(pa.timestamp("us", tz="+00:00"), _cast_to(target))
    if name == "rowversion":
        return WireForm(pa.large_binary(), _cast_to(target))
    return WireForm(target)


def _cast_to(target: pa.DataType) -> Conversion:
    return lambda array: array.cast(target)


def _lower_case(array: ArrowArray) -> ArrowArray:
    import pyarrow.compute as pc

    return pc.ascii_lower(array)


def _without_7th_digit(array: ArrowArray) -> ArrowArray:
    return array.cast(pa.time64("us"), safe=False)
