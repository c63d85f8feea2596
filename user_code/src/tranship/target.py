"""What a load asks of any target: to write rows with a bookmark, to look, to count, to lock; and how targets differ, as data.

A target is a class beside its system that implements `Target`; `tranship.systems` tells which there are. What runs inside a
transaction is given the target's own handle of it, which only the target looks into.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from tranship.bookmarks import Bookmark, Bookmarks
from tranship.comparisons import sql_column
from tranship.equality import Rules
from tranship.errors import ConfigurationError
from tranship.frames import Batches
from tranship.history import HistoryRequest, KeptHistory
from tranship.names import shortened
from tranship.own_tables import KEYS_SUFFIX, STATES_SUFFIX, own_table, table_beside
from tranship.slices import Slice
from tranship.tables import TableName, TableSchema
from tranship.writes import Declared, Extra, WriteRequest, WriteResult

if TYPE_CHECKING:
    import sqlalchemy as sa

Transaction = Any
"""A target's own handle of an open transaction: a cursor of its driver, or a connection."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """How one target differs from another.

    Args:
        enforces_keys: Whether a primary key keeps a second row of one key out.
        longest_name_bytes: Bytes that a table's or column's name may have.
        folds_names: Whether names that differ by case alone are one.
        ends_second_writers: Whether of two that write one table the later one fails by itself, so that a bookmark can be
            moved by hand without a lock.
    """

    enforces_keys: bool
    longest_name_bytes: int
    folds_names: bool = False
    ends_second_writers: bool = False


class StagedKeys(ABC):
    """The keys that a source has now, written to a table beside its copy: compared where both are, so that none is held here.

    Rows that are marked as gone count as rows only where there is no mark.
    """

    @property
    @abstractmethod
    def table(self) -> TableName:
        """Where the source's keys are written to before they are compared."""

    @abstractmethod
    def count(self, transaction: Transaction) -> int:
        """How many keys the source has."""

    @abstractmethod
    def count_rows(self, transaction: Transaction) -> int:
        """How many rows the copy has, without those that are marked."""

    @abstractmethod
    def count_deleted(self, transaction: Transaction) -> int:
        """How many of these rows have a key that the source lacks; a key with a null in it never does."""

    @abstractmethod
    def deleted(self, transaction: Transaction) -> list[tuple[Any, ...]]:
        """Their keys."""

    @abstractmethod
    def remove_deleted(self, transaction: Transaction) -> int:
        """Remove these rows, or mark them where there is a mark.

        Returns:
            How many.
        """

    @abstractmethod
    def count_staged(self, transaction: Transaction) -> int:
        """How many rows, without those that are marked, have a key that is staged here."""

    @abstractmethod
    def remove_staged(self, transaction: Transaction) -> int:
        """Remove the rows whose keys are staged here, or mark them where there is a mark.

        Returns:
            How many.
        """

    @abstractmethod
    def unmark(self, transaction: Transaction) -> int:
        """Take the mark from rows whose key the source has.

        Returns:
            How many; none where there is no mark.
        """

    @abstractmethod
    def lacking(self, transaction: Transaction, most: int) -> list[tuple[Any, ...]]:
        """Keys of the source that the copy has no row for, so many at most."""

    @abstractmethod
    def respell(self, transaction: Transaction) -> None:
        """Give rows the spelling that their key has in the source now, where that takes both for the same."""

    @abstractmethod
    def clear(self, transaction: Transaction) -> None:
        """Let the keys go."""


