"""Values as a client is shown them, and what the server holds behind each.

A copy holds what the driver showed, and so do bookmarks and the ends of ranges. The server may hold more: a `datetime`
counts 1/300 s and is shown in milliseconds, the seventh digit of `datetime2(7)` and `datetimeoffset(7)` is cut off. A
condition made here finds the rows whose shown value meets it: the very rows that the same condition finds in a copy. And
an expression made here tells which values arrive as one, because a cast or a cut digit takes some of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import operators
from sqlalchemy.types import UserDefinedType

from tranship.comparisons import Predicate
from tranship.sqlserver.statements import quoted
from tranship.tables import Column, SourceType, TableSchema

_SHOWN_DIGITS = 6
_SEVENTH_DIGITS = "9"
_SCALED = frozenset({"datetime2", "datetimeoffset"})

# Of the last digit of a millisecond, a datetime shows 0, 3 and 7 alone
# (https://learn.microsoft.com/sql/t-sql/data-types/datetime-transact-sql).
_TICK_BELOW = (0, 0, 0, 3, 3, 3, 3, 7, 7, 7)

# https://learn.microsoft.com/sql/t-sql/data-types/smalldatetime-transact-sql
_RANGES = {
    "datetime": (datetime(1753, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 997000)),
    "smalldatetime": (datetime(1900, 1, 1), datetime(2079, 6, 6, 23, 59)),
}
_WITH_FRACTION = frozenset({"time", "datetime2", "datetimeoffset"})

_SEVEN_DIGITS = 7

_WITHOUT_CLIENT_TYPE = frozenset({"hierarchyid", "sql_variant"})
"""Types of a key whose values the driver cannot fetch as they are."""


class _Declared(UserDefinedType[Any]):
    """A type by its own declaration, so that every type of SQL Server can be cast to."""

    cache_ok = True

    def __init__(self, declaration: str) -> None:
        self.declaration = declaration

    def get_col_spec(self, **_: Any) -> str:
        return self.declaration


@dataclass(frozen=True, slots=True)
class ShownTimes:
    """The values that a column of dates or times can be shown with.

    Args:
        type: The column's declared type.

    Example:
        >>> ShownTimes(SourceType("datetime")).at_or_before(datetime(2024, 1, 1, 0, 0, 0, 836999))
        datetime.datetime(2024, 1, 1, 0, 0, 0, 833000)
    """

    type: SourceType

    def at_or_before(self, value: date | datetime) -> date | datetime:
        """The last shown value that is not beyond a value."""
        if not isinstance(value, datetime):
            return value
        if self.type.name == "smalldatetime":
            return value.replace(second=0, microsecond=0)
        if self.type.name == "datetime":
            tens, last = divmod(value.microsecond // 1000, 10)
            return value.replace(microsecond=(tens * 10 + _TICK_BELOW[last]) * 1000)
        step = 10 ** (_SHOWN_DIGITS - min(self._digits, _SHOWN_DIGITS))
        return value.replace(microsecond=value.microsecond // step * step)

    def first(self, shown: date | datetime) -> sa.ColumnElement[Any]:
        """The least value of the server that is shown so."""
        return self._held(shown, "0")

    def last(self, shown: date | datetime) -> sa.ColumnElement[Any]:
        """The greatest value of the server that is shown so."""
        return self._held(shown, _SEVENTH_DIGITS)

    def meets(self, column: Any, operator: Any, value: date | datetime) -> Predicate | None:
        """The condition on the server's values that the shown one meets a comparison.

        Returns:
            The condition; `None` for an operator that is none of the six comparisons.
        """
        value = _as_the_column(value)
        shown = self.at_or_before(value)
        is_shown = shown == value
        conditions: dict[Any, Callable[[], Predicate]] = {
            operators.ge: lambda: column >= self.first(shown) if is_shown else column > self.last(shown),
            operators.gt: lambda: column > self.last(shown),
            operators.le: lambda: column <= self.last(shown),
            operators.lt: lambda: column < self.first(shown) if is_shown else column <= self.last(shown),
            operators.eq: lambda: self.equals(column, value),
            operators.ne: lambda: sa.not_(self.equals(column, value)) if is_shown else column.is_not(None),
        }  # fmt: skip
        condition = conditions.get(operator)
        return None if condition is None else condition()

    def equals(self, column: Any, value: date | datetime) -> Predicate:
        """The condition that the shown value is this one."""
        value = _as_the_column(value)
        shown = self.at_or_before(value)
        if shown != value:
            return sa.false()
        if self._digits <= _SHOWN_DIGITS:
            return column == self.first(shown)
        return sa.and_(column >= self.first(shown), column <= self.last(shown))

    @property
    def _digits(self) -> int:
        """Digits after the second that the server keeps."""
        if self.type.name in _SCALED:
            return 7 if self.type.precision is None else self.type.precision
        return 0

    def _held(self, shown: date | datetime, seventh: str) -> sa.ColumnElement[Any]:
        """A value of the column's own type, as text that is read alike under every language and date format.

        The driver binds no seventh digit, and no date before 1753.
        https://learn.microsoft.com/sql/t-sql/data-types/datetime-transact-sql (ISO 8601)
        """
        if not isinstance(shown, datetime):
            return _cast(shown.isoformat(), "date")
        if not self._holds(shown):
            # Beyond the column's type: compared as the finer one, which every value of the column is less or more than.
            return _cast(shown.isoformat(timespec="microseconds"), "datetime2(7)")
        if self.type.name in _RANGES:
            return _cast(shown.isoformat(timespec="milliseconds"), self.type.name)
        zone = "+00:00" if self.type.name == "datetimeoffset" else ""
        digits = f"{shown.microsecond:06d}{seventh}"[: self._digits]
        fraction = f".{digits}" if digits else ""
        whole = shown.replace(microsecond=0).isoformat()
        return _cast(f"{whole}{fraction}{zone}", f"{self.type.name}({self._digits})")

    def _holds(self, shown: datetime) -> bool:
        limits = _RANGES.get(self.type.name)
        return limits is None or limits[0] <= shown <= limits[1]


def times_of(schema: TableSchema) -> dict[str, ShownTimes]:
    """How the values of a table's columns of dates and times are shown, by column."""
    return {
        column.name: ShownTimes(column.source_type)
        for column in schema.columns
        if column.source_type is not None
        and column.source_type.name in {"date", *_RANGES, *_SCALED}
    }


def _as_the_column(value: date | datetime) -> date | datetime:
    """A value without its zone, as the server compares the two: a column without one counts as UTC."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


def _cast(text: str, declaration: str) -> sa.ColumnElement[Any]:
    return sa.cast(sa.literal(text), _Declared(declaration))


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


def fetchable(column: Column) -> str:
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
