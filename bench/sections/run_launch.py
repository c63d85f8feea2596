"""How long a run takes to start, against Dagster's own Docker launcher: needs a Docker engine, and ten minutes more.

The measurement is `bench/run_launch.py`, a program of its own, which builds and starts both deployments. At its full size, ten
runs of each in turns and fifty at once, it takes half an hour: run it by itself for that.
"""

import json
import subprocess
import sys
from pathlib import Path

from bench.figures import Section
from bench.measuring import shortened
from bench.options import Options
from bench.systems import Systems

KEY = "run-launch"
PROGRAM = Path(__file__).resolve().parents[1] / "run_launch.py"
ENGINE_SECONDS = 10.0
PROGRAM_SECONDS = 3600.0
SIZE = ("--rounds", "5", "--at-once", "10")


def measure(systems: Systems, options: Options) -> Section:
    """Run the program where an engine answers; say so where none does."""
    del systems
    section = Section(KEY, "Run launch")
    why = why_no_engine()
    if not PROGRAM.exists():
        why = "bench/run_launch.py is not there"
    if why:
        section.notes.append(f"Not measured here: {why}.")
        return section
    figures = (options.output / "run-launch-figures.json").resolve()
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *SIZE, "--json", str(figures)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PROGRAM_SECONDS,
        check=False,
        cwd=PROGRAM.parents[1],
    )
    if done.returncode:
        last = (done.stdout.strip().splitlines() or ["it said nothing"])[-1]
        section.notes.append(f"Not measured here: bench/run_launch.py failed: {shortened(last)}.")
    else:
        section.grids.append(json.loads(figures.read_text())["grid"])
    return section


def why_no_engine() -> str:
    """Why no Docker engine can be used; empty if one answers."""
    command = ["docker", "info", "--format", "{{.ServerVersion}}"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=ENGINE_SECONDS, check=False
        )
    except FileNotFoundError:
        return "there is no Docker engine: the docker command is not installed"
    except subprocess.TimeoutExpired:
        return f"the Docker engine does not answer within {ENGINE_SECONDS:.0f} s"
    if answer.returncode == 0:
        return ""
    said = answer.stderr.strip().splitlines() or [f"docker info ended with {answer.returncode}"]
    return f"no Docker engine answers ({said[-1]})"
