"""Whatever breaks, and whoever else is there: the old rows or the new ones, never a mix and never neither."""

import logging
import selectors
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg2
import psycopg2.extensions
import pyarrow as pa
import pytest
from psycopg2 import sql

from tranship.errors import TransientError, UnreachableError, ValueDoesNotFitError, WriteFailedError
from tranship.frames import Batches
from tranship.postgres.settings import PostgresSettings
from tranship.postgres.transaction import TableHeldError
from tranship.postgres.writer import write
from tranship.tables import TableName
from tranship.writes import WriteMode, WriteRequest, WriteResult

Load = Callable[..., WriteResult]
Run = Callable[..., list[tuple[Any, ...]]]
ROWS = 1_000


def generation(number: int, rows: int = ROWS) -> pa.Table:
    return pa.table({"id": pa.array(range(rows)), "g": pa.array([number] * rows)})


def one_shot(frames: Iterator[pa.Table]) -> Batches:
    return Batches.of(frames)


# ---- killed processes ----

WRITER = textwrap.dedent(
    """
    import sys, time
    import pyarrow as pa
    from tranship.frames import Batches
    from tranship.postgres.settings import PostgresSettings
    from tranship.postgres.writer import write
    from tranship.slices import KeyRange, WholeTable
    from tranship.tables import TableName
    from tranship.writes import WriteRequest

    url, schema, name, moment, scope = sys.argv[1:]

    def wait(*_):
        print("now", flush=True)
        time.sleep(60)

    def frames():
        yield pa.table({"id": pa.array(range(20_000)), "g": pa.array([2] * 20_000)})
        if moment == "copy":
            wait()

    request = WriteRequest(TableName(schema, name), slice=WholeTable() if scope == "whole" else KeyRange("id", 0))
    write(PostgresSettings.from_url(url), request, Batches.of(frames()), extra=wait if moment == "swap" else None)
    """
)


@pytest.mark.parametrize("scope", ["whole", "slice"])
@pytest.mark.parametrize("moment", ["copy", "swap"])
def test_a_writer_killed_at_any_moment_leaves_the_old_rows(
    postgres_url: str, table: TableName, load: Load, sql_rows: Run, moment: str, scope: str
) -> None:
    load(table, generation(1))
    command = [sys.executable, "-c", WRITER, postgres_url, table.schema, table.name, moment, scope]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        process.send_signal(signal.SIGKILL)
    # The server notices the end of the connection at once and rolls back.
    assert sql_rows("select count(*), min(g), max(g) from {}", table) == [(ROWS, 1, 1)]
    load(table, generation(3), times=1)
    assert sql_rows("select count(*), min(g), max(g) from {}", table) == [(ROWS, 3, 3)]
    left = sql_rows(
        f"select count(*) from pg_class where relnamespace = '{table.schema}'::regnamespace and relkind = 'r'"
    )
    assert left == [(1,)]


# ---- other writers and readers ----


