"""What commands print: tables as wide as the terminal, or as wide as they need where there is none."""

from rich.console import Console

WITHOUT_TERMINAL = 200
"""Columns of a table that goes to a file or a pipe, where nothing wraps but what is read breaks."""


def console() -> Console:
    """Standard output."""
    found = Console(highlight=False, markup=False, emoji=False)
    return (
        found
        if found.is_terminal
        else Console(highlight=False, markup=False, emoji=False, width=WITHOUT_TERMINAL)
    )
