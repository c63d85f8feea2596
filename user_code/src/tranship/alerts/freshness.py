"""Which tables are stale: those whose last materialization is older than their `FreshnessPolicy` allows.

The policies mean what Dagster's own freshness daemon takes them to mean; a table that was never loaded is not
stale but unknown. The daemon is not asked, because it can be switched off and because it says only that a table
is stale, not since when.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from tranship.alerts.incidents import IncidentLog, Kind, Recovery, Trouble
from tranship.alerts.pages import asset_page, run_page
from tranship.dagster_private.freshness import (
    CronFreshnessPolicy,
    TimeWindowFreshnessPolicy,
    get_latest_completed_cron_tick,
)


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
