"""What was measured: runs, their medians, and tables of ways side by side. Values only; nothing runs here."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

RIGHT = "right"
TRANSHIP = "tranship"


@dataclass(frozen=True, slots=True)
class Run:
    """One whole process."""

    wall_seconds: float
    cpu_seconds: float
    peak_megabytes: float


@dataclass(slots=True)
class Row:
    """One way of doing what a table compares.

    Args:
        way: Its key, such as `dlt-pyarrow`.
        label: What readers call it, with its version.
        runs: One for each round it ran in.
        verdict: `right`, `right, but ...`, `wrong: ...` or `refused: ...`.
        limit: Whether it is a part of the work alone, which no way can beat, and no competitor.
        note: What a reader must know beside the figures.
    """

    way: str
    label: str
    runs: list[Run] = field(default_factory=list)
    verdict: str = RIGHT
    limit: bool = False
    note: str = ""

    @property
    def wall_seconds(self) -> float:
        """The median over the runs."""
        return statistics.median(run.wall_seconds for run in self.runs)

    @property
    def cpu_seconds(self) -> float:
        """The median over the runs."""
        return statistics.median(run.cpu_seconds for run in self.runs)

    @property
    def peak_megabytes(self) -> float:
        """The most of all runs: memory that was needed once may be needed again."""
        return max(run.peak_megabytes for run in self.runs)

    @property
    def counts(self) -> bool:
        """Whether its figures may be compared: it ran, and what it did was not wrong."""
        return bool(self.runs) and self.verdict.startswith(RIGHT)


@dataclass(slots=True)
class Table:
    """Ways side by side, doing the same work.

    Args:
        title: What they do, with the number of rows.
        rows: The ways.
        rows_moved: How many rows of data each moved.
        note: What a reader must know.
    """

    title: str
    rows: list[Row]
    rows_moved: int
    note: str = ""

    def row(self, way: str) -> Row | None:
        """The row of a way, if it is there."""
        return next((row for row in self.rows if row.way == way), None)

    def overhead(self, parts: Sequence[str], of: str = TRANSHIP) -> float | None:
        """Our CPU over that of parts of the work alone, each a process of its own; `None` where one is missing."""
        ours, rows = self.row(of), [self.row(part) for part in parts]
        found = [row for row in rows if row is not None and row.counts]
        if ours is None or not ours.counts or len(found) < len(parts):
            return None
        return ratio(ours.cpu_seconds, sum(row.cpu_seconds for row in found))

    def ahead(self, of: str = TRANSHIP) -> list[str]:
        """Who is faster than a way, or takes less CPU: the labels, with what they are ahead in."""
        ours = self.row(of)
        if ours is None or not ours.counts:
            return []
        found: list[str] = []
        for row in self.rows:
            if row is ours or row.limit or not row.counts or row.way.startswith(f"{of}-"):
                continue
            better = [
                f"{name} ({ratio(ours_value, theirs):.1f}x)"
                for name, ours_value, theirs in (
                    ("wall time", ours.wall_seconds, row.wall_seconds),
                    ("CPU", ours.cpu_seconds, row.cpu_seconds),
                    ("memory", ours.peak_megabytes, row.peak_megabytes),
                )
                if theirs < ours_value
            ]
            if better:
                found.append(f"{row.label}: {', '.join(better)}")
        return found


@dataclass(slots=True)
class Section:
    """One part of the measurements: its tables, and under which circumstances they were made."""

    key: str
    title: str
    tables: list[Table] = field(default_factory=list)
    grids: list[dict[str, Any]] = field(default_factory=list)
    circumstances: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Everything in it, as JSON takes it."""
        return asdict(self)

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> "Section":
        """What `to_json` gave."""
        tables = [
            Table(
                **{
                    **table,
                    "rows": [
                        Row(**{**row, "runs": [Run(**run) for run in row["runs"]]})
                        for row in table["rows"]
                    ],
                }
            )
            for table in given["tables"]
        ]
        return cls(**{**given, "tables": tables})


def ratio(value: float, reference: float) -> float:
    """How many times the reference a value is."""
    return value / reference if reference else float("inf")


def in_turns(
    rows: Sequence[Row],
    run_one: Callable[[Row], tuple[Run | None, str]],
    *,
    rounds: int,
    once_above_seconds: float,
    in_time: Callable[[], bool] = lambda: True,
) -> None:
    """Fill the rows' runs: all ways take turns, there and back, so that a busy moment hits all alike.

    Args:
        rows: The ways, without runs.
        run_one: Runs one way once and checks its result. A way whose verdict is not right is out.
        rounds: How often.
        once_above_seconds: A way that took longer than this is not run again.
        in_time: Asked before each run after the first round; nothing runs again once it is false.
    """
    for number in range(rounds):
        for row in rows if number % 2 == 0 else reversed(rows):
            slow = bool(row.runs) and row.runs[0].wall_seconds > once_above_seconds
            if slow or not row.verdict.startswith(RIGHT) or (row.runs and not in_time()):
                continue
            run, row.verdict = run_one(row)
            if run is not None:
                row.runs.append(run)
