"""Asks a SQL Server for its tables, and shows what is proposed for each."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from tranship.cli.configuration import size_text, written_name
from tranship.cli.proposals import Proposal, propose
from tranship.errors import TableNotFoundError
from tranship.sqlserver.catalogue import inspect_tables, list_tables, table_sizes
from tranship.sqlserver.settings import SqlServerSettings

ALL = ("*.*",)
OF_THE_SERVER = ("dbo.sysdiagrams", "cdc.*", "sys.*", "INFORMATION_SCHEMA.*")
"""What servers and their tools keep among a user's tables; left out where no tables were named."""

_SHOWN_NAMES = 8


def survey(
    settings: SqlServerSettings,
    patterns: Sequence[str] = (),
    exclude: Sequence[str] = (),
    *,
    small_rows: int,
) -> list[Proposal]:
    """What is proposed for each table that matches, in order of their names.

    Args:
        settings: The server.
        patterns: Tables or patterns; all tables where there are none.
        exclude: Tables or patterns to leave out.
        small_rows: Tables of so many rows or fewer are copied whole.

    Raises:
        TableNotFoundError: Nothing matches.
        ConnectionFailedError: The server cannot be reached, or refuses the login.
    """
    left_out = exclude if patterns else (*OF_THE_SERVER, *exclude)
    names = list_tables(settings, patterns or ALL, exclude=left_out)
    if not names:
        raise _nothing_matches(settings, patterns, exclude)
    sizes = table_sizes(settings, names)
    return [
        propose(table, sizes.get(name), small_rows=small_rows)
        for name, table in inspect_tables(settings, names).items()
    ]


def _nothing_matches(
    settings: SqlServerSettings, patterns: Sequence[str], exclude: Sequence[str]
) -> TableNotFoundError:
    present = [written_name(name) for name in list_tables(settings, ALL, exclude=OF_THE_SERVER)]
    if not present:
        return TableNotFoundError(
            f'The database "{settings.database}" on {settings.address} has no tables that {settings.user} may see.',
            "Check the database's name, and grant SELECT on the tables.",
        )
    asked = [f"--tables {pattern}" for pattern in patterns]
    asked += [f"--exclude {pattern}" for pattern in exclude]
    shown = ", ".join(present[:_SHOWN_NAMES])
    more = f" and {len(present) - _SHOWN_NAMES} more" if len(present) > _SHOWN_NAMES else ""
    return TableNotFoundError(
        f'No table of the database "{settings.database}" is left by {" ".join(asked)}.',
        f"It has {shown}{more}.",
    )


def table_of_proposals(origin: str, proposals: Sequence[Proposal]) -> Table:
    """The proposals as a table for the terminal."""
    shown = Table(
        title=f"Tables of {origin}", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD
    )
    shown.add_column("table", no_wrap=True)
    shown.add_column("rows", justify="right", no_wrap=True)
    shown.add_column("size", justify="right", no_wrap=True)
    shown.add_column("key", overflow="fold")
    shown.add_column("proposed", overflow="fold")
    for proposal in proposals:
        rows = proposal.table.estimated_rows
        shown.add_row(
            str(proposal.table.name),
            "?" if rows is None else f"{rows:,}",
            "?" if proposal.size_bytes is None else size_text(proposal.size_bytes),
            "\n".join(proposal.key) or "-",
            _proposed(proposal),
        )
    return shown


def _proposed(proposal: Proposal) -> str:
    mode = f"{proposal.mode} by {proposal.cursor}" if proposal.cursor else str(proposal.mode)
    lines = [f"{mode}: {proposal.reason}"]
    if others := [str(one) for one in proposal.candidates if one.column.name != proposal.cursor]:
        lines.append(f"could be followed by {', '.join(others)}{' too' if proposal.cursor else ''}")
    return "\n".join(lines)
