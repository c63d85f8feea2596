"""Asks a source for its tables, and shows what is proposed for each."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from tranship.cli.configuration import size_text, written_name
from tranship.cli.proposals import Proposal, propose
from tranship.errors import TableNotFoundError
from tranship.systems import Catalogue

ALL = ("*.*",)

_SHOWN_NAMES = 8


def survey(
    catalogue: Catalogue,
    patterns: Sequence[str] = (),
    exclude: Sequence[str] = (),
    *,
    of_the_server: Sequence[str] = (),
    small_rows: int,
) -> list[Proposal]:
    """What is proposed for each table that matches, in order of their names.

    Args:
        catalogue: The source's.
        patterns: Tables or patterns; all tables where there are none.
        exclude: Tables or patterns to leave out.
        of_the_server: What the server and its tools keep among a user's tables; left out where no tables are named.
        small_rows: Tables of so many rows or fewer are copied whole.

    Raises:
        TableNotFoundError: Nothing matches.
        ConnectionFailedError: The server cannot be reached, or refuses the login.
    """
    left_out = exclude if patterns else (*of_the_server, *exclude)
    names = catalogue.matching(patterns or ALL, exclude=left_out)
    if not names:
        raise _nothing_matches(catalogue, patterns, exclude, of_the_server)
    sizes = catalogue.sizes(names)
    return [
        propose(table, sizes.get(name), small_rows=small_rows)
        for name, table in catalogue.inspect(names).items()
    ]


def _nothing_matches(
    catalogue: Catalogue,
    patterns: Sequence[str],
    exclude: Sequence[str],
    of_the_server: Sequence[str],
) -> TableNotFoundError:
    present = [written_name(name) for name in catalogue.matching(ALL, exclude=of_the_server)]
    if not present:
        return TableNotFoundError(
            f'The database "{catalogue.database}" on {catalogue.address} has no tables that {catalogue.user} may see.',
            "Check the database's name, and grant SELECT on the tables.",
        )
    asked = [f"--tables {pattern}" for pattern in patterns]
    asked += [f"--exclude {pattern}" for pattern in exclude]
    shown = ", ".join(present[:_SHOWN_NAMES])
    more = f" and {len(present) - _SHOWN_NAMES} more" if len(present) > _SHOWN_NAMES else ""
    return TableNotFoundError(
        f'No table of the database "{catalogue.database}" is left by {" ".join(asked)}.',
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
