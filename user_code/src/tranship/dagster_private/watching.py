"""What the alerts look at beside the event log: freshness policies, and ticks of schedules and sensors.

What a `FreshnessPolicy` asks for.

Private because `dagster.FreshnessPolicy` makes policies and tells nothing of them: what is missing is a public way to ask one whether,
and since when, an asset is stale. The daemon that knows it can be switched off, and says less. No issue asks for it.

Schedules and sensors as they are stored: which are on, and how their ticks ended.

Private because there is no public way to ask for them (https://github.com/dagster-io/dagster/issues/12825), nor to be told that one
failed (https://github.com/dagster-io/dagster/issues/29625).
"""

from dagster._core.definitions.freshness import CronFreshnessPolicy, TimeWindowFreshnessPolicy
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    InstigatorType,
    SensorInstigatorData,
    TickStatus,
)
from dagster._utils.schedules import get_latest_completed_cron_tick

__all__ = [
    "CronFreshnessPolicy",
    "InstigatorState",
    "InstigatorStatus",
    "InstigatorTick",
    "InstigatorType",
    "SensorInstigatorData",
    "TickStatus",
    "TimeWindowFreshnessPolicy",
    "get_latest_completed_cron_tick",
]
