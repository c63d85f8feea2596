"""Loads in processes of their own, which end themselves with kill -9 at a chosen stage."""

import functools
import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from tranship.frames import Batches
from tranship.pgsql.bookmarks import BookmarkTable
from tranship.replication import load as loading
from tranship.replication.columns import ColumnChanges
from tranship.replication.load import LoadRequest, load
from tranship.replication.plan import TablePlan
from tranship.sqlserver import reader
from tranship.sqlserver.source import SqlServerSource
from tranship.target import Target

ROWS_PER_BATCH = 8
"""Small tables must come in several batches too, so that there is a middle of the stream."""


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Stage:
    """A moment of a load.

    Args:
        name: What has happened by then, as it stands in the test's name.
        arm: Given the target's class, makes this process end itself at that moment.
    """

    name: str
    arm: Callable[[type[Target], int], None]

    def __str__(self) -> str:
        return self.name


def _at_call(owner: Any, name: str, *, after: bool, number: int = 1) -> None:
    original = getattr(owner, name)
    calls = 0

    @functools.wraps(original)
    def dying(*arguments: Any, **settings: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number and not after:
            _end()
        answer = original(*arguments, **settings)
        if calls == number:
            _end()
        return answer

    setattr(owner, name, dying)


def _in_stream(_: type[Target], number: int) -> None:
    original = ColumnChanges.applied
    calls = 0

    def applied(self: ColumnChanges, batches: Batches) -> Batches:
        nonlocal calls
        calls += 1
        changed = original(self, batches)
        if calls != number:
            return changed

        def opened() -> Iterator[pa.RecordBatch]:
            for position, batch in enumerate(changed.open()):
                if position == 1:
                    _end()
                yield batch

        return Batches(changed.schema, opened, changed.replayable)

    ColumnChanges.applied = applied  # type: ignore[method-assign]


def _in_comparison(target: type[Target], _: int) -> None:
    original = target.write

    def write(self: Target, request: Any, batches: Batches, log: Any, extra: Any) -> Any:
        def last(cursor: Any) -> None:
            extra(cursor)
            _end()

        ends = request.table.name.endswith("__keys")
        return original(self, request, batches, log, last if ends else extra)

    target.write = write  # type: ignore[method-assign]


LOADING = (
    Stage(
        "before the bookmark is read",
        lambda _, n: _at_call(Target, "bookmark", after=False, number=n),
    ),
    Stage("highest value asked", lambda _, __: _at_call(SqlServerSource, "highest", after=True)),
    Stage("middle of the stream", _in_stream),
    Stage(
        "copied, bookmark not moved",
        lambda _, n: _at_call(BookmarkTable, "move", after=False, number=n),
    ),
    Stage(
        "bookmark moved, not committed",
        lambda _, n: _at_call(BookmarkTable, "move", after=True, number=n),
    ),
    Stage("committed, not told", lambda target, n: _at_call(target, "write", after=True, number=n)),
)
COMPARING = (
    Stage(
        "loaded, keys not compared", lambda _, __: _at_call(loading, "detect_deletes", after=False)
    ),
    Stage("rows removed, not committed", _in_comparison),
    Stage("keys compared, not told", lambda _, __: _at_call(loading, "detect_deletes", after=True)),
)


@dataclass(frozen=True)
class Job:
    """One load, to be made in a process of its own.

    Args:
        plan: The table's plan.
        source: The table.
        target: Where it goes.
        request: What the run asks for.
        stage: The name of the stage to die at; `None` to live.
        number: Which time the stage is reached.
        seconds: When to die, wherever the load is by then; `None` to live.
    """

    plan: TablePlan
    source: SqlServerSource
    target: Target
    request: LoadRequest = field(default_factory=LoadRequest)
    stage: str | None = None
    number: int = 1
    seconds: float | None = None


class Loaders:
    """A warm process that forks one process for each load: importing the drivers takes longer than a load."""

    def __init__(self) -> None:
        code = f"from {__name__} import serve; serve()"
        self._warm = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )

    def run(self, *jobs: Job) -> list[int]:
        """Make loads at the same time; gives how their processes ended."""
        assert self._warm.stdin is not None
        assert self._warm.stdout is not None
        pickle.dump(jobs, self._warm.stdin)
        self._warm.stdin.flush()
        return pickle.load(self._warm.stdout)

    def kill_at(self, job: Job, stage: Stage, number: int = 1) -> None:
        """Load in a process that ends itself at a stage, and see that it did."""
        ended = self.run(replace(job, stage=stage.name, number=number))
        assert ended == [-signal.SIGKILL], f"the load did not reach: {stage}"

    def close(self) -> None:
        """End the warm process."""
        self._warm.communicate(timeout=10)


def serve() -> None:
    """What the warm process does: fork a process for each job, and tell how they ended."""
    while True:
        try:
            jobs = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        started = [_fork(job) for job in jobs]
        ended = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in started]
        pickle.dump(ended, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def _fork(job: Job) -> int:
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        _run(job)
        code = 0
    finally:
        if code:
            traceback.print_exc()
        # Not an exit: what the warm process has open is not this one's to close.
        os._exit(code)


def _run(job: Job) -> None:
    if job.seconds is not None:
        # Nobody has to wake up for it: what the driver waits for in C is ended as everything else.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, job.seconds)
    reader._FIRST_ROWS = reader._FEWEST_ROWS = ROWS_PER_BATCH
    for stage in (*LOADING, *COMPARING):
        if stage.name == job.stage:
            stage.arm(type(job.target), job.number)
    load(job.plan, job.source, job.target, job.request)
