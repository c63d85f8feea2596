"""A translated expression: its DuckDB text and the T-SQL type of its value; and how DuckDB text is quoted."""

from dataclasses import dataclass

from standins.sqlserver.errors import SqlError
from standins.sqlserver.types import MAX, SqlType


@dataclass(frozen=True, slots=True)
class Typed:
    """DuckDB text with its T-SQL type.

    Args:
        sql: DuckDB expression.
        type: T-SQL type; None for a bare NULL.
        nullable: whether the value can be NULL.
        text: the characters of a string constant, None for anything else.
        explicit: whether its collation was written with COLLATE.
    """

    sql: str
    type: SqlType | None
    nullable: bool = True
    text: str | None = None
    explicit: bool = False


NULL = Typed("null", None)

# From lowest to highest; a value of a lower type is converted to the higher one where two meet.
# https://learn.microsoft.com/sql/t-sql/data-types/data-type-precedence-transact-sql
_PRECEDENCE = [
    "binary",
    "varbinary",
    "char",
    "varchar",
    "nchar",
    "nvarchar",
    "sysname",
    "uniqueidentifier",
    "rowversion",
    "image",
    "text",
    "ntext",
    "bit",
    "tinyint",
    "smallint",
    "int",
    "bigint",
    "smallmoney",
    "money",
    "decimal",
    "numeric",
    "real",
    "float",
    "time",
    "date",
    "smalldatetime",
    "datetime",
    "datetime2",
    "datetimeoffset",
    "xml",
    "hierarchyid",
    "geometry",
    "geography",
    "sql_variant",
]
RANK = {name: rank for rank, name in enumerate(_PRECEDENCE)}


def identifier(name: str) -> str:
    """A quoted DuckDB identifier."""
    return '"' + name.replace('"', '""') + '"'


def text_literal(text: str) -> str:
    """A DuckDB string constant; U+0000 cannot stand in DuckDB's text, so it is joined in."""
    quoted = ("'" + part.replace("'", "''") + "'" for part in text.split("\0"))
    joined = " || chr(0) || ".join(quoted)
    return f"({joined})" if "\0" in text else joined


def integer_digits(kind: SqlType) -> tuple[int, int]:
    """Precision and scale of a number as a decimal."""
    if kind.name in {"decimal", "numeric"}:
        return kind.precision, kind.scale
    return {
        "bit": (1, 0),
        "tinyint": (3, 0),
        "smallint": (5, 0),
        "int": (10, 0),
        "bigint": (19, 0),
    }.get(kind.name, (10, 4) if kind.name == "smallmoney" else (19, 4))


def common_type(kinds: list[SqlType | None]) -> SqlType | None:
    """The type of CASE, COALESCE, UNION: the highest of `kinds`, wide enough for all; None if all are NULL."""
    known = [kind for kind in kinds if kind is not None]
    if not known:
        return None
    highest = max(known, key=lambda kind: RANK[kind.name])
    if highest.name in {"decimal", "numeric"}:
        digits = [integer_digits(kind) for kind in known if kind.is_number or kind.name == "bit"]
        scale = max(scale for _, scale in digits)
        whole = max(precision - scale_ for precision, scale_ in digits)
        precision = min(38, whole + scale)
        return SqlType(
            highest.name, precision=precision, scale=max(min(scale, precision - whole), 0)
        )
    if highest.is_string or highest.name in {"binary", "varbinary"}:
        same = [kind for kind in known if kind.is_string == highest.is_string]
        fixed = all(kind.name == highest.name and kind.length == highest.length for kind in same)
        if fixed:
            return highest
        name = {
            "char": "varchar",
            "nchar": "nvarchar",
            "sysname": "nvarchar",
            "binary": "varbinary",
        }.get(highest.name, highest.name)
        large = any(kind.is_large for kind in same)
        collated = next((kind.collation for kind in same if kind.collation), "")
        return SqlType(
            name,
            MAX if large else max([_text_length(kind) for kind in known]),
            collation=collated,
        )
    if highest.name in {"time", "datetime2", "datetimeoffset"}:
        return SqlType(highest.name, scale=max(_fraction(kind) for kind in known))
    return highest


def _text_length(kind: SqlType) -> int:
    return kind.length if kind.is_string or kind.is_binary else 40


def _fraction(kind: SqlType) -> int:
    if kind.name in {"time", "datetime2", "datetimeoffset"}:
        return kind.scale
    return {"datetime": 3}.get(kind.name, 0)


def clash(left: SqlType, right: SqlType, operator: str) -> SqlError:
    """402: two types that an operator does not take."""
    return SqlError(
        402,
        f"The data types {left.name} and {right.name} are incompatible in the {operator} operator.",
    )
