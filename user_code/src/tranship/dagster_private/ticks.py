"""Schedules and sensors as they are stored: which are on, and how their ticks ended.

Private because there is no public way to ask for them (https://github.com/dagster-io/dagster/issues/12825), nor to be told that one
failed (https://github.com/dagster-io/dagster/issues/29625).
"""

from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    InstigatorType,
    SensorInstigatorData,
    TickStatus,
)

__all__ = [
    "InstigatorState",
    "InstigatorStatus",
    "InstigatorTick",
    "InstigatorType",
    "SensorInstigatorData",
    "TickStatus",
]
