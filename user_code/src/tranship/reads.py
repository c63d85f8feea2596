"""What to read, in words that every system understands."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from tranship.errors import ConfigurationError
from tranship.slices import Slice, WholeTable
from tranship.tables import TableName

MAX_PARTS = 16
"""Connections that one table is read over at most."""


class OnNul(StrEnum):
    """What happens to a text that holds U+0000."""

    ERROR = "error"
    """The read fails, naming table, column and row."""
    STRIP = "strip"
    """The character is taken out, the rest of the text stays."""
    KEEP = "keep"
    """The text stays as it is, for a target that takes it."""


class OnSurrogate(StrEnum):
    """What happens to a text that holds half of a UTF-16 pair."""

    ERROR = "error"
    """The read fails, naming table, column and row."""
    REPLACE = "replace"
    """U+FFFD takes its place, the rest of the text stays."""


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """Which columns of which rows of which table.

    Args:
        table: The table to read.
        slice: Which of its rows.
        columns: Which of its columns, in this order; all of them by default.

    Example:
        >>> str(ReadRequest(TableName("public", "stg_a"), columns=("id",)))
        'public.stg_a (id)'
    """

    table: TableName
    slice: Slice = field(default_factory=WholeTable)
    columns: tuple[str, ...] | None = None

    @classmethod
    def of(
        cls, table: TableName, part: Slice | None = None, columns: Sequence[str] | None = None
    ) -> Self:
        """The request for the whole table, where no slice is named."""
        return cls(table, part or WholeTable(), None if columns is None else tuple(columns))

    def __post_init__(self) -> None:
        if self.columns is not None and not self.columns:
            raise ConfigurationError(
                f"No columns of {self.table} were selected.",
                "Name at least one, or leave columns out.",
            )

    def __str__(self) -> str:
        columns = f" ({', '.join(self.columns)})" if self.columns else ""
        scope = "" if isinstance(self.slice, WholeTable) else f" where {self.slice}"
        return f"{self.table}{columns}{scope}"
