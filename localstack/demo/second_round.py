"""The demo's second round: the source changes, and only what changed is moved."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg
import mssql_python
from rich import box
from rich.console import Console
from rich.table import Table

from demo.runs import FinishedRun, run_job
from standins.sample.changes import Changes, apply_changes
from standins.sample.connect import parse_url

ROWS_CHANGED = 20
ROWS_ADDED = 30
SENSOR = "staging_tables_changes_sensor"
CHANGES_JOB = "staging_tables_changes_job"
SALES_JOB = "sales_job"
LAST_MONTH = "2014-01-01"


@dataclass(frozen=True, slots=True)
class SecondRound:
    """What the second round did.

    Args:
        changes: What was changed in the source.
        selected: The assets that the sensor asked for.
        runs: The load of what changed, and the publication of its months.
    """

    changes: Changes
    selected: Sequence[dg.AssetKey]
    runs: Sequence[FinishedRun]


def second_round(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, url: str, console: Console
) -> SecondRound:
    """Change the source, let the sensor find out, and load what it asks for.

    Args:
        repository: The code location.
        instance: Where runs are kept.
        url: The source's address.
        console: Where progress is shown.
    """
    cursor = _tick(repository, instance, None).cursor
    parts = parse_url(url)
    with closing(mssql_python.connect(parts.connection_string(parts.database))) as connection:
        changes = apply_changes(connection, ROWS_CHANGED, ROWS_ADDED)
        months = {"dagster/asset_partition_range_start": _first_month(connection, changes)}
    console.print(
        f"\nIn the source, {len(changes.changed)} order lines are corrected and {len(changes.added)} "
        "are added. The sensor looks which tables have changed, and their rows are moved:"
    )
    requests = _tick(repository, instance, cursor).run_requests or ()
    selected = [key for request in requests for key in request.asset_selection or ()]
    months["dagster/asset_partition_range_end"] = LAST_MONTH
    runs = [
        run_job(repository.get_job(CHANGES_JOB), instance, console, assets=selected),
        run_job(repository.get_job(SALES_JOB), instance, console, tags=months),
    ]
    return SecondRound(changes, selected, runs)


def _tick(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, cursor: str | None
) -> Any:
    sensor = repository.get_sensor_def(SENSOR)
    with _context(repository, instance, cursor) as context:
        return sensor.evaluate_tick(context)


@contextmanager
def _context(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, cursor: str | None
) -> Iterator[dg.SensorEvaluationContext]:
    resources = {"sqlserver": repository.get_top_level_resources()["sqlserver"]}
    with dg.build_sensor_context(
        instance=instance, cursor=cursor, repository_def=repository, resources=resources
    ) as context:
        yield context


def _first_month(connection: mssql_python.Connection, changes: Changes) -> str:
    """The first month that an order of the changed lines is of."""
    keys = [number for number, _ in (*changes.changed, *changes.added)]
    markers = ", ".join("?" * len(keys))
    cursor = connection.cursor()
    cursor.execute(
        f"select min([OrderDate]) from [dbo].[FactInternetSales] where [SalesOrderNumber] in ({markers})",
        keys,
    )
    (first,) = cursor.fetchall()[0]
    return f"{first:%Y-%m}-01"


def show_second_round(done: SecondRound, console: Console) -> None:
    """Print what was read, what of it was new or changed, and what the table has now."""
    for run in done.runs:
        outcome = "[green]succeeded[/]" if run.success else "[red]failed[/]"
        table = Table(
            title=f"{run.job} {outcome}",
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
        )
        table.add_column("Target table", no_wrap=True)
        for heading in (
            "Rows read",
            "Updated",
            "Inserted",
            "In table",
            "Seconds",
            "Checks",
        ):
            table.add_column(heading, justify="right", no_wrap=True)
        for one in sorted(run.tables, key=lambda one: one.table):
            mark = "[green]" if one.checks_passed == one.checks else "[red]"
            table.add_row(
                one.table,
                f"{one.rows:,}",
                *(_shown(number) for number in (one.updated, one.inserted, one.rows_in_table)),
                f"{one.seconds:.2f}",
                f"{mark}{one.checks_passed} of {one.checks}[/]" if one.checks else "-",
            )
        console.print()
        console.print(table)
        for failure in run.failures:
            console.print(f"[red]✗[/] {failure}", markup=True, highlight=False)


def _shown(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"
