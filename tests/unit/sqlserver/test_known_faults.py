"""Every error number that we know, by the text that SQL Server gives with it."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from mssql_python import exceptions

from tranship.errors import ConnectionFailedError, TranshipError, TransientError
from tranship.sqlserver.driver_errors import translate
from tranship.sqlserver.known_faults import ANSWERED, BROKEN, DENIED, PASSING, REFUSALS
from tranship.sqlserver.settings import SqlServerSettings
from tranship.sqlserver.statements import quoted

SETTINGS = SqlServerSettings(host="db", database="dw", user="etl", password="hunter2")
PREFIX = "[Microsoft][ODBC Driver 18 for SQL Server][SQL Server]"

# The texts of sys.messages, filled with names as a server fills them.
REFUSED = {
    40615: "Cannot open server 'x' requested by the login. Client with IP address '1.2.3.4' is not allowed to access the server.  To enable access, use the Azure Management Portal or run sp_set_firewall_rule on the master database.",
    40914: "Cannot open server 'x' requested by the login. Client is not allowed to access the server.",
    47073: "An instance-specific error occurred while establishing a connection to SQL Server. Connection was denied since Deny Public Network Access is set to Yes.",
    40532: 'Cannot open server "x" requested by the login. The login failed.',
    4064: "Cannot open user default database. Login failed.",
    4060: 'Cannot open database "dw" requested by the login. The login failed.',
    916: 'The server principal "etl" is not able to access the database "other" under the current security context.',
    18486: "Login failed for user 'etl' because the account is currently locked out. The system administrator can unlock it.",
    18487: "Login failed for user 'etl'.  Reason: The password of the account has expired.",
    18488: "Login failed for user 'etl'.  Reason: The password of the account must be changed.",
    18470: "Login failed for user 'etl'. Reason: The account is disabled.",
    18452: "Login failed. The login is from an untrusted domain and cannot be used with Integrated authentication.",
    18456: "Login failed for user 'etl'.",
    978: "The target database ('dw') is in an availability group and is currently accessible for connections when the application intent is set to read only. For more information about application intent, see SQL Server Books Online.",
    979: "The target database ('dw') is in an availability group and currently does not allow read only connections. For more information about application intent, see SQL Server Books Online.",
    942: "Database 'dw' cannot be opened because it is offline.",
}
PASSES = {
    18401: "Login failed for user 'etl'. Reason: Server is in script upgrade mode. Only administrator can connect at this time.",
    18451: "Login failed for user 'etl'. Only administrators may connect at this time.",
    18461: "Login failed for user 'etl'. Reason: Server is in single user mode. Only one administrator can connect at this time.",
    1205: "Transaction (Process ID 55) was deadlocked on lock resources with another process and has been chosen as the deadlock victim. Rerun the transaction.",
    3960: "Snapshot isolation transaction aborted due to update conflict. You cannot use snapshot isolation to access table 'dbo.t' directly or indirectly in database 'dw' to update, delete, or insert the row.",
    3961: "Snapshot isolation transaction failed in database 'dw' because the object accessed by the statement has been modified by a DDL statement in another concurrent transaction since the start of this transaction.  It is disallowed because the metadata is not versioned.",
    3958: "Transaction aborted when accessing versioned row in table 'dbo.t' in database 'dw'. Requested versioned row was not found. Your tempdb is probably out of space.",
    3959: "Version store is full. New version(s) could not be added. A transaction that needs to access the version store may be rolled back.",
    3966: "Transaction is rolled back when accessing version store. It was earlier marked as victim when the version store was shrunk due to insufficient space in tempdb.",
    601: "Could not continue scan with NOLOCK due to data movement.",
    596: "Cannot continue the execution because the session is in the kill state.",
    615: "Could not find database table ID 5, name 'dw'.",
    617: "Descriptor for object ID 5 in database ID 6 not found in the hash table during attempt to unhash it.",
    669: "The row object is inconsistent. Please rerun the query.",
    701: "There is insufficient system memory in resource pool 'default' to run this query.",
    802: "There is insufficient memory available in the buffer pool.",
    8628: "A time out occurred while waiting to optimize the query. Rerun the query.",
    8645: "A timeout occurred while waiting for memory resources to execute the query in resource pool 'default' (2). Rerun the query.",
    8651: "Could not perform the operation because the requested memory grant was not available ... Could not perform the operation because the minimum query memory is not available.",
    1203: "Process ID 51 attempted to unlock a resource it does not own: OBJECT. Retry the transaction.",
    1204: "The instance of the SQL Server Database Engine cannot obtain a LOCK resource at this time. Rerun your statement when there are fewer active users.",
    1221: "The Database Engine is attempting to release a group of locks that are not currently held by the transaction. Retry the transaction.",
    1222: "Lock request time out period exceeded.",
    921: "Database 'dw' has not been recovered yet. Wait and try again.",
    922: "Database 'dw' is being recovered. Waiting until recovery is finished.",
    924: "Database 'dw' is already open and can only have one user at a time.",
    927: "Database 'dw' cannot be opened. It is in the middle of a restore.",
    952: "Database 'dw' is in transition. Try the statement later.",
    976: "The target database, 'dw', is participating in an availability group and is currently not accessible for queries. Either data movement is suspended or the availability replica is not enabled for read access.",
    981: "Unable to access the database 'dw'; recovery of the database is in progress on the secondary replica.",
    982: "Unable to access the 'dw' database because no online secondary replicas are enabled for read-only access.",
    983: "Unable to access availability database 'dw' because the database replica is not in the PRIMARY or SECONDARY role. Try the operation again later.",
    4221: "Login to read-secondary failed due to long wait on 'HADR_DATABASE_WAIT_FOR_TRANSITION_TO_VERSIONING'.",
    41301: "A previous transaction that the current transaction took a dependency on has aborted, and the current transaction can no longer commit.",
    41302: "The current transaction attempted to update a record that has been updated since this transaction started. The transaction was aborted.",
    41305: "The current transaction failed to commit due to a repeatable read validation failure.",
    41325: "The current transaction failed to commit due to a serializable validation failure.",
    41839: "Transaction exceeded the maximum number of commit dependencies.",
    40501: "The service is currently busy. Retry the request after 10 seconds. Incident ID: 1. Code: 2.",
    49918: "Cannot process request. Not enough resources to process request. The service is currently busy. Please retry the request later.",
    49919: 'Cannot process create or update request. Too many create or update operations in progress for subscription "1".',
    49920: 'Cannot process request. Too many operations in progress for subscription "1".',
    40197: "The service has encountered an error processing your request. Please try again. Error code 20.",
    40540: "Transaction was aborted as database is moved to read-only mode.",
    40613: "Database 'dw' on server 'x' is not currently available. Please retry the connection later.",
    10928: "Resource ID: 1. The session limit for the database is 60 and has been reached. See the documentation for assistance.",
    10929: "Resource ID: 1. The request minimum guarantee is 0, maximum limit is 90 and the current usage for the database is 60. However, the server is currently too busy to support requests greater than 60 for this database.",
    10936: "Resource ID: 1. The request limit for the elastic pool is 60 and has been reached.",
    42108: "Can not connect to the SQL pool since it is paused. Please resume the SQL pool and try again.",
    42109: "The SQL pool is warming up. Please try again.",
    6005: "SHUTDOWN is in progress.",
    17142: "SQL Server service has been paused. No new connections will be allowed.",
    17187: "SQL Server is not ready to accept new client connections. Wait a few minutes before trying again.",
    17188: "SQL Server cannot accept new connections, because it is shutting down.",
    17197: "Login failed due to timeout; the connection has been closed.",
    17809: "Could not connect because the maximum number of '32767' user connections has already been opened.",
    17830: "Network error code 0x2746 occurred while establishing a connection; the connection has been closed.",
}  # fmt: skip
NETWORK = {
    10053: "TCP Provider: Error code 0x2745",
    10054: "TCP Provider: An existing connection was forcibly closed by the remote host.",
    10060: "TCP Provider: Error code 0x274C",
    64: "TCP Provider: The specified network name is no longer available.",
    121: "TCP Provider: The semaphore timeout period has expired.",
    233: "TCP Provider: No process is on the other end of the pipe.",
}
RIGHTS = {
    230: (
        "The SELECT permission was denied on the column 'Salary' of the object 'Employee', database 'dw', schema 'hr'.",
        "use [dw]; grant SELECT on [hr].[Employee] ([Salary]) to [etl];",
    ),
    229: (
        "The SELECT permission was denied on the object 'Employee', database 'dw', schema 'hr'.",
        "use [dw]; grant SELECT on [hr].[Employee] to [etl];",
    ),
    300: (
        "VIEW SERVER STATE permission was denied on object 'server', database 'master'.",
        "use [master]; grant VIEW SERVER STATE to [etl];",
    ),
    262: (
        "VIEW DATABASE STATE permission denied in database 'dw'.",
        "use [dw]; grant VIEW DATABASE STATE to [etl];",
    ),
    297: (
        "The user does not have permission to perform this action.",
        "use [dw]; grant view database state to [etl];",
    ),
}


def said(text: str, state: str = "HY000") -> TranshipError:
    made = exceptions.sqlstate_to_exception(state, PREFIX + text)
    assert made is not None
    return translate(made, SETTINGS, "reading hr.Employee")


def test_every_number_that_we_know_has_its_text_here():
    assert {fault.codes[0] for fault in ANSWERED} == {
        str(number) for number in (*REFUSED, *PASSES, *RIGHTS)
    }
    assert {fault.codes[0] for fault in BROKEN} == {str(number) for number in NETWORK}


def test_every_entry_says_where_it_is_documented():
    assert all(
        fault.source.startswith("https://learn.microsoft.com/") for fault in (*ANSWERED, *BROKEN)
    )


@pytest.mark.parametrize("number", PASSES)
def test_what_passes_is_tried_again(number: int):
    error = said(PASSES[number])
    assert type(error) is TransientError
    assert error.details["error_number"] == str(number)
    assert f"({number})" in str(error)


@pytest.mark.parametrize("number", REFUSED)
def test_a_refusal_is_not_tried_again_and_keeps_the_servers_reason(number: int):
    error = said(REFUSED[number], "28000")
    assert type(error) is ConnectionFailedError
    assert error.details["error_number"] == str(number)
    assert REFUSED[number] in str(error)
    assert error.remedy


def test_a_refusal_while_connecting_is_no_server_that_is_down():
    # ODBC gives the state of a failed connection to whatever the server says during a login.
    assert not said(REFUSED[40615], "08001").transient
    assert said(PASSES[40613], "08001").transient


@pytest.mark.parametrize("number", NETWORK)
def test_a_broken_connection_is_tried_again(number: int):
    assert said(NETWORK[number], "08S01").transient


@pytest.mark.parametrize("number", RIGHTS)
def test_a_missing_right_is_said_with_the_statement_that_gives_it(number: int):
    text, statement = RIGHTS[number]
    error = said(text, "42000")
    assert not error.transient
    assert text in str(error)
    assert statement in error.remedy


def test_a_column_that_may_not_be_read_can_be_left_out():
    assert "exclude: [Salary]" in said(RIGHTS[230][0], "42000").remedy


names = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=20)


@given(schema=names, table=names, column=names)
def test_the_grant_is_quoted_for_any_name(schema: str, table: str, column: str):
    # A name that itself looks like the next part of the sentence cannot be told from it.
    assume(not any("'" in part for part in (schema, table, column)))
    error = said(
        f"The SELECT permission was denied on the column '{column}' of the object '{table}', database 'dw', "
        f"schema '{schema}'.",
        "42000",
    )
    assert (
        f"grant SELECT on {quoted(schema)}.{quoted(table)} ({quoted(column)}) to [etl];"
        in error.remedy
    )


def test_a_name_with_a_quote_is_read_to_its_end():
    error = said(
        "The SELECT permission was denied on the object 'O'Brien', database 'dw', schema 'dbo'.",
        "42000",
    )
    assert "grant SELECT on [dbo].[O'Brien] to [etl];" in error.remedy


def test_no_list_takes_the_text_of_another():
    for number, text in {**REFUSED, **PASSES}.items():
        wanted = REFUSALS if number in REFUSED else (*REFUSALS, *PASSING)
        first = next(
            fault
            for fault in (*REFUSALS, *DENIED, *PASSING)
            if re.search(fault.words, text, re.IGNORECASE | re.DOTALL)
        )
        assert first in wanted
        assert first.codes == (str(number),)


def test_a_failure_without_a_reason_says_all_that_we_know():
    error = exceptions.DatabaseError(
        "An error occurred with SQLSTATE code: 56000", "Unknown DDBC error"
    )
    error.add_note("Warning: Null value is eliminated by an aggregate.")
    told = translate(error, SETTINGS, "reading hr.Employee")
    assert not told.transient
    for words in (
        "while reading hr.Employee on db:1433",
        "SQLSTATE 56000",
        'the last message of the server was: "Warning: Null value is eliminated by an aggregate."',
    ):
        assert words in str(told)


def test_a_failure_without_a_reason_and_without_messages_says_so():
    told = translate(
        exceptions.DatabaseError("General error", "Unknown DDBC error"), SETTINGS, "counting hr.E"
    )
    assert "gave no reason for a failure while counting hr.E" in str(told)
    assert "the server had said nothing" in str(told)
