"""A table that a code location leaves out is told once with the reason, and once more when it is taken in again."""

import dagster as dg
from alert_receivers import WebhookServer

from tranship.alerts.sensors import FRESHNESS_SENSOR
from tranship.replication.assets import LeftOut, left_out_asset
from tranship.replication.config import TableSettings

KEY = dg.AssetKey(["copy", "Wages"])


def test_a_table_that_is_left_out_is_told_and_so_is_its_return(webhook: WebhookServer, ticks):
    left_out = LeftOut("hr.Wages", KEY, "copy", "retries is -1.", TableSettings(table="hr.Wages"))
    tick = ticks(FRESHNESS_SENSOR, dg.Definitions(assets=[left_out_asset(left_out)]))
    tick()
    tick()
    (body,) = webhook.bodies
    assert body["text"] == "🔴 Left out: copy/Wages"
    assert "retries is -1." in str(body["blocks"])

    @dg.asset(key=KEY)
    def wages() -> None:
        """Loaded as ever."""

    mended = ticks(FRESHNESS_SENSOR, dg.Definitions(assets=[wages]))
    mended.cursor = tick.cursor
    mended()
    assert [body["text"] for body in webhook.bodies[1:]] == ["🟢 Taken in again: copy/Wages"]


def test_a_table_that_is_wanted_no_more_is_forgotten(webhook: WebhookServer, ticks):
    left_out = LeftOut("hr.Wages", KEY, "copy", "retries is -1.", TableSettings(table="hr.Wages"))
    tick = ticks(FRESHNESS_SENSOR, dg.Definitions(assets=[left_out_asset(left_out)]))
    tick()
    gone = ticks(FRESHNESS_SENSOR)
    gone.cursor = tick.cursor
    gone()
    assert len(webhook.bodies) == 1
