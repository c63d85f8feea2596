"""The column that an incremental load follows: what its values are, and where a load starts and ends."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pyarrow as pa

from tranship.errors import ConfigurationError, TranshipError
from tranship.slices import AnyOf, Interval, Slice
from tranship.tables import Column

Value = int | Decimal | date | datetime | bytes

_BYTES: tuple[type[Any], ...] = (bytes, bytearray, memoryview)
"""What drivers give for bytes."""
ROWVERSION_BYTES = 8


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
        self,
        bookmark: Value | None,
        *,
        up_to: Value | None,
        after: bool = False,
        beyond: Value | None = None,
    ) -> Slice:
        """The rows of the next load.

        Args:
            bookmark: The highest value that was loaded; `None` where none was.
            up_to: The highest value to load; `None` where the source has none.
            after: Whether rows at the bookmark itself are left where they are, and all before it.
            beyond: A value that rows lie beyond which every load reads; `None` where there are none.
        """
        low, includes_low = self._start(bookmark, after=after)
        part = Interval(
            self.column, low, up_to, includes_low=includes_low, includes_null=self.nullable
        )
        if beyond is None or up_to is None:
            return part
        return AnyOf((part, Interval(self.column, beyond, includes_low=False)))

    @property
    def nature(self) -> str:
        """What its values can be compared with: times with a zone are not with those without."""
        return f"{self.kind} with a zone" if self.has_zone else str(self.kind)

    @property
    def has_zone(self) -> bool:
        """Whether its values are instants, and no wall clock of somewhere."""
        return self.type is not None and has_zone(self.type)

    def without_lookback(self) -> "Cursor":
        """The same cursor for a source that can tell that no row comes late."""
        return replace(self, lookback=0)

    def replaced(self, bookmark: Value | None, name: str, *, after: bool = False) -> Interval:
        """The rows of the target that such a load replaces, in the target's name of the column."""
        low, includes_low = self._start(bookmark, after=after)
        return Interval(name, low, includes_low=includes_low, includes_null=self.nullable)

    def up_to(self, bookmark: Value | None) -> Interval:
        """The rows that a copy with this bookmark holds; all that have a value where it has none."""
        return Interval(self.column, None, bookmark, includes_null=self.nullable)

    def window(self, bookmark: Value) -> Interval:
        """The rows of the lookback, those at the bookmark included."""
        return Interval(self.column, self._back(bookmark), bookmark)

    def _start(self, bookmark: Value | None, *, after: bool) -> tuple[Value | None, bool]:
        """Where an interval begins, and whether that value belongs to it."""
        if bookmark is None:
            return None, True
        return (bookmark, False) if after else (self._back(bookmark), True)

    def _time(self, value: datetime) -> datetime:
        """A time that somebody wrote, held against whether the column's have a zone."""
        if self.type is None or (value.tzinfo is not None) is self.has_zone:
            return value
        if self.has_zone:
            return value.replace(tzinfo=UTC)
        raise ValueError("The column's times have no zone.")

    def _holds(self, value: int | Decimal) -> bool:
        if self.type is None:
            return True
        if isinstance(value, Decimal) and pa.types.is_integer(self.type):
            return False  # Arrow would cut it
        return fits(value, self.type)

    def _back(self, value: Value) -> Value | None:
        """The value a lookback earlier; `None` where the type has none so low."""
        if isinstance(value, bytes):
            return max(int.from_bytes(value) - int(self._steps()), 0).to_bytes(ROWVERSION_BYTES)
        if isinstance(value, date):  # a datetime too
            try:
                return value - self.lookback if isinstance(self.lookback, timedelta) else value
            except OverflowError:
                return None
        back = value - self._steps()
        return back if self.type is None or fits(back, self.type) else None

    def _steps(self) -> int:
        return self.lookback if isinstance(self.lookback, int) else 0

    def checked(self, value: Any) -> Value | None:
        """A value that the source gave, which a bookmark may be made of.

        Raises:
            TranshipError: It is of another kind, as where a server gives a rowversion as a number.
        """
        if value is None:
            return None
        if self.kind is Kind.ROWVERSION and isinstance(value, _BYTES):
            value = bytes(value)
        if not self._is_of_kind(value):
            raise TranshipError(
                f'The source gave {value!r} ({type(value).__name__}) as a value of the cursor "{self.column}", '
                f"which is a {self.nature}. No bookmark is made of it.",
                f"A value looks like {_EXAMPLES[self.kind]}. Choose another cursor if the server cannot give one.",
            )
        return value

    def _is_of_kind(self, value: Any) -> bool:
        match self.kind:
            case Kind.NUMBER:
                whole = isinstance(value, int) and not isinstance(value, bool)
                return whole or (isinstance(value, Decimal) and value.is_finite())
            case Kind.DATE:
                return isinstance(value, date) and not isinstance(value, datetime)
            case Kind.TIME:
                zoned = isinstance(value, datetime) and value.tzinfo is not None
                return isinstance(value, datetime) and (self.type is None or zoned is self.has_zone)
            case Kind.ROWVERSION:
                return isinstance(value, bytes) and len(value) == ROWVERSION_BYTES

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
                    value = int(number) if number == number.to_integral_value() else number
                    if not self._holds(value):
                        raise ValueError(f"{self.type} holds no such number.")
                    return value
                case Kind.DATE:
                    return date.fromisoformat(text)
                case Kind.TIME:
                    return self._time(datetime.fromisoformat(text))
                case Kind.ROWVERSION:
                    return int(text, 16).to_bytes(ROWVERSION_BYTES)
        except (ValueError, ArithmeticError) as error:
            raise ConfigurationError(
                f'{text!r} is no value of the cursor "{self.column}", which is a {self.kind}.',
                f"Write it like {_EXAMPLES[self.kind]}.",
            ) from error


_EXAMPLES = {
    Kind.NUMBER: "12345",
    Kind.DATE: "2024-01-31",
    Kind.TIME: "2024-01-31T09:30:00",
    Kind.ROWVERSION: "0x00000000000007d1",
}


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


def has_zone(type_: pa.DataType) -> bool:
    """Whether a type's values are instants, and no wall clock of somewhere."""
    return pa.types.is_timestamp(type_) and type_.tz is not None
