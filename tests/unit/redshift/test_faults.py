"""What Redshift says, and what a user reads."""

from types import SimpleNamespace

import psycopg2
import pytest

from tranship.errors import (
    ConfigurationError,
    TableNotFoundError,
    TransientError,
    ValueDoesNotFitError,
    WriteFailedError,
)
from tranship.redshift.faults import is_already_there, translate
from tranship.redshift.known_faults import PASSING
from tranship.redshift.load_errors import as_error, from_text
from tranship.redshift.settings import RedshiftSettings

SETTINGS = RedshiftSettings(
    database="dev", bucket_name="stage", s3_iam_role="arn:aws:iam::1:role/copy", host="dw", user="etl",
    password="hunter2",
)  # fmt: skip


def said(message, detail="", state="XX000"):
    """A server error with texts of choice: the driver's own cannot be built."""
    words = SimpleNamespace(message_primary=message, message_detail=detail)
    return type("Said", (psycopg2.InternalError,), {"diag": words, "pgcode": state})(message)


TOO_LONG = """
  -----------------------------------------------
  error:  Spectrum Scan Error
  code:      15001
  context:   The length of the data column note is longer than the length defined in the table. Table: 256, Data: 320, File name: https://s3.us-east-1.amazonaws.com/stage/tranship/a/part-00000.parquet
  query:     12345
  location:  dory_util.cpp:1167
  process:   worker_thread [pid=1]
  -----------------------------------------------
"""
SCHEMA = """
  -----------------------------------------------
  error:  Spectrum Scan Error
  code:      15001
  context:   File 'https://s3/x.parquet' has an incompatible Parquet schema for column 's3://stage/t/part-00000.parquet.amount'. Column type: INT, Parquet schema: optional int64 amount [i:0 d:1 r:0]
  query:     1
  location:  dory_util.cpp:1
  -----------------------------------------------
"""


def test_a_value_that_is_too_long_is_decoded_from_the_text():
    found = from_text(said("Spectrum Scan Error", TOO_LONG))
    assert found is not None
    assert (found.column, found.code) == ("note", 15001)
    assert (found.file or "").endswith("part-00000.parquet")
    error = as_error(found, "replace of public.a", {"note": "Note"})
    assert isinstance(error, ValueDoesNotFitError)
    assert 'column "Note"' in str(error)
    assert "Table: 256, Data: 320" in str(error)
    assert error.details["column"] == "note"


def test_an_incompatible_schema_is_decoded_from_the_text():
    found = from_text(said("Spectrum Scan Error", SCHEMA))
    assert found is not None
    assert found.column == "amount"
    assert "Column type: INT" in found.reason


def test_an_error_that_is_not_of_a_load_is_left_alone():
    assert from_text(said("division by zero")) is None


@pytest.mark.parametrize(
    ("message", "detail", "state"),
    [
        ("1023", "Serializable isolation violation on table - 100, transactions ...", "XX000"),
        ("could not complete because of conflict with concurrent transaction", "", "XX000"),
        ("deadlock detected", "", "40P01"),
        ("S3ServiceException:SlowDown,Status 503,Error SlowDown", "", "XX000"),
        ("connection limit '500' exceeded", "", "53300"),
        ("could not open relation with OID 6134794", "", "XX000"),
        ("cannot open relation with oid 123", "", "XX000"),
        ("Relation with OID 15170212 does not exist", "", "XX000"),
        ("table 3380474 dropped by concurrent transaction", "", "XX000"),
        ("1018", "Relation does not exist.", "XX000"),
        ("1018 DETAIL: Relation does not exist.", "", "XX000"),
        ("1023 DETAIL: Serializable isolation violation on table in Redshift", "", "XX000"),
        ("could not be serialized", "", "40001"),
        ("canceling statement due to lock timeout", "", "55P03"),
        ("terminating connection due to administrator command", "", "57P01"),
        ("terminating connection because of crash of another server process", "", "57P02"),
        ("the database system is starting up", "", "57P03"),
        ("Rate exceeded", "", "XX000"),
        ("The cluster is currently being resized", "", "XX000"),
        (
            "S3ServiceException:We encountered an internal error.,Status 500,Error InternalError,Rid 1",
            "",
            "XX000",
        ),
    ],
)
def test_what_passes_may_be_repeated(message, detail, state):
    assert isinstance(translate(said(message, detail, state), SETTINGS, "write"), TransientError)


@pytest.mark.parametrize(
    ("message", "state", "kind", "text"),
    [
        ("User arn:x is not authorized to assume IAM Role arn:y", "XX000", ConfigurationError, "Attach the role"),
        ("S3ServiceException:Access Denied,Status 403,Error AccessDenied", "XX000", ConfigurationError, "Allow s3:GetObject"),
        ("permission denied for schema mart", "42501", WriteFailedError, 'grant usage on schema "mart" to "etl";'),
        ("permission denied for relation fact", "42501", WriteFailedError, 'insert, update, delete on table "fact" to "etl";'),
        ("must be owner of relation fact", "42501", WriteFailedError, 'alter table "fact" owner to "etl";'),
        ('relation "x" does not exist', "42P01", TableNotFoundError, "Check schema and name"),
        ("Query cancelled on user's request", "57014", WriteFailedError, "it was cancelled"),
        ("Disk Full", "XX000", WriteFailedError, "Disk Full"),
    ],
)  # fmt: skip
def test_what_stays_says_what_to_do(message, state, kind, text):
    error = translate(said(message, state=state), SETTINGS, "write")
    assert type(error) is kind
    assert text in str(error)


