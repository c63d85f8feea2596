"""`python -m standins sqlserver`: starts, says what it is, keeps data in a file, ends cleanly."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mssql_python
import pytest

Start = Callable[..., subprocess.Popen[str]]
PASSWORD = "Only-in-the-environment-1"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    processes: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-m",
            "standins",
            "sqlserver",
            "--port",
            "0",
            "--ready-file",
            str(tmp_path / "ready"),
            *arguments,
        ]
        environment = {**os.environ, "TRANSHIP_STANDIN_PASSWORD": PASSWORD}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    yield run
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def address(ready: Path, seconds: float = 30) -> str:
    end = time.monotonic() + seconds
    while not ready.exists():
        assert time.monotonic() < end, "the stand-in did not start"
        time.sleep(0.02)
    found = json.loads(ready.read_text())
    ready.unlink()
    return f"Server={found['host']},{found['port']};Database=AdventureWorksDW;UID=sa;PWD={PASSWORD};Encrypt=no"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_that_it_is_a_stand_in_and_ends_cleanly_even_with_a_client(
    start: Start, tmp_path: Path, number: int
) -> None:
    process = start()
    connection = mssql_python.connect(address(tmp_path / "ready"))
    connection.cursor().execute("select 1").fetchall()
    process.send_signal(number)
    output, _ = process.communicate(timeout=20)
    with contextlib.suppress(mssql_python.Error):  # the server is gone
        connection.close()
    assert process.returncode == 0
    assert "stand-in (not SQL Server; for demos and tests only)" in output
    assert PASSWORD not in output


def test_a_file_keeps_tables_types_and_rowversions(start: Start, tmp_path: Path) -> None:
    file = str(tmp_path / "data.duckdb")
    first = start("--path", file)
    with mssql_python.connect(address(tmp_path / "ready"), autocommit=True) as connection:
        connection.cursor().execute(
            "create table dbo.Kept (id int identity primary key, n nvarchar(7), rv rowversion)"
        )
        connection.cursor().execute("insert into dbo.Kept (n) values (N'one')")
        before = connection.cursor().execute("select rv from dbo.Kept").fetchval()
    first.terminate()
    assert first.wait(20) == 0
    start("--path", file)
    with mssql_python.connect(address(tmp_path / "ready"), autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("insert into dbo.kept (n) values (N'two')")
        rows = cursor.execute("select id, n, rv from dbo.Kept order by id").fetchall()
        assert [(row.id, row.n) for row in rows] == [(1, "one"), (2, "two")]
        assert rows[0].rv == before < rows[1].rv
        found = cursor.execute(
            "select name, max_length from sys.columns where object_id = object_id('dbo.Kept') order by column_id"
        ).fetchall()
        assert [tuple(row) for row in found] == [("id", 4), ("n", 14), ("rv", 8)]


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    program = (
        "import subprocess, sys, time, pathlib\n"
        f"p = subprocess.Popen([sys.executable, '-m', 'standins', 'sqlserver', '--port', '0', '--exit-with-parent', '--ready-file', {str(ready)!r}])\n"
        f"while not pathlib.Path({str(ready)!r}).exists(): time.sleep(0.02)\n"
        "print(p.pid)\n"
    )
    environment = {**os.environ, "TRANSHIP_STANDIN_PASSWORD": PASSWORD}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    pid = int(done.stdout.split()[-1])
    end = time.monotonic() + 10
    while (
        Path(f"/proc/{pid}").exists()
        and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]
    ):
        assert time.monotonic() < end, "the stand-in outlived its parent"
        time.sleep(0.05)


def test_a_taken_port_and_a_missing_password_are_explained(start: Start, tmp_path: Path) -> None:
    start()
    port = address(tmp_path / "ready").split(";")[0].split(",")[1]
    command = [sys.executable, "-m", "standins", "sqlserver", "--port", port]
    taken = subprocess.run(
        [*command, "--password", "x"], capture_output=True, text=True, timeout=60, check=False
    )
    assert taken.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in taken.stderr
    environment = {
        name: value for name, value in os.environ.items() if name != "TRANSHIP_STANDIN_PASSWORD"
    }
    missing = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert missing.returncode == 2
    assert "TRANSHIP_STANDIN_PASSWORD" in missing.stderr
