"""Whether definitions are being loaded for a code server or for a run, which has no use for most of them.

Private because Dagster keeps what it knows of it to itself: the proposal to hand it out
(https://github.com/dagster-io/dagster/pull/23678) was closed, and the class came in as an internal one
(https://github.com/dagster-io/dagster/pull/24490).
"""

from dagster._core.definitions.definitions_load_context import (
    DefinitionsLoadContext,
    DefinitionsLoadType,
)


def is_loaded_for_a_run() -> bool:
    """Whether a run or a step loads the definitions again that a code server has loaded before."""
    return DefinitionsLoadContext.get().load_type is DefinitionsLoadType.RECONSTRUCTION


def is_loaded_by_dagster() -> bool:
    """Whether a code server, a run or a command of Dagster loads them, not a test, a notebook or a script."""
    return DefinitionsLoadContext.is_set()
