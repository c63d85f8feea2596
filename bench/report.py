"""Results as markdown tables, and as the committed figures: JSON, a page of the docs, plots."""

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.environments import python_of
from bench.figures import TRANSHIP, Row, Section, Table, ratio

RESULTS = Path(__file__).resolve().parent / "results"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "measurements.md"
TWO_DIGITS_BELOW = 10.0
DRAIN_AND_ENCODE = ("limit-drain", "limit-encode")


def render(sections: Sequence[Section]) -> str:
    """All sections, one below the other."""
    return "\n".join(f"## {section.title}\n\n{body(section)}" for section in sections)


def body(section: Section) -> str:
    """A section without its heading: circumstances, notes, tables."""
    parts = [_circumstances(section)] if section.circumstances else []
    parts += [f"{note}\n" for note in section.notes]
    parts += [_grid(grid) for grid in section.grids]
    parts += [table_text(table) for table in section.tables]
    return "\n".join(parts)


def table_text(table: Table) -> str:
    """One table, fastest first, and who is ahead of tranship in what."""
    ours = table.row(TRANSHIP)
    lines = [
        f"**{table.title}**",
        "",
        "| | wall s | client CPU s | peak MB | wall, x tranship | runs | result |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    rows = sorted(table.rows, key=lambda row: (row.limit, not row.counts, _wall(row)))
    lines += [_line(row, ours) for row in rows]
    lines.append("")
    if table.note:
        lines += [table.note, ""]
    overhead = table.overhead(DRAIN_AND_ENCODE)
    if overhead is not None:
        lines += [
            f"tranship's CPU here is {overhead:.2f} times that of the driver's loop and of encoding, each alone.",
            "",
        ]
    ahead = table.ahead()
    if ahead:
        lines += [f"Ahead of tranship here: {'; '.join(ahead)}.", ""]
    return "\n".join(lines)


def publish(sections: Sequence[Section], *, add: bool = False) -> None:
    """Replace these sections in `bench/results` and in the page of the docs, and draw the plots anew.

    Args:
        sections: What was measured.
        add: Keep the tables that are there of other titles.
    """
    RESULTS.mkdir(exist_ok=True)
    page = PAGE.read_text()
    for section in sections:
        path = RESULTS / f"{section.key}.json"
        if add and path.exists():
            section = joined(section, Section.from_json(json.loads(path.read_text())))
        path.write_text(json.dumps(section.to_json(), indent=1, ensure_ascii=False) + "\n")
        page = replaced(page, section.key, body(section))
    PAGE.write_text(page)
    draw = Path(__file__).resolve().parent / "plots.py"
    subprocess.run([str(python_of("plots")), str(draw), str(RESULTS)], check=True)


def joined(new: Section, old: Section) -> Section:
    """The new section, with the old one's tables that it does not have."""
    titles = {table.title for table in new.tables}
    kept = [table for table in old.tables if table.title not in titles]
    return replace(new, tables=[*new.tables, *kept])


def replaced(page: str, key: str, text: str) -> str:
    """The page with other text between the two marks of a section.

    Raises:
        ValueError: The page has no such marks.
    """
    begin, end = f"<!-- {key} -->", f"<!-- end of {key} -->"
    pattern = re.compile(rf"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"The page has no place for {key}: {begin} and {end}")
    return pattern.sub(lambda _: f"{begin}\n{text.strip()}\n\n{end}", page)


def _circumstances(section: Section) -> str:
    given = dict(section.circumstances)
    machine = [given.pop(name, "") for name in ("date", "processor", "memory", "system", "load")]
    listed = [one for one in machine if one] + [f"{name}: {text}" for name, text in given.items()]
    return f"{'; '.join(listed)}.\n"


def _line(row: Row, ours: Row | None) -> str:
    result = row.verdict + (f" ({row.note})" if row.note else "")
    if not row.runs:
        return f"| {row.label} | | | | | | {result} |"
    times = ""
    if ours is not None and ours.counts and row.counts and not row.limit:
        times = f"{ratio(row.wall_seconds, ours.wall_seconds):.1f}"
    name = f"**{row.label}**" if row.way == TRANSHIP else row.label
    return (
        f"| {name} | {seconds(row.wall_seconds)} | {seconds(row.cpu_seconds)} | "
        f"{row.peak_megabytes:,.0f} | {times} | {len(row.runs)} | {result} |"
    )


def seconds(value: float) -> str:
    """A duration with as many digits as mean something."""
    return f"{value:.2f}" if value < TWO_DIGITS_BELOW else f"{value:.1f}"


def _wall(row: Row) -> float:
    return row.wall_seconds if row.runs else 0.0


def _grid(grid: dict[str, Any]) -> str:
    lines = [f"**{grid['title']}**", "", "| | " + " | ".join(grid["columns"]) + " |"]
    lines.append("|---" * (len(grid["columns"]) + 1) + "|")
    lines += [f"| {name} | " + " | ".join(cells) + " |" for name, *cells in grid["rows"]]
    lines.append("")
    lines += [f"- {note}" for note in grid.get("notes", [])]
    return "\n".join([*lines, ""])
