"""What a `FreshnessPolicy` asks for.

Private because `dagster.FreshnessPolicy` makes policies and tells nothing of them: what is missing is a public way to ask one whether,
and since when, an asset is stale. The daemon that knows it can be switched off, and says less. No issue asks for it.
"""

from dagster._core.definitions.freshness import CronFreshnessPolicy, TimeWindowFreshnessPolicy
from dagster._utils.schedules import get_latest_completed_cron_tick

__all__ = ["CronFreshnessPolicy", "TimeWindowFreshnessPolicy", "get_latest_completed_cron_tick"]
