"""Read a Postgres table as a stream of record batches with its exact types.

The server sends CSV through COPY and pyarrow parses it, a block of whole rows at a time, while a thread
receives the next: memory holds a few blocks, however large the table is.
"""

import io
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import pyarrow as pa
from pyarrow import csv

from tranship.deadlines import Deadline
from tranship.errors import TableNotFoundError, ValueDoesNotFitError
from tranship.frames import ROWS_PER_BATCH, Batches
from tranship.pgsql.statements import compiled
from tranship.postgres.array_texts import lists_of
from tranship.postgres.catalog import find_table
from tranship.postgres.connection import connect
from tranship.postgres.faults import translated
from tranship.postgres.hexadecimal import bytes_from_hex
from tranship.postgres.settings import PostgresSettings
from tranship.postgres.statements import select_slice
from tranship.postgres.widths import MOST_DIGITS, with_widths
from tranship.read_ahead import ReadAhead, on_cancel
from tranship.reads import ReadRequest
from tranship.tables import TableSchema

BLOCK_BYTES = 4 * 2**20
"""Size at which a block of rows is handed over; one larger row makes a larger block."""
BLOCKS_AHEAD = 2

_TEXTS = {"text", "varchar", "char", "bpchar", "name", "citext", "uuid", "json", "jsonb", "xml"}
_log = logging.getLogger(__name__)
_CONVERSION = re.compile(r"In CSV column #(?P<column>\d+): (?P<why>.*)")


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
        existing = find_table(cursor, request.table)
        if existing is None:
            raise TableNotFoundError(
                f"Postgres at {', '.join(settings.addresses)} has no table {request.table} in database "
                f"{settings.database!r}, or {settings.user!r} may not see its schema.",
                "Check schema and name, upper and lower case included; materialize the asset first.",
            )
        whole = existing.schema()
        schema = whole.select(request.columns) if request.columns else whole
        select = select_slice(request.table, list(schema.names), request.slice, whole)
        statement = cursor.mogrify(*compiled(select)).decode()
        schema, wide = with_widths(cursor, schema, statement)
    _say_what_is_text(request, schema, wide, log or _log)
    arrow_schema = schema.to_arrow()
    return Batches(
        arrow_schema,
        lambda: _stream(settings, request, statement, schema, arrow_schema),
        any_thread=True,
    )


def _say_what_is_text(
    request: ReadRequest, schema: TableSchema, wide: list[str], log: logging.Logger
) -> None:
    for name in wide:
        log.warning(
            'The column "%s" of %s is read as text: it is a numeric that holds NaN, infinities, or numbers of '
            "more than %d digits, which no decimal does.",
            name,
            request.table,
            MOST_DIGITS,
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
    settings: PostgresSettings,
    request: ReadRequest,
    statement: str,
    schema: TableSchema,
    arrow_schema: pa.Schema,
) -> Iterator[pa.RecordBatch]:
    rows = 0
    with ReadAhead(
        [partial(_receive, settings, request, statement)],
        max_bytes=BLOCKS_AHEAD * BLOCK_BYTES,
        size=len,
        name="tranship-copy-out",
    ) as blocks:
        while (block := blocks.get()) is not None:
            for batch in _parse(block, schema, arrow_schema, request, rows):
                rows += batch.num_rows
                yield batch


def _receive(
    settings: PostgresSettings,
    request: ReadRequest,
    statement: str,
    put: Callable[[bytes], None],
) -> None:
    """Runs in the thread: one COPY from the first row to the last."""
    blocks = _Blocks(put)
    with (
        connect(settings) as connection,
        translated(settings, f"read of {request}", request.table, reading=True),
        connection.cursor() as cursor,
        on_cancel(connection.cancel),
    ):
        # The texts that pyarrow parses; a role or database may have other defaults.
        cursor.execute("set datestyle = 'ISO, YMD'; set timezone = 'UTC'; set bytea_output = 'hex'")
        cursor.execute("set extra_float_digits = 1; set intervalstyle = 'postgres'")
        cursor.copy_expert(f"copy ({statement}) to stdout with (format csv)", blocks)
    blocks.hand_over()


def _parse(
    block: bytes,
    schema: TableSchema,
    arrow_schema: pa.Schema,
    request: ReadRequest,
    rows_before: int,
) -> Iterator[pa.RecordBatch]:
    types = {
        column.name: pa.large_string() if _comes_as_text(column.type) else column.type
        for column in schema.columns
    }
    try:
        table = csv.read_csv(
            io.BytesIO(block),
            # One block: a boundary inside would have to fall between rows.
            read_options=csv.ReadOptions(
                column_names=list(schema.names), block_size=len(block) + 1
            ),
            parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(
                column_types=types,
                null_values=[""],
                true_values=["t"],
                false_values=["f"],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise _unreadable(error, schema, request, rows_before) from None
    for batch in table.to_batches(max_chunksize=ROWS_PER_BATCH):
        arrays = [
            _converted(array, wanted, request, rows_before)
            for array, wanted in zip(batch.columns, arrow_schema, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=arrow_schema)
        rows_before += batch.num_rows


def _comes_as_text(type_: pa.DataType) -> bool:
    return (
        pa.types.is_large_binary(type_) or pa.types.is_list(type_) or pa.types.is_decimal256(type_)
    )


def _converted(
    array: pa.Array, wanted: pa.Field, request: ReadRequest, rows_before: int
) -> pa.Array:
    """What the CSV parser has no form for, from its text."""
    if pa.types.is_large_binary(wanted.type):
        return bytes_from_hex(array, digits_from=2)
    if not _comes_as_text(wanted.type):
        return array
    try:
        if pa.types.is_decimal256(wanted.type):
            return array.cast(wanted.type)
        return lists_of(array, wanted.type)
    except ValueError as error:  # pyarrow's are, too
        raise _without_form(f'column "{wanted.name}"', str(error), request, rows_before) from None


def _unreadable(
    error: pa.ArrowInvalid, schema: TableSchema, request: ReadRequest, rows_before: int
) -> ValueDoesNotFitError:
    match = _CONVERSION.search(str(error))
    where = f'column "{schema.names[int(match["column"])]}"' if match else "a row"
    return _without_form(where, match["why"] if match else str(error), request, rows_before)


def _without_form(
    where: str, why: str, request: ReadRequest, rows_before: int
) -> ValueDoesNotFitError:
    return ValueDoesNotFitError(
        f"{request.table} holds a value in {where}, after row {rows_before}, that Arrow has no form "
        f"for: {why}.",
        "Infinite dates, years before 1 or after 9999, NaN in a numeric(p,s), and arrays of several dimensions "
        "cannot be read: leave the column out, or read it through a view that casts it.",
        details={"column": where},
    )


@dataclass(slots=True)
class _Blocks:
    """Rows gathered into blocks; a file that `copy_expert` writes to, one row a call."""

    put: Callable[[bytes], None]
    deadline: Deadline | None = None
    _rows: list[bytes] = field(default_factory=list)
    _size: int = 0

    def write(self, row: bytes) -> int:
        self._rows.append(row)
        self._size += len(row)
        if self._size >= BLOCK_BYTES:
            self.hand_over()
        return len(row)

    def hand_over(self) -> None:
        """Give away what has been gathered, if anything."""
        if self._rows:
            block = b"".join(self._rows)
            self._rows.clear()
            self._size = 0
            # While the block waits for whoever reads it, nobody waits for the server.
            if self.deadline is not None:
                self.deadline.stop()
            self.put(block)
            if self.deadline is not None:
                self.deadline.start()