class Target(ABC):
    """A database that tables are copied to. Methods take names as the data has them and make of them what the target does."""

    kind: ClassVar[str]
    """What it is called in `tranship.systems`."""
    capabilities: ClassVar[Capabilities]

    # ---- where, and what is there ----

    @property
    @abstractmethod
    def address(self) -> str:
        """Where it is, for messages; never with a password."""

    @abstractmethod
    def schema_of(self, table: TableName) -> TableSchema | None:
        """The columns of a table as it is now; `None` where there is none."""

    @abstractmethod
    def is_empty(self, table: TableName) -> bool:
        """Whether a table that is there has no row."""

    @abstractmethod
    def drift(self, table: TableName, incoming: TableSchema, declared: Declared) -> list[str]:
        """How columns and key differ from the table's, in words; nothing where it can take them as they are."""

    # ---- transactions ----

    @abstractmethod
    def transaction(
        self, doing: str, table: TableName | None = None
    ) -> AbstractContextManager[Transaction]:
        """A transaction that is committed at the end of the block.

        Args:
            doing: What is done, for messages.
            table: What it is done to; what lies beside it is in the same schema.
        """

    @abstractmethod
    def lock(self, transaction: Transaction, table: TableName) -> None:
        """Take one's turn among the writers of a table, until the end of the transaction."""

    @abstractmethod
    def prepare(self, table: TableName) -> None:
        """Create what a load needs before its first write, where it is missing: schema and bookmarks.

        Raises:
            ConfigurationError: A table of somebody else's has the name of one of ours, or the other way round.
        """

    @abstractmethod
    def write(
        self, request: WriteRequest, batches: Batches, log: logging.Logger, extra: Extra
    ) -> WriteResult:
        """Write rows in one transaction, and what `extra` does in the same one."""

    @abstractmethod
    def drop_columns(
        self, transaction: Transaction, table: TableName, columns: Sequence[str]
    ) -> None:
        """Drop columns of a table, by their names in the target."""

    # ---- bookmarks ----

    @abstractmethod
    def bookmarks(self, table: TableName) -> Bookmarks:
        """Where the bookmark of a table is kept."""

    @abstractmethod
    def all_bookmarks(self, transaction: Transaction, schema: str | None = None) -> list[Bookmark]:
        """Every bookmark that the target keeps, or those of one schema in any case of its letters."""

    def bookmark(self, table: TableName) -> Bookmark | None:
        """How far a table was loaded; `None` where it never was."""
        with self.transaction(f"reading the bookmark of {table}", table) as transaction:
            return self.bookmarks(table).read(transaction, self.table_name(table))

    def bookmark_if_kept(self, table: TableName) -> Bookmark | None:
        """The same of a table that no load may ever have been prepared for."""
        return self.bookmark(table)

    # ---- keys ----

    @abstractmethod
    def staged_keys(
        self,
        table: TableName,
        key: tuple[str, ...],
        rules: Rules,
        mark: str | None,
        since: str | None = None,
    ) -> StagedKeys:
        """The keys of a table's source, to be compared with its own.

        Args:
            table: The copy.
            key: The key columns, as they are called in the data.
            rules: How the source compares the key's texts.
            mark: The column that tells since when a row is gone, where such rows stay.
            since: The column of the staged keys that tells the same, where the source does; null is now.
        """

    @abstractmethod
    def count_duplicate_keys(
        self,
        table: TableName,
        key: tuple[str, ...],
        rules: Rules,
        zero_padded: Collection[str] = (),
    ) -> tuple[int, int]:
        """How many keys come more than once in a table, and in how many rows.

        Args:
            table: The table.
            key: The key columns, as they are called in the data.
            rules: How the source compares the key's texts.
            zero_padded: Columns of bytes of which zero bytes at the end do not count.
        """

    # ---- history ----

    def history(self, request: HistoryRequest) -> KeptHistory:
        """The history of a table.

        Raises:
            ConfigurationError: The target keeps none.
        """
        raise keeps_no_history(self.kind, request.copy)

    # ---- aggregates ----

    @abstractmethod
    def select(
        self,
        transaction: Transaction,
        table: TableName,
        expressions: "Sequence[sa.ColumnElement[Any]]",
        part: Slice,
        schema: TableSchema,
        *,
        where: "sa.ColumnElement[bool] | None" = None,
    ) -> tuple[Any, ...]:
        """One row of aggregates over a part of a table.

        Args:
            transaction: Where it is asked.
            table: The table.
            expressions: The aggregates, over columns that `column` made.
            part: Which of its rows, in the names of the data.
            schema: Its columns, in the target's names.
            where: A further condition.
        """

    @abstractmethod
    def seconds(
        self, column: "sa.ColumnElement[Any]", type_: pa.DataType
    ) -> "sa.ColumnElement[Any]":
        """Whole seconds from the start of 2000 to a date or time, cut at each full second; with a zone, in UTC."""

    def predicate(self, part: Slice, schema: TableSchema) -> "sa.ColumnElement[bool] | None":
        """The condition that rows of a slice meet, and no others; `None` where all do.

        Args:
            part: The slice, in the names of the data.
            schema: The table's columns, in the target's names.
        """
        return self.folded(part).predicate(schema)

    def column(self, name: str) -> "sa.ColumnClause[Any]":
        """A column by its name in the data, quoted."""
        return sql_column(self.name(name))

    # ---- names ----

    def name(self, column: str) -> str:
        """What the target makes of a column's name."""
        return column

    def table_name(self, table: TableName) -> TableName:
        """What the target makes of a table's name."""
        return table

    def folded(self, part: Slice) -> Slice:
        """The same slice in the target's names."""
        return part

    def fitting(self, table: TableName) -> TableName:
        """A table's name as it is where the target has room for it, else shortened."""
        return TableName(table.schema, shortened(table.name, self.capabilities.longest_name_bytes))

    def own_table(self, table: TableName) -> str | None:
        """What of ours a table of that name would be; `None` where the name is free."""
        return table_beside(
            table, KEYS_SUFFIX, "the keys of {}, which its deletions are found with"
        ) or table_beside(table, STATES_SUFFIX, "where states wait for the history of {}")


def refuse_own_name(target: Target, table: TableName) -> None:
    """Refuse a copy that would be a table of ours.

    Raises:
        ConfigurationError: It would.
    """
    if what := target.own_table(table):
        raise own_table(table, what)


def keeps_no_history(target: str, table: TableName) -> ConfigurationError:
    """The error for a history in a target that keeps none.

    Args:
        target: What the target is called.
        table: Whose history it would be.
    """
    return ConfigurationError(
        f"{table} is to have a history, and {target} keeps none.",
        "Leave history out of its settings.",
    )
