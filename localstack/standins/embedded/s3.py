"""S3 with IAM, STS, Redshift's control plane and Secrets Manager, by moto in a process of its own."""

import os
import sys
from pathlib import Path
from typing import Self

from standins.embedded.loopback import without_proxy
from standins.embedded.process import GuardedProcess
from standins.embedded.ready_file import new_ready_file, wait_for_port

HOST = "127.0.0.1"
REGION = "us-east-1"
START_SECONDS = 60.0


class EmbeddedS3:
    """A moto server: starts on entry, stops on exit, and stops when we are killed. It keeps nothing.

    Args:
        directory: Where its log is kept; made if missing.
        port: The port to listen on; 0 takes a free one.

    Raises:
        EmbeddedError: On start, with the end of the log.

    Example:
        >>> with EmbeddedS3(Path(".demo/s3")) as server:
        ...     os.environ.update(server.environment())
    """

    def __init__(self, directory: Path, *, port: int = 0):
        self.directory = directory.resolve()
        self.log = self.directory / "s3.log"
        self.port = port
        self._wanted_port = port
        self._server: GuardedProcess | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server; returns when it accepts connections."""
        self.directory.mkdir(parents=True, exist_ok=True)
        ready_file = new_ready_file(self.directory, "s3")
        command = [sys.executable, "-m", "standins.embedded.s3_server"]
        command += ["--port", str(self._wanted_port), "--ready-file", str(ready_file)]
        self._server = GuardedProcess("The S3 server (moto)", command, log=self.log).start()
        self.port = wait_for_port(self._server, ready_file, START_SECONDS)

    def stop(self) -> None:
        """Stop the server; does nothing if it does not run."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    @property
    def endpoint(self) -> str:
        """The address of every service in it, such as `http://127.0.0.1:4566`."""
        return f"http://{HOST}:{self.port}"

    def environment(self) -> dict[str, str]:
        """Return the variables that point boto3 and its kin here; moto accepts any key."""
        return {
            **without_proxy(os.environ),
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
