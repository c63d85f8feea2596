"""`tranship check`: looks at every component file of a folder, and says what is wrong in which line."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import click


@click.command()
@click.argument(
    "folders",
    metavar="[FOLDER]...",
    nargs=-1,
    type=click.Path(exists=True, path_type=Path),
)
def check(folders: tuple[Path, ...]) -> None:
    """Check all component files (defs.yaml) of each FOLDER and the folders in it; of this one by default.

    Connects to nothing. `dg check yaml` looks at one file of each component type only.
    """
    from tranship.cli.component_files import component_files, faults_of

    places = folders or (Path(),)
    files = sorted(
        {
            path
            for place in places
            for path in ([place] if place.is_file() else component_files(place))
        }
    )
    if not files:
        raise click.ClickException(f"There is no component file in {', '.join(map(str, places))}.")
    with _silent("tranship.replication"):  # said below, with file and line
        faults = faults_of(files)
    for fault in faults:
        click.echo(str(fault), err=True)
    if faults:
        raise SystemExit(1)
    click.echo(f"{len(files)} component file{'' if len(files) == 1 else 's'}: nothing wrong.")


@contextmanager
def _silent(name: str) -> Generator[None]:
    """Keep a logger quiet for a while."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
