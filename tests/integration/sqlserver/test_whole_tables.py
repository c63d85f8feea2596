"""A whole small table is read with one login, few requests, and no library it does not need."""

import subprocess
import sys
import time

import pytest

from tranship.errors import TransientError
from tranship.reads import ReadRequest
from tranship.slices import KeyRange
from tranship.sqlserver import connection, reader
from tranship.sqlserver.idle_connection import IdleConnection
from tranship.sqlserver.options import ReadOptions
from tranship.sqlserver.reader import read
from tranship.tables import TableName

CATEGORIES = TableName("dbo", "DimProductCategory")

READS = """
import sys
from tranship.reads import ReadRequest
from tranship.sqlserver.reader import read
from tranship.sqlserver.settings import SqlServerSettings
from tranship.tables import TableName

request = ReadRequest(TableName("dbo", "DimProductCategory"))
rows = read(SqlServerSettings.from_url(sys.argv[1]), request).to_table().num_rows
print(rows, sorted({"pandas", "polars", "sqlalchemy", "dagster", "asyncio"} & set(sys.modules)))
"""


@pytest.fixture
def logins(monkeypatch) -> list[str]:
    """The connections that are opened."""
    opened: list[str] = []
    original = connection.open_connection

    def counting(settings):
        opened.append(settings.address)
        return original(settings)

    monkeypatch.setattr(connection, "open_connection", counting)
    return opened


def test_a_whole_table_is_read_without_pandas_sqlalchemy_or_dagster(sqlserver_url):
    done = subprocess.run(
        [sys.executable, "-c", READS, sqlserver_url], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("4 []\n", "")


def test_the_first_reading_goes_on_with_the_connection_that_described(settings, logins):
    batches = read(settings, ReadRequest(CATEGORIES))
    assert batches.to_table().num_rows == 4
    assert len(logins) == 1
    assert batches.to_table().num_rows == 4
    assert len(logins) == 2


def test_the_connection_that_found_the_parts_reads_one_of_them(settings, logins):
    request = ReadRequest(TableName("dbo", "DimProduct"), KeyRange("ProductKey", 1, 101))
    assert read(settings, request, ReadOptions(parts=2)).to_table().num_rows == 100
    assert len(logins) == 2


def test_a_read_that_is_never_opened_keeps_no_connection(through_cable, cable, monkeypatch):
    monkeypatch.setattr(reader, "IdleConnection", lambda: IdleConnection(seconds=0.3))
    batches = read(through_cable, ReadRequest(CATEGORIES))
    assert cable.connections == 1
    deadline = time.monotonic() + 5
    while cable.connections and time.monotonic() < deadline:
        time.sleep(0.05)
    assert cable.connections == 0
    assert batches.to_table().num_rows == 4


def test_a_connection_that_broke_while_it_was_left_is_a_passing_fault(through_cable, cable):
    batches = read(through_cable, ReadRequest(CATEGORIES))
    cable.pull()
    time.sleep(0.1)
    with pytest.raises(TransientError):
        batches.to_table()
    assert batches.to_table().num_rows == 4
