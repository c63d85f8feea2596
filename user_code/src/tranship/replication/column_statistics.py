"""What rows amount to: how many, and per column how many values, their sum, the least and the greatest.

Worked out three times in the same words: over the record batches that pass by, in SQL over the source, and in
SQL over the target. Rows that were lost, doubled or altered on the way give other statistics. The rows right behind a
bookmark are summed up alone: what came late or was changed there shows in no count.
"""

# pyarrow-stubs leave out the types of what an array of any type holds.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from tranship.comparisons import sql_column
from tranship.cursors import Cursor, Kind, Value
from tranship.frames import Batches
from tranship.replication.columns import ColumnChanges
from tranship.slices import Interval
from tranship.source import Source
from tranship.tables import Column
from tranship.target import Target

_BIGINT_BITS = 64
ColumnStatistics = dict[str, str | None]
"""What is known of one column: `count`, and where its type has them `sum`, `min` and `max`, as texts."""
WINDOW_TIME = timedelta(days=7)
WINDOW_STEPS = 100_000
Sums = dict[str, int | str]
"""`rows`, and the sum of each column by its name in the source."""


def measures_of(type_: pa.DataType) -> tuple[str, ...]:
    """What is measured of a column of this type.

    Sums of floating-point numbers depend on the order of the rows, and the least and greatest text on the
    collation: neither is compared.

    Example:
        >>> measures_of(pa.int32()), measures_of(pa.string())
        (('count', 'sum', 'min', 'max'), ('count',))
    """
    if pa.types.is_integer(type_) or pa.types.is_decimal(type_):
        return ("count", "sum", "min", "max")
    if pa.types.is_floating(type_) or pa.types.is_date(type_) or pa.types.is_timestamp(type_):
        return ("count", "min", "max")
    return ("count",)


def comparable(value: Any, type_: pa.DataType) -> str | None:
    """A measured value in one spelling, however the system it comes from gives it.

    Example:
        >>> comparable(Decimal("10.5000"), pa.decimal128(19, 4)), comparable(7, pa.int32())
        ('10.5', '7')
    """
    if value is None:
        return None
    if pa.types.is_floating(type_):
        # Which of two equal zeros is the least, no system says.
        plain = float(value) or 0.0
        # float(24) has seven digits, which the systems spell differently beyond that.
        return f"{plain:.6g}" if pa.types.is_float32(type_) else repr(plain)
    if isinstance(value, datetime):
        aware = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return aware.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    exact = Decimal(value)
    return "0" if not exact else f"{exact.normalize():f}"


@dataclass(slots=True)
class MeasuredBatches:
    """Counts and measures the rows of a stream as they pass, anew with each pass.

    Args:
        batches: The stream.
        columns: The columns to measure.

    Example:
        >>> measured = MeasuredBatches(Batches.of(pa.table({"id": [1, 2]})), ("id",))
        >>> _ = measured.batches().to_table()
        >>> measured.rows, measured.statistics()["id"]["sum"]
        (2, '3')
    """

    source: Batches
    columns: Sequence[str] = ()
    rows: int = 0
    _measured: dict[str, dict[str, Any]] = field(default_factory=dict)

    def batches(self) -> Batches:
        """The stream, watched."""
        return replace(self.source, open=partial(self._watched))

    def _watched(self) -> Iterator[pa.RecordBatch]:
        self.rows, self._measured = 0, {name: {} for name in self.columns}
        for batch in self.source.open():
            self.rows += batch.num_rows
            for name in self.columns:
                _add(self._measured[name], batch.column(name))
            yield batch

    def statistics(self) -> dict[str, ColumnStatistics]:
        """What the rows of the last pass amount to, by column."""
        return {
            name: {
                measure: comparable(
                    self._measured.get(name, {}).get(measure, 0 if measure == "count" else None),
                    type_,
                )
                for measure in measures_of(type_)
            }
            for name in self.columns
            for type_ in [self.source.schema.field(name).type]
        }


def _add(measured: dict[str, Any], array: "pa.Array[Any]") -> None:
    names = measures_of(array.type)
    measured["count"] = measured.get("count", 0) + len(array) - array.null_count
    if "min" in names:
        extremes = pc.min_max(array)
        for name, better in (("min", min), ("max", max)):
            value = extremes[name].as_py()
            if value is not None:
                before = measured.get(name)
                measured[name] = value if before is None else better(before, value)
    if "sum" in names:
        total = pc.sum(_wide(array)).as_py()
        if total is not None:
            measured["sum"] = measured.get("sum", 0) + total


def _wide(array: "pa.Array[Any]") -> "pa.Array[Any]":
    """The same numbers in a type that their sum fits in; Arrow's sums of bigint wrap around."""
    if pa.types.is_decimal(array.type):
        return array.cast(pa.decimal128(38, array.type.scale))
    return array.cast(pa.decimal128(38, 0)) if array.type.bit_width == _BIGINT_BITS else array


