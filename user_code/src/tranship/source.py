"""What a load asks of any source: who it is, its columns, its rows, how many, how far a cursor is.

A source is a class beside its system that implements `Source`; `tranship.systems` tells which there are. Expressions are
SQLAlchemy's, made by `sql_column` and by the source itself, and compiled in its own dialect.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tranship.change_feeds import ChangeFeed, RecordKind
from tranship.cursors import Cursor, Value
from tranship.delete_flags import DeleteFlag
from tranship.errors import ConfigurationError
from tranship.frames import Batches
from tranship.identity import SourceIdentity
from tranship.reads import OnNul, OnSurrogate
from tranship.slices import Slice
from tranship.tables import Column, TableName, TableSchema
from tranship.visibility import OnMasked

if TYPE_CHECKING:
    import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """Which rows of a table a load is about, and how they are read.

    Args:
        table: The table.
        key: The columns that identify a row, where the user named them.
        where: A condition on the rows, in the source's own words.
        delete_flag: How the source marks rows as deleted: those are not rows, but `highest` counts them.
        cast: Types to read columns as, in the source's own words, by column.
        on_nul: What happens to texts that hold U+0000.
        on_surrogate: What happens to texts that hold half of a UTF-16 pair.
        masked: What happens to columns that the source masks for its login.
        parallel: Connections to read over at once.
    """

    table: TableName
    key: tuple[str, ...] = ()
    where: str | None = None
    delete_flag: DeleteFlag | None = None
    cast: Mapping[str, str] = field(default_factory=dict[str, str])
    on_nul: OnNul = OnNul.ERROR
    on_surrogate: OnSurrogate = OnSurrogate.ERROR
    masked: OnMasked = OnMasked.REFUSE
    parallel: int = 1


@dataclass(frozen=True, slots=True)
class HighWaterMark:
    """How far a cursor is at a moment.

    Args:
        value: The highest value that a bookmark may be made of; `None` where no row has one.
        is_final: Whether no row will ever appear at or below it, so that no lookback is needed.
        counter: The highest value that the server itself has given out, where it numbers the rows.
        server_clock: The server's clock, where values lie beyond it; `None` where none do.
        furthest: The highest value, where it lies beyond `value`.
    """

    value: Value | None
    is_final: bool = False
    counter: Value | None = None
    server_clock: Value | None = None
    furthest: Value | None = None

    def is_behind(self, bookmark: Value | None) -> bool:
        """Whether new rows may get values that a load from this bookmark on would not see."""
        value: Any = self.value
        counter: Any = self.counter
        if value is None or bookmark is None or value >= bookmark:
            return False
        # A server that numbers changes itself never numbers one below: the newest row was deleted.
        return counter is None or counter < bookmark


@dataclass(frozen=True, slots=True)
class Collision:
    """Keys that are several in the source and would be one as they arrive.

    Args:
        keys: How many become one, for the first that do.
        columns: The columns of which less arrives than there is, each with what gets lost, in words, and the least and the
            greatest value of these keys.
    """

    keys: int
    columns: tuple[tuple[Column, str, Any, Any], ...]


class Source(ABC):
    """One table of a system that rows are read from."""

    kind: str
    """What it is called in `tranship.systems`."""
    request: SourceRequest
    schema: TableSchema
    """The table's columns, key and comments."""

    @property
    def table(self) -> TableName:
        """The table."""
        return self.request.table

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row: those that were named, else the primary key."""
        return self.request.key or self.schema.primary_key

    # ---- rows ----

    @abstractmethod
    def read(
        self,
        columns: Sequence[str],
        part: Slice | None = None,
        *,
        log: Any = None,
        in_order: bool = False,
    ) -> Batches:
        """The rows of a part of the table, those that the condition lets through.

        Args:
            columns: Which columns.
            part: Which rows; all by default.
            log: Where it is said what the read sees.
            in_order: Whether over one connection in the key's order, in which a row that stays in its place comes once.
        """

    @abstractmethod
    def sees_one_moment(self) -> bool:
        """Whether a read shows each row as it is at one moment, so that none comes twice because it moves."""

    # ---- who it is ----

    @abstractmethod
    def identity(self) -> SourceIdentity:
        """What the server tells now of itself, its database and the table."""

    @abstractmethod
    def difference(self, before: SourceIdentity, now: SourceIdentity) -> str | None:
        """Why it is another source than it was, in words; `None` where nothing that both tell says so."""

    def identity_gaps(self, identity: SourceIdentity) -> str | None:
        """What an identity lacks, what that means, and what to grant; `None` where nothing is amiss."""
        del identity
        return None

    def hidden_keys(self) -> ConfigurationError | None:
        """The error where this login may not see whether the table has a key; `None` where it may."""
        return None

    # ---- numbers and places ----

    @abstractmethod
    def count(self, part: Slice) -> int:
        """How many rows a part of the table has."""

    def estimated_rows(self) -> int | None:
        """Rows by the server's own books; `None` for a view, or where it keeps none."""
        return None

    @abstractmethod
    def highest(self, cursor: Cursor) -> HighWaterMark:
        """The highest cursor value that may be loaded now.

        Asked before the rows are read, so that rows which arrive meanwhile belong to the next load. A value of the server's
        own counting is taken only below the lowest that an open transaction may have; a time only up to the server's clock:
        a bookmark of 9999-12-31 would keep every later row out.

        Raises:
            TranshipError: The server gives a value that is none of the cursor's kind.
        """

    def refused_cursor(self, column: str) -> ConfigurationError | None:
        """The error for a column of the server's own that looks like a cursor and is none; `None` for any other."""
        del column
        return None

    @abstractmethod
    def lowest(self, cursor: Cursor, part: Slice) -> Value | None:
        """The lowest cursor value of a part of the table; `None` where no row has one."""

    @abstractmethod
    def count_newer(self, cursor: Cursor, value: Value) -> int:
        """How many rows lie beyond a value, without those beyond the server's clock."""

    def identity_counter(self, column: str) -> Decimal | None:
        """The last number that the server gave to a column which it numbers upwards itself; `None` for any other."""
        del column
        return None

    def local_clock_of(self, column: str) -> str | None:
        """The default that fills a column from a wall clock without an offset; `None` where none does."""
        del column
        return None

    @abstractmethod
    def chunk_end(self, column: str, part: Slice, row_count: int) -> Any:
        """The value of a column at which the first so many rows of a part end, in its order.

        Returns:
            The last of their values, which rows after them may have too; `None` where the part has no more rows.
        """

    def change_feed(
        self, record: RecordKind = RecordKind.TRACKING, columns: Sequence[str] = ()
    ) -> ChangeFeed:
        """What the server records of the table's changes by itself.

        Args:
            record: Which of its records.
            columns: The columns that are copied, for a record that knows some only.

        Raises:
            ConfigurationError: Such a source records none, or not of such a table.
        """
        del record, columns
        raise ConfigurationError(
            f"{self.table} is in a source of kind {self.kind}, which has no record of changes to follow.",
            "Leave changes out, and name a cursor.",
        )

    # ---- keys and types ----

    def collision(self, key: Sequence[str]) -> Collision | None:
        """Keys that would become one because less arrives of their values than there is; `None` where there are none."""
        del key
        return None

    @abstractmethod
    def type_of_cast(self, declared: str) -> pa.DataType | None:
        """What a column arrives as that is read as a type of the source; `None` where such a type cannot be moved."""

    def pads_with_zero_bytes(self, column: Column) -> bool:
        """Whether the source takes two values of a column for one where they differ by zero bytes at their end only."""
        del column
        return False

    def is_countable(self, column: Column) -> bool:
        """Whether the source counts the values of a column."""
        del column
        return True

    # ---- aggregates ----

    @property
    @abstractmethod
    def counting(self) -> "Callable[..., sa.ColumnElement[int]]":
        """The function that counts, in the source's words, without overflowing."""

    @abstractmethod
    def aggregates(
        self, part: Slice, expressions: "Sequence[sa.ColumnElement[Any]]"
    ) -> tuple[Any, ...]:
        """One row of aggregates over a part of the table, at one moment where the server can."""

    @abstractmethod
    def seconds(
        self, column: "sa.ColumnElement[Any]", type_: pa.DataType
    ) -> "sa.ColumnElement[Any]":
        """Whole seconds from the start of 2000 to a date or time, cut at each full second; with a zone, in UTC."""
