"""What passes is repeated, what is lost is looked up, and what is killed leaves the old rows."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from tests.integration.redshift.s3_proxy import Refusals, s3_proxy

from tranship.errors import TranshipError, TransientError, WriteFailedError
from tranship.frames import Batches
from tranship.redshift.uploads import CHUNK_BYTES
from tranship.redshift.writer import write
from tranship.writes import WriteMode, WriteRequest

COUNT = "select count(*) from {schema}.sales"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr("tranship.redshift.transaction.FIRST_PAUSE_SECONDS", 0.01)


# ---- Redshift ----


def test_1023_runs_the_transaction_again_without_staging_again(faulty, faults, sales):
    faults.fail_next(pattern="^copy")
    result = faulty.write(sales)
    assert result.details["attempts"] == 2
    assert faulty.rows(COUNT) == [(3,)]


def test_1023_for_ever_is_given_up_with_the_old_rows_in_place(faulty, faults, sales):
    faulty.write(sales)
    for _ in range(3):
        faults.fail_next(pattern="^copy")
    with pytest.raises(TransientError, match="Another transaction wrote to the same table: 1023"):
        faulty.write(sales.slice(0, 1))
    assert faulty.rows(COUNT) == [(3,)]


@pytest.mark.parametrize(
    ("message", "state"),
    [
        ("could not complete because of conflict with concurrent transaction", "XX000"),
        ("S3ServiceException:Please reduce your request rate.,Status 503,Error SlowDown", "XX000"),
        ("deadlock detected", "40P01"),
    ],
)
def test_faults_that_pass_are_repeated(faulty, faults, sales, message, state):
    faults.fail_next(sqlstate=state, message=message, detail=None, pattern="^copy")
    assert faulty.write(sales, mode=WriteMode.APPEND).details["attempts"] == 2
    assert faulty.rows(COUNT) == [(3,)]


def test_faults_that_stay_are_not_repeated(faulty, faults, sales):
    faults.fail_next(message="out of disk space", detail=None, pattern="^copy")
    with pytest.raises(WriteFailedError, match="out of disk space"):
        faulty.write(sales)


@pytest.mark.parametrize("mode", [WriteMode.REPLACE, WriteMode.APPEND])
def test_a_connection_cut_during_copy_is_made_up_for(faulty, faults, sales, mode):
    faults.cut_during_copy()
    assert faulty.write(sales, mode=mode).details["attempts"] == 2
    assert len(faults.struck) == 1
    assert faulty.rows(COUNT) == [(3,)]


@pytest.mark.parametrize("mode", [WriteMode.REPLACE, WriteMode.APPEND])
def test_a_commit_that_never_arrived_is_run_again(faulty, faults, sales, mode):
    faults.cut_before_commit()
    result = faulty.write(sales, mode=mode)
    assert result.details["attempts"] == 2
    assert "commit" not in result.details
    assert faulty.rows(COUNT) == [(3,)]


def test_a_commit_whose_answer_was_lost_is_found_in_the_journal(faulty, faults, sales, staged_keys):
    faults.cut_after_commit()
    result = faulty.write(sales, mode=WriteMode.APPEND)
    assert result.details["commit"] == "confirmed on a second connection"
    assert result.rows == 3
    assert faulty.rows(COUNT) == [(3,)]
    assert faulty.rows("select mode, row_count from {schema}.sales__writes") == [("append", 3)]


def test_without_a_journal_the_lost_answer_to_an_append_is_an_error(faulty, faults, sales):
    settings = replace(faulty.settings, write_lock="table")
    faulty.write(sales)
    faults.cut_after_commit()
    with pytest.raises(WriteFailedError, match="nobody knows whether it was committed"):
        write(settings, WriteRequest(faulty.table(), mode=WriteMode.APPEND), Batches.of(sales))


# ---- S3 ----


@pytest.fixture
def proxy(s3_endpoint: str) -> Iterator[tuple[str, Refusals]]:
    with s3_proxy(s3_endpoint) as running:
        yield running


def noise(rows):
    """More bytes than one chunk of an upload, whatever the compression."""
    return pa.table({"x": np.random.default_rng(1).random(rows)})


MANY = 2 * CHUNK_BYTES // 8


def test_503s_of_s3_are_retried_until_they_pass(database, proxy, staged_keys):
    address, refusals = proxy
    refusals.refuse(3, 503, "SlowDown", path_has="partNumber")
    settings = replace(database.settings, s3_endpoint_url=address)
    result = write(settings, WriteRequest(database.table()), Batches.of(noise(MANY)))
    assert refusals.seen == 3
    assert result.rows == MANY
    assert database.rows(COUNT) == [(MANY,)]
    assert staged_keys() == []


def test_503s_for_ever_end_the_write_and_leave_no_upload(
    database, proxy, s3, bucket, settings, monkeypatch
):
    monkeypatch.setattr("tranship.redshift.aws.REQUEST_ATTEMPTS", 2)
    database.write(noise(3))
    address, refusals = proxy
    refusals.refuse(10_000, 503, "SlowDown", path_has="partNumber")
    with pytest.raises(TransientError, match="AWS answered SlowDown to UploadPart 2 times"):
        write(
            replace(database.settings, s3_endpoint_url=address),
            WriteRequest(database.table()),
            Batches.of(noise(MANY)),
        )
    assert database.rows(COUNT) == [(3,)]
    uploads = s3.list_multipart_uploads(Bucket=bucket, Prefix=settings.s3_prefix + "/")
    assert uploads.get("Uploads", []) == []


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (400, "ExpiredToken", "the AWS credentials have expired. Sign in again"),
        (403, "AccessDenied", "AWS denies PutObject to these credentials"),
        (403, "InvalidAccessKeyId", "AWS does not accept these credentials"),
        (301, "PermanentRedirect", "is in another region than us-east-1"),
    ],
)
def test_refusals_of_s3_say_what_to_do(database, proxy, sales, status, code, message):
    address, refusals = proxy
    refusals.refuse(10, status, code)
    settings = replace(database.settings, s3_endpoint_url=address)
    with pytest.raises(TranshipError, match=message):
        write(settings, WriteRequest(database.table()), Batches.of(sales))


def test_files_that_cannot_be_removed_are_only_logged(database, proxy, sales, caplog):
    address, refusals = proxy
    refusals.refuse(10, 403, "AccessDenied", method="POST", path_has="delete")
    settings = replace(database.settings, s3_endpoint_url=address)
    assert write(settings, WriteRequest(database.table()), Batches.of(sales)).rows == 3
    assert "Staged files were left in s3://" in caplog.text


def test_a_source_that_breaks_in_the_middle_leaves_no_upload_and_no_file(
    database, sales, s3, bucket, settings, staged_keys
):
    def breaking():
        yield noise(MANY).to_batches()[0]
        yield noise(MANY).to_batches()[0]
        raise RuntimeError("the source went away")

    with pytest.raises(RuntimeError, match="the source went away"):
        write(database.settings, WriteRequest(database.table()), Batches.of(breaking()))
    assert staged_keys() == []
    uploads = s3.list_multipart_uploads(Bucket=bucket, Prefix=settings.s3_prefix + "/")
    assert uploads.get("Uploads", []) == []


# ---- a killed process ----

KILLED = """
import os, pickle, signal, sys
import pyarrow as pa
from tranship.frames import Batches
from tranship.redshift.writer import write

settings, request = pickle.load(sys.stdin.buffer)
write(settings, request, Batches.of(pa.table({"Id": pa.array([9], pa.int32()), "Region": ["x"], "Amount": [9]})),
    extra=lambda cursor: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_a_process_killed_between_upload_and_commit_leaves_the_old_rows(
    database, sales, staged_keys
):
    database.write(sales)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED],
        input=pickle.dumps((database.settings, WriteRequest(database.table()))),
        env=dict(os.environ),
        check=False,
        timeout=100,
    )
    assert killed.returncode == -signal.SIGKILL
    assert database.rows(COUNT) == [(3,)]
    assert len(staged_keys()) == 2
    write(
        replace(database.settings, stale_file_hours=0),
        WriteRequest(database.table()),
        Batches.of(sales.slice(0, 1)),
    )
    assert database.rows(COUNT) == [(1,)]
    assert staged_keys() == []
