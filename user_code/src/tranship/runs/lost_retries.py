"""Retries that Dagster gave up because a run's code server was away: asked for again once it is back.

Dagster's daemon retries a failed run when it reads of its failure, needs the run's code location for it, and where that
cannot be loaded at this moment never tries again
(https://github.com/dagster-io/dagster/blob/1.13.27/python_modules/dagster/dagster/_daemon/auto_run_reexecution/auto_run_reexecution.py).
A host that restarts ends its runs and its code server together.
"""

import logging
import time
from datetime import UTC, datetime, timedelta

import dagster as dg

from tranship.dagster_private.launching import (
    SerializableErrorInfo,
    code_server_answers,
    report_failed_again,
)
from tranship.dagster_private.tags import AUTO_RETRY_RUN_ID_TAG, MAX_RETRIES_TAG, WILL_RETRY_TAG

_GIVEN_UP = "Failed to retry run"
_AWAY = frozenset(
    {
        "DagsterCodeLocationLoadError",
        "DagsterCodeLocationNotFoundError",
        "DagsterUserCodeUnreachableError",
        "DagsterUserCodeUnreachableTimeoutError",
    }
)
#: A run that failed longer ago is not brought back: whoever looked after it has done so by hand.
_OLDEST = timedelta(hours=24)
#: The daemon loads its code locations anew every minute; until then a server that answers is still away for it.
_BETWEEN_SECONDS = 60.0
_MOST_ATTEMPTS = 5


class LostRetries:
    """Finds failed runs whose retry was given up, and reports their failure again when the code server answers.

    Args:
        logger: Where each is told.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._attempts: dict[str, int] = {}
        self._last: dict[str, float] = {}
        self._no_concern: set[str] = set()

    def take_up(self, instance: dg.DagsterInstance) -> list[str]:
        """Look once.

        Returns:
            The ids of the runs that will be retried now.
        """
        if not instance.run_retries_enabled:
            return []
        filters = dg.RunsFilter(
            statuses=[dg.DagsterRunStatus.FAILURE],
            tags={WILL_RETRY_TAG: "false"},
            updated_after=datetime.now(UTC) - _OLDEST,
        )
        return [
            run.run_id
            for run in instance.get_runs(filters)
            if run.run_id not in self._no_concern and self._take_up(instance, run)
        ]

    def _take_up(self, instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
        if not _was_given_up(instance, run):
            self._no_concern.add(run.run_id)
            return False
        attempts = self._attempts.get(run.run_id, 0)
        now = time.monotonic()
        if now - self._last.get(run.run_id, -_BETWEEN_SECONDS) < _BETWEEN_SECONDS:
            return False
        if not code_server_answers(run):
            return False
        if attempts >= _MOST_ATTEMPTS:
            self._no_concern.add(run.run_id)
            # Whoever follows failures has been told that it will be retried.
            instance.add_run_tags(run.run_id, {MAX_RETRIES_TAG: "0"})
            report_failed_again(
                instance,
                run,
                "It is not retried: its code server answers, and Dagster's daemon cannot load its code.",
            )
            return False
        self._attempts[run.run_id], self._last[run.run_id] = attempts + 1, now
        message = (
            "The code server is back; the retry that was given up meanwhile is asked for again."
        )
        self._logger.info("Run %s: %s", run.run_id, message)
        report_failed_again(instance, run, message)
        return True


def _was_given_up(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    if AUTO_RETRY_RUN_ID_TAG in run.tags:
        return False
    events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    given_up = [
        entry for entry in events if entry.user_message == _GIVEN_UP or entry.message == _GIVEN_UP
    ]
    if not given_up:
        return False
    event = given_up[-1].dagster_event
    return event is not None and _is_away(event.engine_event_data.error)


def _is_away(error: SerializableErrorInfo | None) -> bool:
    while error is not None:
        if error.cls_name in _AWAY:
            return True
        error = error.cause
    return False
