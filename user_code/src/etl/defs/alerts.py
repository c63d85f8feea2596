"""Alerts on failed runs, failed checks and stale tables; docs/alerts.md says how to get them."""

import os

import dagster as dg

from tranship.alerts import AlertSettings, build_alert_sensors


@dg.definitions
def alerts() -> dg.Definitions:
    """The sensors that send alerts; they run as soon as a channel is configured."""
    settings = AlertSettings.from_environment(os.environ)
    return build_alert_sensors(
        settings.channels, ui_url=settings.ui_url, running=settings.configured
    )
