"""Rows on their way into one COPY: encoded as binary by pgpq or as CSV by pyarrow, ahead of what is sent.

pgpq is three times cheaper but has no wheel on every platform and does not know every type; CSV carries everything. The same tests run
on both. A thread reads and encodes ahead while this thread sends, with a bounded queue between. An error on either side stops the other;
the original one is raised, once. A user's generator is read in this thread instead, between two sends.
"""

# pyarrow-stubs leaves types unknown; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import psycopg2
import pyarrow as pa
import pyarrow.compute
from psycopg2 import sql
from pyarrow import csv

from tranship.arrow_types import ArrowArray
from tranship.errors import ConfigurationError, RowsOutsideSliceError, TransientError
from tranship.frames import Batches
from tranship.pgsql.driver import SqlConnection, SqlCursor
from tranship.pgsql.incoming import Incoming
from tranship.postgres.casting import ColumnPlan, fit_batch
from tranship.postgres.text_forms import hex_from_bytes
from tranship.postgres.types import PostgresType
from tranship.read_ahead import InThisThread, ReadAhead, items_of
from tranship.slices import Slice
from tranship.tables import TableName
from tranship.writes import Progress

pc: Any = pyarrow.compute  # its stubs know few of the argument types it takes
ROWS_PER_CHUNK = 8_192
"""Rows encoded at once: about 2 MB of a 26-column fact. The encoder holds the GIL meanwhile."""
BYTES_PER_CHUNK = 4 * 2**20


class Encoder(StrEnum):
    """How rows are written for COPY."""

    AUTO = "auto"
    """Binary where the platform and the types allow it, else CSV."""
    BINARY = "binary"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Encoding:
    """A chosen encoder for the columns of one write.

    Args:
        encoder: `BINARY` or `CSV`.
        copy_options: What stands in the parentheses of `copy ... from stdin with (...)`.
        chunks: Makes the bytes of one pass: feeds on fitted batches, ends with the trailer.
    """

    encoder: Encoder
    copy_options: str
    chunks: Callable[[Iterator[pa.RecordBatch]], Iterator[bytes]]


def encode(plans: list[ColumnPlan], wanted: Encoder = Encoder.AUTO) -> Encoding:
    """Choose how these columns are written.

    Args:
        plans: The columns, whose `wire` types the batches will have.
        wanted: An encoder to insist on.

    Raises:
        ConfigurationError: Binary was insisted on and cannot be had.
    """
    textual = [plan for plan in plans if not plan.binary]
    available = importlib.util.find_spec("pgpq") is not None
    if wanted is Encoder.BINARY and not available:
        raise ConfigurationError(
            "Binary COPY needs the package pgpq, which is not installed.",
            "Install it, or leave the encoder at auto: CSV works everywhere.",
        )
    if wanted is Encoder.BINARY and textual:
        listed = ", ".join(f'"{plan.name}" ({plan.type})' for plan in textual)
        raise ConfigurationError(
            f"Binary COPY cannot carry {listed}.", "Leave the encoder at auto, or use csv."
        )
    if wanted is Encoder.CSV or textual or not available:
        return Encoding(Encoder.CSV, "format csv", lambda batches: _csv_chunks(plans, batches))
    return Encoding(Encoder.BINARY, "format binary", lambda batches: _binary_chunks(plans, batches))


