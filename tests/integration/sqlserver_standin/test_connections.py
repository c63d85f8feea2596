"""Connections: many at once, cancelled, vanished, encrypted, slow readers, and the faults that tests switch on."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mssql_python
import numpy as np
import pyarrow as pa
import pymssql
import pytest

from standins.sqlserver.remote import SqlServerProcess

Connect = Callable[..., mssql_python.Connection]
BIG_ROWS = 400_000


@pytest.fixture(scope="module")
def big(server: SqlServerProcess) -> str:
    server.execute(
        "create table dbo.Big (id int not null primary key, v float not null, s nvarchar(60) not null)"
    )
    for start in range(0, BIG_ROWS, 100_000):
        ids = np.arange(start, start + 100_000, dtype=np.int32)
        server.load(
            "dbo.Big",
            [
                pa.record_batch(
                    {
                        "id": pa.array(ids),
                        "v": pa.array(ids * 0.5),
                        "s": pa.array([f"row number {i}" for i in ids]),
                    }
                )
            ],
        )
    return "dbo.Big"


@pytest.fixture(autouse=True)
def no_faults(server: SqlServerProcess) -> Iterator[None]:
    yield
    server.faults()


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_a_large_result_comes_whole_and_in_order(connect: Connect, big: str) -> None:
    reader = connect().cursor().execute(f"select id, s from {big} order by id").arrow_reader(65536)
    table = reader.read_all()
    assert table["id"].to_numpy().tolist() == list(range(BIG_ROWS))
    assert table["s"][BIG_ROWS - 1].as_py() == f"row number {BIG_ROWS - 1}"


def test_closing_a_cursor_in_mid_stream_leaves_the_connection_usable(
    connect: Connect, big: str
) -> None:
    connection = connect()
    for _ in range(3):
        cursor = connection.cursor()
        cursor.execute(f"select * from {big} a")
        assert tuple(cursor.fetchone() or ())[:1] == (0,)
        cursor.close()
        assert connection.cursor().execute("select 41 + 1").fetchval() == 42


def test_a_long_query_is_cancelled_promptly(server: SqlServerProcess, big: str) -> None:
    connection = mssql_python.connect(server.odbc(), autocommit=True)
    connection.timeout = 1  # the driver sends ATTENTION when it is over
    started = time.monotonic()
    with pytest.raises(mssql_python.Error, match=r"(?i)timeout"):
        connection.cursor().execute(
            f"select count(*) from {big} a cross join {big} b where a.v * b.v = 7.25"
        ).fetchall()
    assert time.monotonic() - started < 30
    connection.timeout = 0
    assert connection.cursor().execute("select 1").fetchval() == 1
    connection.close()


def test_a_client_that_vanishes_frees_its_connection_and_its_transaction(
    server: SqlServerProcess, connect: Connect, big: str, schema: str
) -> None:
    server.execute(f"create table {schema}.t (id int not null primary key)")
    program = f"""
