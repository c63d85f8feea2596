"""Record batches as Parquet files in S3 with a manifest, and their removal.

One rolling Parquet writer, straight into multipart uploads: memory is bounded by a row group and the chunks
in flight, however many rows there are.
"""

import json
import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tranship.errors import TranshipError
from tranship.read_ahead import InThisThread, read_ahead
from tranship.redshift.aws import aws_errors
from tranship.redshift.lease import LONGEST_SILENCE_SECONDS, Lease
from tranship.redshift.multipart import Uploads
from tranship.redshift.settings import RedshiftSettings
from tranship.tables import TableName

ROW_GROUP_BYTES = 32 * 1024 * 1024
ROW_GROUP_ROWS = 131_072
DICTIONARY_BYTES = 128 * 1024
"""Size at which a column's dictionary is given up. Arrow's 1 MiB has columns of distinct values build one for
nothing: twice the encoding time and 15% more bytes on the benchmark's 26 columns."""
BYTES_AHEAD = 8 * 1024 * 1024
"""Rows that wait to be encoded."""
KEYS_PER_DELETE = 1000
KEPT = "kept-"
"""Begins the prefix of files that are left for the user."""
IN_USE = "in-use"
"""An object without content, whose age says when a write was last known to go on."""


@dataclass(frozen=True, slots=True)
class StagedFile:
    """One Parquet file in the bucket."""

    url: str
    bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class Staged:
    """What one write has put into the bucket.

    Args:
        manifest: Address of the manifest; `None` where there were no rows.
        files: The files it lists.
        rows: Rows in all of them.
        arrow_bytes: Size of the rows as Arrow buffers.
        seconds: Wall-clock time from the first batch to the manifest.
    """

    manifest: str | None
    files: tuple[StagedFile, ...]
    rows: int
    arrow_bytes: int
    seconds: float

    @property
    def bytes(self) -> int:
        """Size of the files."""
        return sum(file.bytes for file in self.files)


