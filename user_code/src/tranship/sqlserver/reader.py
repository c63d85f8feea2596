"""Reads a table of SQL Server as a stream of Arrow record batches of a declared schema, or counts its rows.

Batches are fetched in threads, ahead of the consumer and within a limit of bytes; a consumer that
stops early cancels the queries. Nothing here knows the target.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from tranship.comparisons import Predicate
from tranship.frames import Batches
from tranship.read_ahead import read_ahead
from tranship.reads import OnSurrogate, ReadRequest
from tranship.sqlserver.catalogue import describe, describe_over
from tranship.sqlserver.conform import ReplacementWatch, conformer
from tranship.sqlserver.connection import connect
from tranship.sqlserver.consistency import Consistency, begin_consistent_read
from tranship.sqlserver.idle_connection import IdleConnection
from tranship.sqlserver.options import ReadOptions
from tranship.sqlserver.query import Query, build_query, row_predicate
from tranship.sqlserver.settings import SqlServerSettings
from tranship.sqlserver.statements import rows, run
from tranship.sqlserver.stopping import BoundedCursor, stoppable_cursor
from tranship.sqlserver.types import is_large
from tranship.sqlserver.visibility import check_columns, filter_note
from tranship.tables import TableSchema

_FIRST_ROWS = 8192
_FIRST_ROWS_OF_LARGE_VALUES = 256
_FEWEST_ROWS = 16
_GROWTH = 4

_log = logging.getLogger(__name__)


def read(
    settings: SqlServerSettings,
    request: ReadRequest,
    options: ReadOptions | None = None,
    *,
    schema: TableSchema | None = None,
    log: logging.Logger | None = None,
    idle: IdleConnection | None = None,
) -> Batches:
    """The rows of a table, as batches that can be opened again and again.

    The table is described at once. The connection for that is kept for five seconds, in which the first
    `open()` goes on with it; every other one makes its own connections and queries. One query sees one
    moment where the database has snapshot isolation or read committed snapshot, and with `parts` each
    part sees its own, a few milliseconds apart; the log says which it was.

    Args:
        settings: Where the table is.
        request: The table, its columns and the slice of its rows.
        options: Everything else; see `ReadOptions`.
        schema: The table's schema where the caller has described it, which saves asking.
        log: Where it is said that a read may not see one moment; by default this module's logger.
        idle: Where the caller has left a connection for the first `open()`.

    Returns:
        Batches whose fields carry the source types. An empty result has a schema and no batches.

    Raises:
        TableNotFoundError: There is no such table; the message has names that are close.
        ColumnNotFoundError: A column that was named is not in the table.
        UnsupportedTypeError: A column's type cannot be moved, or its values are encrypted; the message says how to skip or cast it.
        ConfigurationError: The options contradict each other or the table.
        ConnectionFailedError: The server cannot be reached or refuses the login.
        ValueDoesNotFitError: While iterating: a text holds U+0000, or half of a UTF-16 pair.
        TransientError: While iterating: a fault that passes, such as a lost connection.

    Example:
        >>> request = ReadRequest(TableName("dbo", "FactInternetSales"))  # doctest: +SKIP
        >>> for batch in read(settings, request, ReadOptions(parts=4)):  # doctest: +SKIP
        ...     print(batch.num_rows)
    """
    chosen = options or ReadOptions()
    idle = idle or IdleConnection()
    source = schema if schema is not None else describe(settings, request.table, idle=idle)
    query = build_query(request, source, chosen)
    shown, user = source.visibility, settings.user
    check_columns(request.table, query.schema.names, shown, chosen.masked, user)
    opened = partial(_open, settings, query, chosen, _split_by(query, chosen), log or _log, idle)
    return Batches(query.schema.to_arrow(), opened, any_thread=True)


def _split_by(query: Query, options: ReadOptions) -> str | None:
    """The column whose ranges are the parts of a read; `None` for a read in one part."""
    if options.parts == 1:
        return None
    from tranship.sqlserver.parts import part_column

    return part_column(query, options.part_column)


def _open(
    settings: SqlServerSettings,
    query: Query,
    options: ReadOptions,
    column: str | None,
    log: logging.Logger,
    idle: IdleConnection,
) -> Iterator[pa.RecordBatch]:
    predicates: list[Predicate | None] = [None]
    if column is not None:
        from tranship.sqlserver.parts import part_predicates

        with connect(
            settings, doing=f"splitting {query.table}", reuse=idle, keep=idle
        ) as connection:
            predicates = part_predicates(connection, query, column, options.parts)
    parts = [_Part(settings, query, predicate, options, idle) for predicate in predicates]
    is_noted = False
    opened = [part.batches for part in parts]
    for batch in read_ahead(opened, max_bytes=options.queue_bytes, size=_bytes):
        if not is_noted:
            is_noted = True
            _say_what_it_sees(parts, log)
            _say_what_is_filtered(query, settings, log)
        yield batch


def _bytes(batch: pa.RecordBatch) -> int:
    return batch.nbytes


def _say_what_is_filtered(query: Query, settings: SqlServerSettings, log: logging.Logger) -> None:
    shown = query.source.visibility
    note = filter_note(query.table, shown, settings.user)
    if note is not None:
        log.log(logging.WARNING if shown.filtered_by else logging.INFO, note)


def _say_what_it_sees(parts: "Sequence[_Part]", log: logging.Logger) -> None:
    consistency = next((part.consistency for part in parts if part.consistency is not None), None)
    note = consistency.note(parts[0].query.table, len(parts)) if consistency is not None else None
    if note is not None:
        log.info(note)


@dataclass(slots=True)
class _Part:
    """One query on one connection: a whole read, or one range of it."""

    settings: SqlServerSettings
    query: Query
    predicate: Predicate | None
    options: ReadOptions
    idle: IdleConnection
    consistency: Consistency | None = None

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The part's batches, of the declared schema."""
        with connect(
            self.settings, doing=f"reading {self.query.table}", reuse=self.idle
        ) as connection:
            self.consistency = begin_consistent_read(connection)
            with stoppable_cursor(connection) as cursor:
                run(cursor, self.query.select(self.predicate))
                yield from fetched(cursor, self.query, self.options, self.predicate)


