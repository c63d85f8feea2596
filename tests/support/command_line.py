"""Runs the command line in this process, in a folder of its own."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tranship.cli import main


def command_line(patch: pytest.MonkeyPatch, folder: Path) -> Callable[..., Result]:
    """Run the command line with these arguments; our variables are not in its environment."""
    patch.chdir(folder)
    for name in [name for name in os.environ if name.startswith("TRANSHIP_")]:
        patch.delenv(name)
    return lambda *arguments, **options: CliRunner().invoke(main, arguments, **options)
