"""Runs one program as a whole process, and says what it cost: wall time, CPU seconds, peak memory.

The CPU is that of the program and of all children it waited for, as the kernel counts it. Memory is sampled over
the whole process tree: `getrusage` would report the largest single process, and its parent's memory before `exec`.
"""

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SAMPLE_SECONDS = 0.02
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process cost, and how it ended.

    Args:
        wall_seconds: From before its start to after its end.
        cpu_seconds: User and system time of it and of the children it waited for.
        peak_megabytes: The most resident memory of its process tree.
        returncode: Its exit status; negative for a signal.
        output: What it wrote to standard output.
        errors: What it wrote to standard error.
        timed_out: Whether it was killed for taking too long.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_megabytes: float
    returncode: int
    output: str
    errors: str
    timed_out: bool


def run_measured(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    timeout_seconds: float,
    cpus: int | None = None,
) -> Usage:
    """Run a program to its end, or kill it and all its children after the timeout.

    Args:
        command: The program and its arguments. Secrets belong into `environment`, unseen by `ps`.
        environment: Variables beside those of this process.
        timeout_seconds: How long it may take.
        cpus: Let it use only the first so many processors.
    """
    allowed = None if cpus is None else set(sorted(os.sched_getaffinity(0))[:cpus])

    def confine() -> None:
        if allowed is not None:
            os.sched_setaffinity(0, allowed)

    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            list(command),
            env=_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
            preexec_fn=confine,  # noqa: PLW1509 -- no thread of ours is alive at this point
        )
        with _Sampler(process.pid) as sampler, _Deadline(process.pid, timeout_seconds) as deadline:
            _, status, used = os.wait4(process.pid, 0)
            wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        return Usage(
            wall_seconds=wall,
            cpu_seconds=used.ru_utime + used.ru_stime,
            peak_megabytes=sampler.peak_bytes / 1e6,
            returncode=process.returncode,
            output=_text(output),
            errors=_text(errors),
            timed_out=deadline.passed,
        )


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """This process's variables and those given; programs may keep their bytecode, as they do everywhere else."""
    everything = {**os.environ, **given}
    everything.pop("PYTHONDONTWRITEBYTECODE", None)
    return everything


def tree(pid: int) -> list[int]:
    """The process and all its descendants that are alive."""
    found = [pid]
    for parent in found:
        try:
            tasks = list(Path(f"/proc/{parent}/task").iterdir())
        except OSError:  # it has ended meanwhile
            continue
        for task in tasks:
            try:
                found += [int(child) for child in (task / "children").read_text().split()]
            except OSError:
                continue
    return found


def resident_bytes(pid: int) -> tuple[int, int]:
    """What a process has in memory, and the most it has had; zeros once it has ended."""
    try:
        now = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
        status = Path(f"/proc/{pid}/status").read_text()
    except (OSError, IndexError):
        return 0, 0
    most = [int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")]
    return now, most[0] if most else now


class _Sampler:
    """Watches the memory of a process tree in a thread."""

    def __init__(self, pid: int) -> None:
        self.peak_bytes = 0
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_Sampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            sizes = [resident_bytes(pid) for pid in tree(self._pid)]
            together = sum(now for now, _ in sizes)
            # A single process's own high-water mark knows what happened between two samples.
            self.peak_bytes = max(self.peak_bytes, together, *(most for _, most in sizes))


class _Deadline:
    """Kills a process group that takes too long."""

    def __init__(self, pid: int, seconds: float) -> None:
        self.passed = False
        self._pid = pid
        self._timer = threading.Timer(seconds, self._kill)

    def __enter__(self) -> "_Deadline":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _kill(self) -> None:
        self.passed = True
        os.killpg(self._pid, signal.SIGKILL)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
