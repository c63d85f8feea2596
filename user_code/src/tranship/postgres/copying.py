"""Feed one COPY: a thread reads and encodes ahead while this thread sends, with a bounded queue between.

An error on either side stops the other; the original one is raised, once.
"""

import select
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import psycopg2.extensions
import pyarrow as pa
from psycopg2 import sql

from tranship.errors import RowsOutsideSliceError, TransientError
from tranship.frames import Batches
from tranship.postgres.casting import ColumnPlan, fit_batch
from tranship.postgres.encoding import Encoding
from tranship.slices import Slice
from tranship.tables import TableName

QUEUE_BYTES = 8 * 2**20
"""Encoded bytes that may wait to be sent."""
SECONDS_BETWEEN_LOOKS = 1.0
"""How often we look whether the server is still there while the rows are slow to come."""
Progress = Callable[[int, int], None]


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
    cursor: psycopg2.extensions.cursor,
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
    queue = _ChunkQueue(cursor.connection, progress)
    producer = threading.Thread(
        target=_produce,
        args=(queue, target, batches, encoding),
        name="tranship-encode",
        daemon=True,
    )
    producer.start()
    try:
        cursor.copy_expert(statement.as_string(cursor), queue)
    except psycopg2.Error as error:
        queue.close()
        producer.join()
        # When this side failed, the server's error only repeats that we broke off.
        if queue.failure is not None:
            raise queue.failure from None
        if queue.interrupted and error.pgcode == "57014":
            raise TransientError(
                f"The server interrupted the COPY into {target.table} without an error."
            ) from None
        raise
    finally:
        queue.close()
        producer.join()
    if queue.failure is not None:
        raise queue.failure
    return queue.copied


def _produce(
    queue: "_ChunkQueue", target: CopyTarget, batches: Batches, encoding: Encoding
) -> None:
    """Runs in the thread: read, check, fit, encode."""
    counted = _Counter()
    opened = batches.open()
    try:
        for chunk in encoding.chunks(_fitted(opened, target, counted)):
            if chunk and not queue.put(chunk, counted.rows, counted.bytes):
                break
        queue.finish()
    except BaseException as error:  # noqa: BLE001 - handed to the sending thread, which raises it
        queue.fail(error)
    finally:
        close = getattr(opened, "close", None)
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
class _ChunkQueue:
    """A bounded queue of bytes that `copy_expert` reads as a file."""

    connection: psycopg2.extensions.connection
    progress: Progress | None
    copied: Copied = field(default_factory=Copied)
    failure: BaseException | None = None
    interrupted: bool = False
    _chunks: deque[tuple[bytes, int, int]] = field(default_factory=deque)
    _waiting_bytes: int = 0
    _finished: bool = False
    _closed: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _poll: Any = None

    def put(self, chunk: bytes, rows: int, size: int) -> bool:
        """Add a chunk, waiting for room; false when nobody reads any more."""
        with self._changed:
            while self._waiting_bytes and self._waiting_bytes + len(chunk) > QUEUE_BYTES:
                if self._closed:
                    return False
                self._changed.wait()
            if self._closed:
                return False
            self._chunks.append((chunk, rows, size))
            self._waiting_bytes += len(chunk)
            self._changed.notify_all()
            return True

    def finish(self) -> None:
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        with self._changed:
            self.failure = error
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._chunks.clear()
            self._changed.notify_all()

    def read(self, _size: int = -1) -> bytes:
        """The next chunk, whatever its size: the driver takes any. Empty at the end.

        What is raised in here the driver drops: it only tells the server to give up the COPY.
        """
        try:
            chunk = self._next()
            if chunk and self.progress is not None:
                self.progress(self.copied.rows, self.copied.bytes)
        except BaseException as error:
            if self.failure is None and not self.interrupted:
                self.failure = error
            raise
        return chunk

    def _next(self) -> bytes:
        with self._changed:
            while not self._chunks and not self._finished and self.failure is None:
                self._changed.wait(SECONDS_BETWEEN_LOOKS)
                self._stop_if_server_spoke()
            if self.failure is not None:
                raise ConnectionAbortedError("reading the rows failed")
            self._stop_if_server_spoke()
            if not self._chunks:
                return b""
            chunk, self.copied.rows, self.copied.bytes = self._chunks.popleft()
            self._waiting_bytes -= len(chunk)
            self.copied.copy_bytes += len(chunk)
            self._changed.notify_all()
            return chunk

    def readline(self, _size: int = -1) -> bytes:
        """Part of what the driver's type asks of a file; COPY never calls it."""
        return self.read()

    def _stop_if_server_spoke(self) -> None:
        """Break off when the server has sent something: during a COPY that is an error.

        The driver would send everything that is left before it looked. Notices are off.
        """
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self.connection.fileno(), select.POLLIN)
        if self._poll.poll(0):
            self.interrupted = True
            raise ConnectionAbortedError("the server ended the COPY")