@dataclass(slots=True)
class StagingArea:
    """A place in the bucket for one write's files: a prefix that no other write has.

    Args:
        client: S3 client of boto3.
        settings: Bucket, prefix, file size and compression.
        table: The table that is written or read; its name is part of the keys.
        log: Where clean-up that fails is reported.
    """

    client: Any
    settings: RedshiftSettings
    table: TableName
    log: logging.Logger
    prefix: str = field(init=False)
    _keys: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        kept = KEPT if self.settings.keep_files else ""
        self.prefix = f"{self.table_prefix}{kept}{now}-{uuid.uuid4().hex[:12]}/"

    @property
    def table_prefix(self) -> str:
        """Where every write of the table stages; ends with a slash, so that no neighbour's key starts with it."""
        name = "".join(one if one.isalnum() or one in "._-" else "_" for one in str(self.table))
        return f"{self.settings.s3_prefix.strip('/')}/{name}/".lstrip("/")

    def url(self, key: str = "") -> str:
        """The address of a key, or of the prefix itself."""
        return f"s3://{self.settings.bucket_name}/{key or self.prefix}"

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While the block lasts, no sweep takes the files for those of a write that died, however old they get."""
        if self.settings.keep_files:
            yield
            return
        every = max(1.0, min(LONGEST_SILENCE_SECONDS, self.settings.stale_file_hours * 3600 / 4))
        with Lease(self._mark_as_in_use, every, self.log):
            yield

    def _mark_as_in_use(self) -> None:
        with aws_errors(self.settings, f"marking {self.url()} as in use"):
            self.client.put_object(
                Bucket=self.settings.bucket_name, Key=self._key(IN_USE), Body=b""
            )

    def stage(
        self,
        batches: Iterable[pa.RecordBatch],
        schema: pa.Schema,
        progress: Callable[[int, int], None] | None = None,
        *,
        any_thread: bool = True,
    ) -> Staged:
        """Write all batches and their manifest. On failure nothing is left behind.

        Args:
            batches: The rows, shaped.
            schema: Their schema, and that of every file.
            progress: Called with the rows and Arrow bytes written so far.
            any_thread: Whether the batches may be read ahead in another thread than this one.

        Raises:
            TranshipError: S3 refuses, or the batches cannot be read.
        """
        started = time.perf_counter()
        counted = _Counted()
        try:
            with aws_errors(self.settings, f"staging into {self.url()}"):
                taken = _read_ahead if any_thread else _read_here
                files = self._write_files(partial(taken, batches), counted, schema, progress)
                manifest = self._write_manifest(files) if files else None
        except BaseException:
            self.remove()
            raise
        return Staged(manifest, files, counted.rows, counted.bytes, time.perf_counter() - started)

    def remove(self) -> None:
        """Delete what this area has put into the bucket; a failure is logged, not raised."""
        keys, self._keys = self._keys, []
        self._delete(keys)

    def remove_all(self) -> None:
        """Delete everything under the prefix, whoever wrote it; a failure is logged, not raised."""
        self._delete([item["Key"] for item in self._listed(self.prefix)])

    def sweep(self) -> None:
        """Delete files of writes of the same table that died long ago; a failure is logged, not raised.

        A write is as old as its newest file: one that goes on marks its files again and again. What `keep_files` left is
        nobody's to remove but the user's.
        """
        oldest = datetime.now(UTC) - timedelta(hours=self.settings.stale_file_hours)
        writes: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for item in self._listed(self.table_prefix):
            writes[item["Key"].removeprefix(self.table_prefix).partition("/")[0]].append(item)
        self._delete(
            [
                item["Key"]
                for write, items in writes.items()
                if not write.startswith(KEPT) and f"{self.table_prefix}{write}/" != self.prefix
                if max(item["LastModified"] for item in items) < oldest
                for item in items
            ]
        )

    def _write_files(
        self,
        taken: "Callable[[Uploads], Generator[pa.RecordBatch, None, None]]",
        counted: "_Counted",
        schema: pa.Schema,
        progress: Callable[[int, int], None] | None,
    ) -> tuple[StagedFile, ...]:
        files: list[StagedFile] = []
        headers = self.settings.upload_headers
        with (
            Uploads(self.client, self.settings.bucket_name, headers) as uploads,
            closing(taken(uploads)) as ahead,
        ):
            groups = counted.passing(row_groups(ahead))
            group = next(groups, None)
            while group is not None:
                part = _Part(self, self._key(f"part-{len(files):05d}.parquet"), schema, uploads)
                with part:
                    while group is not None and part.has_room:
                        part.write(group)
                        if progress is not None:
                            progress(counted.rows, counted.bytes)
                        group = next(groups, None)
                files.append(part.file())
        return tuple(files)

    def _write_manifest(self, files: Iterable[StagedFile]) -> str:
        # Without content_length a COPY of Parquet refuses the manifest: error 15003,
        # https://docs.aws.amazon.com/redshift/latest/dg/loading-data-files-using-manifest.html
        entries = [
            {"url": file.url, "mandatory": True, "meta": {"content_length": file.bytes}}
            for file in files
        ]
        key = self._key("manifest")
        self.client.put_object(
            Bucket=self.settings.bucket_name,
            Key=key,
            Body=json.dumps({"entries": entries}).encode(),
            **self.settings.upload_headers,
        )
        return self.url(key)

    def _key(self, name: str) -> str:
        key = self.prefix + name
        self._keys.append(key)
        return key

    def _listed(self, prefix: str) -> list[dict[str, Any]]:
        try:
            with aws_errors(self.settings, f"listing {self.url(prefix)}"):
                pages = self.client.get_paginator("list_objects_v2").paginate(
                    Bucket=self.settings.bucket_name, Prefix=prefix
                )
                return [item for page in pages for item in page.get("Contents", ())]
        except TranshipError as error:
            self.log.warning(
                "Stale files under %s could not be looked for: %s", self.url(prefix), error
            )
            return []

    def _delete(self, keys: list[str]) -> None:
        for start in range(0, len(keys), KEYS_PER_DELETE):
            some = keys[start : start + KEYS_PER_DELETE]
            try:
                with aws_errors(self.settings, "removing staged files"):
                    reply = self.client.delete_objects(
                        Bucket=self.settings.bucket_name,
                        Delete={"Objects": [{"Key": key} for key in some], "Quiet": True},
                    )
            except TranshipError as error:
                self.log.warning("Staged files were left in %s: %s", self.url(), error)
                continue
            for failed in reply.get("Errors", ()):
                self.log.warning(
                    "The staged file %s was left: %s",
                    self.url(failed["Key"]),
                    failed.get("Message"),
                )


class _Part:
    """One Parquet file while it is being written; leaving its block on an error aborts it."""

    def __init__(self, area: StagingArea, key: str, schema: pa.Schema, uploads: Uploads):
        settings = area.settings
        self._area = area
        self._limit = settings.max_part_bytes
        self._url = area.url(key)
        self._upload = uploads.open(key)
        sink: Any = self._upload
        compression: Any = settings.compression
        self._writer = pq.ParquetWriter(
            sink,
            schema,
            compression=compression,
            dictionary_pagesize_limit=DICTIONARY_BYTES,
            # The Arrow schema in the footer is for Arrow readers; Redshift reads Parquet's own.
            store_schema=False,
        )
        self._rows = 0
        self._groups = 0

    def __enter__(self) -> "_Part":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is None:
            self._writer.close()
            self._upload.close()
            return
        # Closing the writer emits a footer, which must not reach S3.
        self._upload.discard()
        self._writer.close()
        try:
            with aws_errors(self._area.settings, f"aborting the upload of {self._url}"):
                self._upload.abort()
        except TranshipError as left:
            # What went wrong before is what counts; the bucket's lifecycle rule ends the upload.
            self._area.log.warning("An upload was left unfinished: %s", left)

    @property
    def has_room(self) -> bool:
        """Whether another row group of the usual size stays within the file's limit."""
        usual = self._upload.size / self._groups if self._groups else 0
        return self._groups == 0 or self._upload.size + usual <= self._limit

    def write(self, group: pa.Table) -> None:
        self._writer.write_table(group, row_group_size=group.num_rows)
        self._rows += group.num_rows
        self._groups += 1

    def file(self) -> StagedFile:
        return StagedFile(self._url, self._upload.size, self._rows)


