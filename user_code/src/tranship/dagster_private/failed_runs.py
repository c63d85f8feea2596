"""Why a run failed, read and written.

Private because a run's failure event is public and its data is not: a sensor has to take the cause out of it
(https://github.com/dagster-io/dagster/issues/9509, https://github.com/dagster-io/dagster/issues/20414), and who watches containers
has no other way to report that a run died (`DagsterInstance.report_run_failed` takes this data).
"""

import dagster as dg
from dagster._core.events import JobFailureData, RunFailureReason
from dagster_shared.error import SerializableErrorInfo

from tranship.dagster_private.tags import RUN_FAILURE_REASON_TAG

__all__ = ["SerializableErrorInfo", "error_of", "report_died", "report_failed_again"]


def error_of(event: dg.DagsterEvent) -> SerializableErrorInfo | None:
    """The error of the event that says that a run failed; `None` where it has none."""
    data = event.event_specific_data
    return data.error if isinstance(data, JobFailureData) else None


def report_died(instance: dg.DagsterInstance, run: dg.DagsterRun, message: str) -> None:
    """Report that a run's process ended without a word."""
    _report(instance, run, message, RunFailureReason.UNEXPECTED_TERMINATION)


def report_failed_again(instance: dg.DagsterInstance, run: dg.DagsterRun, message: str) -> None:
    """Report a failed run once more, for the reason it had: whoever retries failed runs looks at it again."""
    reason = RunFailureReason(run.tags.get(RUN_FAILURE_REASON_TAG, RunFailureReason.UNKNOWN))
    _report(instance, run, message, reason)


def _report(
    instance: dg.DagsterInstance, run: dg.DagsterRun, message: str, reason: RunFailureReason
) -> None:
    instance.report_run_failed(run, message, JobFailureData(error=None, failure_reason=reason))
