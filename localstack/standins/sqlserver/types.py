"""T-SQL types: name, length, precision and scale; how DuckDB stores each and what Arrow type it reads back as."""

from dataclasses import dataclass, field

import pyarrow as pa

from standins.sqlserver.errors import SqlError, unsupported

MAX = -1
"""Length of `varchar(max)`, `nvarchar(max)` and `varbinary(max)`."""

INTEGERS = ("tinyint", "smallint", "int", "bigint")
STRINGS = ("char", "varchar", "nchar", "nvarchar", "text", "ntext", "sysname")
BINARIES = ("binary", "varbinary", "image", "rowversion")
DECIMALS = ("decimal", "numeric", "money", "smallmoney")
FLOATS = ("float", "real")
DATETIMES = ("date", "datetime", "smalldatetime", "datetime2", "datetimeoffset")
FINEST_SCALE = 7
OPAQUE = ("sql_variant", "hierarchyid", "geography", "geometry")
"""Declarable, kept as text; reading one needs a CAST to nvarchar."""

# name -> (system_type_id, user_type_id, max_length, precision, scale) as in sys.types of SQL Server 2022
SYSTEM_TYPES: dict[str, tuple[int, int, int, int, int]] = {
    "image": (34, 34, 16, 0, 0),
    "text": (35, 35, 16, 0, 0),
    "uniqueidentifier": (36, 36, 16, 0, 0),
    "date": (40, 40, 3, 10, 0),
    "time": (41, 41, 5, 16, 7),
    "datetime2": (42, 42, 8, 27, 7),
    "datetimeoffset": (43, 43, 10, 34, 7),
    "tinyint": (48, 48, 1, 3, 0),
    "smallint": (52, 52, 2, 5, 0),
    "int": (56, 56, 4, 10, 0),
    "smalldatetime": (58, 58, 4, 16, 0),
    "real": (59, 59, 4, 24, 0),
    "money": (60, 60, 8, 19, 4),
    "datetime": (61, 61, 8, 23, 3),
    "float": (62, 62, 8, 53, 0),
    "sql_variant": (98, 98, 8016, 0, 0),
    "ntext": (99, 99, 16, 0, 0),
    "bit": (104, 104, 1, 1, 0),
    "decimal": (106, 106, 17, 38, 38),
    "numeric": (108, 108, 17, 38, 38),
    "smallmoney": (122, 122, 4, 10, 4),
    "bigint": (127, 127, 8, 19, 0),
    "hierarchyid": (240, 128, 892, 0, 0),
    "geometry": (240, 129, -1, 0, 0),
    "geography": (240, 130, -1, 0, 0),
    "varbinary": (165, 165, 8000, 0, 0),
    "varchar": (167, 167, 8000, 0, 0),
    "binary": (173, 173, 8000, 0, 0),
    "char": (175, 175, 8000, 0, 0),
    "timestamp": (189, 189, 8, 0, 0),
    "nvarchar": (231, 231, 8000, 0, 0),
    "nchar": (239, 239, 8000, 0, 0),
    "xml": (241, 241, -1, 0, 0),
    "sysname": (231, 256, 256, 0, 0),
}
SYNONYMS = {
    "integer": "int",
    "dec": "decimal",
    "timestamp": "rowversion",
    "character": "char",
    "character varying": "varchar",
    "char varying": "varchar",
    "national character varying": "nvarchar",
    "national char varying": "nvarchar",
    "national character": "nchar",
    "national char": "nchar",
    "national text": "ntext",
    "binary varying": "varbinary",
    "double precision": "float",
}
_STORAGE = {
    "tinyint": "utinyint",
    "smallint": "smallint",
    "int": "integer",
    "bigint": "bigint",
    "bit": "boolean",
    "money": "decimal(19,4)",
    "smallmoney": "decimal(10,4)",
    "float": "double",
    "real": "float",
    "date": "date",
    "time": "time",
    "datetime": "timestamp",
    "smalldatetime": "timestamp",
    "datetime2": "timestamp",
    "datetimeoffset": "struct(t timestamp, o smallint)",
    "uniqueidentifier": "uuid",
    "binary": "blob",
    "varbinary": "blob",
    "image": "blob",
    "rowversion": "blob",
}
_ARROW: dict[str, pa.DataType] = {
    "tinyint": pa.uint8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float64(),
    "real": pa.float32(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "datetime": pa.timestamp("us"),
    "smalldatetime": pa.timestamp("us"),
    "datetime2": pa.timestamp("us"),
    "money": pa.decimal128(19, 4),
    "smallmoney": pa.decimal128(10, 4),
}


@dataclass(frozen=True, slots=True)
class SqlType:
    """A T-SQL type as declared.

    Args:
        name: base name in lower case, e.g. `nvarchar`.
        length: characters (nchar, nvarchar) or bytes (char, varchar, binary, varbinary); `MAX` for max; 0 elsewhere.
        precision: digits of decimal and numeric, 0 elsewhere.
        scale: fraction digits of decimal, numeric, time, datetime2 and datetimeoffset, 0 elsewhere.
        collation: of a text that has one of its own, a column's or one that was written; no part of the type.

    Example:
        >>> str(SqlType("decimal", precision=19, scale=4))
        'decimal(19,4)'
    """

    name: str
    length: int = 0
    precision: int = 0
    scale: int = 0
    collation: str = field(default="", compare=False)

    def __str__(self) -> str:
        if self.name in {"decimal", "numeric"}:
            return f"{self.name}({self.precision},{self.scale})"
        if self.name in {"time", "datetime2", "datetimeoffset"}:
            return f"{self.name}({self.scale})"
        if self.length and self.name != "rowversion":
            return f"{self.name}({'max' if self.length == MAX else self.length})"
        return self.name

    @property
    def is_fine(self) -> bool:
        """Moments that count 100 ns, kept as a whole number of them since year 1: DuckDB's timestamps count microseconds."""
        return self.scale == FINEST_SCALE and self.name in {"datetime2", "datetimeoffset"}

    @property
    def storage(self) -> str:
        """The DuckDB type that holds values of this one."""
        if self.is_fine:
            return "bigint" if self.name == "datetime2" else "struct(t bigint, o smallint)"
        if self.name in {"decimal", "numeric"}:
            return f"decimal({self.precision},{self.scale})"
        return _STORAGE.get(self.name, "varchar")

    @property
    def arrow(self) -> pa.DataType | None:
        """The Arrow type the encoder needs, or None where it takes DuckDB's own."""
        if self.name in {"decimal", "numeric"}:
            return pa.decimal128(self.precision, self.scale)
        if self.is_fine:
            return pa.int64() if self.name == "datetime2" else None
        return _ARROW.get(self.name)

    @property
    def is_string(self) -> bool:
        """Character data that can be compared, concatenated and cut."""
        return self.name in STRINGS

    @property
    def is_national(self) -> bool:
        """Character data sent as UTF-16."""
        return self.name in {"nchar", "nvarchar", "ntext", "sysname"}

    @property
    def is_integer(self) -> bool:
        """Tinyint to bigint (bit is not one)."""
        return self.name in INTEGERS

    @property
    def is_number(self) -> bool:
        """Anything with arithmetic."""
        return self.name in INTEGERS or self.name in DECIMALS or self.name in FLOATS

    @property
    def is_datetime(self) -> bool:
        """A date with or without a time of day (`time` alone is not one)."""
        return self.name in DATETIMES

    @property
    def is_binary(self) -> bool:
        """Bytes."""
        return self.name in BINARIES

    @property
    def is_large(self) -> bool:
        """A type without an upper length, sent in chunks."""
        return self.length == MAX or self.name in {"xml", "text", "ntext", "image"}

    @property
    def max_bytes(self) -> int:
        """`sys.columns.max_length`: bytes, -1 for the max types."""
        if self.name == "sysname":
            return 256
        if self.length:
            doubled = self.length > 0 and self.is_national
            return self.length * 2 if doubled else self.length
        if self.name in {"decimal", "numeric"}:
            return (
                5
                if self.precision <= 9
                else 9
                if self.precision <= 19
                else 13
                if self.precision <= 28
                else 17
            )
        if self.name in {"time", "datetime2", "datetimeoffset"}:
            time_bytes = 3 if self.scale <= 2 else 4 if self.scale <= 4 else 5
            return time_bytes + {"time": 0, "datetime2": 3, "datetimeoffset": 5}[self.name]
        return SYSTEM_TYPES["timestamp" if self.name == "rowversion" else self.name][2]

    @property
    def digits(self) -> tuple[int, int]:
        """`sys.columns.precision` and `.scale`."""
        if self.name in {"decimal", "numeric"}:
            return self.precision, self.scale
        if self.name in {"time", "datetime2", "datetimeoffset"}:
            whole = {"time": 8, "datetime2": 19, "datetimeoffset": 26}[self.name]
            return whole + (self.scale + 1 if self.scale else 0), self.scale
        return SYSTEM_TYPES["timestamp" if self.name == "rowversion" else self.name][3:]


INT = SqlType("int")
BIGINT = SqlType("bigint")
BIT = SqlType("bit")
FLOAT = SqlType("float")
DATE = SqlType("date")
DATETIME = SqlType("datetime")
FINEST = SqlType("datetime2", scale=FINEST_SCALE)
"""What a moment is held as while its final type is not known."""
UNIQUEIDENTIFIER = SqlType("uniqueidentifier")
SYSNAME = SqlType("sysname", 128)
NVARCHAR_MAX = SqlType("nvarchar", MAX)
ROWVERSION = SqlType("rowversion", 8)


def nvarchar(length: int) -> SqlType:
    """`nvarchar(length)`, or `nvarchar(max)` above 4000."""
    return SqlType("nvarchar", length if 0 < length <= 4000 else MAX)


def declared_type(name: str, arguments: list[str], *, cast: bool = False) -> SqlType:
    """The type that `name(arguments)` declares, with T-SQL's defaults.

    Args:
        name: type name in any case, synonyms included.
        arguments: what stood in the brackets, e.g. `["19", "4"]` or `["max"]`.
        cast: whether it stands in CAST or CONVERT, where the length defaults to 30 instead of 1.

    Raises:
        SqlError: 2715 for an unknown name, 131 and 1002 for a length or precision out of range.
    """
    name = SYNONYMS.get(name.lower(), name.lower())
    if name not in SYSTEM_TYPES and name != "rowversion":
        raise SqlError(2715, f"Column, parameter, or variable #1: Cannot find data type {name}.")
    if name == "sysname":
        return SYSNAME
    if name == "rowversion":
        return ROWVERSION
    if arguments and arguments[0].lower() == "max":
        if name not in {"varchar", "nvarchar", "varbinary"}:
            raise unsupported(f"{name}(max)")
        return SqlType(name, MAX)
    numbers = [int(argument) for argument in arguments]
    if name in {"decimal", "numeric"}:
        precision, scale = (*numbers, *(18, 0)[len(numbers) :])
        if not (1 <= precision <= 38 and 0 <= scale <= precision):
            raise SqlError(1002, f"Line 1: Specified scale {scale} is invalid.", 15)
        return SqlType(name, precision=precision, scale=scale)
    if name in {"time", "datetime2", "datetimeoffset"}:
        scale = numbers[0] if numbers else 7
        if not 0 <= scale <= 7:
            raise SqlError(1002, f"Line 1: Specified scale {scale} is invalid.", 15)
        return SqlType(name, scale=scale)
    if name == "float":
        return SqlType("real" if numbers and numbers[0] <= 24 else "float")
    if name in {"char", "varchar", "nchar", "nvarchar", "binary", "varbinary"}:
        length = numbers[0] if numbers else 30 if cast else 1
        limit = 4000 if name.startswith("n") else 8000
        if not 1 <= length <= limit:
            raise SqlError(
                131,
                f"The size ({length}) given to the type '{name}' exceeds the maximum allowed ({limit}).",
                15,
            )
        return SqlType(name, length)
    return SqlType(name)