def _read_ahead(
    batches: Iterable[pa.RecordBatch], uploads: Uploads
) -> Generator[pa.RecordBatch, None, None]:
    """The batches, read in a thread of their own; a chunk that S3 refused ends the wait for the next one."""
    return read_ahead(
        [lambda: iter(batches)],
        max_bytes=BYTES_AHEAD,
        size=lambda batch: batch.nbytes,
        look=lambda _: uploads.raise_failures(),
        name="tranship-shape",
    )


def _read_here(
    batches: Iterable[pa.RecordBatch], uploads: Uploads
) -> Generator[pa.RecordBatch, None, None]:
    """The batches, read in this thread: what a user's generator uses may live in no other."""
    with InThisThread(lambda: iter(batches)) as here:
        while (batch := here.get(lambda _: uploads.raise_failures())) is not None:
            yield batch


@dataclass(slots=True)
class _Counted:
    """Rows and bytes, counted as row groups pass."""

    rows: int = 0
    bytes: int = 0

    def passing(self, groups: Iterator[pa.Table]) -> Iterator[pa.Table]:
        for group in groups:
            self.rows += group.num_rows
            self.bytes += group.nbytes
            yield group


def row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Batches of any size, gathered or cut into tables of one Parquet row group each.

    Example:
        >>> batch = pa.record_batch({"id": [1, 2, 3]})
        >>> [group.num_rows for group in row_groups([batch] * 10)]
        [30]
    """
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        for piece in pieces(batch):
            if waiting and (
                rows + piece.num_rows > ROW_GROUP_ROWS or size + piece.nbytes > ROW_GROUP_BYTES
            ):
                yield pa.Table.from_batches(waiting)
                waiting, rows, size = [], 0, 0
            waiting.append(piece)
            rows += piece.num_rows
            size += piece.nbytes
    if waiting:
        yield pa.Table.from_batches(waiting)


def pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A batch in slices of at most one row group; slices share its memory."""
    count = batch.num_rows
    if count == 0:
        return
    step = max(1, min(ROW_GROUP_ROWS, count * ROW_GROUP_BYTES // max(batch.nbytes, 1)))
    for start in range(0, count, step):
        yield batch.slice(start, step)
