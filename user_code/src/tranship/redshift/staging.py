"""A place in the bucket for one write's files: staged with a manifest, said to be in use, and removed."""

import json
import logging
import threading
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

from tranship.errors import TranshipError
from tranship.read_ahead import InThisThread, read_ahead
from tranship.redshift.aws import aws_errors
from tranship.redshift.settings import RedshiftSettings
from tranship.redshift.uploads import ParquetUpload, StagedFile, Uploads, row_groups
from tranship.tables import TableName

BYTES_AHEAD = 8 * 1024 * 1024
"""Rows that wait to be encoded."""
KEYS_PER_DELETE = 1000
KEPT = "kept-"
"""Begins the prefix of files that are left for the user."""
IN_USE = "in-use"
"""An object without content, whose age says when a write was last known to go on."""
LONGEST_SILENCE_SECONDS = 3600.0
LONGEST_RENEWAL_SECONDS = 30.0


class Lease:
    """Renews a mark now and then, in a thread of its own, for as long as a block lasts.

    A COPY or a source may take longer than files of a write that died are left, and neither gives this process a chance
    to say so in between.

    Args:
        renew: Renews the mark.
        every_seconds: How often.
        log: Where a renewal that fails is told; the next one may succeed.
    """

    def __init__(
        self, renew: Callable[[], None], every_seconds: float, log: logging.Logger
    ) -> None:
        self._renew = renew
        self._every_seconds = every_seconds
        self._log = log
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="tranship-lease", daemon=True)

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        # A renewal that is under way must not come after the files were removed.
        self._thread.join(LONGEST_RENEWAL_SECONDS)

    def _work(self) -> None:
        while not self._over.wait(self._every_seconds):
            try:
                self._renew()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next one may succeed
                self._log.warning("The staged files could not be marked as in use: %s", error)


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
        kept_mark = KEPT if self.settings.keep_files else ""
        self.prefix = f"{self.table_prefix}{kept_mark}{now}-{uuid.uuid4().hex[:12]}/"

    @property
    def table_prefix(self) -> str:
        """Where every write of the table stages; ends with a slash, so that no neighbour's key starts with it."""
        name = "".join(one if one.isalnum() or one in "._-" else "_" for one in str(self.table))
        return f"{self.settings.s3_prefix.strip('/')}/{name}/".lstrip("/")

    def url(self, key: str = "") -> str:
        """The address of a key, or of the prefix itself."""
        return f"s3://{self.settings.bucket_name}/{key or self.prefix}"

    @contextmanager
    def in_use(self) -> Generator[None]:
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
        counted = _Counter()
        try:
            with aws_errors(self.settings, f"staging into {self.url()}"):
                read = _read_ahead if any_thread else _read_here
                files = self._write_files(partial(read, batches), counted, schema, progress)
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
        read: "Callable[[Uploads], Generator[pa.RecordBatch, None, None]]",
        counted: "_Counter",
        schema: pa.Schema,
        progress: Callable[[int, int], None] | None,
    ) -> tuple[StagedFile, ...]:
        files: list[StagedFile] = []
        headers = self.settings.upload_headers
        with (
            Uploads(self.client, self.settings.bucket_name, headers) as uploads,
            closing(read(uploads)) as ahead,
        ):
            groups = counted.passing(row_groups(ahead))
            group = next(groups, None)
            while group is not None:
                part = self._part(f"part-{len(files):05d}.parquet", schema, uploads)
                with part:
                    while group is not None and part.has_room:
                        part.write(group)
                        if progress is not None:
                            progress(counted.rows, counted.bytes)
                        group = next(groups, None)
                files.append(part.file())
        return tuple(files)

    def _part(self, name: str, schema: pa.Schema, uploads: Uploads) -> ParquetUpload:
        key = self._key(name)
        return ParquetUpload(uploads.open(key), self.url(key), schema, self.settings, self.log)

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
    with InThisThread(lambda: iter(batches)) as reading:
        while (batch := reading.get(lambda _: uploads.raise_failures())) is not None:
            yield batch


@dataclass(slots=True)
class _Counter:
    """Rows and bytes, counted as row groups pass."""

    rows: int = 0
    bytes: int = 0

    def passing(self, groups: Iterator[pa.Table]) -> Iterator[pa.Table]:
        for group in groups:
            self.rows += group.num_rows
            self.bytes += group.nbytes
            yield group
