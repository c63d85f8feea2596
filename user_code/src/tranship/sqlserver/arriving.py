"""What arrives of a column's values, in T-SQL: less than there is, where a cast or the seventh digit of a second takes some."""

from tranship.sqlserver.statements import quoted
from tranship.tables import Column, SourceType

_WITH_FRACTION = frozenset({"time", "datetime2", "datetimeoffset"})
_SEVEN_DIGITS = 7
_WITHOUT_CLIENT_TYPE = frozenset({"hierarchyid", "sql_variant"})
"""Types of a key whose values the driver cannot fetch as they are."""


def arriving(column: Column, cast: str | None) -> str | None:
    """An expression that is the same for two values exactly if they arrive as one; `None` where none ever do.

    Args:
        column: The column.
        cast: The type that it is read as, where that is another one.

    Example:
        >>> import pyarrow as pa
        >>> arriving(Column("Code", pa.large_string()), "nvarchar(5)"), arriving(Column("Id", pa.int32()), None)
        ('cast([Code] as nvarchar(5))', None)
    """
    name = quoted(column.name)
    type_ = SourceType.parse(cast) if cast else column.source_type
    value = f"cast({name} as {cast})" if cast else name
    if (
        type_ is not None
        and type_.name in _WITH_FRACTION
        and type_.precision in {None, _SEVEN_DIGITS}
    ):
        # The driver cuts the digit off, towards the past; a cast to six digits would round it.
        # https://learn.microsoft.com/sql/t-sql/functions/dateadd-transact-sql (nanosecond, of scale 7)
        return f"dateadd(nanosecond, -(datepart(nanosecond, {value}) % 1000), {value})"
    return value if cast else None


def as_shown(column: Column) -> str:
    """An expression for a column's values that a client gets whole, and that has a least and a greatest one."""
    name = quoted(column.name)
    type_ = column.source_type
    if type_ is not None and type_.name in _WITH_FRACTION:
        return f"cast({name} as nvarchar(40))"
    if type_ is not None and type_.name in _WITHOUT_CLIENT_TYPE:
        return f"cast({name} as nvarchar(4000))"
    # https://learn.microsoft.com/sql/t-sql/functions/min-transact-sql: not of bit
    return f"cast({name} as int)" if type_ is not None and type_.name == "bit" else name


def loss(column: Column, cast: str | None) -> str:
    """How a value gets less on its way, in words.

    Example:
        >>> import pyarrow as pa
        >>> loss(Column("At", pa.timestamp("us"), source_type=SourceType("datetime2", precision=7)), None)
        '"At", which is datetime2(7) and arrives without its seventh digit'
    """
    if cast is not None:
        return f'"{column.name}", which is {column.source_type or column.type} and cast to {cast}'
    return f'"{column.name}", which is {column.source_type} and arrives without its seventh digit'
