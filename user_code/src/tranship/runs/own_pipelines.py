"""Pipelines that are the user's own: a folder beside ours, loaded as the package `pipelines`, so that ours can be replaced.

    python -m tranship.runs.own_pipelines etl.definitions

loads a code location as its code server would, and says in one sentence what keeps it from being loaded. `./stack` asks so
before it starts new code: what runs goes on until the new code can be loaded.
"""

# Dagster leaves types out of what is used here; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

import importlib
import sys
import traceback
from pathlib import Path

import dagster as dg

from tranship.errors import ConfigurationError

PACKAGE = "pipelines"


def with_own_pipelines(shipped: dg.Definitions, folder: Path) -> dg.Definitions:
    """Definitions with those of the user's folder beside them.

    Args:
        shipped: What ships. Its resources are there for the user's assets, by their keys.
        folder: Where the package `pipelines` is; without one, nothing is added.

    Raises:
        ConfigurationError: The user's code cannot be loaded; says which file and line, and why.

    Example:
        >>> with_own_pipelines(dg.Definitions(), Path("/nowhere")).assets
    """
    if not (folder / PACKAGE).is_dir():
        return shipped
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        package = importlib.import_module(PACKAGE)
        tree = dg.ComponentTree.from_module(defs_module=package, project_root=folder)
        # Part by part: definitions of two trees cannot be merged.
        parts = tree.find_root_decl().iterate_child_component_decls()
        return dg.Definitions.merge(shipped, *(tree.build_defs(part.loc) for part in parts))
    except Exception as error:
        raise ConfigurationError(
            f"Your pipelines cannot be loaded: {_in_words(error, folder / PACKAGE)}",
            "Correct it there (TRANSHIP_DEFS), and start again: ./stack up.",
        ) from error


def _in_words(error: BaseException, folder: Path) -> str:
    """What went wrong in a user's folder: the innermost line of it, and the error that was first."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) and cause not in causes:
        causes.append(cause)
    for cause in reversed(causes):
        if isinstance(cause, SyntaxError) and cause.filename:
            place = f"{_short(cause.filename, folder)}, line {cause.lineno}: "
            return f"{place}{cause.msg}."
        frames = [
            frame
            for frame in traceback.extract_tb(cause.__traceback__)
            if frame.filename.startswith(str(folder))
        ]
        if frames:
            place = f"{_short(frames[-1].filename, folder)}, line {frames[-1].lineno}: "
            return f"{place}{type(cause).__name__}: {str(cause).rstrip('.')}."
    return f"{type(causes[-1]).__name__}: {str(causes[-1]).rstrip('.')}."


def _short(file: str, folder: Path) -> str:
    path = Path(file)
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else file


def main(arguments: list[str]) -> int:
    """Load a code location, by its module; 1 and a sentence where it cannot be."""
    try:
        importlib.import_module(arguments[0]).defs().get_repository_def()
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except dg.DagsterError as error:
        # Each part loads, and together they do not: two assets of one key, a resource that nobody has.
        sys.stderr.write(f"The pipelines cannot be loaded together: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
