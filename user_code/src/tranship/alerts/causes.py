"""Finds in Dagster's events why something failed, in the words of whoever raised it."""

import dagster as dg

from tranship.dagster_private.failed_runs import SerializableErrorInfo, error_of

UNKNOWN = "It says no more than that it failed; see the run."


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
    name, _, said = text.partition(": ")
    # The module of our own errors and of Failure tells the reader nothing.
    return said if said and name.startswith(("dagster.", "tranship.")) else text


def _is_wrapping(error: SerializableErrorInfo) -> bool:
    name = error.cls_name or ""
    return name.startswith("Dagster") or name == "RetryRequestedFromPolicy" or not name
