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
    ],
)
def test_what_passes_may_be_repeated(message, detail, state):
    assert isinstance(translate(said(message, detail, state), SETTINGS, "write"), TransientError)


@pytest.mark.parametrize(
    ("message", "state", "kind", "text"),
    [
        ("User arn:x is not authorized to assume IAM Role arn:y", "XX000", ConfigurationError, "Attach the role"),
        ("S3ServiceException:Access Denied,Status 403,Error AccessDenied", "XX000", ConfigurationError, "Allow s3:GetObject"),
        ("permission denied for schema mart", "42501", WriteFailedError, "grant usage, create on schema mart to etl;"),
        ("permission denied for relation fact", "42501", WriteFailedError, "insert, update, delete on fact to etl;"),
        ("must be owner of relation fact", "42501", WriteFailedError, "Only the table's owner"),
        ('relation "x" does not exist', "42P01", TableNotFoundError, "Check schema and name"),
        ("Query cancelled on user's request", "57014", WriteFailedError, "it was cancelled"),
        ("Disk Full", "XX000", WriteFailedError, "Disk Full"),
    ],
)  # fmt: skip
def test_what_stays_says_what_to_do(message, state, kind, text):
    error = translate(said(message, state=state), SETTINGS, "write")
    assert type(error) is kind
    assert text in str(error)


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
