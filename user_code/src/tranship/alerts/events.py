"""Follows Dagster's event log: runs that ended and checks that were evaluated, since the last look."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg

from tranship.alerts.incidents import IncidentLog, Kind, Link, Recovery, Trouble
from tranship.alerts.pages import asset_page, run_page
from tranship.alerts.runs import (
    check_subject,
    in_words,
    read_run,
    recoveries_of,
    troubles_of,
)

_FOLLOWED = (
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.RUN_SUCCESS,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
)
_AT_ONCE = 200
"""Events of each type in one look; the rest is for the next one."""
_OVERLAP = 200
"""So many ids before the newest one are read again: an event may become visible after one with a higher id."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far the event log was read.

    Args:
        newest: The highest id that was seen.
        seen: The ids close below it that were taken in.
    """

    newest: int
    seen: frozenset[int] = frozenset()

    @classmethod
    def at_the_end(cls, instance: dg.DagsterInstance) -> "Position":
        """The present: what happened before is not told."""
        newest = instance.event_log_storage.get_maximum_record_id() or 0
        start = cls(newest)
        known = (id_ for id_, _ in _events(instance, start))
        return replace(start, seen=frozenset(known))

    def to_plain(self) -> dict[str, Any]:
        """Give the position as values that JSON knows."""
        return {"newest": self.newest, "seen": sorted(self.seen)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Position":
        """Read what `to_plain` gave."""
        return cls(plain["newest"], frozenset(plain["seen"]))


def follow(
    instance: dg.DagsterInstance, log: IncidentLog, position: Position, ui_url: str
) -> Position:
    """Take into the log what happened since a position.

    Args:
        instance: Where the events are.
        log: What is known; changed in place.
        position: How far the log was read before.
        ui_url: Where the UI is.

    Returns:
        How far it is read now.
    """
    for id_, entry in _events(instance, position):
        if id_ in position.seen:
            continue
        for change in _changes_by(instance, entry, log, ui_url):
            if isinstance(change, Trouble):
                log.add(change)
            else:
                log.recover(change)
        newest = max(position.newest, id_)
        position = Position(
            newest, frozenset(seen for seen in {*position.seen, id_} if seen > newest - _OVERLAP)
        )
    return position


def _events(instance: dg.DagsterInstance, position: Position) -> list[tuple[int, dg.EventLogEntry]]:
    """The next events after a position, in the order of their ids, none left out in between."""
    after = max(position.newest - _OVERLAP, 0)
    entries: dict[int, dg.EventLogEntry] = {}
    complete_to: list[int] = []
    for kind in _FOLLOWED:
        # The one way to follow events of all runs that every storage of Dagster has.
        limit = _AT_ONCE + _OVERLAP
        events = instance.event_log_storage.get_logs_for_all_runs_by_log_id(after, {kind}, limit)
        if len(events) == limit:
            complete_to.append(max(events))
        entries.update(events)
    last = min(complete_to, default=None)
    return [(id_, entries[id_]) for id_ in sorted(entries) if last is None or id_ <= last]


def _changes_by(
    instance: dg.DagsterInstance, entry: dg.EventLogEntry, log: IncidentLog, ui_url: str
) -> Iterable[Trouble | Recovery]:
    event = entry.dagster_event
    if event is None:
        return []
    if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        return _changes_by_check(instance, entry, event, ui_url)
    return _changes_by_run(instance, entry, event, log, ui_url)


def _changes_by_run(
    instance: dg.DagsterInstance,
    entry: dg.EventLogEntry,
    event: dg.DagsterEvent,
    log: IncidentLog,
    ui_url: str,
) -> Iterator[Trouble | Recovery]:
    open_troubles = [incident.trouble for incident in log.open(Kind.RUN)]
    if not open_troubles and not event.is_run_failure:
        return
    run = instance.get_run_by_id(entry.run_id)
    if run is None:  # deleted meanwhile
        return
    history = read_run(instance, run)
    troubles = troubles_of(history, event, entry.timestamp, ui_url) if event.is_run_failure else []
    still_wrong = {(trouble.subject, part) for trouble in troubles for part in trouble.parts}
    for recovery in recoveries_of(history, open_troubles, entry.timestamp, ui_url):
        if (recovery.subject, recovery.part) not in still_wrong:
            yield recovery
    yield from troubles


def _changes_by_check(
    instance: dg.DagsterInstance, entry: dg.EventLogEntry, event: dg.DagsterEvent, ui_url: str
) -> Iterator[Trouble | Recovery]:
    evaluation = event.asset_check_evaluation_data
    subject = check_subject(evaluation.asset_check_key)
    run = instance.get_run_by_id(entry.run_id) if entry.run_id else None
    links: tuple[Link, ...] = (asset_page(ui_url, evaluation.asset_key.path, "checks"),)
    if run is not None:
        links = (run_page(ui_url, run.run_id), *links)
    # Checks that are reported from outside have no run.
    group = run.run_id if run is not None else ""
    part = evaluation.partition or ""
    if evaluation.passed:
        yield Recovery(Kind.CHECK, subject, entry.timestamp, links=links, part=part, group=group)
        return
    yield Trouble(
        Kind.CHECK,
        subject,
        _cause_of_check(evaluation),
        entry.timestamp,
        links=links,
        where=in_words(run) if run is not None else "",
        scope=part,
        parts=frozenset({part}),
        group=group,
    )


def _cause_of_check(evaluation: dg.AssetCheckEvaluation) -> str:
    measured = "; ".join(
        f"{name}: {value.value}"
        for name, value in evaluation.metadata.items()
        if isinstance(value.value, str | int | float | bool)
    )
    described = evaluation.description or "The check did not pass."
    warning = " (a warning)" if evaluation.severity is dg.AssetCheckSeverity.WARN else ""
    return f"{described}{warning}" + (f" {measured}" if measured else "")
