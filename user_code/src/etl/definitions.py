"""The code location's entry point: everything under `defs/` is found and loaded."""

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """All assets, jobs, schedules, sensors and resources of this code location."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
