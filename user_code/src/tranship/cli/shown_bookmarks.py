"""Bookmarks on the terminal, and as JSON."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.table import Table

from tranship.bookmarks import Bookmark


def overview(bookmarks: Sequence[Bookmark]) -> Table:
    """One line for each table."""
    shown = Table(box=box.SIMPLE_HEAD)
    shown.add_column("table", no_wrap=True)
    for heading in ("source", "mode", "cursor", "value"):
        shown.add_column(heading, overflow="fold")
    for heading in ("updated (UTC)", "run"):
        shown.add_column(heading, no_wrap=True)
    # Seldom of any use, and terminals are narrow.
    unfinished = any(bookmark.loading is not None for bookmark in bookmarks)
    if unfinished:
        shown.add_column("first load", overflow="fold")
    for bookmark in bookmarks:
        shown.add_row(
            str(bookmark.table),
            bookmark.source,
            bookmark.mode,
            bookmark.cursor_column or "-",
            bookmark.cursor_value or "-",
            _moment(bookmark.updated_at),
            (bookmark.run_id or "-")[:8],
            *([_first_load(bookmark)] if unfinished else []),
        )
    return shown


def details(bookmark: Bookmark) -> Table:
    """All about one table."""
    shown = Table(box=None, show_header=False, pad_edge=False)
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")
    for name, value in (
        ("table", str(bookmark.table)),
        ("source", bookmark.source),
        ("where that is", str(bookmark.identity or "not known yet")),
        ("mode", bookmark.mode),
        ("cursor", bookmark.cursor_column or "-"),
        ("value", bookmark.cursor_value or "-"),
        ("first load", _first_load(bookmark)),
        ("rows of the last write", f"{bookmark.facts.get('rows', '-')}"),
        ("what it wrote", f"{bookmark.facts.get('slice', '-')}"),
        ("updated (UTC)", _moment(bookmark.updated_at)),
        ("run", bookmark.run_id or "-"),
    ):
        shown.add_row(name, value)
    return shown


def as_json(bookmark: Bookmark) -> dict[str, Any]:
    """A bookmark as a program reads it."""
    updated = bookmark.updated_at
    return {
        "table": str(bookmark.table),
        "source": bookmark.source,
        "source_identity": bookmark.identity.as_json() if bookmark.identity else None,
        "mode": bookmark.mode,
        "cursor": bookmark.cursor_column,
        "value": bookmark.cursor_value,
        "updated_at": updated.astimezone(UTC).isoformat() if updated else None,
        "run_id": bookmark.run_id,
        "unfinished_first_load": None if bookmark.loading is None else dict(bookmark.loading),
        "facts": dict(bookmark.facts),
    }


def _moment(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _first_load(bookmark: Bookmark) -> str:
    if bookmark.loading is None:
        return "done"
    return f"unfinished: goes on {bookmark.loading_place}"
