"""The code location's entry point: everything under `defs/` is found and loaded."""

from pathlib import Path

import dagster as dg

from tranship.runs.definitions import load_from_defs_folder


@dg.definitions
def defs() -> dg.Definitions:
    """All assets, jobs, schedules, sensors and resources of this code location."""
    return load_from_defs_folder(Path(__file__).parent)
