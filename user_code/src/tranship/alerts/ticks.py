"""Which schedules and sensors fail before they launch anything: those whose last tick ended with an error."""

from collections.abc import Collection, Iterator

import dagster as dg

from tranship.alerts.causes import UNKNOWN, cause_of_error
from tranship.alerts.incidents import IncidentLog, Kind, Recovery, Trouble
from tranship.alerts.pages import automation_page
from tranship.dagster_private.ticks import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    InstigatorType,
    TickStatus,
)

_ENDED = (TickStatus.SUCCESS, TickStatus.FAILURE, TickStatus.SKIPPED)
_LATEST = 3
"""The newest tick may be going on."""
_NAMES = {InstigatorType.SCHEDULE: "schedule", InstigatorType.SENSOR: "sensor"}


def watch_ticks(
    instance: dg.DagsterInstance, log: IncidentLog, ui_url: str, ignored: Collection[str] = ()
) -> None:
    """Take into the log which schedules and sensors fail, and which work again.

    Args:
        instance: Where the ticks are recorded.
        log: What is known; changed in place.
        ui_url: Where the UI is.
        ignored: Names of sensors that somebody else watches.
    """
    watched: set[str] = set()
    for state, tick in _last_ticks(instance, ignored):
        subject = f"{_NAMES[state.instigator_type]} {state.name}"
        watched.add(subject)
        links = (automation_page(ui_url),)
        when = tick.end_timestamp or tick.timestamp
        if tick.status is TickStatus.FAILURE:
            cause = cause_of_error(tick.error) or UNKNOWN
            log.add(Trouble(Kind.TICK, subject, cause, when, links=links, group=subject))
        else:
            log.recover(Recovery(Kind.TICK, subject, when, links=links, group=subject))
    for incident in log.open(Kind.TICK):
        # Switched off, or taken out of the code: it neither fails nor works.
        if incident.trouble.subject not in watched:
            log.drop(incident)


def _last_ticks(
    instance: dg.DagsterInstance, ignored: Collection[str]
) -> Iterator[tuple[InstigatorState, InstigatorTick]]:
    storage = instance.schedule_storage
    if storage is None:  # an instance in memory keeps no ticks
        return
    states = {
        state.selector_id: state
        for state in instance.all_instigator_state()
        if state.instigator_type in _NAMES
        and state.status is not InstigatorStatus.STOPPED
        and state.name not in ignored
    }
    if not states:
        return
    if storage.supports_batch_queries:
        # Not by their statuses: Dagster's own query for that fails on SQLAlchemy 2.
        latest = storage.get_batch_ticks(list(states), limit=_LATEST)
    else:
        latest = {
            selector_id: storage.get_ticks(state.instigator_origin_id, selector_id, limit=_LATEST)
            for selector_id, state in states.items()
        }
    for selector_id, ticks in latest.items():
        ended = [tick for tick in ticks if tick.status in _ENDED]
        if ended:
            yield states[selector_id], max(ended, key=lambda tick: tick.timestamp)
