"""The code location's entry point: everything under `defs/` is found and loaded, and the user's own pipelines beside it."""

import os
from pathlib import Path

import dagster as dg

from tranship.runs.definitions import load_from_defs_folder
from tranship.runs.own_pipelines import with_own_pipelines

OWN_PIPELINES = "/opt/tranship/own"
"""Where the image of a deployment has the user's folder: docker/own/Dockerfile."""


@dg.definitions
def defs() -> dg.Definitions:
    """All assets, jobs, schedules, sensors and resources of this code location."""
    own = Path(os.environ.get("TRANSHIP_OWN_PIPELINES") or OWN_PIPELINES)
    return with_own_pipelines(load_from_defs_folder(Path(__file__).parent), own)