def fetched(
    cursor: BoundedCursor, query: Query, options: ReadOptions, predicate: Predicate | None = None
) -> Iterator[pa.RecordBatch]:
    """Batches of about the size that was asked for, however wide their rows turn out to be.

    This is the loop of the driver's `arrow_reader`, except that the number of rows follows the
    bytes of the last batch: rows with large values would otherwise come 65,536 at a time.
    """
    fit = conformer(query.table, query.schema, cursor.arrow_batch(0).schema, options.on_nul)
    long = any(
        column.source_type is not None and is_large(column.source_type)
        for column in query.schema.columns
    )
    rows = min(options.batch_rows, _FIRST_ROWS_OF_LARGE_VALUES if long else _FIRST_ROWS)
    watch = ReplacementWatch(query)
    watches = options.on_surrogate is OnSurrogate.ERROR
    fetched = 0
    with cursor.fetching_long_values() if long else nullcontext():
        while (batch := cursor.arrow_batch(rows)).num_rows:
            rows = _next_rows(batch, options)
            conformed = fit.conform(batch, first_row=fetched + 1)
            if watches:
                watch.see(conformed, first_row=fetched + 1)
            yield conformed
            fetched += batch.num_rows
    watch.check(cursor, predicate)


def _next_rows(batch: pa.RecordBatch, options: ReadOptions) -> int:
    fitting = options.batch_bytes * batch.num_rows // max(batch.nbytes, 1)
    grown = min(fitting, batch.num_rows * _GROWTH)
    return max(min(grown, options.batch_rows), min(_FEWEST_ROWS, options.batch_rows))


def row_count(settings: SqlServerSettings, request: ReadRequest) -> int:
    """How many rows a table, or a slice of it, has now.

    Raises:
        TableNotFoundError: There is no such table.
        ColumnNotFoundError: The slice names a column that the table lacks.

    Example:
        >>> row_count(settings, ReadRequest(TableName("dbo", "DimProduct")))  # doctest: +SKIP
        606
    """
    from tranship.sqlserver.conditions import ROW_COUNT, select_rows

    with connect(settings, doing=f"counting {request.table}") as connection:
        source = describe_over(connection, settings, [request.table])[request.table]
        predicate = row_predicate(request, source, ReadOptions())
        statement = select_rows(request.table, predicate, ROW_COUNT)
        return int(rows(connection, statement)[0][0])
