"""Loads a project's definitions, and in a run no more than the run needs."""

# Dagster leaves types out of what is used here; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from pathlib import Path

import dagster as dg

from tranship.dagster_private.loading import is_loaded_for_a_run


def load_from_defs_folder(path_within_project: Path) -> dg.Definitions:
    """Load a project's `defs` folder as `dagster.load_from_defs_folder` does.

    That function also imports every installed package that has component types and writes their JSON schemas down for
    the UI: as much again as loading the definitions. A run has no use for them; its code server has told them already.

    Args:
        path_within_project: A path in the project, whose `pyproject.toml` has a `[tool.dg]` table.

    Returns:
        The definitions.
    """
    if not is_loaded_for_a_run():
        return dg.load_from_defs_folder(path_within_project=path_within_project)
    tree = dg.ComponentTree.for_project(path_within_project)
    parts = tree.find_root_decl().iterate_child_component_decls()
    return dg.Definitions.merge(*(tree.build_defs(part.loc) for part in parts))