@pytest.mark.parametrize("in_place", [False, True])
def test_two_writers_of_one_table_take_turns(
    settings: PostgresSettings, table: TableName, load: Load, sql_rows: Run, in_place: bool
) -> None:
    load(table, generation(0))
    if in_place:
        sql_rows("alter table {} enable row level security", table)
    results: list[WriteResult] = []

    def run(number: int) -> None:
        results.append(write(settings, WriteRequest(table), Batches.of(generation(number))))

    threads = [threading.Thread(target=run, args=(number,)) for number in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    ((count, least, most),) = sql_rows("select count(*), min(g), max(g) from {}", table)
    assert (count, least) == (ROWS, most)


def test_writers_of_new_tables_in_a_new_schema_do_not_collide(
    settings: PostgresSettings, table: TableName, sql_rows: Run
) -> None:
    schema = f"{table.schema}_new"
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            write(
                settings,
                WriteRequest(TableName(schema, f"t{number % 2}")),
                Batches.of(generation(number)),
            )
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert sql_rows(f"select count(*) from {schema}.t0") == [(ROWS,)]
    finally:
        sql_rows(f"drop schema if exists {schema} cascade")


@pytest.mark.parametrize("in_place", [False, True])
def test_readers_see_the_old_rows_or_the_new_ones(
    postgres_url: str,
    settings: PostgresSettings,
    table: TableName,
    load: Load,
    sql_rows: Run,
    in_place: bool,
) -> None:
    load(table, generation(0))
    sql_rows(f'create view "{table.schema}".v as select * from {{}}', table)
    if in_place:
        sql_rows("alter table {} enable row level security", table)
    done = threading.Event()
    seen: set[int] = set()
    wrong: list[Any] = []

    def watch(relation: str) -> None:
        connection = psycopg2.connect(postgres_url.replace("+psycopg2", ""))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                while not done.is_set():
                    cursor.execute(f"select count(*), min(g), max(g) from {relation}")
                    row = cursor.fetchone()
                    if row is None or row[0] != ROWS or row[1] != row[2]:
                        wrong.append(row)
                    else:
                        seen.add(row[1])
        except psycopg2.Error as error:
            wrong.append(error)
        finally:
            connection.close()

    names = ['"{}"."{}"'.format(table.schema, table.name.replace('"', '""')), f'"{table.schema}".v']
    readers = [threading.Thread(target=watch, args=(name,)) for name in names]
    for reader in readers:
        reader.start()
    for number in range(1, 16):
        write(settings, WriteRequest(table), Batches.of(generation(number)))
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert len(seen) > 3


def test_a_long_reader_delays_the_swap_but_not_other_readers(
    postgres_url: str, settings: PostgresSettings, table: TableName, load: Load, sql_rows: Run
) -> None:
    load(table, generation(0))
    holder = psycopg2.connect(postgres_url.replace("+psycopg2", ""), application_name="the report")
    try:
        with holder.cursor() as cursor:
            cursor.execute(
                'select count(*) from "{}"."{}"'.format(table.schema, table.name.replace('"', '""'))
            )
        impatient = replace(settings, lock_wait_seconds=1.0)
        reads: list[int] = []
        schema = generation(1).schema

        def frames() -> Iterator[pa.RecordBatch]:
            reads.append(1)
            yield from generation(1).to_batches()

        failures: list[BaseException] = []

        def run() -> None:
            try:
                write(impatient, WriteRequest(table), Batches(schema, frames, replayable=True))
            except TableHeldError as error:
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        slowest = 0.0
        while thread.is_alive():
            started = time.perf_counter()
            assert sql_rows("select min(g) from {}", table) == [(0,)]
            slowest = max(slowest, time.perf_counter() - started)
            time.sleep(0.01)
        assert slowest < 1.0
        message = str(failures[0])
        assert f"{table} could not be locked within 1 s" in message
        assert "the report, idle in transaction" in message
        # Only the swap was repeated: the source was read once.
        assert reads == [1]
    finally:
        holder.close()
    load(table, generation(1), times=1)
    assert sql_rows("select min(g) from {}", table) == [(1,)]


# ---- errors on either side of the pipe ----


def test_an_error_in_the_source_is_raised_once_and_as_it_is(
    settings: PostgresSettings, table: TableName, load: Load, sql_rows: Run
) -> None:
    load(table, generation(1))
    before = threading.active_count()

    def frames() -> Iterator[pa.Table]:
        yield generation(2, 100_000)
        raise LookupError("the source broke")

    with pytest.raises(LookupError, match="the source broke") as caught:
        write(settings, WriteRequest(table), one_shot(frames()))
    assert caught.value.__cause__ is None
    assert threading.active_count() == before
    assert sql_rows("select min(g), max(g) from {}", table) == [(1, 1)]


@pytest.mark.parametrize("has_poll", [True, False], ids=["Unix", "Windows"])
def test_an_error_of_the_server_stops_the_source(
    settings: PostgresSettings,
    table: TableName,
    load: Load,
    sql_rows: Run,
    has_poll: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not has_poll:
        monkeypatch.delattr(selectors, "PollSelector")
    load(table, pa.table({"v": ["{}"]}), column_types={"v": "jsonb"})
    given: list[int] = []
    closed: list[bool] = []

    def frames() -> Iterator[pa.RecordBatch]:
        try:
            yield pa.record_batch({"v": ["{"]})
            for number in range(100_000):
                given.append(number)
                yield pa.record_batch({"v": ['{"a": "' + "x" * 100_000 + '"}'] * 5})
        finally:
            closed.append(True)

    rows = Batches(pa.schema({"v": pa.string()}), frames, replayable=False)
    with pytest.raises(ValueDoesNotFitError, match="invalid input syntax for type json"):
        write(settings, WriteRequest(table, column_types={"v": "jsonb"}), rows)
    assert len(given) < 1_000
    assert closed == [True]
    assert sql_rows("select v::text from {}", table) == [("{}",)]


@pytest.mark.parametrize("bad", [0, 5, 50, 300])
def test_an_error_amid_rows_that_wait_to_be_sent_stops_the_source(
    settings: PostgresSettings, table: TableName, load: Load, sql_rows: Run, bad: int
) -> None:
    """The driver takes the error off the socket while it waits to send."""
    load(table, pa.table({"v": ["{}"]}), column_types={"v": "jsonb"})
    good = '{"a": "' + "x" * 1_000 + '"}'
    given: list[int] = []

    def frames() -> Iterator[pa.RecordBatch]:
        for number in range(4_000):
            given.append(number)
            yield pa.record_batch({"v": ["{"] if number == bad else [good] * 500})

    rows = Batches(pa.schema({"v": pa.string()}), frames, replayable=False)
    with pytest.raises(ValueDoesNotFitError, match="invalid input syntax for type json"):
        write(settings, WriteRequest(table, column_types={"v": "jsonb"}), rows)
    # What the queues and the kernel's buffers hold goes with it: some 20 MB.
    assert len(given) < bad + 100
    assert sql_rows("select v::text from {}", table) == [("{}",)]


def test_a_write_whose_server_died_does_not_wait_for_a_silent_source(
    postgres_url: str,
    settings: PostgresSettings,
    table: TableName,
    load: Load,
    sql_rows: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load(table, generation(1))
    monkeypatch.setattr("tranship.read_ahead.STOP_SECONDS", 0.5)
    waiting, never = threading.Event(), threading.Event()

    def frames() -> Iterator[pa.Table]:
        yield generation(2, 20_000)
        waiting.set()
        never.wait()

    def cut() -> None:
        waiting.wait()
        _terminate_writers(postgres_url)

    threading.Thread(target=cut).start()
    started = time.monotonic()
    with pytest.raises(TransientError, match=r"an administrator ended the connection|was lost"):
        write(
            replace(settings, application_name="to be cut"),
            WriteRequest(table),
            replace(one_shot(frames()), any_thread=True),
        )
    never.set()
    assert time.monotonic() - started < 60
    assert sql_rows("select min(g), max(g) from {}", table) == [(1, 1)]


def test_an_interruption_while_sending_gets_through(
    settings: PostgresSettings, table: TableName, load: Load, sql_rows: Run
) -> None:
    load(table, generation(1))

    def interrupt(rows: int, size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(settings, WriteRequest(table), Batches.of(generation(2)), progress=interrupt)
    assert sql_rows("select min(g), max(g) from {}", table) == [(1, 1)]


def test_progress_counts_rows_and_bytes_up(settings: PostgresSettings, table: TableName) -> None:
    seen: list[tuple[int, int]] = []
    frame = generation(1, 30_000)
    result = write(
        settings, WriteRequest(table), Batches.of(frame), progress=lambda *told: seen.append(told)
    )
    assert seen == sorted(seen)
    assert seen[-1] == (30_000, frame.nbytes) == (result.rows, result.bytes)


# ---- lost connections ----


def _terminate_writers(postgres_url: str) -> None:
    connection = psycopg2.connect(postgres_url.replace("+psycopg2", ""))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'to be cut'"
        )
    connection.close()


def test_a_host_that_is_down_is_passed_over_for_one_that_takes_writes(
    settings: PostgresSettings, table: TableName, sql_rows: Run
) -> None:
    with socket.socket() as closed:  # bound, and not listening
        closed.bind(("127.0.0.1", 0))
        hosts = f"127.0.0.1:{closed.getsockname()[1]},{settings.host}"
        both = replace(settings, host=hosts)
        write(both, WriteRequest(table), Batches.of(generation(1)))
    assert sql_rows("select min(g), max(g) from {}", table) == [(1, 1)]


def test_a_server_that_takes_no_writes_for_a_moment_repeats_the_write(
    settings: PostgresSettings, table: TableName, load: Load, sql_rows: Run
) -> None:
    load(table, generation(1))
    attempts: list[int] = []

    def demoted_once(cursor: Any) -> None:
        attempts.append(1)
        if len(attempts) == 1:
            cursor.execute("set transaction read only")
            cursor.execute("create table demoted (id int)")

    write(settings, WriteRequest(table), Batches.of(generation(2)), extra=demoted_once)
    assert len(attempts) == 2
    assert sql_rows("select min(g), max(g) from {}", table) == [(2, 2)]


def test_a_connection_lost_in_mid_copy_repeats_the_write(
    postgres_url: str,
    settings: PostgresSettings,
    table: TableName,
    load: Load,
    sql_rows: Run,
    caplog: pytest.LogCaptureFixture,
) -> None:
    load(table, generation(1))
    cuts: list[int] = []

    def cut_once(rows: int, size: int) -> None:
        if not cuts:
            cuts.append(rows)
            _terminate_writers(postgres_url)
            time.sleep(0.2)

    marked = replace(settings, application_name="to be cut")
    with caplog.at_level(logging.WARNING):
        result = write(
            marked,
            WriteRequest(table, mode=WriteMode.APPEND),
            Batches.of(generation(2, 100_000)),
            progress=cut_once,
        )
    assert result.rows == 100_000
    assert sql_rows("select g, count(*) from {} group by g order by g", table) == [
        (1, ROWS),
        (2, 100_000),
    ]
    assert "Attempt 1 of 4" in caplog.text


def test_a_stream_that_cannot_be_opened_again_is_not_repeated(
    postgres_url: str, settings: PostgresSettings, table: TableName, load: Load, sql_rows: Run
) -> None:
    load(table, generation(1))

    def frames() -> Iterator[pa.Table]:
        yield generation(2, 100)
        _terminate_writers(postgres_url)
        yield generation(2, 100_000)

    marked = replace(settings, application_name="to be cut")
    with pytest.raises(TransientError):
        write(marked, WriteRequest(table), one_shot(frames()))
    assert sql_rows("select min(g), max(g) from {}", table) == [(1, 1)]


@contextmanager
def cutting_proxy(
    settings: PostgresSettings, *, forward_commit: bool
) -> Iterator[PostgresSettings]:
    """A proxy that cuts the first connection at its commit: before the server hears of it, or after."""
    listener = socket.create_server(("127.0.0.1", 0))
    cut = threading.Event()
    threads: list[threading.Thread] = []

    def pump(source: socket.socket, target: socket.socket, outgoing: bool) -> None:
        try:
            while data := source.recv(65_536):
                # The first commits only end the setup; the write's own follows the question for its id.
                if outgoing and b"COMMIT" in data and asked and not cut.is_set():
                    cut.set()
                    if forward_commit:
                        target.sendall(data)
                        time.sleep(0.3)
                    break
                if outgoing and b"txid_current" in data:
                    asked.append(True)
                if not outgoing and cut.is_set() and not lost:
                    lost.append(True)
                    break
                target.sendall(data)
        except OSError:
            pass  # the other direction has closed the pair
        finally:
            for end in (source, target):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    asked: list[bool] = []
    lost: list[bool] = []

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection((settings.host, settings.port))
            for pair in ((client, server, True), (server, client, False)):
                thread = threading.Thread(target=pump, args=pair, daemon=True)
                thread.start()
                threads.append(thread)

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield replace(settings, host="127.0.0.1", port=listener.getsockname()[1], sslmode="disable")
        assert cut.is_set()
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("forward_commit", [True, False], ids=["committed", "not committed"])
def test_an_append_whose_commit_was_not_acknowledged_is_never_doubled(
    settings: PostgresSettings, table: TableName, load: Load, sql_rows: Run, forward_commit: bool
) -> None:
    load(table, generation(1), times=1)
    with cutting_proxy(settings, forward_commit=forward_commit) as cut:
        result = write(cut, WriteRequest(table, mode=WriteMode.APPEND), Batches.of(generation(2)))
    assert ("commit" in result.details) is forward_commit
    assert sql_rows("select g, count(*) from {} group by g order by g", table) == [
        (1, ROWS),
        (2, ROWS),
    ]


# ---- refused connections ----


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"password": "wr0ng"}, "refused the password of user"),
        ({"database": "no such database"}, "has no database 'no such database'"),
    ],
)
def test_a_refused_connection_says_why_in_seconds(
    settings: PostgresSettings, table: TableName, change: dict[str, Any], words: str
) -> None:
    started = time.perf_counter()
    wrong = replace(settings, **change)
    with pytest.raises(Exception, match=words) as caught:
        write(wrong, WriteRequest(table), Batches.of(generation(1)))
    assert time.perf_counter() - started < 30
    assert "wr0ng" not in f"{caught.value!r} {caught.value.__cause__} {wrong!r}"


