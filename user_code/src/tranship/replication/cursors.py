"""The column that an incremental load follows: what its values are, and where a load starts and ends."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pyarrow as pa

from tranship.errors import ConfigurationError
from tranship.replication.durations import parse_duration
from tranship.replication.plan import Mode, TablePlan
from tranship.slices import Interval
from tranship.tables import Column, TableSchema

Value = int | Decimal | date | datetime | bytes

DEFAULT_LOOKBACK_TIME = timedelta(minutes=10)
DEFAULT_LOOKBACK_STEPS = 1000
_TICK = timedelta(microseconds=1)
_ROWVERSION_BYTES = 8
_FIRST_YEAR = 1753


class Kind(StrEnum):
    """What a cursor's values are."""

    NUMBER = "number"
    DATE = "date"
    TIME = "time"
    ROWVERSION = "rowversion"


@dataclass(frozen=True, slots=True)
class Cursor:
    """A column that grows with every new or changed row.

    Args:
        column: Its name in the source.
        kind: What its values are.
        nullable: Whether rows may lack a value; those are read by every load.
        lookback: How far before the bookmark a load starts.
        type: The column's type, whose range no end of an interval may leave.

    Example:
        >>> cursor = Cursor("Id", Kind.NUMBER, nullable=False, lookback=10)
        >>> str(cursor.from_bookmark(100, up_to=250))
        '90 <= "Id" <= 250'
    """

    column: str
    kind: Kind
    nullable: bool
    lookback: int | timedelta
    type: pa.DataType | None = None

    def from_bookmark(
        self, bookmark: Value | None, *, up_to: Value | None, after: bool = False
    ) -> Interval:
        """The rows of the next load.

        Args:
            bookmark: The highest value that was loaded; `None` where none was.
            up_to: The highest value to load; `None` where the source has none.
            after: Whether rows at the bookmark itself are left where they are, and all before it.
        """
        low, includes_low = self._start(bookmark, after=after)
        return Interval(
            self.column,
            low,
            _bindable(self._beyond(up_to)),
            includes_low=includes_low,
            includes_high=self.kind is not Kind.TIME,
            includes_null=self.nullable,
        )

    @property
    def nature(self) -> str:
        """What its values can be compared with: times with a zone are not with those without."""
        has_zone = self.type is not None and pa.types.is_timestamp(self.type) and self.type.tz
        return f"{self.kind} with a zone" if has_zone else str(self.kind)

    def without_lookback(self) -> "Cursor":
        """The same cursor for a source that can tell that no row comes late."""
        return replace(self, lookback=0)

    def replaced(self, bookmark: Value | None, name: str, *, after: bool = False) -> Interval:
        """The rows of the target that such a load replaces, in the target's name of the column."""
        low, includes_low = self._start(bookmark, after=after)
        return Interval(name, low, includes_low=includes_low, includes_null=self.nullable)

    def at(self, value: Value) -> Interval:
        """The rows with one value, and no others."""
        high = _bindable(self._beyond(value))
        is_time = self.kind is Kind.TIME
        return Interval(self.column, _bindable(value), high, includes_high=not is_time)

    def _start(self, bookmark: Value | None, *, after: bool) -> tuple[Value | None, bool]:
        """Where an interval begins, and whether that value belongs to it."""
        if bookmark is None:
            return None, True
        if not after or _bindable(bookmark) is None:
            return _bindable(self._back(bookmark)), True
        # What a time shows of itself is no more than its beginning: the rows lie up to a tick later.
        beyond = self._beyond(bookmark) if self.kind is Kind.TIME else None
        return (bookmark, False) if beyond is None else (beyond, True)

    def _back(self, value: Value) -> Value | None:
        """The value a lookback earlier; `None` where the type has none so low."""
        if isinstance(value, bytes):
            return max(int.from_bytes(value) - int(self._steps()), 0).to_bytes(_ROWVERSION_BYTES)
        if isinstance(value, date):  # a datetime too
            try:
                return value - self.lookback if isinstance(self.lookback, timedelta) else value
            except OverflowError:
                return None
        back = value - self._steps()
        return back if self.type is None or fits(back, self.type) else None

    def _steps(self) -> int:
        return self.lookback if isinstance(self.lookback, int) else 0

    def _beyond(self, value: Value | None) -> Value | None:
        """A time's upper end: the driver cuts its seventh digit off, so the row itself lies beyond."""
        if not isinstance(value, datetime):
            return value
        return None if value >= value.max.replace(tzinfo=value.tzinfo) - _TICK else value + _TICK

    def text(self, value: Value | None) -> str | None:
        """A value as a bookmark keeps it and a person writes it."""
        if value is None:
            return None
        if isinstance(value, bytes):
            return f"0x{value.hex()}"
        return value.isoformat() if isinstance(value, date) else str(value)

    def value(self, text: str | None) -> Value | None:
        """A value from a bookmark, or from a person.

        Raises:
            ConfigurationError: The text is no value of this column.
        """
        if text is None:
            return None
        try:
            match self.kind:
                case Kind.NUMBER:
                    number = Decimal(text)
                    if not number.is_finite():
                        raise ValueError("A number is finite.")
                    return int(number) if number == number.to_integral_value() else number
                case Kind.DATE:
                    return date.fromisoformat(text)
                case Kind.TIME:
                    return datetime.fromisoformat(text)
                case Kind.ROWVERSION:
                    return int(text, 16).to_bytes(_ROWVERSION_BYTES)
        except (ValueError, ArithmeticError) as error:
            raise ConfigurationError(
                f'{text!r} is no value of the cursor "{self.column}", which is a {self.kind}.',
                f"Write it like {_EXAMPLES[self.kind]}.",
            ) from error


