"""A server that keeps the connection and says nothing: every wait for it ends, and every stop."""

import threading
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import cast

import pyarrow as pa
import pytest
from cable import Cable

from standins.sqlserver.remote import SqlServerProcess
from tranship.deadlines import within
from tranship.errors import TransientError
from tranship.reads import ReadRequest
from tranship.sqlserver import stopping
from tranship.sqlserver.connection import connect
from tranship.sqlserver.options import ReadOptions
from tranship.sqlserver.reader import read
from tranship.sqlserver.settings import SqlServerSettings
from tranship.sqlserver.statements import CompiledStatement, rows
from tranship.tables import TableName

SALES = TableName("dbo", "FactInternetSales")
IN_SMALL_STEPS = ReadOptions(part_column="OrderDateKey", batch_rows=500, queue_bytes=1)
SILENCE = "said nothing for"


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


@pytest.fixture
def fall_silent(cable: Cable, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the server fall silent; what waits for it waits for seconds, and not for two hours.

    From the start: a call that was under way when the deadline changed would have the old one.
    """
    monkeypatch.setattr(stopping, "within", lambda _seconds, cut: within(4.0, cut))
    return cable.fall_silent


def test_a_statement_that_is_never_answered_ends(
    through_cable: SqlServerSettings, fall_silent: Callable[[], None]
):
    def ask() -> None:
        with connect(through_cable, doing="counting") as connection:
            assert rows(connection, CompiledStatement("select 1")) == [(1,)]
            fall_silent()
            rows(connection, CompiledStatement("select 2"))

    with pytest.raises(TransientError, match=SILENCE):
        ask()


def test_a_read_whose_server_falls_silent_ends_and_leaves_no_thread(
    through_cable: SqlServerSettings, fall_silent: Callable[[], None]
):
    batches = read(through_cable, ReadRequest(SALES), replace(IN_SMALL_STEPS, parts=3)).open()
    next(batches)
    fall_silent()
    started = time.monotonic()
    with pytest.raises(TransientError, match=SILENCE):
        for _ in batches:
            pass
    assert time.monotonic() - started < 60
    assert readers() == []


@pytest.mark.parametrize("parts", [1, 3])
def test_a_consumer_that_leaves_a_silent_server_is_not_kept(
    through_cable: SqlServerSettings, cable: Cable, monkeypatch: pytest.MonkeyPatch, parts: int
):
    monkeypatch.setattr("tranship.sqlserver.connection.CUT_SECONDS", 0.5)
    options = replace(IN_SMALL_STEPS, parts=parts)
    batches = read(through_cable, ReadRequest(SALES), options).open()
    next(batches)
    cable.fall_silent()
    time.sleep(0.1)  # the producers come to wait for rows
    started = time.monotonic()
    cast("Generator[pa.RecordBatch, None, None]", batches).close()
    assert time.monotonic() - started < 60
    assert readers() == []


def test_a_server_that_falls_silent_between_long_values_stops_no_thread():
    with SqlServerProcess(password="Correct-Horse-1") as server:
        server.execute("create table dbo.Letters (Id int not null primary key, Body nvarchar(max))")
        for number in range(8):
            server.execute(
                f"insert into dbo.Letters values ({number}, replicate(cast(N'x' as nvarchar(max)), 100000))"
            )
        settings = replace(SqlServerSettings.from_url(server.url()), answer_timeout_seconds=3)
        letters = ReadRequest(TableName("dbo", "Letters"))
        assert read(settings, letters).to_table().num_rows == 8
        server.faults(silent_after_rows=4)
        started = time.monotonic()
        with pytest.raises(TransientError, match=SILENCE):
            read(settings, letters).to_table()
        assert time.monotonic() - started < 60
        assert readers() == []
        server.faults()
        assert read(settings, letters).to_table().num_rows == 8
