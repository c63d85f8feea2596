"""The vocabulary of the write contract, shared by every target.

One write is one transaction: readers see the old rows or the new rows, and a write that is repeated
gives the same table (except `append`, which adds its rows each time).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from tranship.errors import ConfigurationError
from tranship.slices import Slice, WholeTable
from tranship.tables import TableName, TableSchema

Choice = TypeVar("Choice", bound=StrEnum)

Extra = Callable[[Any], None]
"""What else is done in the transaction of a write: it is given the target's own handle of that, such as a cursor."""
Progress = Callable[[int, int], None]
"""Is told now and then how many rows and bytes of a write went so far."""


class WriteMode(StrEnum):
    """What happens to the rows that are there."""

    REPLACE = "replace"
    """The slice's rows are replaced: the whole table, a partition, or a key range."""
    APPEND = "append"
    """The rows stay and the new ones are added."""
    MERGE = "merge"
    """Rows with an incoming key are updated, the others inserted; rows without one stay."""


class OnSchemaChange(StrEnum):
    """What happens when the incoming columns are not those of the table."""

    ERROR = "error"
    """Nothing is written; the error names each column."""
    EVOLVE = "evolve"
    """New columns are added and types are widened; anything else is an error. Where the columns are a
    source's declaration, constraints follow it: a column may be null, or is no more, and the key changes."""
    REBUILD = "rebuild"
    """Where the whole table is replaced, it is made anew from the incoming columns, and keeps its grants,
    comments, views, and the indexes whose columns are still there. Elsewhere the same as `evolve`."""


@dataclass(frozen=True, slots=True)
class Declared:
    """That a write's schema is what a source declares, whose nullability and key the table follows.

    The schema of a frame says nothing of either: every column of it may be null.

    Args:
        key: The key that the source declared when the table was written before, in the names of the data;
            `None` where nobody wrote it down.
        may_be_double: Whether the read may have shown a row twice, so that a target which enforces no key looks.
    """

    key: tuple[str, ...] | None = None
    may_be_double: bool = False


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """What to write where, and how; the rows come separately as `tranship.frames.Batches`.

    Args:
        table: The target table. It and its schema are created where missing.
        mode: What happens to the rows that are there.
        slice: Which rows `replace` replaces.
        key: The columns that identify a row, for `merge`.
        on_schema_change: What happens when the columns differ from those of the table.
        column_types: Target types to use instead of the derived ones, by column: `{"note": "jsonb"}`.
        declared: What is known of the source's declaration; `None` where the schema is a frame's.
        round: Whether numbers are rounded to the types of `column_types`; otherwise one that such a
            type does not hold exactly fails the write.
        marks_absent: For `merge`, where the rows are all that there are: the column, a time, that tells since when a row is
            gone. It becomes now in rows whose key does not come and that have none yet.

    Raises:
        ConfigurationError: The settings contradict each other.

    Example:
        >>> WriteRequest(TableName("public", "stg_a"), mode=WriteMode.MERGE, key=("id",)).key
        ('id',)
    """

    table: TableName
    mode: WriteMode = WriteMode.REPLACE
    slice: Slice = field(default_factory=WholeTable)
    key: tuple[str, ...] = ()
    on_schema_change: OnSchemaChange = OnSchemaChange.ERROR
    column_types: Mapping[str, str] = field(default_factory=dict[str, str])
    declared: Declared | None = None
    round: bool = False
    marks_absent: str | None = None

    def __post_init__(self) -> None:
        # Texts are as good as the enums; they come from metadata and configuration.
        object.__setattr__(self, "mode", _choice(WriteMode, self.mode, "mode", self.table))
        change = _choice(OnSchemaChange, self.on_schema_change, "on_schema_change", self.table)
        object.__setattr__(self, "on_schema_change", change)
        if self.mode is WriteMode.MERGE and not self.key:
            raise ConfigurationError(
                f"Merging into {self.table} needs to know what identifies a row.",
                'Name the key columns: metadata={"mode": "merge", "key": ["id"]}.',
            )

    def __str__(self) -> str:
        scope = "" if isinstance(self.slice, WholeTable) else f" where {self.slice}"
        return f"{self.mode} of {self.table}{scope}"


def _choice(choices: type[Choice], value: str, setting: str, table: TableName) -> Choice:
    try:
        return choices(value)
    except ValueError as error:
        allowed = ", ".join(choices)
        raise ConfigurationError(
            f"{setting} of the write to {table} is {value!r}.", f"It is one of {allowed}."
        ) from error


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What one write did.

    Args:
        table: The table that was written.
        mode: How.
        slice: Which part of it.
        rows: Rows that arrived at the target.
        bytes: Size of those rows as Arrow buffers, in bytes.
        seconds: Wall-clock time from the first batch to the commit.
        schema: The columns that were written.
        details: What the target adds: encoder, transaction or query ids, staged files.
    """

    table: TableName
    mode: WriteMode
    slice: Slice
    rows: int
    bytes: int
    seconds: float
    schema: TableSchema
    details: Mapping[str, str | int | float] = field(default_factory=dict[str, str | int | float])

    @property
    def rows_per_second(self) -> float:
        """Rows per second of wall-clock time; 0.0 for a write too short to time."""
        return self.rows / self.seconds if self.seconds > 0 else 0.0
