"""`tranship bookmarks`: shows how far tables were loaded, moves that by hand, or forgets it."""

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from tranship.cli.commands import CommandGroup, SystemKind, console

if TYPE_CHECKING:
    from tranship.cli.kept_bookmarks import KeptBookmarks

Command = Callable[..., None]
LOCK_WAIT_SECONDS = 30.0
"""How long a person waits for a load that is writing the table."""


def _of_a_target(command: Command) -> Command:
    """The options that say which database keeps the bookmarks."""
    for option in (
        click.option("--schema", help="Look only at tables of this schema."),
        click.option(
            "--target",
            type=SystemKind("target"),
            default="postgres",
            show_default=True,
            help="Without a URL: postgres takes the address from TRANSHIP_POSTGRES_*, redshift from TRANSHIP_REDSHIFT_*.",
        ),
        click.option(
            "--target-url",
            metavar="URL",
            help="postgresql://user:password@host:5432/database, or redshift://...; without a password, "
            "TRANSHIP_POSTGRES_PASSWORD or TRANSHIP_REDSHIFT_PASSWORD is taken.",
        ),
    ):
        command = option(command)
    return command


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_table = click.argument("table")


@click.group(cls=CommandGroup)
def bookmarks() -> None:
    """How far tables were loaded: show it, move it, forget it."""


@bookmarks.command("list")
@_of_a_target
@_as_json
def list_(target_url: str | None, target: str, schema: str | None, as_json: bool) -> None:
    """Show every table's bookmark."""
    from tranship.cli.kept_bookmarks import as_json as to_json
    from tranship.cli.kept_bookmarks import overview

    kept = _kept(target_url, target, schema)
    present = kept.all()
    if as_json:
        click.echo(json.dumps([to_json(one) for one in present], indent=2))
    elif present:
        console().print(overview(present))
    else:
        click.echo(f"No table was loaded yet into {kept.place}.")


@bookmarks.command()
@_table
@_of_a_target
@_as_json
def show(
    table: str, target_url: str | None, target: str, schema: str | None, as_json: bool
) -> None:
    """Show all about one TABLE's bookmark."""
    from tranship.cli.kept_bookmarks import as_json as to_json
    from tranship.cli.kept_bookmarks import details

    bookmark = _kept(target_url, target, schema).find(table)
    if as_json:
        click.echo(json.dumps(to_json(bookmark), indent=2))
    else:
        console().print(details(bookmark))


# Negative numbers are values too, not options.
@bookmarks.command("set", context_settings={"ignore_unknown_options": True})
@_table
@click.argument("value")
@_of_a_target
@_yes
def set_(
    table: str, value: str, target_url: str | None, target: str, schema: str | None, yes: bool
) -> None:
    """Move TABLE's bookmark to VALUE: the next load starts there."""
    from tranship.cli.kept_bookmarks import move_to

    kept = _kept(target_url, target, schema)
    bookmark = kept.find(table)
    move = move_to(bookmark, value, kept.column_type(bookmark))
    if move.new == bookmark.cursor_value:
        click.echo(f"The bookmark of {bookmark.table} is {move.new} already.")
        return
    now = bookmark.cursor_value or "no value"
    click.echo(f"{bookmark.table}, {bookmark.cursor_column}: {now} -> {move.new}")
    for consequence in move.consequences:
        click.echo(f"- {consequence}")
    _ask("Move the bookmark?", yes=yes)
    kept.move(bookmark, move.new)
    click.echo(f"The bookmark of {bookmark.table} is {move.new} now.")


@bookmarks.command()
@_table
@_of_a_target
@_yes
def adopt(table: str, target_url: str | None, target: str, schema: str | None, yes: bool) -> None:
    """Keep TABLE's bookmark for a source that was moved: the next load takes the one it finds for the same."""
    kept = _kept(target_url, target, schema)
    bookmark = kept.find(table)
    if bookmark.identity is None:
        click.echo(
            f"The bookmark of {bookmark.table} names no source: the next load takes the one it finds."
        )
        return
    click.echo(f"{bookmark.table} was loaded from {bookmark.identity}.")
    click.echo(
        "- The next load goes on from the bookmark in whatever source it finds. Only where that has the same rows is the copy right."
    )
    _ask("Keep the bookmark?", yes=yes)
    kept.adopt(bookmark)
    click.echo(
        f"The next load of {bookmark.table} takes the source that it finds for that of its rows."
    )


@bookmarks.command()
@_table
@_of_a_target
@_yes
def reset(table: str, target_url: str | None, target: str, schema: str | None, yes: bool) -> None:
    """Forget TABLE's bookmark: the next load is a full one."""
    from tranship.cli.kept_bookmarks import consequences_of_reset

    kept = _kept(target_url, target, schema)
    bookmark = kept.find(table)
    for consequence in consequences_of_reset(bookmark):
        click.echo(f"- {consequence}")
    _ask(f"Forget the bookmark of {bookmark.table}?", yes=yes)
    kept.forget(bookmark)
    click.echo(f"The bookmark of {bookmark.table} is gone: its next load is a full one.")


def _kept(url: str | None, kind: str, schema: str | None) -> "KeptBookmarks":
    from tranship.cli.kept_bookmarks import KeptBookmarks
    from tranship.systems import TargetSystem, system_as, system_of_url

    system = system_as(kind, TargetSystem) if url is None else system_of_url(url, TargetSystem)
    settings = system.settings(url, os.environ, option="--target-url")
    target = system.open_target(settings, lock_wait_seconds=LOCK_WAIT_SECONDS)
    return KeptBookmarks(target, schema)


def _ask(question: str, *, yes: bool) -> None:
    if not yes:
        click.confirm(question, abort=True)
