"""Runs the jobs of the code location through Dagster, and reads from its event log what they did."""

import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

POLL_SECONDS = 0.5
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""The event log has everything; the terminal has the progress bar."""


@dataclass(slots=True)
class LoadedTable:
    """What the event log says about one target table.

    Args:
        table: The target table's name.
        rows: Rows loaded.
        bytes: Their size as Arrow buffers.
        seconds: How long the write took, its reading included where both overlap.
        checks_passed: How many of its checks passed.
        checks: How many checks it has.
        updated: Rows that a merge found changed; `None` for other writes.
        inserted: Rows that a merge found new, likewise.
        rows_in_table: Rows of the whole table, where the load counted them.
    """

    table: str
    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    checks_passed: int = 0
    checks: int = 0
    updated: int | None = None
    inserted: int | None = None
    rows_in_table: int | None = None


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """One run of a job, as its event log tells it."""

    job: str
    run_id: str
    success: bool
    tables: Sequence[LoadedTable]
    rows_read: Mapping[str, int] = field(default_factory=dict)
    """Rows that each extract step spooled, by step."""
    failures: Sequence[str] = ()
    """What each failed step says."""


def run_job(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    console: Console,
    *,
    tags: Mapping[str, str] | None = None,
    assets: Sequence[dg.AssetKey] | None = None,
) -> FinishedRun:
    """Run a job to its end, showing how many of its steps are done.

    Args:
        job: The job; its steps run in this process.
        instance: Where the run and its events are kept.
        console: Where progress is shown.
        tags: Tags of the run, such as the range of partitions it is for.
        assets: The assets to load; all of the job's by default.
    """
    run_id = str(uuid.uuid4())
    errors: list[BaseException] = []

    def execute() -> None:
        try:
            job.execute_in_process(
                run_config=QUIET,
                instance=instance,
                run_id=run_id,
                raise_on_error=False,
                tags=tags,
                asset_selection=assets,
            )
        except BaseException as error:  # noqa: BLE001  # raised again by the thread that waits
            errors.append(error)

    thread = threading.Thread(target=execute, daemon=True)
    thread.start()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[at]}"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task(job.name, total=None, at="starting")
        while thread.is_alive():
            thread.join(POLL_SECONDS)
            started, done = _steps(instance, run_id)
            progress.update(task, completed=len(done), total=max(len(started), 1) if done else None)
            if current := [step for step in started if step not in done]:
                progress.update(task, at=f"{len(done)} steps done, now {current[-1]}")
        progress.update(task, at=f"{len(_steps(instance, run_id)[1])} steps", total=1, completed=1)
    if errors:
        raise errors[0]
    return finished_run(job.name, run_id, instance)


def finished_run(job: str, run_id: str, instance: dg.DagsterInstance) -> FinishedRun:
    """Read from the event log what a run loaded, checked, and failed at."""
    tables: dict[str, LoadedTable] = {}
    rows_read: dict[str, int] = {}
    failures: list[str] = []
    for entry in instance.all_logs(run_id):
        event = entry.get_dagster_event() if entry.is_dagster_event else None
        if event is None:
            continue
        if event.event_type_value == "ASSET_MATERIALIZATION":
            materialization = event.step_materialization_data.materialization
            numbers = _numbers(materialization.metadata)
            name = ".".join(materialization.asset_key.path)
            table = tables.setdefault(name, LoadedTable(name))
            table.rows = int(numbers.get("tranship/rows", 0))
            table.bytes = int(numbers.get("tranship/bytes", 0))
            table.seconds = numbers.get("tranship/seconds", 0.0)
            table.updated = _whole(numbers.get("tranship/rows_updated"))
            table.inserted = _whole(numbers.get("tranship/rows_inserted"))
            table.rows_in_table = _whole(numbers.get("dagster/row_count"))
        elif event.event_type_value == "ASSET_CHECK_EVALUATION":
            check = event.asset_check_evaluation_data
            name = ".".join(check.asset_key.path)
            table = tables.setdefault(name, LoadedTable(name))
            table.checks += 1
            table.checks_passed += check.passed
        elif event.event_type_value == "HANDLED_OUTPUT" and event.step_key:
            numbers = _numbers(event.event_specific_data.metadata)  # type: ignore[union-attr]
            if "tranship/rows" in numbers:
                rows_read[event.step_key] = int(numbers["tranship/rows"])
        elif event.event_type_value == "STEP_FAILURE":
            data = event.step_failure_data
            described = data.user_failure_data.description if data.user_failure_data else None
            failures.append(f"{event.step_key}: {described or data.error_display_string}")
    run = instance.get_run_by_id(run_id)
    success = run is not None and run.status is dg.DagsterRunStatus.SUCCESS
    return FinishedRun(job, run_id, success, list(tables.values()), rows_read, failures)


def _steps(instance: dg.DagsterInstance, run_id: str) -> tuple[list[str], set[str]]:
    stats = instance.get_run_step_stats(run_id)
    started = [step.step_key for step in stats]
    return started, {step.step_key for step in stats if step.end_time is not None}


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _numbers(metadata: Mapping[str, Any]) -> dict[str, float]:
    values = {name: getattr(value, "value", None) for name, value in metadata.items()}
    return {name: value for name, value in values.items() if isinstance(value, int | float)}
