"""`tranship init`: looks at a source's tables and writes the YAML that a replication of them starts from."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tranship.cli.commands import SystemKind, console
from tranship.cli.heuristics import SMALL_ROWS
from tranship.errors import ConfigurationError

if TYPE_CHECKING:
    from tranship.cli.proposals import Proposal

DEFAULT_OUTPUT = Path("defs/replication/defs.yaml")


@click.command()
@click.option(
    "--source",
    type=SystemKind("source"),
    default="sqlserver",
    show_default=True,
    help="Without a URL: the kind of system to look at, such as sqlserver or postgres.",
)
@click.option(
    "--source-url",
    metavar="URL",
    help="mssql+mssqlpython://user:password@host:1433/database, or postgresql://... Without it, the variables of the "
    "source's kind say where it is: TRANSHIP_SQLSERVER_HOST, _PORT, _DATABASE, _USER, _PASSWORD and "
    "_TRUST_CERTIFICATE, or TRANSHIP_POSTGRES_HOST and so on; a URL without a password takes the one of them.",
)
@click.option(
    "--target",
    type=SystemKind("target"),
    default="postgres",
    show_default=True,
    help="Where the tables go.",
)
@click.option(
    "--schema",
    default="staging",
    show_default=True,
    help="The schema there that they are copied to.",
)
@click.option(
    "--tables",
    "patterns",
    metavar="PATTERN",
    multiple=True,
    help="A table or pattern, such as dbo.Dim* or sales.*; may be given several times. All tables by default.",
)
@click.option(
    "--exclude",
    metavar="PATTERN",
    multiple=True,
    help="A table or pattern to leave out; may be given several times.",
)
@click.option(
    "--small-rows",
    type=click.IntRange(min=0),
    default=SMALL_ROWS,
    show_default=True,
    help="Tables of so many rows or fewer are copied whole, whatever columns they have.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=DEFAULT_OUTPUT,
    show_default=True,
    help="The file to write.",
)
@click.option("--force", is_flag=True, help="Overwrite the file.")
def init(
    source: str,
    source_url: str | None,
    target: str,
    schema: str,
    patterns: tuple[str, ...],
    exclude: tuple[str, ...],
    small_rows: int,
    output: Path,
    force: bool,
) -> None:
    """Look at a source's tables, propose how to copy each, and write that as YAML to edit.

    Reads the catalogue alone, no rows. Writes no password.
    """
    # Imported here: `--help` must not wait for the libraries that move data.
    from tranship.cli.configuration import Replication, as_yaml, table_of_proposals
    from tranship.cli.proposals import survey
    from tranship.systems import SourceSystem, system_as, system_of_url

    refuse_to_overwrite(output, force=force)
    system = (
        system_as(source, SourceSystem)
        if source_url is None
        else system_of_url(source_url, SourceSystem)
    )
    settings = system.settings(source_url, os.environ, option="--source-url")
    catalogue = system.catalogue(settings)
    proposals = survey(
        catalogue, patterns, exclude, of_the_server=system.left_out, small_rows=small_rows
    )
    origin = f"the database {catalogue.database} on {catalogue.address}"
    replication = Replication(origin, target, schema, system.kind, catalogue.default_schema)
    text = as_yaml(replication, proposals)
    write_file(output, text)

    console().print(table_of_proposals(origin, proposals))
    click.echo(f"Wrote {output}: {_counted(proposals)}.")
    print_offered(system.title, proposals)
    click.echo(
        "Nothing is loaded yet. Read the file, above all the comments on merge and append, then run "
        "`dg check yaml` and `dg check defs`."
    )


def refuse_to_overwrite(output: Path, *, force: bool) -> None:
    """Stop before anything is asked of the source.

    Raises:
        ConfigurationError: The file is there and was not to be overwritten.
    """
    if output.exists() and not force:
        raise ConfigurationError(
            f"{output} is there already, and may have been edited.",
            "Give another --output, or --force to overwrite it.",
        )


def write_file(output: Path, text: str) -> None:
    """Write the file and the folders it is in.

    Raises:
        ConfigurationError: That is not possible here.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        why = (
            f"{output.parent} is no folder" if output.parent.is_file() else error.strerror or error
        )
        raise ConfigurationError(
            f"{output} cannot be written: {why}.", "Give another --output."
        ) from error


def print_offered(source: str, proposals: "Sequence[Proposal]") -> None:
    """Print what would have to run so that the source records changes, if anything."""
    from tranship.cli.proposals import offered_statements

    statements = offered_statements(proposals)
    if not statements:
        return
    tables = _tables(sum(bool(proposal.offered) for proposal in proposals))
    click.echo(
        f"{source} can record by itself what changes in {tables}, deletions too. Their owners would run:"
    )
    for statement in statements:
        click.echo(f"{statement};")
    click.echo("Then run this again with --force, or write changes: tracking.")


def _counted(proposals: "Sequence[Proposal]") -> str:
    modes = [str(proposal.mode) for proposal in proposals]
    each = ", ".join(f"{modes.count(mode)} {mode}" for mode in dict.fromkeys(sorted(modes)))
    return f"{_tables(len(modes))} ({each})"


def _tables(count: int) -> str:
    return f"{count} table{'' if count == 1 else 's'}"
