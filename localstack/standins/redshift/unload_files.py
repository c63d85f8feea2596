"""The files an UNLOAD writes: names per slice, rotation by size, Parquet or text, upload.

Used from a thread. A file grows in a temporary file and is uploaded when it is closed.
"""

import bz2
import gzip
import io
import queue
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from standins.redshift.storage import Storage
from standins.redshift.unload_command import UnloadCommand

GROUP_ROWS = 65_536
#: Pieces of at most wire.READ_BYTES: enough that Postgres goes on while a row group is encoded.
FEED_PIECES = 96
CSV_BLOCK_BYTES = 2 * 1024 * 1024
_SUFFIXES = {"GZIP": ".gz", "BZIP2": ".bz2"}


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file in S3."""

    url: str
    rows: int
    size: int


class ByteFeed(io.RawIOBase):
    """A readable file fed by another thread, a bounded number of pieces ahead."""

    def __init__(self) -> None:
        self._pieces: queue.Queue[bytes] = queue.Queue(maxsize=FEED_PIECES)
        self._rest = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        """It is."""
        return True

    def offer(self, piece: bytes) -> bool:
        """Hand over bytes (none at the end of the stream); False if the reader is behind."""
        try:
            self._pieces.put_nowait(piece)
        except queue.Full:
            return False
        return True

    def readinto(self, buffer: Any) -> int:
        """Wait for bytes."""
        if not self._rest and not self._ended:
            self._rest = memoryview(self._pieces.get())
            self._ended = not self._rest
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


class FileSet:
    """The files of one UNLOAD (or of one of its partitions).

    Slices take turns, as they do on a cluster: the order of rows holds only with PARALLEL OFF.
    """

    def __init__(self, command: UnloadCommand, storage: Storage, bucket: str, prefix: str) -> None:
        self._command, self._storage = command, storage
        self._bucket, self._prefix = bucket, prefix
        self._counts: dict[int, int] = {}
        self.written: list[WrittenFile] = []

    def key(self, slice_number: int) -> str:
        """The next file's name."""
        part = self._counts.get(slice_number, 0)
        self._counts[slice_number] = part + 1
        parallel = f"{slice_number:04d}_part_{part:02d}"
        name = self._prefix + (parallel if self._command.parallel else f"{part:03d}")
        suffix = next((s for n, s in _SUFFIXES.items() if self._command.flag(n)), "")
        extension = self._command.options.get("EXTENSION")
        if extension:
            return f"{name}.{extension}"
        return name + (".parquet" if self._command.format == "parquet" else suffix)

    def upload(self, slice_number: int, path: Path, rows: int) -> None:
        """Store a finished file."""
        key = self.key(slice_number)
        self._storage.upload(path, self._bucket, key)
        self.written.append(WrittenFile(f"s3://{self._bucket}/{key}", rows, path.stat().st_size))


class _ParquetFile:
    def __init__(self, schema: pa.Schema) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix="redshift-standin-")  # noqa: SIM115
        self._writer = pq.ParquetWriter(
            self._file, schema, compression="snappy", version="1.0", coerce_timestamps="us"
        )
        self.rows = 0

    def write(self, table: pa.Table) -> int:
        self._writer.write_table(table, row_group_size=table.num_rows)
        self.rows += table.num_rows
        return self._file.tell()

    def close(self, files: FileSet, slice_number: int) -> None:
        with self._file:
            self._writer.close()
            self._file.flush()
            files.upload(slice_number, Path(self._file.name), self.rows)


def write_parquet(
    feed: ByteFeed, schema: pa.Schema, files: FileSet, slices: int, max_bytes: int
) -> int:
    """Read CSV rows from `feed` and write Parquet; returns the number of rows."""
    open_files: dict[int, _ParquetFile] = {}
    rows = 0
    for turn, table in enumerate(_tables(feed, schema)):
        number = turn % slices
        if number not in open_files:
            open_files[number] = _ParquetFile(schema)
        file = open_files[number]
        rows += table.num_rows
        if file.write(table) >= max_bytes:
            open_files.pop(number).close(files, number)
    for number, file in open_files.items():
        file.close(files, number)
    return rows


def _tables(feed: ByteFeed, schema: pa.Schema) -> Iterator[pa.Table]:
    first = feed.read(1)
    if not first:
        return
    reading = {f.name: pa.string() if pa.types.is_binary(f.type) else f.type for f in schema}
    reader = pyarrow.csv.open_csv(
        cast("IO[bytes]", pa.PythonFile(_Rejoined(first, feed), mode="r")),
        pyarrow.csv.ReadOptions(
            column_names=schema.names, block_size=CSV_BLOCK_BYTES, use_threads=False
        ),
        # An empty line is the NULL of a table with one column.
        pyarrow.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        pyarrow.csv.ConvertOptions(
            column_types=reading,
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    waiting: list[pa.RecordBatch] = []
    for batch in reader:
        waiting.append(_unhex(batch, schema))
        if sum(b.num_rows for b in waiting) >= GROUP_ROWS:
            yield pa.Table.from_batches(waiting, schema)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting, schema)


def _unhex(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    arrays = [
        pa.array([None if v is None else bytes.fromhex(v) for v in array.to_pylist()], f.type)
        if pa.types.is_binary(f.type)
        else array
        for array, f in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


class _Rejoined(io.RawIOBase):
    """A feed with its first byte put back."""

    def __init__(self, first: bytes, feed: ByteFeed) -> None:
        self._first, self._feed = first, feed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._first:
            buffer[: len(self._first)] = self._first
            count, self._first = len(self._first), b""
            return count
        return self._feed.readinto(buffer)


def _opener(command: UnloadCommand) -> Callable[[IO[bytes]], Any]:
    if command.flag("GZIP"):
        return lambda file: gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6)
    if command.flag("BZIP2"):
        return lambda file: bz2.BZ2File(file, "wb")
    return lambda file: file


class TextFiles:
    """Writes text rows as they come from Postgres, slice by slice in turn."""

    def __init__(self, command: UnloadCommand, files: FileSet, slices: int, header: bytes) -> None:
        self._command, self._files, self._header = command, files, header
        self._slices = [_TextFile(command, header) for _ in range(slices)]
        self._turn = 0

    def write(self, data: bytes, rows: int) -> None:
        """Write some whole rows."""
        number = self._turn % len(self._slices)
        self._turn += 1
        file = self._slices[number]
        if file.write(data, rows) >= self._command.max_file_bytes:
            file.close(self._files, number)
            self._slices[number] = _TextFile(self._command, self._header)

    def close(self) -> None:
        """Finish; a slice without rows leaves an empty file, as on a cluster."""
        for number, file in enumerate(self._slices):
            file.close(self._files, number)


class _TextFile:
    def __init__(self, command: UnloadCommand, header: bytes) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix="redshift-standin-")  # noqa: SIM115
        self._sink = _opener(command)(self._file)
        self._sink.write(header)
        self.rows = 0

    def write(self, data: bytes, rows: int) -> int:
        self._sink.write(data)
        self.rows += rows
        return self._file.tell()

    def close(self, files: FileSet, slice_number: int) -> None:
        with self._file:
            if self._sink is not self._file:
                self._sink.close()
            self._file.flush()
            files.upload(slice_number, Path(self._file.name), self.rows)