import mssql_python, os
c = mssql_python.connect({server.odbc()!r})
c.cursor().execute("insert into {schema}.t values (1)")
cursor = c.cursor(); cursor.execute("select * from {big}"); cursor.fetchone()
os._exit(3)
"""
    before = server.connections()
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 3
    wait_until(lambda: server.connections() == before)
    cursor = connect().cursor()
    cursor.execute(f"insert into {schema}.t values (1)")
    assert cursor.execute(f"select count(*) from {schema}.t").fetchval() == 1


def test_several_connections_work_at_once(connect: Connect, big: str) -> None:
    slow = connect().cursor()
    slow.execute(f"select * from {big}")
    slow.fetchone()  # its result stays open
    sums: list[int] = []

    def read(connection: mssql_python.Connection) -> None:
        reader = connection.cursor().execute(f"select id from {big}").arrow_reader(65536)
        sums.append(sum(batch.num_rows for batch in reader))

    threads = [threading.Thread(target=read, args=(connect(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sums == [BIG_ROWS] * 4


@pytest.mark.parametrize("packet_bytes", [512, 4096, 16384, 32767])
def test_any_packet_size_works(connect: Connect, big: str, packet_bytes: int) -> None:
    cursor = connect(more=f"PacketSize={packet_bytes}").cursor()
    assert cursor.execute(f"select top 5000 * from {big}").arrow().num_rows == 5000
    assert cursor.execute("select ?", "x" * 30000).fetchval() == "x" * 30000


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(),
    reason="reads the memory of a process from /proc, which only Linux has",
)
def test_a_slow_reader_does_not_fill_the_servers_memory(
    server: SqlServerProcess, connect: Connect, big: str
) -> None:
    # 20 times 400,000 rows of about 90 bytes: 700 MB if it were all made before it is sent.
    sql = (
        f"select a.* from {big} a cross join (values {', '.join(f'({i})' for i in range(20))}) n(i)"
    )
    cursor = connect().cursor()
    cursor.execute(f"select top 1000 * from {big}").fetchall()
    before = resident_mb(server.pid)
    cursor.execute(sql)
    cursor.fetchone()
    time.sleep(1.5)
    assert resident_mb(server.pid) - before < 120
    cursor.close()


# -- encryption


def test_encryption_works_for_a_client_that_trusts_any_certificate(
    connect: Connect, big: str
) -> None:
    cursor = connect(encrypt="yes", trust=True).cursor()
    assert cursor.execute(f"select * from {big}").arrow().num_rows == BIG_ROWS
    assert cursor.execute("select ?", "y" * 100_000).fetchval() == "y" * 100_000


def test_an_unknown_certificate_is_refused_by_a_client_that_checks(
    server: SqlServerProcess,
) -> None:
    with pytest.raises(mssql_python.OperationalError, match="certificate verify failed"):
        mssql_python.connect(server.odbc(encrypt="yes"))


def test_a_client_that_knows_the_certificate_verifies_it(server: SqlServerProcess) -> None:
    address = server.odbc(encrypt="yes").replace(
        "127.0.0.1", "localhost"
    )  # the driver compares names, not addresses
    program = f"import mssql_python; print(mssql_python.connect({address!r}).cursor().execute('select 1').fetchval())"
    environment = {**os.environ, "SSL_CERT_FILE": str(server.certificate)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.strip(), done.returncode) == ("1", 0), done.stderr


def test_pymssql_can_require_encryption(server: SqlServerProcess) -> None:
    with pymssql.connect(
        "127.0.0.1",
        "sa",
        server.password,
        server.database,
        port=str(server.port),
        encryption="require",
    ) as connection:
        cursor = connection.cursor()
        cursor.execute("select 1")
        assert cursor.fetchall() == [(1,)]


# -- faults


def test_a_result_can_be_broken_after_some_rows(
    server: SqlServerProcess, connect: Connect, big: str
) -> None:
    cursor = connect().cursor()
    server.faults(drop_after_rows=100_000)
    rows = 0
    with pytest.raises(mssql_python.Error, match=r"(?i)communication link|connection"):  # noqa: PT012
        for batch in cursor.execute(f"select * from {big}").arrow_reader(8192):
            rows += batch.num_rows
    assert 0 < rows <= 100_000
    server.faults()
    assert connect().cursor().execute("select 1").fetchval() == 1


def test_all_connections_can_be_dropped_now(server: SqlServerProcess, connect: Connect) -> None:
    cursor = connect().cursor()
    cursor.execute("select 1").fetchall()
    server.drop_connections()
    with pytest.raises(mssql_python.Error, match=r"(?i)communication link|connection"):
        cursor.execute("select 1").fetchall()


def test_connections_can_be_refused_and_answers_delayed(
    server: SqlServerProcess, connect: Connect
) -> None:
    cursor = connect().cursor()
    server.faults(delay_seconds=0.4)
    started = time.monotonic()
    cursor.execute("select 1").fetchall()
    assert time.monotonic() - started >= 0.4
    server.faults(refuse_connections=True)
    with pytest.raises(mssql_python.Error):
        mssql_python.connect(server.odbc())


def test_bytes_that_are_no_tds_end_only_their_own_connection(
    server: SqlServerProcess, connect: Connect
) -> None:
    import socket

    for garbage in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x12\x01\x00\x09\x00\x00\x00\x00\xff",
        b"\x10\x01\x00\x0a\x00\x00\x00\x00ab",
        b"\x00",
    ):
        with socket.create_connection(("127.0.0.1", server.port), 5) as raw:
            raw.sendall(garbage)
            raw.shutdown(socket.SHUT_WR)
            raw.settimeout(5)
            while raw.recv(4096):
                pass
    assert connect().cursor().execute("select 1").fetchval() == 1
