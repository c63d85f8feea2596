"""What a bucket's policy asks uploads to say, they say; what Redshift unloads is encrypted alike."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tranship.frames import Batches
from tranship.reads import ReadRequest
from tranship.redshift.reader import read
from tranship.redshift.writer import write
from tranship.writes import WriteRequest


def key_of(head: dict[str, Any]) -> str | None:
    """The key that S3 tells of an object, by its id: S3 itself and LocalStack tell its ARN, moto what was asked for."""
    told = head.get("SSEKMSKeyId")
    return told and told.rpartition(":key/")[2]


@pytest.mark.parametrize("rows", [3, 2_000_000])
def test_every_upload_carries_the_encryption_that_is_set(database, s3, bucket, staged_keys, rows):
    settings = replace(
        database.settings, s3_encryption="aws:kms", kms_key_id="alias/loads", keep_files=True
    )
    # Enough for an upload in parts, and for one without: values that do not compress.
    values = pa.array(np.random.default_rng(1).integers(0, 2**62, rows))
    write(settings, WriteRequest(database.table()), Batches.of(pa.table({"v": values})))
    heads = [s3.head_object(Bucket=bucket, Key=key) for key in staged_keys()]
    assert len(heads) == 2
    assert {head["ServerSideEncryption"] for head in heads} == {"aws:kms"}
    assert {key_of(head) for head in heads} == {"alias/loads"}


@pytest.mark.parametrize(
    ("encryption", "key", "expected"),
    [("aws:kms", "alias/loads", "alias/loads"), ("aws:kms", None, None), ("AES256", None, None)],
)
def test_what_is_unloaded_is_encrypted_as_set(
    database, sales, s3, bucket, staged_keys, encryption, key, expected
):
    database.write(sales)
    settings = replace(
        database.settings,
        s3_encryption=encryption,
        kms_key_id=key,
        keep_files=True,
        read_via="unload",
    )
    assert read(settings, ReadRequest(database.table())).to_table().num_rows == 3
    heads = [s3.head_object(Bucket=bucket, Key=key) for key in staged_keys()]
    assert {key_of(head) for head in heads} == {expected}
