"""Read a Postgres table as a stream of record batches with its exact types.

The server sends CSV through COPY and pyarrow parses it, a block of whole rows at a time, while a thread
receives the next: memory holds a few blocks, however large the table is.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from functools import partial

import pyarrow as pa
from psycopg2 import sql

from tranship.bounded_connections import stoppable
from tranship.errors import TableNotFoundError
from tranship.exactness import MAX_DIGITS
from tranship.frames import Batches
from tranship.pgsql.driver import SqlCursor, compiled
from tranship.postgres.catalogue import find_table
from tranship.postgres.connection import connect
from tranship.postgres.copy_out import (
    BLOCK_BYTES,
    BLOCKS_AHEAD,
    TEXT_FORMS,
    CopiedRows,
    copy_out,
)
from tranship.postgres.faults import translated
from tranship.postgres.settings import PostgresSettings
from tranship.postgres.statements import select_slice
from tranship.read_ahead import ReadAhead, on_cancel
from tranship.reads import ReadRequest
from tranship.tables import Column, TableName, TableSchema, is_text

_TEXTS = {"text", "varchar", "char", "bpchar", "name", "citext", "uuid", "json", "jsonb", "xml"}
_MOST_DIGITS = 76
"""Digits of Arrow's widest decimal."""

_log = logging.getLogger(__name__)


def read(
    settings: PostgresSettings, request: ReadRequest, *, log: logging.Logger | None = None
) -> Batches:
    """The rows of a table as batches, in no particular order.

    Each pass opens a connection of its own and sees one snapshot of the table. Domains come as what they are
    made of, arrays as lists, and a `numeric` without declared digits as decimals of those that its values have,
    for which they are looked through first. Types that Arrow has no match for (json, enums, intervals, ranges)
    come as text; the log says which.

    Args:
        settings: The server.
        request: The table, its slice, and the columns.
        log: Where it is said what is read as text; by default this module's logger.

    Returns:
        Batches that may be opened again and again; their schema is known before any row is read.

    Raises:
        TableNotFoundError: There is no such table, or this user may not see it.
        ColumnNotFoundError: A column, or the slice's column, is not in the table.
        ValueDoesNotFitError: While iterating: a value has no Arrow form, such as `infinity`.

    Example:
        >>> read(settings, ReadRequest(TableName("public", "stg_a"))).to_table()  # doctest: +SKIP
    """
    with (
        connect(settings) as connection,
        translated(settings, f"read of {request}", request.table, reading=True),
        connection.cursor() as cursor,
    ):
        whole = _schema(cursor, settings, request.table)
        schema = whole.select(request.columns) if request.columns else whole
        select = select_slice(request.table, list(schema.names), request.slice, whole)
        statement = cursor.mogrify(*compiled(select)).decode()
        schema, wide = _with_widths(cursor, schema, statement)
    _say_what_is_text(request, schema, wide, log or _log)
    return Batches(
        schema.to_arrow(),
        lambda: _stream(settings, request, statement, schema),
        any_thread=True,
    )


def row_count(settings: PostgresSettings, request: ReadRequest) -> int:
    """How many rows a table, or a slice of it, has now.

    Raises:
        TableNotFoundError: There is no such table, or this user may not see it.
        ColumnNotFoundError: The slice's column is not in the table.

    Example:
        >>> row_count(settings, ReadRequest(TableName("public", "stg_a")))  # doctest: +SKIP
        606
    """
    import sqlalchemy as sa

    with (
        connect(settings) as connection,
        translated(settings, f"count of {request}", request.table, reading=True),
        connection.cursor() as cursor,
    ):
        whole = _schema(cursor, settings, request.table)
        select = select_slice(request.table, [], request.slice, whole)
        cursor.execute(*compiled(select.with_only_columns(sa.func.count())))
        ((count,),) = cursor.fetchall()
        return count