def test_nobody_at_the_address(settings: PostgresSettings, table: TableName) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(UnreachableError, match=f"Postgres did not answer at 127.0.0.1:{port}"):
        write(
            replace(settings, host="127.0.0.1", port=port),
            WriteRequest(table),
            one_shot(iter([generation(1)])),
        )


def test_a_missing_grant_names_user_and_statement(
    settings: PostgresSettings,
    table: TableName,
    load: Load,
    sql_rows: Run,
    postgres_connection: psycopg2.extensions.connection,
) -> None:
    load(table, generation(1))
    role = f"{table.schema}_guest"
    sql_rows(f"create role \"{role}\" login password 'gu3st'")
    sql_rows(f'grant usage on schema "{table.schema}" to "{role}"')
    guest = replace(settings, user=role, password="gu3st")
    try:
        with pytest.raises(WriteFailedError) as caught:
            write(guest, WriteRequest(table), Batches.of(generation(2)))
        assert f"user '{role}' may not: permission denied for table" in str(caught.value)
        quoted = sql.Identifier(table.schema, table.name).as_string(postgres_connection)
        assert f'grant select, insert, update, delete on table {quoted} to "{role}";' in str(
            caught.value
        )
    finally:
        sql_rows(f'drop owned by "{role}"')
        sql_rows(f'drop role "{role}"')


