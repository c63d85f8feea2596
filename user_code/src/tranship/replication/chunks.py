"""A large first load in chunks: ranges of a column that never changes, each committed by itself."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from tranship.errors import ConfigurationError
from tranship.replication.columns import ColumnChanges
from tranship.replication.cursors import Cursor, Kind, fits, kind_of
from tranship.replication.source import Source
from tranship.slices import Interval
from tranship.tables import Column


@dataclass(frozen=True, slots=True)
class ChunkColumn:
    """The column that chunks are ranges of.

    Args:
        column: The source's column.
        kind: What its values are.
    """

    column: Column
    kind: Kind

    @property
    def name(self) -> str:
        """Its name in the source."""
        return self.column.name

    def chunk(self, start: Any | None, end: Any | None) -> Interval:
        """The rows from one value on, up to but without another one; `None` is open."""
        return Interval(
            self.name, start, end, includes_high=False, includes_null=start is None and end is None
        )

    def next_after(self, value: Any) -> Any:
        """The least value that is greater, where the next chunk starts; `None` where the type ends.

        The driver cuts the seventh digit of times off; the next microsecond is beyond it too.

        Example:
            >>> ids = ChunkColumn(Column("Id", pa.int32()), Kind.NUMBER)
            >>> ids.next_after(41)
            42
        """
        type_: Any = self.column.type
        step: Any = 1
        if isinstance(value, datetime):
            step = timedelta(microseconds=1)
        elif isinstance(value, date):
            step = timedelta(days=1)
        elif isinstance(value, Decimal):
            step = Decimal(1).scaleb(-type_.scale)
        try:
            beyond = value + step
        except OverflowError:
            return None
        return beyond if fits(beyond, type_) else None

    def text(self, value: Any) -> str | None:
        """A value as the bookmark keeps it."""
        return self._as_cursor().text(value)

    def value(self, text: str) -> Any:
        """A value that the bookmark kept."""
        return self._as_cursor().value(text)

    def _as_cursor(self) -> Cursor:
        return Cursor(self.name, self.kind, nullable=False, lookback=0)


def chunk_column(
    source: Source, changes: ColumnChanges, named: str | None = None
) -> ChunkColumn | None:
    """The column to cut chunks by, if the table has one.

    It must order alike in SQL Server, in Arrow and in the target, which texts do not, and never be null.

    Args:
        source: The table.
        changes: What happens to its columns.
        named: The column that an unfinished load was begun with.

    Raises:
        ColumnNotFoundError: The plan names a column that the source lacks.
        ConfigurationError: The plan names a column that cannot be used.
    """
    wanted = named or source.plan.chunk_column
    candidate = wanted or next(iter(source.key), None)
    if candidate is None:
        return None
    column = source.schema.column(candidate)
    kind = kind_of(column)
    usable = (
        kind is not None
        and kind is not Kind.ROWVERSION
        and not column.nullable
        and changes.arrives_as_it_is(candidate)
    )
    if usable and kind is not None:
        return ChunkColumn(column, kind)
    if wanted:
        raise ConfigurationError(
            f'"{candidate}" of {source.plan.source} cannot be the chunk_column.',
            "Name a column of numbers, dates or times that is never null, and is moved as it is: "
            "neither masked nor cast.",
        )
    return None
