"""How long a run takes to start, against Dagster's own Docker launcher: needs a Docker engine.

The measurement is `bench/run_launch.py`, a program of its own, which builds and starts both deployments. Its full size, ten
runs of each in turns and fifty at once, takes half an hour: run it by itself.
"""

import json
import subprocess
import sys
from pathlib import Path

from bench.figures import Section
from bench.options import Options
from bench.systems import Systems

KEY = "run-launch"
PROGRAM = Path(__file__).resolve().parents[1] / "run_launch.py"
ENGINE_SECONDS = 10.0
SIZE = ("--rounds", "5", "--at-once", "10")


def measure(systems: Systems, _: Options) -> Section:
    """Run the program where an engine answers; say so where none does."""
    section = Section(KEY, "Run launch")
    if not PROGRAM.exists():
        section.notes.append("Not measured: bench/run_launch.py is not there.")
        return section
    why = why_no_engine()
    if why:
        section.notes.append(f"Not measured: no Docker engine answers ({why}).")
        return section
    answer = systems.directory / "run_launch.json"
    command = [sys.executable, str(PROGRAM), *SIZE, "--json", str(answer)]
    done = subprocess.run(command, check=False, cwd=PROGRAM.parents[1])
    if done.returncode:
        section.notes.append(f"Not measured: bench/run_launch.py ended with {done.returncode}.")
        return section
    section.grids.append(json.loads(answer.read_text())["grid"])
    return section


def why_no_engine() -> str:
    """Why no Docker engine can be used; empty if one answers."""
    command = ["docker", "info", "--format", "{{.ServerVersion}}"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=ENGINE_SECONDS, check=False
        )
    except FileNotFoundError:
        return "the docker command is not installed"
    except subprocess.TimeoutExpired:
        return f"it does not answer within {ENGINE_SECONDS:.0f} s"
    return "" if answer.returncode == 0 else answer.stderr.strip().splitlines()[-1]
