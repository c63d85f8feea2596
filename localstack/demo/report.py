"""What the demo says in the end: one table per job, and what to try next."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from demo.runs import FinishedRun

MEGABYTE = 1_000_000


def show(runs: Sequence[FinishedRun], console: Console) -> None:
    """Print what each run moved, and every failure in its own words."""
    for run in runs:
        console.print()
        console.print(_table(run))
        for failure in run.failures:
            console.print(f"[red]✗[/] {failure}", markup=True, highlight=False)


def _table(run: FinishedRun) -> Table:
    outcome = "[green]succeeded[/]" if run.success else "[red]failed[/]"
    title = f"{run.job} {outcome}"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("Target table", no_wrap=True)
    for heading in ("Rows read", "Loaded", "MB", "Seconds", "Rows/s", "Checks passed"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in sorted(run.tables, key=lambda one: one.table):
        mark = "[green]" if one.checks_passed == one.checks else "[red]"
        read = _rows_read(run, one.table)
        table.add_row(
            one.table,
            f"{read:,}" if read is not None else "streamed",
            f"{one.rows:,}",
            f"{one.bytes / MEGABYTE:.1f}",
            f"{one.seconds:.2f}",
            f"{one.rows / one.seconds:,.0f}" if one.seconds else "",
            f"{mark}{one.checks_passed} of {one.checks}[/]" if one.checks else "-",
        )
    return table


def _rows_read(run: FinishedRun, table: str) -> int | None:
    """The rows of the extract step whose mapping key ends like the target table's name."""
    source = table.rsplit("stg_", 1)[-1]
    return next(
        (rows for step, rows in run.rows_read.items() if step.endswith(f"_{source}]")), None
    )
