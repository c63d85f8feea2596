"""A table is stale exactly when Dagster's own freshness daemon would say that it fails."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from tranship.alerts.present_state import why_stale

CRON = dg.FreshnessPolicy.cron("0 10 * * *", timedelta(hours=1), "Europe/Berlin")
WINDOW = dg.FreshnessPolicy.time_window(timedelta(hours=24), warn_window=timedelta(hours=12))


def berlin(day: int, hour: int, minute: int = 0) -> datetime:
    # Winter: one hour ahead of UTC.
    return datetime(2026, 11, day, hour - 1, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("loaded", "now", "stale"),
    [
        (berlin(25, 9, 30), berlin(25, 12), False),
        (berlin(25, 9, 30), berlin(26, 9, 59), False),
        (berlin(25, 9, 30), berlin(26, 10, 1), True),
        (berlin(25, 8, 59), berlin(25, 10, 1), True),
        (berlin(25, 11, 0), berlin(25, 11, 1), False),
    ],
)
def test_a_deadline_counts_in_its_time_zone(loaded: datetime, now: datetime, stale: bool):
    assert bool(why_stale(CRON, loaded, now)) is stale


def test_a_missed_deadline_is_told_in_its_time_zone():
    assert why_stale(CRON, berlin(25, 9, 30), berlin(26, 11)) == (
        "Last loaded 2026-11-25 08:30 UTC, 25 h 30 min ago;"
        " it was to be loaded between 2026-11-26 09:00 and 10:00 Europe/Berlin."
    )


def test_a_window_is_broken_at_its_end_and_not_at_its_warning():
    loaded = berlin(25, 9)
    assert why_stale(WINDOW, loaded, loaded + timedelta(hours=23, minutes=59)) == ""
    assert why_stale(WINDOW, loaded, loaded + timedelta(hours=24)) == (
        "Last loaded 2026-11-25 08:00 UTC, 24 h ago; it is to be loaded at least every 24 h."
    )