def expressions(
    columns: Mapping[str, pa.DataType],
    column: Callable[[str], sa.ColumnElement[Any]],
    count: Callable[..., Any],
) -> list[sa.ColumnElement[Any]]:
    """The aggregates that measure columns in SQL, in the order in which `statistics_of` reads them.

    Args:
        columns: The columns to measure and their types.
        column: Makes the dialect's column of a name.
        count: The dialect's counting function.
    """
    made: list[sa.ColumnElement[Any]] = []
    for name, type_ in columns.items():
        own = column(name)
        for measure in measures_of(type_):
            match measure:
                case "count":
                    made.append(count(own))
                case "sum":
                    # A sum of int columns is an int to SQL Server, and overflows.
                    scale = type_.scale if pa.types.is_decimal(type_) else 0
                    made.append(sa.func.sum(sa.cast(own, sa.Numeric(38, scale))))
                case "min":
                    made.append(sa.func.min(own))
                case _:
                    made.append(sa.func.max(own))
    return made


def statistics_of(
    columns: Mapping[str, pa.DataType], row: Sequence[Any]
) -> dict[str, ColumnStatistics]:
    """The statistics in a row of such aggregates."""
    values = iter(row)
    return {
        name: {measure: comparable(next(values), type_) for measure in measures_of(type_)}
        for name, type_ in columns.items()
    }


def differences(
    expected: Mapping[str, ColumnStatistics], actual: Mapping[str, ColumnStatistics]
) -> dict[str, str]:
    """What differs, by column, in words.

    Example:
        >>> differences({"id": {"count": "2"}}, {"id": {"count": "3"}})
        {'id': 'count is 3, and was 2 in the source'}
    """
    differing: dict[str, str] = {}
    for name, statistics in expected.items():
        in_copy = actual.get(name, {})
        parts = [
            f"{measure} is {in_copy.get(measure)}, and was {value} in the source"
            for measure, value in statistics.items()
            if in_copy.get(measure) != value
        ]
        if parts:
            differing[name] = "; ".join(parts)
    return differing


def window(cursor: Cursor, bookmark: Value) -> Interval:
    """The rows of the last days or numbers up to the bookmark."""
    is_time = cursor.kind in {Kind.TIME, Kind.DATE}
    return replace(cursor, lookback=WINDOW_TIME if is_time else WINDOW_STEPS).window(bookmark)


@dataclass(frozen=True, slots=True)
class WindowSums:
    """Sums over the rows right behind the bookmark, on both sides; times by whole seconds since a day, which every system cuts alike.

    Summed up are the key and the cursor, where both sides have the same numbers or times.

    Args:
        source: The table.
        target: Where its copy is.
        changes: What happens to its columns on the way.
        columns: The columns, as the source calls them.
    """

    source: Source
    target: Target
    changes: ColumnChanges
    columns: tuple[Column, ...]

    @classmethod
    def of(
        cls, source: Source, target: Target, changes: ColumnChanges, cursor: Cursor
    ) -> "WindowSums":
        """What can be summed up of a table."""
        names = dict.fromkeys([*source.key, cursor.column])
        columns = [source.schema.column(name) for name in names]
        return cls(
            source,
            target,
            changes,
            tuple(
                column
                for column in columns
                if changes.arrives_as_it_is(column.name) and _is_summable(column)
            ),
        )

    def in_source(self) -> list[sa.ColumnElement[Any]]:
        """The aggregates in the source's words."""
        sums = [self._sum(column, sql_column, self.source.seconds) for column in self.columns]
        return [self.source.counting(sa.literal_column("*")), *sums]

    def in_target(self) -> list[sa.ColumnElement[Any]]:
        """The same in the target's."""

        def own(name: str) -> sa.ColumnClause[Any]:
            return self.target.column(self.changes.settings.rename.get(name, name))

        sums = [self._sum(column, own, self.target.seconds) for column in self.columns]
        return [sa.func.count(sa.literal_column("*")), *sums]

    def read(self, row: tuple[Any, ...]) -> Sums:
        """What a row of such aggregates says."""
        names = ["rows", *(column.name for column in self.columns)]
        return {name: int(row[0]) if name == "rows" else _shown(value)
                for name, value in zip(names, row, strict=True)}  # fmt: skip

    def _sum(
        self,
        column: Column,
        own: Callable[[str], sa.ColumnElement[Any]],
        seconds: Callable[[sa.ColumnElement[Any], pa.DataType], sa.ColumnElement[Any]],
    ) -> sa.ColumnElement[Any]:
        value = own(column.name)
        scale = column.type.scale if pa.types.is_decimal(column.type) else 0
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            value = seconds(value, column.type)
        # A sum of int columns is an int to SQL Server, and overflows.
        return sa.func.sum(sa.cast(value, sa.Numeric(38, scale)))


def differing(expected: Sums, actual: Sums) -> list[str]:
    """The columns whose sums differ."""
    return [name for name, value in expected.items() if name != "rows" and actual[name] != value]


def _is_summable(column: Column) -> bool:
    type_ = column.type
    return (
        pa.types.is_integer(type_)
        or pa.types.is_decimal(type_)
        or pa.types.is_timestamp(type_)
        or pa.types.is_date(type_)
    )


def _shown(value: Any) -> str:
    """A sum in one spelling, however many zeros a system gives it."""
    return (
        "none"
        if value is None
        else f"{value.normalize():f}"
        if hasattr(value, "normalize")
        else str(value)
    )
