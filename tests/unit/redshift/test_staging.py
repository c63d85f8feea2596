"""Batches of any size become row groups, and row groups become uploads."""

import io
import logging
import os
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tranship.read_ahead import on_cancel
from tranship.redshift.casting import first_failing
from tranship.redshift.settings import RedshiftSettings
from tranship.redshift.staging import StagingArea
from tranship.redshift.uploads import (
    CHUNK_BYTES,
    CHUNKS_IN_FLIGHT,
    ROW_GROUP_BYTES,
    ROW_GROUP_ROWS,
    Uploads,
    row_groups,
)
from tranship.tables import TableName

SETTINGS = RedshiftSettings(
    database="dev", bucket_name="b", s3_iam_role="default", host="dw", user="etl", password="p"
)


class Bucket:
    """S3's multipart upload in memory, with a count of chunks that are held at once."""

    def __init__(self, fail_part=None):
        self.objects = {}
        self.parts = {}
        self.aborted = []
        self.most_at_once = 0
        self._held = 0
        self._lock = threading.Lock()
        self._fail_part = fail_part

    def create_multipart_upload(self, **request):
        self.parts[request["Key"]] = {}
        return {"UploadId": request["Key"]}

    def upload_part(self, **request):
        with self._lock:
            self._held += 1
            self.most_at_once = max(self.most_at_once, self._held)
        time.sleep(0.002)
        with self._lock:
            self._held -= 1
        number = request["PartNumber"]
        if self._fail_part == number:
            raise OSError("part refused")
        self.parts[request["UploadId"]][number] = bytes(request["Body"])
        return {"ETag": str(number)}

    def complete_multipart_upload(self, **request):
        numbers = [part["PartNumber"] for part in request["MultipartUpload"]["Parts"]]
        assert numbers == sorted(numbers)
        parts = self.parts.pop(request["UploadId"])
        self.objects[request["Key"]] = b"".join(parts[number] for number in numbers)

    def put_object(self, **request):
        self.objects[request["Key"]] = request["Body"]

    def delete_objects(self, **_request):
        return {}

    def abort_multipart_upload(self, **request):
        self.aborted.append(request["Key"])
        del self.parts[request["UploadId"]]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3 * ROW_GROUP_ROWS), max_size=6))
def test_row_groups_keep_every_row_in_order_and_stay_within_their_size(counts):
    start = 0
    batches = []
    for count in counts:
        batches.append(pa.record_batch({"id": pa.array(range(start, start + count), pa.int64())}))
        start += count
    groups = list(row_groups(batches))
    assert all(0 < group.num_rows <= ROW_GROUP_ROWS for group in groups)
    assert sum(group.num_rows for group in groups) == start
    if groups:
        assert pa.concat_tables(groups).column("id").to_pylist() == list(range(start))


def test_wide_rows_are_cut_by_bytes():
    batch = pa.record_batch({"text": ["x" * 1_000_000] * 100})
    groups = list(row_groups([batch]))
    assert len(groups) > 1
    assert all(group.nbytes <= 1.1 * ROW_GROUP_BYTES for group in groups)


