"""What the driver raises becomes an error that says what happened and what to do, without the password."""

import logging
import traceback

import mssql_python
import pytest
from mssql_python import exceptions

from tranship.errors import (
    ColumnNotFoundError,
    ConfigurationError,
    ConnectionFailedError,
    TableNotFoundError,
    TranshipError,
    TransientError,
    UnreachableError,
)
from tranship.sqlserver.driver_errors import driver_errors, translate
from tranship.sqlserver.settings import SqlServerSettings

SETTINGS = SqlServerSettings(host="db", database="dw", user="etl", password="hunter2")


def raised(state: str, text: str) -> Exception:
    """What the driver makes of an SQLSTATE and the text that the ODBC driver gives with it."""
    made = exceptions.sqlstate_to_exception(
        state, f"[Microsoft][ODBC Driver 18 for SQL Server][SQL Server]{text}"
    )
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("state", "text", "kind", "message"),
    [
        (
            "28000",
            "Login failed for user 'etl'.",
            ConnectionFailedError,
            'refused the login "etl" (18456)',
        ),
        (
            "42000",
            'Cannot open database "dw" requested by the login. The login failed.',
            ConnectionFailedError,
            'The login "etl" cannot open the database "dw" on db:1433 (4060): ',
        ),
        (
            "08001",
            "SSL Provider: [error:0A000086:SSL routines::certificate verify failed:self-signed certificate]",
            ConnectionFailedError,
            "set SSL_CERT_FILE to a PEM file",
        ),
        (
            "08001",
            "TCP Provider: Error code 0x2749",
            UnreachableError,
            "No SQL Server answered at db:1433",
        ),
        (
            "40001",
            "Transaction (Process ID 52) was deadlocked on lock resources with another process and has "
            "been chosen as the deadlock victim. Rerun the transaction.",
            TransientError,
            "Deadlock (1205)",
        ),
        (
            "42000",
            "Snapshot isolation transaction aborted due to update conflict.",
            TransientError,
            "Update conflict (3960)",
        ),
        ("08S01", "TCP Provider: Error code 0x68", TransientError, "was lost while reading dbo.t"),
        (
            "HYT00",
            "Query timeout expired",
            TransientError,
            "did not finish within the query timeout",
        ),
        (
            "42S02",
            "Invalid object name 'dbo.t'.",
            TableNotFoundError,
            "Invalid object name 'dbo.t'.",
        ),
        ("42S22", "Invalid column name 'x'.", ColumnNotFoundError, "Invalid column name 'x'."),
        (
            "42000",
            "Incorrect syntax near 'x'.",
            TranshipError,
            "refused a request while reading dbo.t",
        ),
    ],
)
def test_each_fault_gets_its_own_error(state, text, kind, message):
    error = translate(raised(state, text), SETTINGS, "reading dbo.t")
    assert type(error) is kind
    assert message in str(error)


def test_only_faults_that_pass_are_worth_repeating():
    assert translate(raised("40001", "was deadlocked on lock"), SETTINGS, "reading").transient
    assert not translate(
        raised("28000", "Login failed for user 'etl'."), SETTINGS, "reading"
    ).transient


def test_a_driver_that_does_not_load_names_the_command_that_mends_it():
    error = translate(
        exceptions.OperationalError("Connection operation failed", "Failed to load the driver."),
        SETTINGS,
        "connecting",
    )
    assert type(error) is ConfigurationError
    assert (
        "sudo apt-get install --no-install-recommends libltdl7 libkrb5-3 libgssapi-krb5-2"
        in str(error)
    )


def test_no_traceback_and_no_log_holds_the_password(caplog):
    caplog.set_level(logging.DEBUG)
    with (
        pytest.raises(TranshipError) as caught,
        driver_errors(mssql_python, SETTINGS, "connecting"),
    ):
        mssql_python.connect("Server=db;UID=etl;PWD=hunter2;NoSuchKeyword=hunter2")
    shown = "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in shown
    assert "hunter2" not in str(caught.value.details)
    assert "hunter2" not in caplog.text
