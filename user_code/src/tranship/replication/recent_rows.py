"""The rows behind the bookmark, added up on both sides: what came late or was changed there shows in no count.

Each side counts them and sums up their numbers and times; times by whole seconds since a day, which every system cuts alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from tranship.comparisons import sql_column
from tranship.cursors import Cursor, Kind, Value
from tranship.replication.columns import ColumnChanges
from tranship.slices import Interval
from tranship.source import Source
from tranship.tables import Column
from tranship.target import Target

WINDOW_TIME = timedelta(days=7)
WINDOW_STEPS = 100_000

Sums = dict[str, int | str]
"""`rows`, and the sum of each column by its name in the source."""


def window(cursor: Cursor, bookmark: Value) -> Interval:
    """The rows of the last days or numbers up to the bookmark."""
    is_time = cursor.kind in {Kind.TIME, Kind.DATE}
    return replace(cursor, lookback=WINDOW_TIME if is_time else WINDOW_STEPS).window(bookmark)


@dataclass(frozen=True, slots=True)
class Summed:
    """The columns that are summed up: the key and the cursor, where both sides have the same numbers or times.

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
    def of(cls, source: Source, target: Target, changes: ColumnChanges, cursor: Cursor) -> "Summed":
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


def differing(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """The columns whose sums differ."""
    return [name for name, value in expected.items() if name != "rows" and found[name] != value]


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
