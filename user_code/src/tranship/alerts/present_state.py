"""What is wrong now, as Dagster's storage and definitions show it: tables that are stale or left out, schedules and sensors that fail.

Freshness policies mean what Dagster's own freshness daemon takes them to mean; a table that was never loaded is not
stale but unknown. The daemon is not asked, because it can be switched off and because it says only that a table
is stale, not since when.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from tranship.alerts.incidents import IncidentLog, Kind, Recovery, Trouble
from tranship.alerts.pages import asset_page, automation_page, run_page
from tranship.alerts.runs import UNKNOWN, cause_of_error
from tranship.dagster_private.watching import (
    CronFreshnessPolicy,
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    InstigatorType,
    TickStatus,
    TimeWindowFreshnessPolicy,
    get_latest_completed_cron_tick,
)
from tranship.failures import LEFT_OUT_METADATA

_ENDED = (TickStatus.SUCCESS, TickStatus.FAILURE, TickStatus.SKIPPED)

_LATEST = 3
"""The newest tick may be going on."""

_NAMES = {InstigatorType.SCHEDULE: "schedule", InstigatorType.SENSOR: "sensor"}


def why_stale(policy: dg.FreshnessPolicy, loaded: datetime, now: datetime) -> str:
    """Say why a table is stale; empty where it is fresh.

    Args:
        policy: What is asked of it.
        loaded: When it was loaded last.
        now: The present.

    Example:
        >>> daily = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=24))
        >>> monday, tuesday = datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, 6, tzinfo=UTC)
        >>> why_stale(daily, monday, tuesday)
        'Last loaded 2026-11-23 00:00 UTC, 30 h ago; it is to be loaded at least every 24 h.'
        >>> why_stale(daily, monday, monday + timedelta(hours=23))
        ''
    """
    if isinstance(policy, TimeWindowFreshnessPolicy):
        allowed = policy.fail_window.to_timedelta()
        if now - loaded < allowed:
            return ""
        demand = f"it is to be loaded at least every {_span(allowed)}"
    elif isinstance(policy, CronFreshnessPolicy):
        zone = ZoneInfo(policy.timezone)
        tick = get_latest_completed_cron_tick(
            policy.deadline_cron, now.astimezone(zone), policy.timezone
        )
        if loaded >= tick - policy.lower_bound_delta:
            return ""
        demand = (
            f"it was to be loaded between {tick - policy.lower_bound_delta:%Y-%m-%d %H:%M} and"
            f" {tick:%H:%M} {policy.timezone}"
        )
    else:
        return ""
    ago = _span(now - loaded)
    return f"Last loaded {loaded.astimezone(UTC):%Y-%m-%d %H:%M} UTC, {ago} ago; {demand}."


def watch_freshness(
    instance: dg.DagsterInstance,
    policies: dict[dg.AssetKey, dg.FreshnessPolicy],
    log: IncidentLog,
    now: datetime,
    ui_url: str,
) -> None:
    """Take into the log which tables are stale and which are fresh again.

    Args:
        instance: Where the materializations are recorded.
        policies: What is asked of each table.
        log: What is known; changed in place.
        now: The present.
        ui_url: Where the UI is.
    """
    group = f"look {now.timestamp():.0f}"
    for key, event in _last_loads(instance, policies):
        subject = key.to_user_string()
        links = (asset_page(ui_url, key.path),)
        if event.run_id:
            links = (*links, run_page(ui_url, event.run_id))
        loaded = datetime.fromtimestamp(event.timestamp, UTC)
        cause = why_stale(policies[key], loaded, now)
        if cause:
            trouble = Trouble(Kind.STALE, subject, cause, now.timestamp(), links=links, group=group)
            log.add(trouble)
        else:
            log.recover(Recovery(Kind.STALE, subject, event.timestamp, links=links, group=group))
    watched = {key.to_user_string() for key in policies}
    for incident in log.open(Kind.STALE):
        # Its policy, or the table itself, was taken out of the code: it is neither stale nor fresh.
        if incident.trouble.subject not in watched:
            log.drop(incident)


def _last_loads(
    instance: dg.DagsterInstance, keys: Iterable[dg.AssetKey]
) -> Iterator[tuple[dg.AssetKey, dg.EventLogEntry]]:
    for record in instance.get_asset_records(list(keys)):
        event = record.asset_entry.last_materialization
        if event is not None:
            yield record.asset_entry.asset_key, event


def _span(span: timedelta) -> str:
    """Say how long a time is, in its two largest units.

    Example:
        >>> _span(timedelta(hours=24)), _span(timedelta(days=3, hours=2)), _span(timedelta(minutes=61))
        ('24 h', '3 days 2 h', '1 h 1 min')
    """
    minutes = int(span.total_seconds() // 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        days, hours = divmod(hours, 24)
        return f"{days} days" + (f" {hours} h" if hours else "")
    if hours:
        return f"{hours} h" + (f" {minutes} min" if minutes else "")
    return f"{minutes} min"


def watch_left_out(
    repository: dg.RepositoryDefinition | None, log: IncidentLog, now: datetime, ui_url: str
) -> None:
    """Take into the log which tables are left out, and which are not any more.

    Args:
        repository: The code location's definitions; nothing is known without them.
        log: What is known; changed in place.
        now: The present.
        ui_url: Where the UI is.
    """
    if repository is None:
        return
    nodes = {node.key.to_user_string(): node for node in repository.asset_graph.asset_nodes}
    group = f"look {now.timestamp():.0f}"
    for subject, node in nodes.items():
        reason = node.metadata.get(LEFT_OUT_METADATA)
        if reason is not None:
            page = asset_page(ui_url, node.key.path)
            log.add(
                Trouble(
                    Kind.LEFT_OUT,
                    subject,
                    str(reason),
                    now.timestamp(),
                    links=(page,),
                    group=group,
                )
            )
    for incident in log.open(Kind.LEFT_OUT):
        subject = incident.trouble.subject
        if subject not in nodes:
            log.drop(incident)
        elif LEFT_OUT_METADATA not in nodes[subject].metadata:
            links = incident.trouble.links
            log.recover(Recovery(Kind.LEFT_OUT, subject, now.timestamp(), links, group=group))


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
