"""A Postgres that keeps the connection and says nothing: every wait for it ends."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import psycopg2
import pyarrow as pa
import pytest
from cable import Cable

from tranship.bounded_connections import KEEPALIVES, stoppable
from tranship.errors import ConfigurationError, TransientError
from tranship.frames import Batches
from tranship.postgres.connection import connect
from tranship.postgres.faults import translated
from tranship.postgres.reader import read
from tranship.postgres.settings import PostgresSettings
from tranship.postgres.writer import write
from tranship.reads import ReadRequest
from tranship.tables import TableName
from tranship.writes import WriteRequest, WriteResult

SILENCE = "the server said nothing for 2 s"
Load = Callable[..., WriteResult]
Run = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def cable(settings: PostgresSettings) -> Iterator[Cable]:
    if settings.host.startswith("/"):
        pytest.skip("this server listens on a socket in the file system, which has no cable")
    made = Cable(settings.host, settings.port)
    yield made
    made.close()


@pytest.fixture
def impatient(settings: PostgresSettings, cable: Cable) -> PostgresSettings:
    return replace(settings, host="127.0.0.1", port=cable.port, answer_timeout_seconds=2)


def frame(rows: int) -> pa.Table:
    return pa.table({"id": pa.array(range(rows))})


def select(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("select 1")


@pytest.mark.parametrize("waiting", [select, lambda connection: connection.commit()])
def test_a_call_that_is_never_answered_ends(
    impatient: PostgresSettings, cable: Cable, waiting: Callable[[Any], None]
) -> None:
    def ask() -> None:
        with connect(impatient) as connection:
            select(connection)  # begins the transaction
            cable.fall_silent()
            waiting(connection)

    with pytest.raises(TransientError, match=SILENCE):
        ask()


def test_a_copy_whose_server_falls_silent_ends_with_the_old_rows(
    impatient: PostgresSettings, cable: Cable, table: TableName, load: Load, sql_rows: Run
) -> None:
    load(table, frame(3))

    def frames() -> Iterator[pa.Table]:
        for _ in range(1000):
            yield frame(100_000)

    sent: list[int] = []

    def silence(rows: int, _size: int) -> None:
        if not sent:
            cable.fall_silent()
        sent.append(rows)

    started = time.monotonic()
    with pytest.raises(TransientError, match=SILENCE):
        write(impatient, WriteRequest(table), Batches.of(frames()), progress=silence)
    assert time.monotonic() - started < 60
    cable.pull()  # the server learns of it too, and lets go of its locks
    assert sql_rows("select count(*) from {}", table) == [(3,)]


def test_a_slow_source_is_no_silent_server(
    impatient: PostgresSettings, table: TableName, sql_rows: Run
) -> None:
    def frames() -> Iterator[pa.Table]:
        yield frame(3)
        time.sleep(2.5)
        yield frame(3)

    write(impatient, WriteRequest(table), Batches.of(frames()))
    assert sql_rows("select count(*) from {}", table) == [(6,)]


def test_a_read_whose_server_falls_silent_ends(
    impatient: PostgresSettings, cable: Cable, table: TableName, load: Load
) -> None:
    # More than what lies between us and the server: two blocks, and the buffers of two sockets.
    load(table, pa.table({"v": ["x" * 100] * 500_000}), times=1)
    batches = read(impatient, ReadRequest(table)).open()
    next(batches)
    cable.fall_silent()
    with pytest.raises(TransientError, match=SILENCE):
        for _ in batches:
            pass
    cable.pull()  # the server learns of it too, and lets go of its locks


def test_a_peer_that_is_gone_is_noticed_by_the_kernel(settings: PostgresSettings) -> None:
    with connect(settings) as connection:
        told = connection.get_dsn_parameters()
    assert {name: told[name] for name in KEEPALIVES} == {
        name: str(value) for name, value in KEEPALIVES.items()
    }


def test_a_negative_time_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigurationError, match="answer_timeout_seconds"):
        PostgresSettings(host="db", database="w", user="etl", answer_timeout_seconds=-1)


def test_no_thread_waits_while_a_silent_server_is_asked_to_stop(
    impatient: PostgresSettings, cable: Cable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tranship.bounded_connections.CANCEL_SECONDS", 4.0)
    ended: list[float] = []

    def sleep(connection: Any) -> None:
        with pytest.raises(TransientError), translated(impatient), connection.cursor() as cursor:
            cursor.execute("select pg_sleep(60)")
        ended.append(time.monotonic())

    settings = replace(impatient, answer_timeout_seconds=50)
    with connect(settings) as connection, stoppable(connection) as give_up:
        waiting = threading.Thread(target=sleep, args=(connection,))
        waiting.start()
        time.sleep(0.3)
        cable.fall_silent()
        asking = threading.Thread(target=give_up)
        asked = time.monotonic()
        asking.start()
        longest = 0.0
        while asking.is_alive():
            before = time.monotonic()
            time.sleep(0.01)
            longest = max(longest, time.monotonic() - before)
        waiting.join(30)
    assert longest < 2.0
    assert ended
    assert ended[0] - asked < 30


def test_a_query_that_nobody_waits_for_any_more_is_ended_at_the_server(
    settings: PostgresSettings, postgres_connection: Any
) -> None:
    def running() -> int:
        with postgres_connection.cursor() as cursor:
            cursor.execute(
                "select count(*) from pg_stat_activity where pid = %s and state = 'active'", [pid]
            )
            return cursor.fetchone()[0]

    postgres_connection.autocommit = True
    with connect(settings) as connection, stoppable(connection) as give_up:
        pid = connection.info.backend_pid

        def sleep() -> None:
            with suppress(psycopg2.Error), connection.cursor() as cursor:
                cursor.execute("select pg_sleep(60)")

        waiting = threading.Thread(target=sleep)
        waiting.start()
        until = time.monotonic() + 10
        while not running() and time.monotonic() < until:
            time.sleep(0.05)
        assert running() == 1
        give_up()
        waiting.join(10)
        assert not waiting.is_alive()
        while running() and time.monotonic() < until:
            time.sleep(0.05)
        assert running() == 0
    give_up()  # late: nobody is asked any more


def test_the_drivers_own_cancel_is_not_taken(settings: PostgresSettings) -> None:
    with connect(settings) as connection, pytest.raises(NotImplementedError, match="stoppable"):
        connection.cancel()
