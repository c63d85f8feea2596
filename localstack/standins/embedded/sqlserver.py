"""The SQL Server stand-in as a process of its own, with the sample warehouse in it."""

import secrets
import sys
from pathlib import Path
from typing import Self

from standins.embedded.process import GuardedProcess
from standins.embedded.ready_file import new_ready_file, wait_for_port
from standins.sample.catalog import DEFAULT_SEED

HOST = "127.0.0.1"
USER = "sa"
DATABASE = "AdventureWorksDW"
START_SECONDS = 60.0
SECONDS_PER_SCALE = 3.0
"""What generating and storing one more sample may take on a busy machine; 0.3 s where it is quiet."""


class EmbeddedSqlServer:
    """A SQL Server stand-in: starts on entry, stops on exit, and stops when we are killed.

    Args:
        directory: Where its log is kept; made if missing.
        sample: Scale of the sample warehouse it starts with; None for an empty database.
        path: File that keeps its data between starts; None keeps them in memory.
        port: The port to listen on; 0 takes a free one.

    Raises:
        EmbeddedError: On start, with the end of the log.

    Example:
        >>> with EmbeddedSqlServer(Path(".demo/sqlserver"), sample=1) as server:
        ...     print(server.url())
    """

    def __init__(
        self,
        directory: Path,
        *,
        sample: float | None = 1.0,
        path: Path | None = None,
        port: int = 0,
    ):
        self.directory = directory.resolve()
        self.log = self.directory / "sqlserver.log"
        self.port = port
        self.password = ""
        self._wanted_port = port
        self._sample = sample
        self._path = path
        self._server: GuardedProcess | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server; returns when it accepts connections."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.password = f"Aa1-{secrets.token_urlsafe(18)}"  # as SQL Server's own rules want it
        ready_file = new_ready_file(self.directory, "sqlserver")
        command = [sys.executable, "-m", "standins", "sqlserver", "--host", HOST]
        command += ["--port", str(self._wanted_port), "--user", USER, "--database", DATABASE]
        command += ["--ready-file", str(ready_file), "--exit-with-parent"]
        if self._sample is not None:
            command += ["--sample", str(self._sample), "--sample-seed", str(DEFAULT_SEED)]
        if self._path is not None:
            command += ["--path", str(self._path)]
        self._server = GuardedProcess(
            "The SQL Server stand-in",
            command,
            log=self.log,
            environment={"TRANSHIP_STANDIN_PASSWORD": self.password},
        ).start()
        patience = START_SECONDS + SECONDS_PER_SCALE * (self._sample or 0)
        self.port = wait_for_port(self._server, ready_file, patience)

    def stop(self) -> None:
        """Stop the server; does nothing if it does not run."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def url(self, database: str = DATABASE) -> str:
        """Return the SQLAlchemy URL of a database, password included."""
        address = f"{USER}:{self.password}@{HOST}:{self.port}"
        return f"mssql+mssqlpython://{address}/{database}?Encrypt=no"
