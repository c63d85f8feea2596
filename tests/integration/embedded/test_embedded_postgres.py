"""The embedded Postgres: starts anywhere, keeps its data, and never stays behind."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import extensions

from standins.embedded import EmbeddedError, EmbeddedPostgres
from standins.embedded.liveness import ends_within, is_running

OWNER = """
import sys, time
from pathlib import Path
import psycopg2
from standins.embedded import EmbeddedPostgres

server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
connection = psycopg2.connect(server.url().replace("+psycopg2", ""))
with connection, connection.cursor() as cursor:
    cursor.execute("create table if not exists kept (number int)")
    cursor.execute("insert into kept values (1)")
print(server._server.pid, flush=True)
time.sleep(600)
"""

STARTER = """
import os, sys
from pathlib import Path
from standins.embedded import EmbeddedPostgres

print(os.getpid(), flush=True)
with EmbeddedPostgres(Path(sys.argv[1])):
    pass
"""


def connect(url: str) -> extensions.connection:
    return psycopg2.connect(url.replace("+psycopg2", ""))


def scalar(url: str, query: str) -> object:
    connection = connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone()
            return row and row[0]
    finally:
        connection.close()


def server_pid(server: EmbeddedPostgres) -> int:
    return int((server.data_directory / "postmaster.pid").read_text().split()[0])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        yield server


def test_it_is_postgres_18_with_a_stable_sort_order(shared: EmbeddedPostgres):
    assert str(scalar(shared.url(), "show server_version")).startswith("18.")
    assert scalar(shared.url(), "select 'é' > 'z'") is True


def test_it_listens_on_the_loopback_address_only(shared: EmbeddedPostgres):
    assert scalar(shared.url(), "show listen_addresses") == "127.0.0.1"
    assert scalar(shared.url(), "show unix_socket_directories") == ""


def test_a_wrong_password_is_refused(shared: EmbeddedPostgres):
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        connect(shared.url().replace(shared.password, "wrong"))


def test_the_password_is_on_no_command_line_and_in_no_file(shared: EmbeddedPostgres):
    listing = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True)
    assert "postgres -D" in listing.stdout
    assert shared.password not in listing.stdout
    assert shared.password not in shared.log.read_text()


def test_creating_a_database_twice_gives_the_same_database(shared: EmbeddedPostgres):
    name = 'odd "name"'
    first = shared.create_database(name)
    second = shared.create_database(name)
    assert first == second
    databases = scalar(shared.url(), "select count(*) from pg_database where datname like 'odd%'")
    assert databases == 1


def test_durability_is_given_up_only_where_asked(shared: EmbeddedPostgres, tmp_path: Path):
    assert scalar(shared.url(), "show fsync") == "off"
    with EmbeddedPostgres(tmp_path) as durable:
        assert scalar(durable.url(), "show fsync") == "on"
        assert scalar(durable.url(), "show synchronous_commit") == "on"


def test_a_second_server_on_the_same_directory_is_refused(shared: EmbeddedPostgres):
    second = EmbeddedPostgres(shared.directory)
    with pytest.raises(EmbeddedError, match=rf"in use by process {os.getpid()}\. Stop that"):
        second.start()
    assert scalar(shared.url(), "select 1") == 1


def test_data_survives_a_restart_and_the_old_password_does_not(tmp_path: Path):
    with EmbeddedPostgres(tmp_path) as server:
        connection = connect(server.create_database("runs"))
        with connection, connection.cursor() as cursor:
            cursor.execute("create table kept as select 42 as number")
        connection.close()
        first_password, pid = server.password, server_pid(server)
    assert not is_running(pid)

    with EmbeddedPostgres(tmp_path) as server:
        assert scalar(server.url("runs"), "select number from kept") == 42
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            connect(server.url("runs").replace(server.password, first_password))


def test_a_killed_owner_leaves_no_process_and_whole_data(
    tmp_path: Path, start_owner: Callable[..., tuple[subprocess.Popen[str], list[int]]]
):
    for rows in (1, 2):
        owner, (postgres,) = start_owner(OWNER, str(tmp_path))
        owner.kill()
        # Starting again at once waits for the old server to go.
        with EmbeddedPostgres(tmp_path) as server:
            assert not is_running(postgres)
            assert scalar(server.url(), "select count(*) from kept") == rows


def test_a_server_that_crashed_starts_again(tmp_path: Path):
    server = EmbeddedPostgres(tmp_path)
    server.start()
    try:
        connection = connect(server.url())
        with connection, connection.cursor() as cursor:
            cursor.execute("create table kept as select 42 as number")
        connection.close()
        pid = server_pid(server)
        os.kill(pid, signal.SIGKILL)
        assert ends_within(pid, 10)
    finally:
        server.stop()
    with EmbeddedPostgres(tmp_path) as again:
        assert scalar(again.url(), "select number from kept") == 42


def test_a_pid_file_with_the_number_of_another_program_does_not_matter(tmp_path: Path):
    with EmbeddedPostgres(tmp_path) as server:
        pid_file = (server.data_directory / "postmaster.pid").read_text()
    lines = pid_file.splitlines()
    stale = server.data_directory / "postmaster.pid"
    stale.write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")
    with EmbeddedPostgres(tmp_path) as server:
        assert scalar(server.url(), "select 1") == 1


def test_a_taken_port_is_an_error_that_shows_the_log(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = EmbeddedPostgres(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(EmbeddedError, match="could not bind IPv4"):
            server.start()
    with server:  # the failed start left nothing behind that is in the way
        assert scalar(server.url(), "select 1") == 1


def test_data_of_another_version_is_refused_with_what_to_do(tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("15\n")
    with pytest.raises(EmbeddedError, match=r"of PostgreSQL 15; .* is 18\. Remove the directory"):
        EmbeddedPostgres(tmp_path).start()


def test_a_directory_with_foreign_files_is_an_error_from_initdb(tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "letters.txt").write_text("dear all")
    with pytest.raises(EmbeddedError, match=r"(?s)initdb ended with exit code 1.*is not empty"):
        EmbeddedPostgres(tmp_path).start()


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.45])
def test_an_interrupt_while_starting_leaves_no_process(
    seconds: float,
    tmp_path: Path,
    start_owner: Callable[..., tuple[subprocess.Popen[str], list[int]]],
):
    owner, _ = start_owner(STARTER, str(tmp_path))
    time.sleep(seconds)  # in the middle of initdb, setting the password, or starting
    owner.send_signal(signal.SIGINT)
    owner.wait(20)
    listing = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True)
    left = [line for line in listing.stdout.splitlines() if f"-D {tmp_path}" in line]
    assert left == []
