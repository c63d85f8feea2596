"""Reads a table of a Postgres source: one moment, over one connection or several that share a snapshot and take a range of its key each.

Rows come by COPY in threads, ahead of the consumer and within a limit of bytes; a consumer that stops early cancels the statements.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from tranship.bounded_connections import stoppable
from tranship.comparisons import Predicate, equal_cuts, ranges, sql_column
from tranship.errors import ConfigurationError
from tranship.frames import Batches
from tranship.pgsql.driver import SqlCursor, compiled
from tranship.postgres.copy_out import (
    BLOCK_BYTES,
    BLOCKS_AHEAD,
    TEXT_FORMS,
    CopiedRows,
    copy_out,
)
from tranship.postgres.selection import Declared, Selection
from tranship.postgres.settings import PostgresSettings
from tranship.postgres.snapshots import SharedSnapshot, one_moment
from tranship.postgres.source_faults import reading
from tranship.read_ahead import ReadAhead, on_cancel
from tranship.slices import Slice

_REMEDY = (
    "read it as text (cast: {{{column}: text}}), leave the column out (exclude: [{column}]), or leave such rows out with where, as in "
    "where: isfinite({column})."
)


@dataclass(frozen=True)
class Extraction:
    """One read.

    Args:
        settings: The server.
        selection: The table, and how it is read.
        columns: The columns, in order.
        part: Which rows; all by default.
        parallel: Connections to read over at once.
        order_by: Columns to order by, over one connection.
        note: What is said in the log when the read begins.
    """

    settings: PostgresSettings
    selection: Selection
    columns: tuple[str, ...]
    part: Slice | None = None
    parallel: int = 1
    order_by: tuple[str, ...] = ()
    note: str | None = None

    def batches(self, log: logging.Logger) -> Batches:
        """The rows, as batches that can be opened again and again; each time they are those of one moment.

        Raises:
            ColumnNotFoundError: A column that was named is not in the table.
            ConfigurationError: The settings do not fit the table.
            UnsupportedTypeError: A column cannot be moved as it is.
        """
        schema = self.selection.read(self.columns)
        copied = CopiedRows(self.selection.table, schema, _REMEDY)
        column = cut_column(self.selection) if self.parallel > 1 else None
        self._statement(None)  # which refuses a part whose values its column cannot have
        return Batches(
            schema.to_arrow(), partial(self._opened, copied, column, log), any_thread=True
        )

    def _opened(
        self, copied: CopiedRows, column: str | None, log: logging.Logger
    ) -> Iterator[pa.RecordBatch]:
        if self.note is not None:
            log.warning(self.note)
        with ExitStack() as stack:
            producers = [partial(self._receive, None, None)]
            if column is not None:
                producers = self._shared(stack, column)
            blocks = stack.enter_context(
                ReadAhead(
                    producers,
                    max_bytes=BLOCKS_AHEAD * BLOCK_BYTES,
                    size=len,
                    name="tranship-copy-out",
                )
            )
            rows = 0
            while (block := blocks.get()) is not None:
                for batch in copied.batches(block, rows):
                    rows += batch.num_rows
                    yield batch

    def _shared(self, stack: ExitStack, column: str) -> list[Callable[..., None]]:
        """One producer for each range of the key, all of which see the moment that the ranges were cut in."""
        shared = SharedSnapshot(self.settings)
        table = self.selection.table
        with reading(self.settings, f"cutting of {table} by {column}", table):
            snapshot, connection = stack.enter_context(shared.exported())
            with connection.cursor() as cursor:
                cursor.execute(TEXT_FORMS)
                within = range_predicates(cursor, self.selection, self.part, column, self.parallel)
        shared.readers = len(within)
        return [partial(self._receive, one, (shared, snapshot)) for one in within]

    def _receive(
        self,
        within: Predicate | None,
        shared: tuple[SharedSnapshot, str] | None,
        put: Callable[[bytes], None],
    ) -> None:
        """Runs in a thread: one COPY from the first row to the last."""
        snapshot = None if shared is None else shared[1]
        table = self.selection.table
        with (
            one_moment(self.settings, snapshot) as connection,
            reading(self.settings, f"read of {table}", table),
            connection.cursor() as cursor,
            stoppable(connection) as give_up,
            on_cancel(give_up),
        ):
            if shared is not None:
                shared[0].imported()
            cursor.execute(TEXT_FORMS)
            copy_out(cursor, self._text(cursor, within), put)

    def _text(self, cursor: SqlCursor, within: Predicate | None) -> str:
        return cursor.mogrify(*self._statement(within)).decode()

    def _statement(self, within: Predicate | None) -> tuple[str, dict[str, Any]]:
        return compiled(self.selection.select(self.columns, self.part, within, self.order_by))


_DENSE = 0.5
"""A whole-number key with at least this share of its range in use is cut by arithmetic alone."""


def cut_column(selection: Selection) -> str:
    """The column to cut by: the first one of the key.

    Raises:
        ConfigurationError: There is no key.
    """
    if selection.key:
        return selection.key[0]
    raise ConfigurationError(
        f"{selection.table} has no primary key to cut it into ranges by, so it cannot be read over several connections.",
        "Name a key (key: [id]), or leave parallel out.",
    )


def range_predicates(
    cursor: SqlCursor,
    selection: Selection,
    part: Slice | None,
    column: str,
    parts: int,
) -> list[Predicate | None]:
    """Conditions that each row of a part meets exactly one of.

    A whole-number key without large gaps is cut into equal ranges; any other one at its quantiles, for which the server reads the key once.
    There may be fewer ranges than asked for: an empty table has one.

    Args:
        cursor: Of a transaction that sees the moment that is read.
        selection: What is read.
        part: Which of its rows.
        column: The column to cut by.
        parts: How many ranges to aim at.
    """
    cuts = _whole_numbers(cursor, selection, part, column, parts)
    if cuts is None:
        cuts = _quantiles(cursor, selection, part, column, parts)
    return ranges(column, cuts, nullable=selection.schema.column(column).nullable)


def _whole_numbers(
    cursor: SqlCursor,
    selection: Selection,
    part: Slice | None,
    column: str,
    parts: int,
) -> list[Any] | None:
    import pyarrow as pa

    if not pa.types.is_integer(selection.schema.column(column).type):
        return None
    key = sql_column(column)
    statement = selection.rows(part, sa.func.min(key), sa.func.max(key), sa.func.count())
    cursor.execute(*compiled(statement))
    low, high, count = cursor.fetchone() or (None, None, 0)
    if low is None or high is None:
        return []
    return equal_cuts(low, high, parts) if count >= _DENSE * (high - low + 1) else None


def _quantiles(
    cursor: SqlCursor,
    selection: Selection,
    part: Slice | None,
    column: str,
    parts: int,
) -> list[Any]:
    # As texts: a key may have values that Python has no form for, such as infinity.
    # https://www.postgresql.org/docs/current/functions-aggregate.html#FUNCTIONS-ORDEREDSET-TABLE
    shares = ", ".join(str(number / parts) for number in range(1, parts))
    quantiles = sa.func.percentile_disc(sa.literal_column(f"array[{shares}]::float8[]"))
    texts = sa.cast(quantiles.within_group(selection.order_of(column)), Declared("text[]"))
    cursor.execute(*compiled(selection.rows(part, texts)))
    (values,) = cursor.fetchone() or (None,)
    cuts = list(dict.fromkeys(value for value in values or () if value is not None))
    if selection.is_collated(column):
        return cuts
    type_ = Declared(selection.declared(column))
    return [sa.cast(sa.literal(value, sa.Text()), type_) for value in cuts]
