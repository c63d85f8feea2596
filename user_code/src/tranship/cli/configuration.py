"""Shows proposals: as the YAML of a replication with comments for the person who edits it, and as a table on the terminal."""

import math
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from rich import box
from rich.table import Table

from tranship.cli.proposals import Proposal, names_in_target, written_name
from tranship.replication.columns import KEY_VARIABLE
from tranship.replication.plan import FollowedChanges, Mode, OnDelete

COMPONENT = "tranship.replication.ReplicationComponent"
LINE_LENGTH = 100
_TEMPLATE = re.compile(r"\{([{%#])")
_ENTRY = "    "
_SETTING = "      "
_COLUMNS = "        "
_MASK = (
    "Names that look like personal data. hash keeps equal values equal and needs "
    f"{KEY_VARIABLE}; redact leaves nothing; exclude leaves the column out."
)


@dataclass(frozen=True, slots=True)
class Replication:
    """What stands at the head of a replication's YAML.

    Args:
        origin: Where the tables were found, for the first line.
        target: The kind of the target: the name of its resource too.
        target_schema: The schema that tables are copied to.
        source: The kind of the source, likewise.
        default_schema: The source's schema that copies are not named after.
    """

    origin: str
    target: str = "postgres"
    target_schema: str = "staging"
    source: str = "sqlserver"
    default_schema: str = "dbo"


def as_yaml(replication: Replication, proposals: Sequence[Proposal]) -> str:
    """The text of a `defs.yaml`."""
    names = names_in_target(proposals, replication.default_schema)
    lines = [
        *_comment("", f"Tables of {replication.origin}, and how each is copied."),
        *_comment(
            "",
            "Written by `tranship init` and yours to edit. It looked at the catalogue and at names, never at "
            "rows, and proposes.",
        ),
        f"type: {COMPONENT}",
        "",
        "attributes:",
        *_comment("  ", "Names of resources. Addresses and passwords are theirs, never here."),
        f"  source: {_scalar(replication.source)}",
        f"  target: {_scalar(replication.target)}",
        f"  target_schema: {_scalar(replication.target_schema)}",
        "",
        *_comment("  ", "What holds for every table that says nothing else."),
        "  defaults:",
        "    mode: replace",
        *_comment("    ", "Or evolve: new columns are added, types are widened."),
        "    on_schema_change: error",
        "    # schedule: '@daily'",
        "    # timezone: Europe/Berlin",
        "    # freshness: 26 hours",
        "",
        "  tables:",
    ]
    for position, proposal in enumerate(proposals):
        if position:
            lines.append("")
        lines.extend(_entry(proposal, names.get(proposal.table.name)))
    return "\n".join(lines) + "\n"


def size_text(size_bytes: int) -> str:
    """A size in MB, as people compare tables by it.

    Example:
        >>> size_text(8192), size_text(20_250_624), size_text(0)
        ('< 0.1 MB', '20.3 MB', '0 MB')
    """
    megabytes = size_bytes / 1_000_000
    if 0 < megabytes < 0.1:
        return "< 0.1 MB"
    return f"{megabytes:,.1f} MB" if megabytes else "0 MB"


def _entry(proposal: Proposal, name: str | None) -> Iterator[str]:
    yield from _comment(_ENTRY, _facts(proposal))
    if len(proposal.exclude) == len(proposal.table.schema.columns):
        yield from _comment(_ENTRY, "Left out: none of its columns can be moved.")
        return
    yield from _comment(_ENTRY, f"{proposal.mode}: {proposal.reason}.")
    for caveat in proposal.caveats:
        yield from _comment(_ENTRY, caveat)
    yield f"{_ENTRY}- table: {_scalar(written_name(proposal.table.name))}"
    if name is not None:
        yield from _comment(_SETTING, "Another table has the name that this one would get.")
        yield f"{_SETTING}target: {_scalar(name)}"
    if proposal.table.schema.comment:
        yield f"{_SETTING}description: {_scalar(_plain(proposal.table.schema.comment))}"
    yield f"{_SETTING}mode: {proposal.mode}"
    if proposal.cursor is not None:
        yield f"{_SETTING}cursor: {_scalar(proposal.cursor)}"
    if proposal.follows_record:
        yield f"{_SETTING}changes: {FollowedChanges.TRACKING}"
        yield from _comment(
            _SETTING,
            "Deletions are among the changes. Or mark: rows stay, with the time in _deleted_at; ignore: they stay as they are.",
        )
        yield f"{_SETTING}delete: {OnDelete.REMOVE}"
    elif proposal.mode in {Mode.MERGE, Mode.APPEND}:
        yield from _comment(
            _SETTING,
            "Rows deleted in the source stay in the copy, unless all keys are compared after each load: "
            "mark sets _deleted_at, remove deletes them too.",
        )
        yield f"{_SETTING}# delete: mark"
    yield from _columns(proposal)
    if proposal.partition_column is not None:
        yield from _partitions(proposal, proposal.partition_column)


