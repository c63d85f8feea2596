"""A large first load in chunks: ranges of a column that never changes, each committed by itself."""

from dataclasses import dataclass
from typing import Any

from tranship.cursors import Cursor, Kind, kind_of
from tranship.errors import ConfigurationError
from tranship.replication.columns import ColumnChanges
from tranship.replication.plan import TablePlan
from tranship.slices import Interval
from tranship.source import Source
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

    def chunk(
        self, start: Any | None, last: Any | None, *, includes_start: bool = False
    ) -> Interval:
        """The rows beyond one value, up to another one and with it; `None` is open.

        Both are values that rows have: no next one is worked out, of which a type's own steps know better.
        """
        is_all = start is None and last is None
        return Interval(self.name, start, last, includes_low=includes_start, includes_null=is_all)

    def text(self, value: Any) -> str | None:
        """A value as the bookmark keeps it."""
        return self._as_cursor().text(value)

    def value(self, text: str) -> Any:
        """A value that the bookmark kept."""
        return self._as_cursor().value(text)

    def checked(self, value: Any) -> Any:
        """A value that the source gave.

        Raises:
            TranshipError: It is of another kind than the column's.
        """
        return self._as_cursor().checked(value)

    def _as_cursor(self) -> Cursor:
        return Cursor(self.name, self.kind, nullable=False, lookback=0, type=self.column.type)


def chunk_column(
    plan: TablePlan, source: Source, changes: ColumnChanges, named: str | None = None
) -> ChunkColumn | None:
    """The column to cut chunks by, if the table has one.

    It must order alike in the source, in Arrow and in the target, which texts do not, and never be null.

    Args:
        plan: The table's plan.
        source: The table.
        changes: What happens to its columns.
        named: The column that an unfinished load was begun with.

    Raises:
        ColumnNotFoundError: The plan names a column that the source lacks.
        ConfigurationError: The plan names a column that cannot be used.
    """
    wanted = named or plan.chunk_column
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
            f'"{candidate}" of {plan.source} cannot be the chunk_column.',
            "Name a column of numbers, dates or times that is never null, and is moved as it is: "
            "neither masked nor cast.",
        )
    return None
