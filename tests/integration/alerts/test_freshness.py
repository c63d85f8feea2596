"""Stale tables are told once, and once more when they are fresh."""

import time
from datetime import timedelta

import dagster as dg
import pytest
from alert_receivers import WebhookServer
from dagster._core.events import DagsterEventType, StepMaterializationData

from tranship.alerts.sensors import FRESHNESS_SENSOR

DAILY = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=24))


@pytest.fixture
def definitions() -> dg.Definitions:
    @dg.asset(key=["staging", "DimDate"], freshness_policy=DAILY)
    def watched() -> None:
        """Is to be loaded daily."""

    @dg.asset(freshness_policy=DAILY)
    def never_loaded() -> None:
        """Has no materialization."""

    @dg.asset
    def unwatched() -> None:
        """May be as old as it likes."""

    return dg.Definitions(assets=[watched, never_loaded, unwatched])


def load(instance: dg.DagsterInstance, key: str | list[str], hours_ago: float) -> None:
    """Put a materialization into the event log as of some time ago."""
    event = dg.DagsterEvent(
        event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
        job_name="staging_job",
        event_specific_data=StepMaterializationData(dg.AssetMaterialization(dg.AssetKey(key))),
    )
    instance.store_event(
        dg.EventLogEntry(
            error_info=None,
            level="INFO",
            user_message="",
            run_id="6f1c2a3b-9d1e-4a5b-8c7d-0123456789ab",
            timestamp=time.time() - hours_ago * 3600,
            job_name="staging_job",
            dagster_event=event,
        )
    )


def test_a_stale_table_is_told_once_and_once_more_when_it_is_fresh(
    webhook: WebhookServer, instance: dg.DagsterInstance, ticks, definitions: dg.Definitions
):
    tick = ticks(FRESHNESS_SENSOR, definitions)
    load(instance, ["staging", "DimDate"], hours_ago=23)
    load(instance, "unwatched", hours_ago=999)
    tick()
    assert webhook.bodies == []

    load(instance, ["staging", "DimDate"], hours_ago=30)
    tick()
    tick()
    [body] = webhook.bodies
    assert body["text"] == "🔴 Stale: staging/DimDate"
    shown = str(body["blocks"])
    assert "30 h ago; it is to be loaded at least every 24 h." in shown
    assert "https://dagster.example.com/assets/staging/DimDate|Open the asset" in shown
    assert "https://dagster.example.com/runs/6f1c2a3b-9d1e-4a5b-8c7d-0123456789ab" in shown

    load(instance, ["staging", "DimDate"], hours_ago=0)
    tick()
    tick()
    assert [body["text"] for body in webhook.bodies[1:]] == ["🟢 Fresh again: staging/DimDate"]


def test_a_table_whose_policy_is_taken_away_is_neither_stale_nor_fresh(
    webhook: WebhookServer, instance: dg.DagsterInstance, ticks, definitions: dg.Definitions
):
    tick = ticks(FRESHNESS_SENSOR, definitions)
    load(instance, ["staging", "DimDate"], hours_ago=30)
    tick()
    without = ticks(FRESHNESS_SENSOR)
    without.cursor = tick.cursor
    without()
    assert len(webhook.bodies) == 1
    assert without.cursor == "[]"
