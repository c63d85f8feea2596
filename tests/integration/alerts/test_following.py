"""No event is lost and none is told twice, however many there are and in whatever order they become visible."""

import dagster as dg
import pytest
from alert_receivers import WebhookServer

from tranship.alerts import events
from tranship.alerts.events import Position, follow
from tranship.alerts.incidents import IncidentLog, Kind
from tranship.alerts.sensors import RUNS_SENSOR

UI_URL = "https://dagster.example.com"


def report(instance: dg.DagsterInstance, check: str) -> None:
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(dg.AssetKey("sales"), check, passed=False)
    )


def test_an_event_that_becomes_visible_after_a_later_one_is_told(instance: dg.DagsterInstance):
    report(instance, "late")
    report(instance, "early")
    log, end = IncidentLog(), Position.at_the_end(instance)
    # As if the transaction of the first event had been committed after the position was taken.
    position = Position(end.newest, frozenset({end.newest}))
    position = follow(instance, log, position, UI_URL)
    assert [incident.trouble.subject for incident in log.open(Kind.CHECK)] == ["late of sales"]
    assert follow(instance, log, position, UI_URL) == position == end


def test_more_events_than_one_look_takes_are_told_in_the_next_ones(
    webhook: WebhookServer,
    instance: dg.DagsterInstance,
    ticks,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(events, "_AT_ONCE", 3)
    monkeypatch.setattr(events, "_OVERLAP", 2)
    tick = ticks(RUNS_SENSOR)
    tick()
    names = [f"check_{number:02}" for number in range(10)]
    for name in names:
        report(instance, name)
    tick()
    assert 0 < len(webhook.bodies) < 10
    for _ in range(5):
        tick()
    assert [body["text"] for body in webhook.bodies] == [
        f"🔴 Check failed: {name} of sales" for name in names
    ]
