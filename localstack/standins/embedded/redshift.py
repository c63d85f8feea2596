"""The Redshift stand-in as a process of its own, in front of an embedded Postgres."""

import sys
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from standins.embedded.process import GuardedProcess
from standins.embedded.ready_file import new_ready_file, wait_for_port

HOST = "127.0.0.1"
START_SECONDS = 30.0


class EmbeddedRedshift:
    """A Redshift stand-in: starts on entry, stops on exit, and stops when we are killed.

    Args:
        directory: Where its log is kept; made if missing.
        postgres_url: The Postgres database that does the work; its user and password are also the gateway's.
        s3_endpoint: Where COPY and UNLOAD find S3, such as `EmbeddedS3.endpoint`.
        port: The port to listen on; 0 takes a free one.

    Raises:
        EmbeddedError: On start, with the end of the log.
    """

    def __init__(self, directory: Path, postgres_url: str, s3_endpoint: str, *, port: int = 0):
        self.directory = directory.resolve()
        self.log = self.directory / "redshift.log"
        self.port = port
        self._wanted_port = port
        self._postgres = urlsplit(postgres_url)
        self._s3_endpoint = s3_endpoint
        self._server: GuardedProcess | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the gateway; returns when it accepts connections."""
        self.directory.mkdir(parents=True, exist_ok=True)
        ready_file = new_ready_file(self.directory, "redshift")
        backend = self._postgres
        without_password = f"postgresql://{backend.username}@{backend.hostname}:{backend.port}"
        command = [sys.executable, "-m", "standins", "redshift", "--port", str(self._wanted_port)]
        command += ["--postgres", without_password + backend.path]
        command += ["--s3-endpoint", self._s3_endpoint, "--ready-file", str(ready_file)]
        command.append("--exit-with-parent")
        password = unquote(backend.password or "")
        self._server = GuardedProcess(
            "The Redshift stand-in",
            command,
            log=self.log,
            environment={
                "PGPASSWORD": password,
                "TRANSHIP_STANDIN_PASSWORD": password,
                # A local S3 asks for no keys, so that without any nobody need ask whether this machine is one of Amazon's:
                # a proxy would answer that, or the question run into its time-out.
                "AWS_EC2_METADATA_DISABLED": "true",
            },
        ).start()
        self.port = wait_for_port(self._server, ready_file, START_SECONDS)

    def stop(self) -> None:
        """Stop the gateway; does nothing if it does not run."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    @property
    def pid(self) -> int:
        """The gateway's process number; 0 when it does not run."""
        return self._server.pid if self._server is not None else 0

    def url(self) -> str:
        """Return the URL of the database behind the gateway, password included."""
        backend = self._postgres
        return f"redshift://{backend.username}:{backend.password}@{HOST}:{self.port}{backend.path}"
