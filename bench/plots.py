"""Draws the committed results as SVG. A program of its own, run where matplotlib is.

python bench/plots.py bench/results
"""

# pyright: reportMissingImports=false
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update(
    {
        "svg.hashsalt": "tranship",  # the same figures give the same bytes
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
)
import matplotlib.pyplot as plt  # noqa: E402

OURS, OTHERS, LIMIT = "#1f6f8b", "#b8c4cc", "#e3d3a5"
INCHES_PER_BAR = 0.34
WIDE = "wide"


def main() -> None:
    """Draw what there are results of."""
    results = Path(sys.argv[1])
    for path in sorted(results.glob("*.json")):
        section = json.loads(path.read_text())
        if section["key"] == "memory":
            _memory(section, path.with_suffix(".svg"))
            continue
        tables = [table for table in section["tables"] if any(row["runs"] for row in table["rows"])]
        if tables:
            _bars(section, _chosen(tables), path.with_suffix(".svg"))


def _chosen(tables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The largest table of each kind of work that is drawn; the others are in the text."""
    wide = [table for table in tables if WIDE in table["title"]] or tables
    most = max(table["rows_moved"] for table in wide)
    return [table for table in wide if table["rows_moved"] == most]


def _bars(section: dict[str, Any], tables: list[dict[str, Any]], file: Path) -> None:
    counts = [sum(1 for row in table["rows"] if row["runs"]) for table in tables]
    figure, axes = plt.subplots(
        len(tables),
        1,
        figsize=(8, sum(counts) * INCHES_PER_BAR + 1.1 * len(tables)),
        squeeze=False,
        gridspec_kw={"height_ratios": counts},
        layout="constrained",
    )
    for axis, table in zip(axes[:, 0], tables, strict=True):
        rows = sorted(
            (row for row in table["rows"] if row["runs"]),
            key=lambda row: (row["limit"], _median(row, "wall_seconds")),
            reverse=True,
        )
        walls = [_median(row, "wall_seconds") for row in rows]
        colours = [
            LIMIT if row["limit"] else OURS if row["way"] == "tranship" else OTHERS for row in rows
        ]
        bars = axis.barh([row["label"] for row in rows], walls, color=colours)
        axis.bar_label(
            bars,
            [
                f" {wall:.1f} s, CPU {_median(row, 'cpu_seconds'):.1f} s, "
                f"{max(run['peak_megabytes'] for run in row['runs']):,.0f} MB"
                for wall, row in zip(walls, rows, strict=True)
            ],
            fontsize=8,
        )
        axis.set_xlim(0, max(walls) * 1.45)
        axis.set_xlabel("wall seconds of the whole process, median")
        axis.set_title(table["title"], loc="left", fontsize=10)
    _save(figure, section, file)


def _memory(section: dict[str, Any], file: Path) -> None:
    lines = {
        table["title"]: [
            (
                int(row["way"].rpartition("-")[2]),
                max(run["peak_megabytes"] for run in row["runs"]),
            )
            for row in table["rows"]
            if row["runs"]
        ]
        for table in section["tables"]
    }
    figure, axis = plt.subplots(figsize=(8, 3.2), layout="constrained")
    for name, points in lines.items():
        axis.plot(*zip(*points, strict=True), marker="o", label=name)
    axis.set_xscale("log")
    axis.set_ylim(bottom=0)
    axis.set_xlabel("rows")
    axis.set_ylabel("peak MB")
    axis.set_title("Peak memory of the client", loc="left", fontsize=10)
    axis.legend(frameon=False)
    _save(figure, section, file)


def _median(row: dict[str, Any], name: str) -> float:
    return statistics.median(run[name] for run in row["runs"])


def _save(figure: Any, section: dict[str, Any], file: Path) -> None:
    given = section["circumstances"]
    figure.supxlabel(
        f"{given.get('date', '')}, {given.get('processor', '')}, shared machine",
        fontsize=7,
        color="#666666",
    )
    figure.savefig(file, metadata={"Date": None, "Creator": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
