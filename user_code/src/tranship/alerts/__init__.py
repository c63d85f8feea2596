"""Alerts: failed runs, failed checks, stale tables and dead daemons, told once each and once more when over.

The core (`incidents`, `notices`, `rendering`, `channels`, `webhooks`, `mail`, `delivery`, `settings`) knows no Dagster; `sensors` and
`watcher` read Dagster's storage and feed it. Nothing here is imported before it is used, because the health check
of `python -m tranship.alerts.watch` must not wait for Dagster.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tranship.alerts.sensors import build_alert_sensors
    from tranship.alerts.settings import AlertSettings

__all__ = ["AlertSettings", "build_alert_sensors"]


def __getattr__(name: str) -> object:
    if name == "AlertSettings":
        from tranship.alerts.settings import AlertSettings

        return AlertSettings
    if name == "build_alert_sensors":
        from tranship.alerts.sensors import build_alert_sensors

        return build_alert_sensors
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
