"""The first process of a run container: takes the secrets of its volumes, then becomes Dagster's run worker.

    python -m tranship.runs.worker --from /run/secrets/data -- dagster api execute_run ...

Dagster runs in this very process: starting Python a second time, and collecting garbage while two
thousand modules are imported, is a good part of what a short run waits for. What Dagster has to say
of young parts of its interface stands in the code server's log; it is not said again in every run.
"""

import argparse
import gc
import os
import sys
import threading
import warnings
from collections.abc import Iterable
from pathlib import Path

from tranship.runs.secrets import SecretsError, add_secrets, become

#: Seconds without garbage collection: what is imported stays, and looking through it frees nothing.
_START_SECONDS = 5.0
#: Objects made afterwards before the youngest garbage is looked for; Python's own 2,000 suits programs that start
#: with few. What waits for collection is a few megabytes more.
_COLLECT_AFTER_OBJECTS = 50_000


def worker_command(
    directories: Iterable[str], command: Iterable[str], *, python: str = "python"
) -> list[str]:
    """Give the command line of a run's container; without directories of secrets it is Dagster's own.

    Args:
        directories: Where the container mounts volumes of secrets.
        command: What Dagster's run worker is started with.
        python: The interpreter of the code location.

    Returns:
        The command line. With secrets, the image must hold this library.

    Example:
        >>> worker_command(["/run/secrets/data"], ["dagster", "--version"])[2:]
        ['tranship.runs.worker', '--from', '/run/secrets/data', '--', 'dagster', '--version']
    """
    options = [part for directory in directories for part in ("--from", directory)]
    if not options:
        return list(command)
    return [python, "-m", "tranship.runs.worker", *options, "--", *command]


def main(arguments: list[str]) -> int:
    """Run the command line; see the module's text."""
    parser = argparse.ArgumentParser(prog="python -m tranship.runs.worker")
    parser.add_argument("--from", dest="directories", action="append", type=Path, default=[])
    parser.add_argument("command", nargs="+")
    chosen = parser.parse_args(arguments)
    try:
        add_secrets(os.environ, chosen.directories)
    except SecretsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if chosen.command[0] != "dagster":
        return become(chosen.command)
    _start_without_collection()
    # Where `python -m` has put the working directory, the command has its own; Dagster takes this entry away while
    # it loads user code.
    sys.path[0] = str(Path(sys.executable).parent)
    # Imported here: without collection, and not where a code location has an entry point of its own.
    from dagster_shared.utils.warnings import BetaWarning, PreviewWarning

    from tranship.dagster_private.command_line import main as dagster

    for category in (BetaWarning, PreviewWarning):
        warnings.simplefilter("ignore", category)
    sys.argv = chosen.command
    dagster()
    return 0


def _start_without_collection() -> None:
    gc.disable()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS)
    later = threading.Timer(_START_SECONDS, gc.enable)
    later.daemon = True
    later.start()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
