"""A PostgreSQL 18 server from a Python wheel, on 127.0.0.1, for the demo and the tests."""

import contextlib
import os
import pwd
import secrets
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

import psycopg2
from psycopg2 import sql

from standins.embedded.binaries import postgres_binaries
from standins.embedded.lock import DirectoryLock
from standins.embedded.process import Account, EmbeddedError, GuardedProcess

HOST = "127.0.0.1"
USER = "postgres"
MAJOR_VERSION = "18"
START_ATTEMPTS = 5
INITDB_SECONDS = 60.0
START_SECONDS = 30.0
STOP_SECONDS = 15.0
MAX_LOG_BYTES = 10_000_000

HOST_BASED_AUTHENTICATION = "host all all 127.0.0.1/32 scram-sha-256\n"

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    "maintenance_work_mem": "128MB",
    "max_connections": "100",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    # Nothing replicates from this server; COPY into a table made in the same transaction then skips the log.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "jit": "off",
    # Dagster connects anew for each event. The password is random, so guessing it needs no slowing down.
    "scram_iterations": "1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedPostgres:
    """A PostgreSQL server of our own: starts on entry, stops on exit, and stops when we are killed.

    It listens on 127.0.0.1 only, on a port that was free, with a password that is new at each start. A directory
    that holds data of an earlier start is used again, so old runs and tables are still there.

    Args:
        directory: Where data and log are kept; made if missing. One server at a time may use it.
        durable: Whether committed data survives a crash of the machine. Turn it off for tests only: it is faster.
        port: The port to listen on; 0 takes a free one.

    Raises:
        EmbeddedError: On start, with the end of the log and what to do.

    Example:
        >>> with EmbeddedPostgres(Path(".demo/postgres")) as server:
        ...     url = server.create_database("warehouse")
    """

    def __init__(self, directory: Path, *, durable: bool = True, port: int = 0):
        self.directory = directory.resolve()
        self.data_directory = self.directory / "data"
        self.log = self.directory / "postgres.log"
        self.port = port
        self.password = ""
        self._wanted_port = port
        self._settings = SETTINGS if durable else {**SETTINGS, **NOT_DURABLE}
        self._durable = durable
        self._lock = DirectoryLock(self.directory)
        self._server: GuardedProcess | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server; returns when it accepts connections."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._lock.acquire()
        try:
            self._remove_stale_pid_file()
            self._limit_log()
            account = self._account()
            if not (self.data_directory / "PG_VERSION").exists():
                self._make_data_directory(account)
            self._check_version()
            (self.data_directory / "pg_hba.conf").write_text(HOST_BASED_AUTHENTICATION)
            self.password = secrets.token_urlsafe(24)
            self._set_password(account)
            self._start_server(account)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server; open connections are ended and their transactions rolled back."""
        try:
            if self._server is not None:
                self._server.stop()
                self._server = None
        finally:
            self._lock.release()

    def url(self, database: str = "postgres") -> str:
        """Return the SQLAlchemy URL of a database, password included."""
        return f"postgresql+psycopg2://{USER}:{self.password}@{HOST}:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Create a database unless it exists; returns its URL."""
        connection = psycopg2.connect(
            host=HOST, port=self.port, user=USER, password=self.password, dbname="postgres"
        )
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("select 1 from pg_database where datname = %s", (name,))
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        finally:
            connection.close()
        return self.url(name)

    def _make_data_directory(self, account: Account | None) -> None:
        self.data_directory.mkdir(mode=0o700, exist_ok=True)
        if account:
            os.chown(self.data_directory, account.uid, account.gid)
        options = ["--username", USER, "--auth", "trust", "--encoding", "UTF8", "--no-instructions"]
        # The built-in provider sorts the same on every system and needs no locale installed.
        options += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"]
        if not self._durable:
            options.append("--no-sync")
        command = [str(postgres_binaries() / "initdb"), "-D", str(self.data_directory), *options]
        initdb = GuardedProcess("initdb", command, log=self.log, account=account)
        initdb.start().wait(INITDB_SECONDS)

    def _set_password(self, account: Account | None) -> None:
        """Give the superuser this start's password, before anyone can connect."""
        options = [*self._options(), "-c", "log_min_error_statement=panic"]
        command = [str(postgres_binaries() / "postgres"), "--single", *options, "template1"]
        statement = f"alter role {USER} password '{self.password}'\n"
        single_user = GuardedProcess(
            "PostgreSQL (setting the password)",
            command,
            log=self.log,
            account=account,
            input_text=statement,
        )
        single_user.start().wait(START_SECONDS)

    def _start_server(self, account: Account | None) -> None:
        for attempt in range(1, START_ATTEMPTS + 1):
            self.port = self._wanted_port or _free_port()
            command = [str(postgres_binaries() / "postgres"), *self._options()]
            self._server = GuardedProcess(
                "PostgreSQL",
                [*command, "-p", str(self.port)],
                log=self.log,
                account=account,
                stop_signal=signal.SIGINT,  # "fast": ends connections, writes a checkpoint
                death_signal=signal.SIGINT,
                stop_seconds=STOP_SECONDS,
            ).start()
            try:
                self._server.wait_until(self._is_ready, START_SECONDS)
                return
            except EmbeddedError:
                port_was_taken = "could not bind" in self._server.log_tail()
                self._server.stop()
                if self._wanted_port or not port_was_taken or attempt == START_ATTEMPTS:
                    raise

    def _options(self) -> list[str]:
        options = ["-D", str(self.data_directory)]
        for name, value in self._settings.items():
            options += ["-c", f"{name}={value}"]
        return options

    def _is_ready(self) -> bool:
        lines = self._pid_file_lines()
        return len(lines) >= 8 and lines[7].strip() == "ready"

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self.data_directory / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _limit_log(self) -> None:
        """Begin the log anew where earlier starts have made it long."""
        if self.log.exists() and self.log.stat().st_size > MAX_LOG_BYTES:
            self.log.unlink()

    def _check_version(self) -> None:
        version = (self.data_directory / "PG_VERSION").read_text().strip()
        if version != MAJOR_VERSION:
            raise EmbeddedError(
                f"{self.data_directory} holds data of PostgreSQL {version}; the embedded server is "
                f"{MAJOR_VERSION}. Remove the directory to start with an empty one."
            )

    def _remove_stale_pid_file(self) -> None:
        """Clear what a killed server left, after waiting for one that is still on its way down.

        PostgreSQL does this itself unless the old process number belongs to an unrelated program by now.
        """
        deadline = time.monotonic() + STOP_SECONDS
        while lines := self._pid_file_lines():
            pid = int(lines[0])
            if str(self.data_directory) not in _command_line(pid):
                (self.data_directory / "postmaster.pid").unlink(missing_ok=True)
                return
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"A PostgreSQL server (process {pid}) already runs on {self.data_directory}. "
                    "Stop the program that started it, or use another directory."
                )
            time.sleep(0.05)

    def _account(self) -> Account | None:
        """Return the account to run as: PostgreSQL refuses root."""
        if os.geteuid() != 0:
            return None
        owner = self.data_directory.stat().st_uid if self.data_directory.exists() else 0
        entry = pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
        paths = (self.data_directory, postgres_binaries())
        closed = any(not path.stat().st_mode & 0o001 for start in paths for path in start.parents)
        return Account(entry.pw_uid, entry.pw_gid, keep_access=closed)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]


def _command_line(pid: int) -> str:
    """Return the command line of a process, empty if there is none by that number."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        if Path("/proc/self").exists():
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        command = ["ps", "-p", str(pid), "-o", "command="]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return ""
