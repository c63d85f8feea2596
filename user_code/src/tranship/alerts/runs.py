"""What a run that ended says about its tables and steps: which failed and why, in the words of whoever raised it, and which work again."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import dagster as dg

from tranship.alerts.incidents import Kind, Recovery, Trouble
from tranship.alerts.pages import run_page
from tranship.dagster_private.launching import SerializableErrorInfo, error_of
from tranship.dagster_private.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    BACKFILL_ID_TAG,
    PARTITION_NAME_TAG,
    WILL_RETRY_TAG,
)

UNKNOWN = "It says no more than that it failed; see the run."
_PAGE = 1_000

_READ = {
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
}

#: A step that ends so did its work; its check is told by itself.
_BLOCKING_CHECK_FAILED = "DagsterAssetCheckFailedError"

#: Jobs that Dagster makes itself, for assets that are launched without a job.
_NAMELESS_JOB = "__ASSET_JOB"


def cause_of_step(event: dg.DagsterEvent) -> str:
    """Say why a step failed: its `Failure`'s description, else the error that was raised in user code."""
    failure = event.step_failure_data
    if failure.user_failure_data and failure.user_failure_data.description:
        return failure.user_failure_data.description
    return cause_of_error(failure.error) or UNKNOWN


def cause_of_run(event: dg.DagsterEvent) -> str:
    """Say why a run failed that failed outside its steps: what the launcher or the engine said."""
    return cause_of_error(error_of(event)) or event.message or UNKNOWN


def cause_of_error(error: SerializableErrorInfo | None) -> str:
    """Say what an error says, or the first one below it that is not Dagster's own wrapping.

    Example:
        >>> inner = SerializableErrorInfo("ValueError: 7 is no month", [], "ValueError")
        >>> name = "DagsterExecutionStepExecutionError"
        >>> cause_of_error(SerializableErrorInfo(f"{name}: ...", [], name, cause=inner))
        'ValueError: 7 is no month'
    """
    if error is None:
        return ""
    while error.cause is not None and _is_wrapping(error):
        error = error.cause
    text = error.message.strip()
    name, _, message = text.partition(": ")
    # The module of our own errors and of Failure tells the reader nothing.
    return message if message and name.startswith(("dagster.", "tranship.")) else text


def _is_wrapping(error: SerializableErrorInfo) -> bool:
    name = error.cls_name or ""
    return name.startswith("Dagster") or name == "RetryRequestedFromPolicy" or not name


@dataclass(slots=True)
class RunHistory:
    """A run that ended, read from the event log.

    Args:
        run: The run.
        failures: The steps that failed with their events, the first one first.
        succeeded: The steps that succeeded.
        planned: The assets that each step was to materialize, with their partitions.
        materialized: The assets and partitions that were.
        checks: The checks that each step was to evaluate.
    """

    run: dg.DagsterRun
    failures: dict[str, dg.DagsterEvent] = field(default_factory=dict)
    succeeded: set[str] = field(default_factory=set)
    planned: dict[str, dict[dg.AssetKey, set[str]]] = field(default_factory=dict)
    materialized: set[tuple[dg.AssetKey, str]] = field(default_factory=set)
    checks: dict[str, set[str]] = field(default_factory=dict)

    @property
    def partition(self) -> str:
        """The partition or range that the run was launched for; empty without."""
        tags = self.run.tags
        if PARTITION_NAME_TAG in tags:
            return tags[PARTITION_NAME_TAG]
        if ASSET_PARTITION_RANGE_START_TAG in tags:
            first, last = tags[ASSET_PARTITION_RANGE_START_TAG], tags[ASSET_PARTITION_RANGE_END_TAG]
            return f"{first}...{last}"
        return ""

    @property
    def missing(self) -> dict[dg.AssetKey, set[str]]:
        """The planned assets that were not materialized, with the partitions that were not."""
        missing: dict[dg.AssetKey, set[str]] = {}
        for step in self.planned:
            for key, partitions in self.missing_of(step).items():
                missing.setdefault(key, set()).update(partitions)
        return missing

    def missing_of(self, step: str) -> dict[dg.AssetKey, set[str]]:
        """Those of one step."""
        missing = {
            key: {name for name in partitions if (key, name) not in self.materialized}
            for key, partitions in self.planned.get(step, {}).items()
        }
        return {key: partitions for key, partitions in missing.items() if partitions}


def read_run(instance: dg.DagsterInstance, run: dg.DagsterRun) -> RunHistory:
    """Read what a run did."""
    history = RunHistory(run)
    cursor, more = None, True
    while more:
        page = instance.get_records_for_run(run.run_id, cursor, _READ, _PAGE)
        for record in page.records:
            event = record.event_log_entry.dagster_event
            if event is not None:
                _take_in(history, event)
        cursor, more = page.cursor, page.has_more
    return history


def _take_in(history: RunHistory, event: dg.DagsterEvent) -> None:
    step = event.step_key or ""
    if event.is_step_failure:
        history.failures.setdefault(step, event)
    elif event.is_step_success:
        history.succeeded.add(step)
    elif event.asset_key and event.is_asset_materialization_planned:
        planned = history.planned.setdefault(step, {}).setdefault(event.asset_key, set())
        subset = event.asset_materialization_planned_data.partitions_subset
        planned.update(subset.get_partition_keys() if subset else {event.partition or ""})
    elif event.asset_key and event.is_step_materialization:
        history.materialized.add((event.asset_key, event.partition or ""))
    elif event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
        check = event.asset_check_planned_data.asset_check_key
        history.checks.setdefault(step, set()).add(check_subject(check))