def _bindable(value: Value | None) -> Value | None:
    """An end that the driver takes, else none: it refuses dates before 1753, also for date and datetime2."""
    return None if isinstance(value, date) and value.year < _FIRST_YEAR else value


_EXAMPLES = {
    Kind.NUMBER: "12345",
    Kind.DATE: "2024-01-31",
    Kind.TIME: "2024-01-31T09:30:00",
    Kind.ROWVERSION: "0x00000000000007d1",
}


def cursor_of(plan: TablePlan, source: TableSchema, *, has_key: bool) -> Cursor | None:
    """The plan's cursor, held against the source's columns; `None` where it has none.

    Args:
        plan: The table's plan.
        source: The source's columns.
        has_key: Whether rows can be told apart, so that reading some twice does no harm.

    Raises:
        ColumnNotFoundError: There is no such column.
        ConfigurationError: Its type does not grow, or the lookback does not fit it.
    """
    if plan.cursor is None:
        return None
    column = source.column(plan.cursor)
    kind = kind_of(column)
    if kind is None:
        raise ConfigurationError(
            f'The cursor "{column.name}" of {plan.source} is {column.source_type or column.type}.',
            "Choose a column of whole numbers, decimals, dates, times, or a rowversion.",
        )
    if kind is Kind.ROWVERSION and plan.mode is Mode.APPEND:
        raise ConfigurationError(
            f'The cursor "{column.name}" of {plan.source} is a rowversion, which also grows when a row is '
            "changed.",
            "Set mode to merge, so that a changed row takes the place of the old one.",
        )
    if plan.columns.mask.get(column.name):
        raise ConfigurationError(
            f'The cursor "{column.name}" of {plan.source} is masked.', "Choose another cursor."
        )
    lookback = _lookback(plan, kind, has_key=has_key)
    return Cursor(column.name, kind, column.nullable, lookback, column.type)


def kind_of(column: Column) -> Kind | None:
    """What a column's values are, as a cursor; `None` where they cannot be one."""
    type_ = column.type
    if column.source_type is not None and column.source_type.name == "rowversion":
        return Kind.ROWVERSION
    if pa.types.is_date(type_):
        return Kind.DATE
    if pa.types.is_timestamp(type_):
        return Kind.TIME
    if pa.types.is_integer(type_) or pa.types.is_decimal(type_):
        return Kind.NUMBER
    return None


def fits(value: Any, type_: pa.DataType) -> bool:
    """Whether a column of this type can hold a value.

    Example:
        >>> fits(255, pa.uint8()), fits(256, pa.uint8())
        (True, False)
    """
    try:
        pa.scalar(value, type=type_)
    except (pa.ArrowException, OverflowError):
        return False
    return True


def _lookback(plan: TablePlan, kind: Kind, *, has_key: bool) -> int | timedelta:
    given = plan.lookback
    steps = kind in {Kind.NUMBER, Kind.ROWVERSION}
    if given is None:
        # Without a key, rows in the lookback would be replaced, and those the source purged lost.
        if not has_key or kind is Kind.DATE:
            return 0 if steps else timedelta()
        return DEFAULT_LOOKBACK_STEPS if steps else DEFAULT_LOOKBACK_TIME
    if given in {0, "0"}:
        return 0 if steps else timedelta()
    if steps:
        try:
            return int(given)
        except ValueError as error:
            raise ConfigurationError(
                f'The lookback of {plan.source} is {given!r}, but its cursor "{plan.cursor}" is a {kind}.',
                "Write a number: 1000.",
            ) from error
    span = parse_duration(str(given), f"The lookback of {plan.source}")
    if kind is Kind.DATE and span % timedelta(days=1):
        raise ConfigurationError(
            f'The lookback of {plan.source} is {given!r}, but its cursor "{plan.cursor}" holds whole days.',
            "Write days or weeks: 7 days.",
        )
    return span
