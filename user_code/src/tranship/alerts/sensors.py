"""The sensors that send alerts. They run in the daemon like every sensor and start no runs.

Each keeps what it knows in its cursor: how far the event log was read, which incidents are open, and which channel
was told what. A tick that ends badly keeps the cursor as it was, and the next one does the same work again.
"""

# Dagster leaves types out of what is used here; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

import functools
import json
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import dagster as dg

from tranship.alerts.channels import Channel
from tranship.alerts.delivery import deliver
from tranship.alerts.events import Position, follow
from tranship.alerts.incidents import IncidentLog
from tranship.alerts.present_state import watch_freshness, watch_left_out, watch_ticks
from tranship.alerts.settings import DEFAULT_UI_URL, HOW_TO_CONFIGURE
from tranship.failures import as_failures

RUNS_SENSOR = "alerts_on_runs_and_checks"
FRESHNESS_SENSOR = "alerts_on_stale_tables"
SENSOR_NAMES = (RUNS_SENSOR, FRESHNESS_SENSOR)

_LOGGER = logging.getLogger("dagster.tranship.alerts")


def build_alert_sensors(
    channels: Callable[[], Sequence[Channel]],
    *,
    ui_url: str = DEFAULT_UI_URL,
    running: bool = True,
    runs_interval_seconds: int = 30,
    freshness_interval_seconds: int = 60,
) -> dg.Definitions:
    """Make the two sensors that tell of failed runs, failed checks and stale tables.

    They follow every run of the Dagster instance, so build them in one code location only. Freshness is watched
    for the assets of that location.

    Args:
        channels: Gives the channels to tell; called at every tick, so that a wrong setting fails the tick, where
            the UI shows it, and not the whole code location.
        ui_url: Where the UI is, as seen by those who read the alerts.
        running: Whether the sensors run until they are switched off in the UI; else the other way round.
        runs_interval_seconds: How often runs and checks are looked at.
        freshness_interval_seconds: How often tables are.

    Returns:
        Definitions with the sensors, to be merged with yours.

    Example:
        >>> from tranship.alerts.webhooks import SlackChannel
        >>> definitions = build_alert_sensors(lambda: [SlackChannel("https://hooks.slack.com/services/...")])
        >>> print(*(sensor.name for sensor in definitions.sensors or []))
        alerts_on_runs_and_checks alerts_on_stale_tables
    """
    status = dg.DefaultSensorStatus.RUNNING if running else dg.DefaultSensorStatus.STOPPED
    if not running:
        _say_how_to_configure()

    @dg.sensor(
        name=RUNS_SENSOR,
        description="Tells once of each run, check, schedule and sensor that fails, and once more when it is over.",
        minimum_interval_seconds=runs_interval_seconds,
        default_status=status,
    )
    def runs_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        with as_failures():
            return _tell_of_runs(context, channels(), ui_url)

    @dg.sensor(
        name=FRESHNESS_SENSOR,
        description="Tells once of each table that breaks its freshness policy or is left out, and once more when it "
        "is over.",
        minimum_interval_seconds=freshness_interval_seconds,
        default_status=status,
    )
    def freshness_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        with as_failures():
            return _tell_of_stale_tables(context, channels(), ui_url)

    return dg.Definitions(sensors=[runs_sensor, freshness_sensor])


@functools.cache
def _say_how_to_configure() -> None:
    """Say it once for each process: Dagster loads definitions more than once."""
    _LOGGER.info(HOW_TO_CONFIGURE)


def _tell_of_runs(
    context: dg.SensorEvaluationContext, channels: Sequence[Channel], ui_url: str
) -> dg.SkipReason:
    if not channels:
        return dg.SkipReason(HOW_TO_CONFIGURE)
    if not context.cursor:
        position, log = Position.at_the_end(context.instance), IncidentLog()
    else:
        saved = json.loads(context.cursor)
        log = IncidentLog.from_plain(saved["incidents"])
        position = follow(context.instance, log, Position.from_plain(saved["position"]), ui_url)
    # The watcher tells of these two: a sensor cannot tell that it fails.
    watch_ticks(context.instance, log, ui_url, ignored=SENSOR_NAMES)
    delivered = deliver(log, channels, logger=context.log)
    context.update_cursor(
        json.dumps({"position": position.to_plain(), "incidents": log.to_plain()})
    )
    return dg.SkipReason(str(delivered))


def _tell_of_stale_tables(
    context: dg.SensorEvaluationContext, channels: Sequence[Channel], ui_url: str
) -> dg.SkipReason:
    if not channels:
        return dg.SkipReason(HOW_TO_CONFIGURE)
    log = IncidentLog.loads(context.cursor) if context.cursor else IncidentLog()
    now = datetime.now(UTC)
    watch_freshness(context.instance, _policies(context.repository_def), log, now, ui_url)
    watch_left_out(context.repository_def, log, now, ui_url)
    delivered = deliver(log, channels, logger=context.log)
    context.update_cursor(log.dumps())
    return dg.SkipReason(str(delivered))


def _policies(
    repository: dg.RepositoryDefinition | None,
) -> dict[dg.AssetKey, dg.FreshnessPolicy]:
    if repository is None:
        return {}
    nodes = repository.asset_graph.asset_nodes
    policies = ((node.key, node.freshness_policy_or_from_metadata) for node in nodes)
    return {key: policy for key, policy in policies if policy is not None}