def test_an_upload_is_the_bytes_that_were_written():
    bucket = Bucket()
    data = bytes(range(256)) * (CHUNK_BYTES // 64)
    with Uploads(bucket, "b") as uploads:
        for key in ("one", "two"):
            with uploads.open(key) as upload:
                for start in range(0, len(data), 1_000_003):
                    upload.write(data[start : start + 1_000_003])
                assert upload.size == len(data)
    assert bucket.objects == {"one": data, "two": data}
    assert bucket.most_at_once <= CHUNKS_IN_FLIGHT


def test_a_small_upload_is_one_request():
    bucket = Bucket()
    with Uploads(bucket, "b") as uploads, uploads.open("small") as upload:
        upload.write(b"abc")
    assert bucket.objects == {"small": b"abc"}
    assert bucket.parts == {}


def test_an_aborted_upload_leaves_nothing():
    bucket = Bucket()
    with Uploads(bucket, "b") as uploads:
        upload = uploads.open("gone")
        upload.write(bytes(3 * CHUNK_BYTES))
        upload.abort()
    assert bucket.objects == {}
    assert bucket.aborted == ["gone"]


def test_a_refused_chunk_ends_the_upload_and_frees_it():
    bucket = Bucket(fail_part=1)

    def upload():
        with Uploads(bucket, "b") as uploads, uploads.open("bad") as file:
            file.write(bytes(2 * CHUNK_BYTES))

    with pytest.raises(OSError, match="part refused"):
        upload()
    assert bucket.objects == {}
    assert bucket.aborted == ["bad"]


def test_a_refused_chunk_ends_the_wait_for_a_silent_source():
    never = threading.Event()
    schema = pa.schema({"id": pa.int64(), "noise": pa.binary()})
    noise = [bytes([number % 251]) * 1000 + os.urandom(1000) for number in range(10_000)]
    batch = pa.record_batch({"id": range(10_000), "noise": noise}, schema=schema)

    def silent():
        for _ in range(
            2
        ):  # 40 MB: one row group is cut off, and uploaded, while the next is awaited
            yield batch
        with on_cancel(never.set):
            never.wait()

    area = StagingArea(
        Bucket(fail_part=1), SETTINGS, TableName("public", "t"), logging.getLogger(__name__)
    )
    with pytest.raises(OSError, match="part refused"):
        area.stage(silent(), schema)
    assert never.is_set()


class ListedBucket(Bucket):
    """Also lists and deletes; the test says how old each object is."""

    def __init__(self):
        super().__init__()
        self.hours_old = {}

    def get_paginator(self, _):
        return self

    def paginate(self, *, Bucket, Prefix):  # noqa: N803 - boto3's names
        now = datetime.now(UTC)
        yield {
            "Contents": [
                {"Key": key, "LastModified": now - timedelta(hours=self.hours_old.get(key, 0))}
                for key in sorted(self.objects)
                if key.startswith(Prefix)
            ]
        }

    def delete_objects(self, **request):
        for one in request["Delete"]["Objects"]:
            self.objects.pop(one["Key"], None)
        return {}


ROWS = pa.record_batch({"id": [1]})


def staged(bucket, **changes):
    """A write's files, in the bucket."""
    area = StagingArea(
        bucket, replace(SETTINGS, **changes), TableName("public", "t"), logging.getLogger(__name__)
    )
    area.stage([ROWS], ROWS.schema)
    return area


def sweep_of_another_write(bucket):
    StagingArea(bucket, SETTINGS, TableName("public", "t"), logging.getLogger(__name__)).sweep()


def test_files_of_a_write_that_died_are_removed_after_a_day_and_kept_ones_never():
    bucket = ListedBucket()
    dead, kept, young = staged(bucket), staged(bucket, keep_files=True), staged(bucket)
    for key in bucket.objects:
        bucket.hours_old[key] = 23 if key.startswith(young.prefix) else 25
    sweep_of_another_write(bucket)
    assert {key.rpartition("/")[0] + "/" for key in bucket.objects} == {kept.prefix, young.prefix}
    assert dead.prefix != kept.prefix


def test_files_of_a_write_that_goes_on_are_left_however_old_its_first_ones_are():
    bucket = ListedBucket()
    area = staged(bucket)
    for key in list(bucket.objects):
        bucket.hours_old[key] = 40
    marked = threading.Event()

    def put_object(**request):
        bucket.objects[request["Key"]] = request["Body"]
        marked.set()

    bucket.put_object = put_object
    area.settings = replace(SETTINGS, stale_file_hours=4 / 3600)
    with area.in_use():
        assert marked.wait(30)
        sweep_of_another_write(bucket)
        assert len(bucket.objects) == 3
    area.remove()
    assert bucket.objects == {}


def test_a_mark_that_fails_is_told_and_made_again(caplog):
    bucket, calls = ListedBucket(), []
    area = staged(bucket, stale_file_hours=4 / 3600)
    again = threading.Event()

    def put_object(**_):
        calls.append(1)
        if len(calls) == 1:
            raise ConnectionError("gone for a moment")
        again.set()

    bucket.put_object = put_object
    with area.in_use():
        assert again.wait(30)


def test_a_file_like_object_of_the_standard_library():
    with Uploads(Bucket(), "b") as uploads, uploads.open("x") as upload:
        assert isinstance(upload, io.RawIOBase)
        assert upload.writable()


@given(st.integers(0, 50), st.integers(0, 50))
def test_the_first_value_that_does_not_fit_is_found(good, after):
    values = pa.array([1] * good + [70_000] + [70_000] * after)
    assert first_failing(values, lambda part: part.cast(pa.int16())) == good
