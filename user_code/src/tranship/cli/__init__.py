"""The command line: `tranship init` writes a replication's YAML, `tranship check` looks at it, `tranship bookmarks` shows how far loads came.

Whatever this library refuses is one sentence on standard error and exit code 1; wrong usage is exit code 2.
"""

import click

from tranship.cli.bookmarks import bookmarks
from tranship.cli.check import check
from tranship.cli.commands import CommandGroup
from tranship.cli.init import init


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Move SQL Server tables to Postgres and Redshift."""


main.add_command(init)
main.add_command(bookmarks)
main.add_command(check)
