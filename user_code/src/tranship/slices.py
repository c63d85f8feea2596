"""Which rows of a table are read or replaced: all, a partition, several, or a key range.

A slice is rendered as a SQLAlchemy expression, so every dialect quotes its identifiers and binds its
values itself, and as a mask over a record batch, so a writer can tell rows that do not belong. Both
libraries are imported where they are used: whoever describes a slice may need neither.
"""

# pyarrow-stubs leaves types unknown; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import reduce
from typing import Any

import pyarrow as pa
from typing_extensions import override

from tranship.clock_changes import is_shown_elsewhere, shown_range
from tranship.comparisons import (
    Predicate,
    Value,
    between,
    column_array,
    mask_between,
    sql_column,
    time_zone,
    typed_value,
)
from tranship.errors import ConfigurationError
from tranship.tables import TableSchema


class Slice:
    """A part of a table. Use one of the subclasses.

    Example:
        >>> from tranship.tables import Column
        >>> schema = TableSchema((Column("Region", pa.string()),))
        >>> str(Values("Region", ("north",)).predicate(schema))
        '"Region" IN (__[POSTCOMPILE_Region_1])'
    """

    __slots__ = ()

    def predicate(self, schema: TableSchema) -> Predicate | None:
        """The SQL condition that rows of this slice meet; `None` where every row does.

        Args:
            schema: The columns of the table, whose types decide how values are bound.

        Raises:
            ColumnNotFoundError: The slice names a column that the table lacks.
            ConfigurationError: The column's type cannot be compared with the slice's values.
        """
        raise NotImplementedError

    def mask(self, batch: pa.RecordBatch) -> pa.BooleanArray | None:
        """Which rows of a batch belong to this slice; `None` where every row does.

        Rows whose slice column is null do not belong: SQL's comparison would not find them again.

        Raises:
            ColumnNotFoundError: The slice names a column that the batch lacks.
        """
        raise NotImplementedError

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns the slice looks at."""
        return ()


@dataclass(frozen=True, slots=True)
class WholeTable(Slice):
    """Every row."""

    @override
    def predicate(self, schema: TableSchema) -> Predicate | None:
        return None

    @override
    def mask(self, batch: pa.RecordBatch) -> pa.BooleanArray | None:
        return None

    def __str__(self) -> str:
        return "the whole table"


@dataclass(frozen=True, slots=True)
class Nothing(Slice):
    """No row: what a partition without upstream partitions reads."""

    @override
    def predicate(self, schema: TableSchema) -> Predicate | None:
        import sqlalchemy as sa

        return sa.false()

    @override
    def mask(self, batch: pa.RecordBatch) -> pa.BooleanArray | None:
        return pa.array([False] * batch.num_rows, type=pa.bool_())

    def __str__(self) -> str:
        return "no rows"


@dataclass(frozen=True, slots=True)
class Values(Slice):
    """Rows whose column equals one of a few values: static and dynamic partitions.

    Partition keys are texts; they are turned into the column's own type first, so that a key `"7"`
    finds the integer 7 and an index on the column is used.

    Args:
        column: The column's exact name.
        values: The values; at least one.
    """

    column: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ConfigurationError(
                f'The slice on "{self.column}" has no values.', "Name at least one."
            )

    @property
    @override
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def _typed(self, type_: pa.DataType) -> list[Any]:
        return [typed_value(value, self.column, type_) for value in self.values]

    @override
    def predicate(self, schema: TableSchema) -> Predicate | None:
        typed = self._typed(schema.column(self.column).type)
        return sql_column(self.column).in_(typed)

    @override
    def mask(self, batch: pa.RecordBatch) -> pa.BooleanArray | None:
        import pyarrow.compute as pc

        array = column_array(batch, self.column)
        wanted = pa.array(self._typed(array.type), type=array.type)
        return pc.is_in(array, value_set=wanted, skip_nulls=True)

    def __str__(self) -> str:
        shown = ", ".join(repr(value) for value in self.values)
        return f'"{self.column}" in ({shown})'


@dataclass(frozen=True, slots=True)
class KeyRange(Slice):
    """Rows with `low <= column < high`; a bound that is `None` is open.

    Args:
        column: The column's exact name.
        low: The first value that belongs, or `None`.
        high: The first value that no longer belongs, or `None`.
    """

    column: str
    low: Value = None
    high: Value = None

    def __post_init__(self) -> None:
        if self.low is None and self.high is None:
            raise ConfigurationError(
                f'The key range on "{self.column}" has no bounds.',
                "Give low, high, or both; or use WholeTable.",
            )

    @property
    @override
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @override
    def predicate(self, schema: TableSchema) -> Predicate | None:
        type_ = schema.column(self.column).type
        low, high = (typed_value(value, self.column, type_) for value in (self.low, self.high))
        return between(self.column, low, high)

    @override
    def mask(self, batch: pa.RecordBatch) -> pa.BooleanArray | None:
        array = column_array(batch, self.column)
        low, high = (typed_value(value, self.column, array.type) for value in (self.low, self.high))
        return mask_between(array, low, high)

    def __str__(self) -> str:
        low = "" if self.low is None else f"{self.low!r} <= "
        high = "" if self.high is None else f" < {self.high!r}"
        return f'{low}"{self.column}"{high}'


@dataclass(frozen=True, slots=True)
class Interval(Slice):
    """Rows of a range whose ends belong to it or not, and those without a value if asked for.

    What incremental loads read and replace: from a bookmark on, up to the highest value there was.

    Args:
        column: The column's exact name.
        low: The lower end, or `None` where it is open.
        high: The upper end, or `None` where it is open.
        includes_low: Whether rows at the lower end belong.
        includes_high: Whether rows at the upper end belong.
        includes_null: Whether rows without a value belong.

    Example:
        >>> str(Interval("Id", 5, 9, includes_low=False))
        '5 < "Id" <= 9'
    """

    column: str
    low: Value = None
    high: Value = None
    includes_low: bool = True
    includes_high: bool = True
    includes_null: bool = False

    @property
    @override
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @override
    def predicate(self, schema: TableSchema) -> Predicate | None:
        import sqlalchemy as sa

        type_ = schema.column(self.column).type
        low, high = (typed_value(value, self.column, type_) for value in (self.low, self.high))
        column = sql_column(self.column)
        parts: list[Predicate] = []
        if low is not None:
            parts.append(column >= low if self.includes_low else column > low)
        if high is not None:
            parts.append(column <= high if self.includes_high else column < high)
        if not parts:
            return None if self.includes_null else column.is_not(None)
        inside = sa.and_(*parts)
        return sa.or_(inside, column.is_(None)) if self.includes_null else inside

    @override
    def mask(self, batch: pa.RecordBatch) -> pa.BooleanArray | None:
        import pyarrow.compute as pc

        array = column_array(batch, self.column)
        low, high = (
            None if value is None else pa.scalar(typed_value(value, self.column, array.type))
            for value in (self.low, self.high)
        )
        parts: list[Any] = [pc.is_valid(array)]
        if low is not None:
            above = pc.greater_equal if self.includes_low else pc.greater
            parts.append(above(array, low))
        if high is not None:
            below = pc.less_equal if self.includes_high else pc.less
            parts.append(below(array, high))
        whole: Any = reduce(pc.and_kleene, parts)
        inside: Any = pc.fill_null(whole, pa.scalar(False))
        either: Any = pc.or_(inside, pc.is_null(array))
        return either if self.includes_null else inside

    def __str__(self) -> str:
        low = (
            "" if self.low is None else f"{_shown(self.low)} {'<=' if self.includes_low else '<'} "
        )
        high = (
            ""
            if self.high is None
            else f" {'<=' if self.includes_high else '<'} {_shown(self.high)}"
        )
        or_null = " or null" if self.includes_null else ""
        return f'{low}"{self.column}"{high}{or_null}'


def _shown(value: Value) -> str:
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    return value.isoformat() if isinstance(value, date) else repr(value)


@dataclass(frozen=True, slots=True)
class TimeWindow(Slice):
    """Rows of a span of time, `start <= column < end`, whatever zone the partitions are in.

    A day in US/Central is not a day in UTC. How the window meets the column depends on its type:

    - a timestamp with a zone is compared with the instants;
    - a timestamp without one is a wall clock somewhere: `column_zone` says where (UTC by default);
    - a date has no instant: it is compared with the window's own local dates.

    Args:
        column: The column's exact name.
        start: First instant of the window; must carry a zone.
        end: First instant after it; must carry a zone.
        column_zone: The zone of the column's wall clock, where the column has none of its own.
        shares_hours: Whether rows of times that the clock shows in this window and outside of it belong to
            both, as those of the hour that comes twice in autumn; such a window is refused otherwise.

    Example:
        >>> from zoneinfo import ZoneInfo
        >>> central = ZoneInfo("US/Central")
        >>> window = TimeWindow("At", datetime(2024, 1, 1, tzinfo=central), datetime(2024, 1, 2, tzinfo=central))
        >>> window.bounds(pa.timestamp("us"))[0]
        datetime.datetime(2024, 1, 1, 6, 0)
        >>> window.bounds(pa.date32())[0]
        datetime.date(2024, 1, 1)
    """

    column: str
    start: datetime
    end: datetime
    column_zone: str = "UTC"
    shares_hours: bool = False

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ConfigurationError(
                f'The time window on "{self.column}" has no time zone.',
                "Give start and end a tzinfo; a wall clock alone names no instant.",
            )
        time_zone(self.column_zone)

    @property
    @override
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def bounds(self, type_: pa.DataType) -> tuple[date | datetime, date | datetime]:
        """The window's start and end as values of a column of this type.

        Raises:
            ConfigurationError: The type holds no dates or times, the window cuts through a day and the
                column holds whole days, or its times come twice and are not to be shared.
        """
        if pa.types.is_timestamp(type_):
            if type_.tz is not None:
                return self.start.astimezone(UTC), self.end.astimezone(UTC)
            zone = time_zone(self.column_zone)
            if not self.shares_hours and is_shown_elsewhere(self.start, self.end, zone):
                raise ConfigurationError(
                    f'The time window {self} is of an hour that the clocks of {self.column_zone} show twice, and "'
                    f'{self.column}" does not say which one its times are of.',
                    "Use a column with a time zone, one in UTC, or daily partitions.",
                )
            return shown_range(self.start, self.end, zone)
        if pa.types.is_date(type_):
            for bound in (self.start, self.end):
                if (bound.hour, bound.minute, bound.second, bound.microsecond) != (0, 0, 0, 0):
                    raise ConfigurationError(
                        f'The time window {self} cuts through a day, but "{self.column}" holds dates.',
                        "Use daily or coarser partitions for a date column.",
                    )
            return self.start.date(), self.end.date()
        raise ConfigurationError(
            f'"{self.column}" is {type_}, which cannot be compared with a time window.',
            "Set partition_expr to a date or timestamp column, or use key-range or static partitions.",
        )

    @override
    def predicate(self, schema: TableSchema) -> Predicate | None:
        start, end = self.bounds(schema.column(self.column).type)
        return between(self.column, start, end)

    @override
    def mask(self, batch: pa.RecordBatch) -> pa.BooleanArray | None:
        array = column_array(batch, self.column)
        start, end = self.bounds(array.type)
        return mask_between(array, start, end)

    def __str__(self) -> str:
        return f'{self.start.isoformat()} <= "{self.column}" < {self.end.isoformat()}'


@dataclass(frozen=True, slots=True)
class AllOf(Slice):
    """Rows that belong to each of several slices: one key of a multi-partition."""

    slices: tuple[Slice, ...]

    def __post_init__(self) -> None:
        if not self.slices:
            raise ConfigurationError("AllOf was given no slices.", "Use WholeTable for every row.")

    @property
    @override
    def columns(self) -> tuple[str, ...]:
        return _columns_of(self.slices)

    @override
    def predicate(self, schema: TableSchema) -> Predicate | None:
        import sqlalchemy as sa

        parts = [part for one in self.slices if (part := one.predicate(schema)) is not None]
        return sa.and_(*parts) if parts else None

    @override
    def mask(self, batch: pa.RecordBatch) -> pa.BooleanArray | None:
        import pyarrow.compute as pc

        parts = [part for one in self.slices if (part := one.mask(batch)) is not None]
        return reduce(pc.and_, parts) if parts else None

    def __str__(self) -> str:
        return " and ".join(f"({one})" for one in self.slices)


@dataclass(frozen=True, slots=True)
class AnyOf(Slice):
    """Rows that belong to any of several slices: a set of partitions with gaps."""

    slices: tuple[Slice, ...]

    def __post_init__(self) -> None:
        if not self.slices:
            raise ConfigurationError("AnyOf was given no slices.", "Name at least one.")

    @property
    @override
    def columns(self) -> tuple[str, ...]:
        return _columns_of(self.slices)

    @override
    def predicate(self, schema: TableSchema) -> Predicate | None:
        import sqlalchemy as sa

        parts = [one.predicate(schema) for one in self.slices]
        present = [part for part in parts if part is not None]
        return sa.or_(*present) if len(present) == len(parts) else None

    @override
    def mask(self, batch: pa.RecordBatch) -> pa.BooleanArray | None:
        import pyarrow.compute as pc

        parts = [one.mask(batch) for one in self.slices]
        present = [part for part in parts if part is not None]
        return reduce(pc.or_, present) if len(present) == len(parts) else None

    def __str__(self) -> str:
        return " or ".join(f"({one})" for one in self.slices)


def _columns_of(slices: Sequence[Slice]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for one in slices for name in one.columns))