ACCESS_DENIED = (
    "S3ServiceException:Access Denied,Status 403,Error AccessDenied,Rid 0A,ExtRid 0B,CanRetry 1"
)
BLOCK = """
  -----------------------------------------------
  error:  {error}
  code:      8001
  context:   S3 key being read : s3://kms.region.nosuchkey/permanentredirect/part-0001
  query:     4711
  location:  table_s3_scanner.cpp:352
  process:   query0_12 [pid=1234]
  -----------------------------------------------
"""


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (ACCESS_DENIED, "Allow s3:GetObject"),
        ("Problem reading manifest file - " + ACCESS_DENIED, "Allow s3:GetObject"),
        ("S3ServiceException:The specified key does not exist.,Status 404,Error NoSuchKey,Rid 2", "NoSuchKey"),
        ("S3ServiceException:The specified bucket does not exist,Status 404,Error NoSuchBucket,Rid 2", "Create it"),
        ("S3ServiceException:The bucket you are attempting to access must be addressed using the specified endpoint. "
         "Please send all future requests to this endpoint.,Status 301,Error PermanentRedirect,Rid 2",
         "Use a bucket in the cluster's region"),
        ("S3ServiceException:The authorization header is malformed; the region 'us-east-1' is wrong; expecting "
         "'eu-west-1',Status 400,Error AuthorizationHeaderMalformed,Rid 2", "Use a bucket in the cluster's region"),
        ("S3ServiceException:User: arn:aws:sts::1:assumed-role/copy/RedshiftIamRoleSession is not authorized to "
         "perform: kms:GenerateDataKey on resource: arn:aws:kms:eu-west-1:1:key/1 because no resource-based policy "
         "allows the kms:GenerateDataKey action,Status 403,Error AccessDenied,Rid 2", "Allow kms:Decrypt"),
        ("S3ServiceException:arn:aws:kms:eu-west-1:1:key/1 is disabled.,Status 400,Error KMS.DisabledException,Rid 2",
         "see that the key is enabled"),
        ("S3ServiceException:The ciphertext refers to a customer master key that does not exist, does not exist in "
         "this region, or you are not allowed to access.,Status 403,Error AccessDenied", "Allow kms:Decrypt"),
        ("S3ServiceException:The provided token has expired.,Status 400,Error ExpiredToken,Rid 2", "role still exists"),
        ("The specified S3 prefix 'loads/1' does not exist", "lifecycle rule"),
        ("S3ServiceException:Something new,Status 418,Error Teapot,Rid 2", "S3 refused Redshift the bucket 'stage'"),
    ],
)  # fmt: skip
def test_what_s3_answered_redshift_comes_first_and_names_the_right_that_is_missing(message, text):
    error = translate(said(message, BLOCK.format(error=message)), SETTINGS, "replace of public.a")
    assert type(error) is ConfigurationError
    assert text in str(error)
    assert str(error).count(message) == 1
    assert "4711" not in str(error)


def test_a_denial_that_the_parquet_reader_met_is_one_of_the_bucket():
    context = (
        "  error:  Spectrum Scan Error\n  code:      15007\n  context:   Forbidden: HTTP response error code: 403 "
        "Message: AccessDenied Access Denied\n x-amz-request-id: 1\n  query:     1\n  location:  dory_util.cpp:1\n"
    )
    error = translate(said("Spectrum Scan Error", context), SETTINGS, "write")
    assert type(error) is ConfigurationError
    assert "Allow s3:GetObject" in str(error)


@pytest.mark.parametrize(
    "message",
    [
        'column "kms key" does not exist',
        "value 'AccessDenied' is out of range",
        'relation "nosuchkey" has no region',
    ],
)
def test_words_of_s3_in_other_errors_are_no_matter_of_the_bucket(message):
    assert type(translate(said(message), SETTINGS, "write")) is WriteFailedError


def test_the_primary_message_is_the_reason_of_a_failed_load():
    detail = BLOCK.format(error="Load failed")
    reason = from_text(said("Load into table 'a' failed. Check 'sys_load_error_detail'", detail))
    assert reason is not None
    assert reason.reason.startswith("Load into table 'a' failed.")
    assert "S3 key being read" in reason.reason
    assert reason.code == 8001


def test_a_column_with_blanks_is_named_whole():
    detail = TOO_LONG.replace("data column note", "data column my net % col")
    reason = from_text(said("Spectrum Scan Error", detail))
    assert reason is not None
    assert reason.column == "my net % col"


def test_a_value_of_1023_in_a_message_is_not_a_conflict():
    error = translate(said("Value 1023 is out of range"), SETTINGS, "write")
    assert not error.transient


def test_passwords_never_get_into_messages():
    error = translate(said("bad connection string password=hunter2"), SETTINGS, "write")
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    ("message", "state", "expected"),
    [
        ('relation "a" already exists', "42P07", True),
        (
            'duplicate key value violates unique constraint "pg_class_relname_nsp_index"',
            "23505",
            True,
        ),
        ('duplicate key value violates unique constraint "orders"', "23505", False),
    ],
)
def test_a_lost_race_to_create_is_no_error(message, state, expected):
    assert is_already_there(said(message, state=state)) is expected


def test_every_entry_is_tried_again_and_says_where_it_is_documented():
    assert all(fault.kind is TransientError for fault in PASSING)
    assert all(fault.source.startswith("https://") for fault in PASSING)


@pytest.mark.parametrize(
    ("message", "state"),
    [
        ('relation "public.t" does not exist', "42P01"),
        ("Value 1018 is out of range", "22003"),
        ("Invalid digit, Value '1023', Pos 0", "XX000"),
    ],
)
def test_a_number_or_word_within_another_error_is_no_passing_fault(message, state):
    assert not translate(said(message, state=state), SETTINGS, "write").transient