def _facts(proposal: Proposal) -> str:
    table = proposal.table
    rows = (
        "rows unknown" if table.estimated_rows is None else f"about {table.estimated_rows:,} rows"
    )
    facts = [
        rows,
        None if proposal.size_bytes is None else size_text(proposal.size_bytes),
        f"key {', '.join(proposal.key)}" if proposal.key else "no key",
        f"could be followed by {', '.join(map(str, proposal.candidates))}"
        if proposal.candidates
        else None,
    ]
    return f"{table.name}: {'; '.join(fact for fact in facts if fact)}."


def _columns(proposal: Proposal) -> Iterator[str]:
    types = {column.name: column.source_type for column in proposal.table.schema.columns}
    chosen = proposal.cast or proposal.exclude
    if chosen:
        yield f"{_SETTING}columns:"
    if proposal.cast:
        listed = ", ".join(f"{name} ({types[name]})" for name, _ in proposal.cast)
        yield from _comment(_COLUMNS, f"Not movable as they are, so read as text: {listed}.")
        yield f"{_COLUMNS}cast: {_scalar(dict(proposal.cast))}"
    if proposal.exclude:
        listed = ", ".join(f"{name} ({types[name]})" for name in proposal.exclude)
        yield from _comment(_COLUMNS, f"Not movable, so left out: {listed}.")
        yield f"{_COLUMNS}exclude: {_scalar(list(proposal.exclude))}"
    if proposal.personal:
        indent = _COLUMNS if chosen else _SETTING
        yield from _comment(indent, _MASK)
        if not chosen:
            yield f"{indent}# columns:"
            indent = f"{indent}#  "
        else:
            indent = f"{indent}#"
        yield f"{indent} mask:"
        yield from (f"{indent}   {_scalar({name: 'hash'})[1:-1]}" for name in proposal.personal)


def _partitions(proposal: Proposal, column: str) -> Iterator[str]:
    yield from _comment(
        _SETTING,
        "So large a table can be loaded and reloaded by partitions, each replaced whole:"
        + (" mode: partition, no cursor, and" if proposal.cursor else " mode: partition and"),
    )
    yield f"{_SETTING}# partitions:"
    yield f"{_SETTING}#   column: {_scalar(column)}"
    yield f"{_SETTING}#   every: month"
    yield f"{_SETTING}#   start: '2020-01-01'  # the first month that has rows"


def _comment(indent: str, text: str) -> list[str]:
    return textwrap.wrap(
        _one_line(text),
        width=LINE_LENGTH,
        initial_indent=f"{indent}# ",
        subsequent_indent=f"{indent}# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _one_line(text: str) -> str:
    """Texts of the source's, in which a line break would end the comment."""
    return "".join(letter if letter.isprintable() else " " for letter in " ".join(text.split()))


def _plain(text: str) -> str:
    """A text of the source's as a value, of which Dagster must not make a template."""
    return _TEMPLATE.sub(r"{ \1", _one_line(text))


def _scalar(value: Any) -> str:
    """A value on one line, quoted where YAML would take it for something else."""
    dumped = yaml.safe_dump(
        value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=math.inf
    )
    return dumped.removesuffix("\n").removesuffix("\n...")


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
    if proposal.follows_record:
        mode = f"{proposal.mode} by its record of changes"
    lines = [f"{mode}: {proposal.reason}"]
    if others := [str(one) for one in proposal.candidates if one.column.name != proposal.cursor]:
        lines.append(f"could be followed by {', '.join(others)}{' too' if proposal.cursor else ''}")
    return "\n".join(lines)