# ---- what the server says ----


@pytest.mark.parametrize(
    ("state", "said", "kind", "words"),
    [
        (
            "53100",
            "could not extend file: No space left",
            WriteFailedError,
            "is full.*Free space there",
        ),
        ("40P01", "deadlock detected", TransientError, "A deadlock was broken"),
        ("40001", "could not serialize access", TransientError, "could not be serialized"),
        (
            "57P01",
            "terminating connection",
            TransientError,
            "an administrator ended the connection",
        ),
        (
            "57014",
            "canceling statement due to statement timeout",
            WriteFailedError,
            "raise statement_timeout_seconds",
        ),
        ("23514", "violates check constraint", WriteFailedError, "rows break a constraint"),
        ("XX000", "odd", WriteFailedError, "failed: odd"),
    ],
)
def test_each_error_of_the_server_says_what_to_do(
    settings: PostgresSettings,
    table: TableName,
    load: Load,
    sql_rows: Run,
    state: str,
    said: str,
    kind: type[Exception],
    words: str,
) -> None:
    load(table, generation(1))

    def fail(cursor: psycopg2.extensions.cursor) -> None:
        cursor.execute(
            f"do $$ begin raise exception using errcode = '{state}', message = '{said}'; end $$"
        )

    with pytest.raises(kind, match=words) as caught:
        write(settings, WriteRequest(table), one_shot(iter([generation(2)])), extra=fail)
    assert str(caught.value).startswith(f"The replace of {table} failed")
    assert sql_rows("select min(g), max(g) from {}", table) == [(1, 1)]


def test_a_statement_timeout_ends_a_write(
    settings: PostgresSettings, table: TableName, load: Load
) -> None:
    load(table, generation(1))
    hurried = replace(settings, statement_timeout_seconds=0.2)
    with pytest.raises(WriteFailedError, match="statement timeout"):
        write(
            hurried,
            WriteRequest(table),
            Batches.of(generation(2)),
            extra=lambda cursor: cursor.execute("select pg_sleep(5)"),
        )
