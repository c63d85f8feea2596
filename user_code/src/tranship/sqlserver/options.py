"""How a table is read: which rows and columns beyond the request, in how many parts, in how much memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tranship.errors import ConfigurationError
from tranship.frames import ROWS_PER_BATCH
from tranship.reads import MAX_PARTS, OnNul, OnSurrogate
from tranship.visibility import OnMasked

if TYPE_CHECKING:
    import sqlalchemy as sa


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """Options of one read. The defaults read every column of every row over one connection.

    Args:
        where: A condition beside the request's slice: a SQLAlchemy expression, whose values are
            bound; or text, which goes into the statement as it is and must be your own words.
        order_by: Columns to order the rows by.
        exclude: Columns to leave out.
        cast: Types to read columns as, by column: `{"Place": "nvarchar(max)"}`. The server casts.
        on_nul: What happens to texts that hold U+0000.
        masked: What happens to columns that the source masks for this login: refuse them, or accept the masks.
        on_surrogate: What happens to texts that hold half of a UTF-16 pair.
        parts: Connections to read over at once, each one range of `part_column`.
        part_column: The column to split by; by default the primary key, where it is one column.
        batch_rows: Rows per batch at most.
        batch_bytes: Bytes per batch to aim at; wide rows come in shorter batches.
        queue_bytes: Bytes read ahead of the consumer at most, over all parts.

    Raises:
        ConfigurationError: The options contradict each other.

    Example:
        >>> import sqlalchemy as sa
        >>> ReadOptions(where=sa.column("Size") > 10, exclude=("Photo",)).parts
        1
    """

    where: "sa.ColumnElement[bool] | str | None" = None
    order_by: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    cast: Mapping[str, str] = field(default_factory=dict[str, str])
    on_nul: OnNul = OnNul.ERROR
    masked: OnMasked = OnMasked.REFUSE
    on_surrogate: OnSurrogate = OnSurrogate.ERROR
    parts: int = 1
    part_column: str | None = None
    batch_rows: int = ROWS_PER_BATCH
    batch_bytes: int = 4 << 20
    queue_bytes: int = 16 << 20

    def __post_init__(self) -> None:
        if not 1 <= self.parts <= MAX_PARTS:
            raise ConfigurationError(
                f"parts is {self.parts}.", f"Give 1 to {MAX_PARTS}: each part is a connection."
            )
        if self.parts > 1 and self.order_by:
            raise ConfigurationError(
                "Rows of several parts arrive mixed, so they cannot be ordered.",
                "Leave out order_by, or set parts to 1.",
            )
        if min(self.batch_rows, self.batch_bytes, self.queue_bytes) < 1:
            raise ConfigurationError(
                "batch_rows, batch_bytes and queue_bytes must be 1 or more.",
                "Leave them out for the defaults.",
            )