def _schema(cursor: SqlCursor, settings: PostgresSettings, table: TableName) -> TableSchema:
    existing = find_table(cursor, table)
    if existing is None:
        raise TableNotFoundError(
            f"Postgres at {', '.join(settings.addresses)} has no table {table} in database "
            f"{settings.database!r}, or {settings.user!r} may not see its schema.",
            "Check schema and name, upper and lower case included; materialize the asset first.",
        )
    return existing.schema()


def _say_what_is_text(
    request: ReadRequest, schema: TableSchema, wide: list[str], log: logging.Logger
) -> None:
    for name in wide:
        log.warning(
            'The column "%s" of %s is read as text: it is a numeric that holds NaN, infinities, or numbers of '
            "more than %d digits, which no decimal does.",
            name,
            request.table,
            _MOST_DIGITS,
        )
    printed = [
        f'"{column.name}" ({column.source_type or "of its own type"})'
        for column in schema.columns
        if pa.types.is_large_string(column.type)
        and column.name not in wide
        and (column.source_type is None or column.source_type.name not in _TEXTS)
    ]
    if printed:
        log.info("Read as the text that Postgres prints: %s.", ", ".join(printed))


def _stream(
    settings: PostgresSettings, request: ReadRequest, statement: str, schema: TableSchema
) -> Iterator[pa.RecordBatch]:
    copied = CopiedRows(request.table, schema)
    rows = 0
    with ReadAhead(
        [partial(_receive, settings, request, statement)],
        max_bytes=BLOCKS_AHEAD * BLOCK_BYTES,
        size=len,
        name="tranship-copy-out",
    ) as blocks:
        while (block := blocks.get()) is not None:
            for batch in copied.batches(block, rows):
                rows += batch.num_rows
                yield batch


def _receive(
    settings: PostgresSettings,
    request: ReadRequest,
    statement: str,
    put: Callable[[bytes], None],
) -> None:
    """Runs in the thread: one COPY from the first row to the last."""
    with (
        connect(settings) as connection,
        translated(settings, f"read of {request}", request.table, reading=True),
        connection.cursor() as cursor,
        stoppable(connection) as give_up,
        on_cancel(give_up),
    ):
        cursor.execute(TEXT_FORMS)
        copy_out(cursor, statement, put)


def _with_widths(
    cursor: SqlCursor, schema: TableSchema, statement: str
) -> tuple[TableSchema, list[str]]:
    """The schema with decimals for numbers without declared digits, by the values that a statement gives.

    Args:
        cursor: A cursor of an open connection.
        schema: The columns of the statement's rows.
        statement: The select that will be read.

    Returns:
        The schema, and the columns that stay texts: with NaN or infinities, or of more than 76 digits.
    """
    unbounded = [column.name for column in schema.columns if _is_unbounded(column)]
    if not unbounded:
        return schema, []
    measures = sql.SQL(", ").join(
        sql.SQL("max(scale(q.{0})), max(abs(q.{0}))").format(sql.Identifier(name))
        for name in unbounded
    )
    cursor.execute(sql.SQL("select {} from ({}) q").format(measures, sql.SQL(statement)))
    measured = list(cursor.fetchone() or ())
    types = {
        name: _decimal(*measured[2 * index : 2 * index + 2]) for index, name in enumerate(unbounded)
    }
    columns = tuple(
        replace(column, type=types.get(column.name) or column.type) for column in schema.columns
    )
    return replace(schema, columns=columns), [name for name in unbounded if types[name] is None]


def _is_unbounded(column: Column) -> bool:
    source = column.source_type
    return (
        source is not None
        and source.name == "numeric"
        and source.precision is None
        and is_text(column.type)
    )


def _decimal(scale: int | None, largest: Decimal | None) -> pa.DataType | None:
    if largest is None:
        return pa.decimal128(MAX_DIGITS, 0)
    if not largest.is_finite():  # they sort above all numbers
        return None
    places = scale or 0
    digits = (largest.adjusted() + 1 if abs(largest) >= 1 else 0) + places
    if digits <= MAX_DIGITS:
        return pa.decimal128(MAX_DIGITS, places)
    return pa.decimal256(_MOST_DIGITS, places) if digits <= _MOST_DIGITS else None
