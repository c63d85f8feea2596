"""Runs ways of doing one job in turns, checks each result, and makes a table of what they cost."""

import re
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.environments import EnvironmentFailedError
from bench.figures import Row, Run, Table, in_turns
from bench.options import Options
from bench.peers import Job, Way
from bench.process import Usage, run_measured

LONGEST_REASON = 160
_COLOURS = re.compile(r"\x1b\[[0-9;]*m|\[\d+m")
_SECRETS = re.compile(r"(://[^:/@\s]+:)[^@\s]+@|(PWD|password)=[^;\s]+", re.IGNORECASE)

Check = Callable[[Way, Usage], str]
"""Gives the verdict of a run that ended well."""


def say_at_once(text: str) -> None:
    """Tell who waits, also where the output goes to a file."""
    print(text, flush=True)


def measure_ways(
    title: str,
    ways: Sequence[Way],
    job_of: Callable[[Way], Job],
    check: Check,
    options: Options,
    *,
    rows: int,
    share: float,
    cpus: int | None = None,
    say: Callable[[str], None] = say_at_once,
) -> Table:
    """A table of ways, each run as whole processes in alternation with the others.

    Args:
        title: What they do.
        ways: Who does it; those that the options leave out are left out.
        job_of: The job for a way, without its directory.
        check: Called after each run, outside of the measured time.
        options: Rounds and patience.
        rows: How many rows each moves.
        share: The part of the whole time that is this table's: after it nothing is run another time.
        cpus: Confine them to so many processors.
        say: Told what happens.
    """
    chosen = {way.key: way for way in ways if options.wants(way)}
    found = [Row(way.key, way.title, limit=way.limit, note=way.note) for way in chosen.values()]
    with tempfile.TemporaryDirectory(prefix="tranship-bench-") as place:

        def run_one(row: Row) -> tuple[Run | None, str]:
            way = chosen[row.way]
            directory = Path(place) / way.key
            directory.mkdir(exist_ok=True)
            given = job_of(way)
            job = Job(
                given.source,
                given.table,
                given.target,
                given.target_table or way.target_table,
                given.file,
                str(directory),
                given.settings,
            )
            try:
                command, environment = way.command(job)
            except EnvironmentFailedError as error:
                return None, f"refused: {error}"
            used = run_measured(
                command, environment, timeout_seconds=options.timeout_seconds, cpus=cpus
            )
            if used.timed_out:
                return None, f"refused: not done after {options.timeout_seconds:.0f} s"
            if used.returncode:
                say(f"  {row.label}: {reason(used)}")
                return None, f"refused: {reason(used)}"
            verdict = check(way, used)
            say(
                f"  {row.label}: {used.wall_seconds:.2f} s, CPU {used.cpu_seconds:.2f} s, "
                f"{used.peak_megabytes:.0f} MB, {verdict}"
            )
            return Run(used.wall_seconds, used.cpu_seconds, used.peak_megabytes), verdict

        say(title)
        ends = time.monotonic() + share * options.minutes * 60
        in_turns(
            found,
            run_one,
            rounds=options.rounds,
            once_above_seconds=options.once_above_seconds,
            in_time=lambda: time.monotonic() < ends,
        )
    return Table(title, found, rows)


def reason(used: Usage) -> str:
    """Why a program failed, on one line and without secrets."""
    lines = [line.strip() for line in f"{used.output}\n{used.errors}".splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(('File "', "Note:"))]
    words = r"error|fatal|panic|refused|failed|cannot|~ "
    telling = [line for line in lines if re.search(words, line, re.IGNORECASE)]
    last = (telling or lines or [f"it ended with {used.returncode}"])[-1]
    return shortened(last)


def shortened(text: str) -> str:
    """One line of a message, without colours and secrets."""
    line = _COLOURS.sub("", text)
    line = _SECRETS.sub(lambda found: f"{found[1]}***@" if found[1] else f"{found[2]}=***", line)
    line = re.sub(r"\s+", " ", line.replace("|", "/")).strip()
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON].rstrip()}..."
