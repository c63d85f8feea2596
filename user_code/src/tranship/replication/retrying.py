"""How long a table's load is tried again, over all tries of its step."""

import dagster as dg

from tranship.budget import RetryBudget
from tranship.errors import ConfigurationError
from tranship.replication.config import TableSettings
from tranship.replication.durations import parse_duration
from tranship.tables import TableName

DEFAULT_RETRIES = 5
FIRST_RETRY_SECONDS = 30
DEFAULT_RETRY_FOR = "30 minutes"


def retry_policy(settings: TableSettings, source: TableName) -> dg.RetryPolicy | None:
    """Dagster's part: the step is tried again, with pauses in which others may use the source.

    Raises:
        ConfigurationError: The settings are no number or no time.
    """
    retries = DEFAULT_RETRIES if settings.retries is None else settings.retries
    if retries < 0:
        raise ConfigurationError(f"retries of {source} is {retries}.", "Give 0 or more.")
    retry_seconds(settings, source)
    if not retries:
        return None
    return dg.RetryPolicy(
        max_retries=retries,
        delay=FIRST_RETRY_SECONDS,
        backoff=dg.Backoff.EXPONENTIAL,
        jitter=dg.Jitter.PLUS_MINUS,
    )


def retry_seconds(settings: TableSettings, source: TableName) -> float:
    """How long after its first fault a load may be tried again.

    Raises:
        ConfigurationError: It is no span of time.
    """
    text = settings.retry_for or DEFAULT_RETRY_FOR
    return parse_duration(text, f"retry_for of {source}").total_seconds()


def budget_of_step(
    context: dg.AssetExecutionContext, settings: TableSettings, source: TableName
) -> RetryBudget:
    """What is left for this try of the step, by what the run's events say of the tries before."""
    seconds = retry_seconds(settings, source)
    if not context.retry_number:
        return RetryBudget(seconds)
    step = context.get_step_execution_context().step.key
    faults = [
        record.event_log_entry.timestamp
        for record in context.instance.get_records_for_run(
            context.run.run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY
        ).records
        if record.event_log_entry.step_key == step
    ]
    budget = RetryBudget(
        seconds,
        first_fault=min(faults, default=None),
        earlier_tries=context.retry_number,
    )
    context.log.info(
        f"Try {context.retry_number + 1} of the load of {source}; {budget} for trying again."
    )
    return budget