def troubles_of(
    history: RunHistory, failure: dg.DagsterEvent, time: float, ui_url: str
) -> list[Trouble]:
    """Say what failed in a failed run, one trouble for each table or step.

    A run that Dagster will launch again by itself is no trouble yet.

    Args:
        history: The run.
        failure: The event that ended it.
        time: When it ended, in seconds since 1970.
        ui_url: Where the UI is.

    Returns:
        The troubles, the first failing step's first; all of one group.
    """
    run = history.run
    if run.tags.get(WILL_RETRY_TAG) == "true":
        return []
    causes: dict[tuple[str, frozenset[str]], str] = {}
    for step, event in history.failures.items():
        if _ends_with_failed_check(event):
            continue
        for subject, parts in _subjects_of(history, step):
            causes.setdefault((subject, parts), cause_of_step(event))
    if not history.failures:
        # The launcher, the engine or the machine gave up; what the run was to load was not loaded.
        lost = {key.to_user_string(): frozenset(parts) for key, parts in history.missing.items()}
        for subject, parts in (lost or {job_subject(run): _part(history)}).items():
            causes[(subject, parts)] = cause_of_run(failure)
    backfill = run.tags.get(BACKFILL_ID_TAG)
    return [
        Trouble(
            Kind.RUN,
            subject,
            cause,
            time,
            links=(run_page(ui_url, run.run_id),),
            where=in_words(run),
            scope=_scope(history, parts),
            parts=parts,
            group=backfill or run.run_id,
            setting=setting_of(run),
        )
        for (subject, parts), cause in causes.items()
    ]


def recoveries_of(
    history: RunHistory, open_troubles: list[Trouble], time: float, ui_url: str
) -> Iterator[Recovery]:
    """Say what works again after a run: what it materialized, its steps that succeeded, its job.

    Args:
        history: The run, failed or not.
        open_troubles: What is wrong as far as is known.
        time: When the run ended, in seconds since 1970.
        ui_url: Where the UI is.

    Yields:
        Recoveries, of what was never wrong too.
    """
    run = history.run
    links = (run_page(ui_url, run.run_id),)
    group = run.tags.get(BACKFILL_ID_TAG) or run.run_id
    recovered: set[tuple[str, str | None]] = {
        (key.to_user_string(), partition) for key, partition in history.materialized
    }
    for step in history.succeeded:
        recovered |= {
            (subject, part) for subject, parts in _subjects_of(history, step) for part in parts
        }
    if run.status is dg.DagsterRunStatus.SUCCESS:
        recovered.add((job_subject(run), history.partition))
        # A step that was mapped over tables may be gone for good: then the same run without it is its recovery.
        recovered |= {
            (trouble.subject, None)
            for trouble in open_troubles
            if trouble.subject.startswith(f"{job_subject(run)}: ")
            and trouble.setting == setting_of(run)
        }
    for subject, part in sorted(recovered, key=str):
        yield Recovery(Kind.RUN, subject, time, links=links, part=part, group=group)


def in_words(run: dg.DagsterRun) -> str:
    """Name a run for a reader: `run 6f1c2a3b of staging_job`."""
    named = "" if run.job_name.startswith(_NAMELESS_JOB) else f" of {run.job_name}"
    return f"run {run.run_id[:8]}{named}"


def job_subject(run: dg.DagsterRun) -> str:
    """Name a job; those that Dagster makes for assets by what they load."""
    if not run.job_name.startswith(_NAMELESS_JOB):
        return run.job_name
    keys = sorted(key.to_user_string() for key in run.asset_selection or [])
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "") or "assets"


def setting_of(run: dg.DagsterRun) -> str:
    """Fingerprint what a run was asked to do: its configuration, and the part of its job."""
    whole = run.parent_run_id is None
    setting = [run.run_config, sorted(run.resolved_op_selection or []), whole]
    text = json.dumps(setting, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_subject(key: dg.AssetCheckKey) -> str:
    """Name a check and its table."""
    return f"{key.name} of {key.asset_key.to_user_string()}"


def _subjects_of(history: RunHistory, step: str) -> Iterator[tuple[str, frozenset[str]]]:
    """What a step was to do: its assets, else its checks, else itself."""
    if step in history.planned:
        # A step may fail after it stored all that it had to.
        unfinished = history.missing_of(step) if step in history.failures else {}
        for key, partitions in (unfinished or history.planned[step]).items():
            yield key.to_user_string(), frozenset(partitions)
        return
    names = history.checks.get(step) or {f"{job_subject(history.run)}: {step}"}
    for name in sorted(names):
        yield name, _part(history)


def _scope(history: RunHistory, parts: frozenset[str]) -> str:
    """In a backfill the partitions of a table are one incident, else each is its own."""
    backfill = history.run.tags.get(BACKFILL_ID_TAG)
    if parts == frozenset({""}):
        return ""
    return f"backfill {backfill}" if backfill else history.partition


def _part(history: RunHistory) -> frozenset[str]:
    return frozenset({history.partition})


def _ends_with_failed_check(event: dg.DagsterEvent) -> bool:
    error = event.step_failure_data.error
    while error is not None:
        if error.cls_name == _BLOCKING_CHECK_FAILED:
            return True
        error = error.cause
    return False