def _slices(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        # Long texts make short slices: what is encoded at once is bounded in bytes too.
        fitting = BYTES_PER_CHUNK * batch.num_rows // max(batch.nbytes, 1)
        rows = max(1, min(ROWS_PER_CHUNK, fitting))
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


def _binary_chunks(plans: list[ColumnPlan], batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    import pgpq
    from pgpq import encoders, schema

    fields = [pa.field(plan.name, plan.wire) for plan in plans]
    builders = {
        field.name: (
            encoders.LargeStringEncoderBuilder.new_with_output(field, schema.Jsonb())
            if plan.type == PostgresType("jsonb")
            else pgpq.ArrowToPostgresBinaryEncoder.infer_encoder(field)
        )
        for field, plan in zip(fields, plans, strict=True)
    }
    encoder = pgpq.ArrowToPostgresBinaryEncoder.new_with_encoders(pa.schema(fields), builders)
    yield encoder.write_header()
    for part in _slices(batches):
        yield encoder.write_batch(part)
    yield encoder.finish()


def _csv_chunks(plans: list[ColumnPlan], batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    """Texts are always quoted and nulls never, so an empty text stays apart from a null."""
    options = csv.WriteOptions(
        include_header=False, quoting_style="needed", batch_size=ROWS_PER_CHUNK
    )
    for part in _slices(batches):
        arrays = [_csv_array(array, plan) for array, plan in zip(part.columns, plans, strict=True)]
        sink = pa.BufferOutputStream()
        csv.write_csv(pa.RecordBatch.from_arrays(arrays, names=part.schema.names), sink, options)
        yield sink.getvalue().to_pybytes()


def _csv_array(array: ArrowArray, plan: ColumnPlan) -> ArrowArray:
    """The array as something whose CSV form Postgres reads back as the same values."""
    wire = plan.wire
    if pa.types.is_fixed_size_binary(wire):
        return hex_from_bytes(array.cast(pa.large_binary()))
    if pa.types.is_large_binary(wire):
        return pc.replace_substring_regex(hex_from_bytes(array), pattern="^", replacement=r"\\x")
    if pa.types.is_duration(wire):
        ticks = array.cast(pa.int64()).cast(pa.large_string())
        return pc.binary_join_element_wise(ticks, _text("microseconds"), _text(" "))
    return array


def _text(value: str) -> "pa.Scalar[Any]":
    return pa.scalar(value, pa.large_string())


QUEUE_BYTES = 8 * 2**20
"""Encoded bytes that may wait to be sent."""


@dataclass(slots=True)
class Copied:
    """What one COPY has taken so far.

    Args:
        rows: Rows that were encoded.
        bytes: Their size as Arrow buffers.
        copy_bytes: Bytes that went over the wire.
    """

    rows: int = 0
    bytes: int = 0
    copy_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CopyTarget:
    """Where the rows go and what they must be.

    Args:
        relation: The quoted name that COPY writes to; a staging table or the table itself.
        table: The table as the user knows it, for messages.
        plans: The columns, in the order in which they are sent.
        slice: Rows outside of it are refused before they are sent.
        freeze: Whether rows are written frozen; only for a table created in this transaction.
    """

    relation: sql.Composable
    table: TableName
    plans: list[ColumnPlan]
    slice: Slice
    freeze: bool = False


def copy_in(
    cursor: SqlCursor,
    target: CopyTarget,
    batches: Batches,
    encoding: Encoding,
    progress: Progress | None = None,
) -> Copied:
    """Send all batches through one COPY.

    Raises:
        RowsOutsideSliceError: A row does not belong to the slice.
        ValueDoesNotFitError: A value is outside what its column can hold.
        psycopg2.Error: The server refused rows.
        Exception: Whatever reading the batches raised.
    """
    columns = sql.SQL(", ").join(sql.Identifier(plan.name) for plan in target.plans)
    options = sql.SQL(encoding.copy_options + (", freeze" if target.freeze else ""))
    statement = sql.SQL("copy {} ({}) from stdin with ({})").format(
        target.relation, columns, options
    )
    with (
        _taken_from(batches, lambda: _chunks(target, batches, encoding)) as ahead,
        closing(_CopyFile(cursor.connection, ahead, progress)) as rows,
    ):
        try:
            cursor.copy_expert(statement.as_string(cursor), rows)
        except psycopg2.Error as error:
            # When this side failed, the server's error only repeats that we broke off.
            if rows.failure is not None:
                raise rows.failure from None
            if rows.interrupted and error.pgcode == "57014":
                raise TransientError(
                    f"The server interrupted the COPY into {target.table} without an error."
                ) from None
            raise
        if rows.failure is not None:
            raise rows.failure
    return rows.copied


def _taken_from(
    batches: Batches, chunks: "Callable[[], Iterator[_Chunk]]"
) -> "ReadAhead[_Chunk] | InThisThread[_Chunk]":
    if not batches.any_thread:
        return InThisThread(chunks)
    return ReadAhead(
        [items_of(chunks)],
        max_bytes=QUEUE_BYTES,
        size=lambda chunk: len(chunk.data),
        name="tranship-encode",
    )


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Encoded rows, and how many rows and Arrow bytes there are up to its end."""

    data: bytes
    rows: int
    bytes: int


def _chunks(target: CopyTarget, batches: Batches, encoding: Encoding) -> Iterator[_Chunk]:
    """Read, check, fit, encode."""
    counted = _Counter()
    opened = batches.open()
    try:
        for data in encoding.chunks(_fitted(opened, target, counted)):
            if data:
                yield _Chunk(data, counted.rows, counted.bytes)
    finally:
        close: Any = getattr(opened, "close", None)
        if close is not None:
            close()


@dataclass(slots=True)
class _Counter:
    rows: int = 0
    bytes: int = 0


def _fitted(
    opened: Iterator[pa.RecordBatch], target: CopyTarget, counted: _Counter
) -> Iterator[pa.RecordBatch]:
    for batch in opened:
        _check_slice(batch, target, counted.rows)
        fitted = fit_batch(batch, target.plans, target.table, counted.rows)
        counted.rows += batch.num_rows
        counted.bytes += batch.nbytes
        yield fitted


def _check_slice(batch: pa.RecordBatch, target: CopyTarget, rows_before: int) -> None:
    mask = target.slice.mask(batch)
    if mask is None or mask.true_count == len(mask):
        return
    outside = len(mask) - mask.true_count
    index = mask.index(False).as_py()
    columns = target.slice.columns
    values = ", ".join(f'"{name}" = {batch.column(name)[index].as_py()!r}' for name in columns)
    raise RowsOutsideSliceError(
        f"{outside} of {batch.num_rows} rows for {target.table} do not belong to the slice "
        f"{target.slice}: the first is row {rows_before + index + 1} with {values}.",
        "Filter the rows to the partition, or correct partition_expr. They would not be replaced "
        "when this partition runs again.",
        details={"rows_outside": outside, "row": rows_before + index + 1, "value": values},
    )


@dataclass(slots=True)
class _CopyFile:
    """The encoded chunks, as the file that `copy_expert` reads."""

    connection: SqlConnection
    ahead: ReadAhead[_Chunk] | InThisThread[_Chunk]
    progress: Progress | None
    copied: Copied = field(default_factory=Copied)
    failure: BaseException | None = None
    interrupted: bool = False
    _incoming: Incoming | None = None

    def read(self, _size: int = -1) -> bytes:
        """The next chunk, whatever its size: the driver takes any. Empty at the end.

        What is raised in here the driver drops: it only tells the server to give up the COPY.
        """
        try:
            chunk = self.ahead.get(self._stop_if_server_spoke)
            self._stop_if_server_spoke()
            if chunk is None:
                return b""
            self.copied.rows, self.copied.bytes = chunk.rows, chunk.bytes
            self.copied.copy_bytes += len(chunk.data)
            if self.progress is not None:
                self.progress(chunk.rows, chunk.bytes)
        except BaseException as error:
            if self.failure is None and not self.interrupted:
                self.failure = error
            raise
        return chunk.data

    def readline(self, _size: int = -1) -> bytes:
        """Part of what the driver's type asks of a file; COPY never calls it."""
        return self.read()

    def close(self) -> None:
        """The end of the COPY, whichever way."""
        if self._incoming is not None:
            self._incoming.close()

    def _stop_if_server_spoke(self, _waited: float = 0.0) -> None:
        """Break off when the server has sent something, or is gone: during a COPY that is an error.

        The driver would send everything that is left before it looked. Notices are off.
        """
        if self._incoming is None:
            # Only now: what the server answered to the statement itself has been read.
            self._incoming = Incoming(self.connection)
        if self._incoming.is_there():
            self.interrupted = True
            raise ConnectionAbortedError("the server ended the COPY")
