"""A program started by us that cannot outlive us, with its log and its end under control."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from standins.embedded.loopback import without_proxy

GUARD = Path(__file__).with_name("guard.py")
LOG_TAIL_LINES = 20
POLL_SECONDS = 0.01


class EmbeddedError(Exception):
    """An embedded system could not be started or stopped; says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """The account a program runs as when we are root.

    Args:
        uid: Its user number.
        gid: Its group number.
        keep_access: Whether it keeps root's right to pass directories that are closed to others (Linux only).
    """

    uid: int
    gid: int
    keep_access: bool


class GuardedProcess:
    """Runs a program under a guard that stops it when this process ends, however it ends.

    Args:
        name: What the program is, for messages.
        command: The program's absolute path and its arguments; no secrets, other accounts can read them.
        log: File to which its output is appended.
        environment: Variables to set on top of our own; the place for secrets.
        input_text: What it reads on standard input (at most a few hundred bytes).
        account: The account to run as; needs root.
        stop_signal: How to ask it to stop.
        death_signal: What it gets if the guard itself is killed (Linux).
        stop_seconds: How long it may take to stop before it is killed.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        input_text: str = "",
        account: Account | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        death_signal: signal.Signals = signal.SIGKILL,
        stop_seconds: float = 10.0,
    ):
        self.name = name
        self.log = log
        self.pid = 0
        self._stop_seconds = stop_seconds
        self._environment = {**os.environ, **without_proxy(os.environ), **(environment or {})}
        self._specification = {
            "command": list(command),
            "input": input_text,
            "account": asdict(account) if account else None,
            "stop_signal": stop_signal,
            "death_signal": death_signal,
            "stop_seconds": stop_seconds,
        }
        self._guard: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start the program and return at once; `pid` is its process number from then on."""
        with self.log.open("ab") as log:
            guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(GUARD)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
                # A terminal's Ctrl-C is for us; we then stop the program in order.
                start_new_session=True,
            )
        self._guard = guard
        assert guard.stdin is not None
        assert guard.stdout is not None
        try:
            specification = {**self._specification, "parent": os.getpid()}
            guard.stdin.write(json.dumps(specification).encode() + b"\n")
            guard.stdin.flush()
            self.pid = int(guard.stdout.readline() or 0)
            guard.stdout.close()
        except BaseException:  # Ctrl-C included
            self.stop()
            raise
        return self

    def exit_code(self) -> int | None:
        """Return the exit code (128 + signal if it was killed), or None while it runs."""
        assert self._guard is not None, "not started"
        return self._guard.poll()

    def wait(self, timeout_seconds: float) -> None:
        """Wait until the program has ended by itself.

        Raises:
            EmbeddedError: If it failed, or has not ended in time (then it is stopped).
        """
        assert self._guard is not None, "not started"
        try:
            code = self._guard.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise self.error(f"has not finished after {timeout_seconds:g} s") from None
        finally:
            self.stop()
        if code:
            raise self.error(f"ended with exit code {code}")

    def wait_until(self, ready: Callable[[], bool], timeout_seconds: float) -> None:
        """Wait until `ready` returns true, looking every 10 ms; the caller stops the program on an error.

        Raises:
            EmbeddedError: If the program ends first, or is not ready in time.
        """
        deadline = time.monotonic() + timeout_seconds
        while not ready():
            code = self.exit_code()
            if code is not None:
                raise self.error(f"ended with exit code {code} while starting")
            if time.monotonic() > deadline:
                raise self.error(f"was not ready after {timeout_seconds:g} s")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop the program and wait until it is gone; does nothing if it is."""
        guard = self._guard
        if guard is None:
            return
        assert guard.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the guard has ended already
            guard.stdin.close()
        try:
            guard.wait(self._stop_seconds + 5.0)
        except subprocess.TimeoutExpired:
            raise self.error(f"(process {self.pid}) does not stop; end it by hand") from None

    def error(self, what: str) -> EmbeddedError:
        """Return an error about the program with the end of its log."""
        tail = self.log_tail() or "(nothing)"
        return EmbeddedError(f"{self.name} {what}. The end of its log {self.log}:\n{tail}")

    def log_tail(self) -> str:
        """Return the last lines of the log."""
        if not self.log.exists():
            return ""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-LOG_TAIL_LINES:])
