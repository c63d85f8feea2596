"""Watches Dagster itself: a sensor cannot tell that the daemon it runs in is dead.

The watcher is a process of its own. It reads the daemons' heartbeats from Dagster's storage, and when the alert
sensors were last evaluated, and tells the same channels. What it told is kept in the storage too, so that a watcher
that is restarted does not tell it again.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from tranship.alerts.channels import Channel
from tranship.alerts.delivery import deliver
from tranship.alerts.incidents import IncidentLog, Kind, Link, Recovery, Trouble
from tranship.alerts.pages import daemons_page, locations_page
from tranship.alerts.sensors import SENSOR_NAMES
from tranship.dagster_private.watching import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
)

STORAGE = "Dagster's storage"
DAEMON = "Dagster's daemon"
_MEMORY = "tranship_alerts_watcher"
_INTERVALS = 10
"""So many intervals of its own a sensor may be late, beside the silence that every daemon is allowed."""
_DAEMON_REMEDY = "See the log of the daemon's container or process, and start it again."
_SENSOR_REMEDY = "Nothing else is told meanwhile. See whether its code location is loaded, and what its last tick says."
_STORAGE_REMEDY = (
    "Nothing runs and nothing can be told of runs meanwhile. See its log and its disk."
)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A sign of life that Dagster, or a part of it, gave.

    Args:
        subject: Who gave it.
        part: Which part of it: a thread of the daemon.
        time: When, in seconds since 1970; 0 for never.
        allowed_seconds: How long it may keep silent.
        remedy: What to do when it does.
        page: Where to look.
    """

    subject: str
    part: str
    time: float
    allowed_seconds: float
    remedy: str
    page: Link


class Watcher:
    """Looks at Dagster's signs of life again and again.

    Args:
        open_instance: Gives the Dagster instance; called until it succeeds, because its storage may be what is dead.
        channels: Who is told.
        ui_url: Where the UI is.
        max_silence_seconds: How old a heartbeat may be; a daemon writes one every 30 seconds.
        grace: Whether silence from before the watcher was made counts only from then: when everything is started
            at once, the daemon may come later.
        clock: Gives the time in seconds since 1970.
        logger: Where it tells what it finds.
    """

    def __init__(
        self,
        open_instance: Callable[[], dg.DagsterInstance],
        channels: Sequence[Channel],
        *,
        ui_url: str,
        max_silence_seconds: float,
        grace: bool = True,
        clock: Callable[[], float] = time.time,
        logger: logging.Logger | None = None,
    ):
        self._open_instance = open_instance
        self._channels = channels
        self._ui_url = ui_url
        self._max_silence_seconds = max_silence_seconds
        self._clock = clock
        self._logger = logger or logging.getLogger("tranship.alerts.watch")
        self._since = clock() if grace else 0.0
        self._storage_answered = self._since
        self._instance: dg.DagsterInstance | None = None
        self._log = IncidentLog()
        self._saved: str | None = None
        self._evaluated: dict[str, float] = {}

    def run(self, stop: threading.Event, *, every_seconds: float, alive: Path) -> None:
        """Look until told to stop, and touch a file after each look."""
        while not stop.is_set():
            self.look()
            alive.touch()
            stop.wait(every_seconds)

    def look(self) -> IncidentLog:
        """Look once, and tell what has changed; gives what is known now."""
        now = self._clock()
        before = {incident.trouble.key for incident in self._log.open(Kind.DAEMON)}
        heartbeats: list[Heartbeat] = []
        try:
            instance = self._instance or self._open_instance()
            self._instance = instance
            self._take_up(instance)
            heartbeats = self._heartbeats(instance, now)
            self._storage_answered = now
        except Exception:
            # Any driver's error, or Dagster's own: told below once it has lasted, and tried again next time.
            self._logger.exception("%s does not answer.", STORAGE)
        for heartbeat in [self._heartbeat_of_storage(), *heartbeats]:
            self._judge(heartbeat, now)
        if heartbeats:
            self._forget_all_but({heartbeat.subject for heartbeat in heartbeats} | {STORAGE})
        for incident in self._log.open(Kind.DAEMON):
            if incident.trouble.key not in before:
                self._logger.warning("%s: %s", incident.trouble.subject, incident.trouble.cause)
        deliver(self._log, self._channels, logger=self._logger)
        if self._instance is not None and self._storage_answered == now:
            self._remember(self._instance)
        return self._log

    def _judge(self, heartbeat: Heartbeat, now: float) -> None:
        counted_from = max(heartbeat.time, self._since)
        group = f"look {now:.0f}"
        if now - heartbeat.time <= heartbeat.allowed_seconds:
            self._log.recover(
                Recovery(
                    Kind.DAEMON,
                    heartbeat.subject,
                    heartbeat.time,
                    links=(heartbeat.page,),
                    part=heartbeat.part,
                    group=group,
                )
            )
        elif now - counted_from > heartbeat.allowed_seconds and not self._has_other_reason(
            heartbeat
        ):
            self._log.add(
                Trouble(
                    Kind.DAEMON,
                    heartbeat.subject,
                    f"No sign of life for more than {heartbeat.allowed_seconds:.0f} s. {heartbeat.remedy}",
                    heartbeat.time or counted_from,
                    links=(heartbeat.page,),
                    parts=frozenset({heartbeat.part}),
                    group=group,
                )
            )

    def _has_other_reason(self, heartbeat: Heartbeat) -> bool:
        """Whether a sensor is late only because the daemon that evaluates it is dead."""
        dead = {incident.trouble.subject for incident in self._log.open(Kind.DAEMON)}
        return heartbeat.subject.startswith("sensor ") and DAEMON in dead

    def _forget_all_but(self, watched: set[str]) -> None:
        """Drop what is not watched any more: a daemon that is not required now, a sensor switched off."""
        for incident in self._log.open(Kind.DAEMON):
            if incident.trouble.subject not in watched:
                self._log.drop(incident)

    def _heartbeats(self, instance: dg.DagsterInstance, now: float) -> list[Heartbeat]:
        heartbeats = instance.get_daemon_heartbeats()
        daemons = [
            Heartbeat(
                DAEMON,
                kind,
                heartbeats[kind].timestamp if kind in heartbeats else 0.0,
                self._max_silence_seconds,
                _DAEMON_REMEDY,
                daemons_page(self._ui_url),
            )
            for kind in instance.get_required_daemon_types()
        ]
        states = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
        return daemons + [
            heartbeat for state in states if (heartbeat := self._heartbeat_of_sensor(state, now))
        ]

    def _heartbeat_of_sensor(self, state: InstigatorState, now: float) -> Heartbeat | None:
        data = state.instigator_data
        if (
            state.name not in SENSOR_NAMES
            or state.status is InstigatorStatus.STOPPED
            or not isinstance(data, SensorInstigatorData)
        ):
            return None
        # While a tick goes on, and after one that failed, nothing tells when the last good one was.
        unknown = now if self._since else data.last_tick_timestamp or now
        last_known = self._evaluated.get(state.name, unknown)
        self._evaluated[state.name] = data.last_tick_success_timestamp or last_known
        last = max(self._evaluated[state.name], data.last_sensor_start_timestamp or 0.0)
        allowed = self._max_silence_seconds + _INTERVALS * (data.min_interval or 30)
        page = locations_page(self._ui_url)
        return Heartbeat(f"sensor {state.name}", "", last, allowed, _SENSOR_REMEDY, page)

    def _heartbeat_of_storage(self) -> Heartbeat:
        return Heartbeat(
            STORAGE,
            "",
            self._storage_answered,
            self._max_silence_seconds,
            _STORAGE_REMEDY,
            daemons_page(self._ui_url),
        )

    def _take_up(self, instance: dg.DagsterInstance) -> None:
        """Take up what the watcher before this one told."""
        if self._saved is not None:
            return
        text = instance.daemon_cursor_storage.get_cursor_values({_MEMORY}).get(_MEMORY, "")
        if text:
            self._log = IncidentLog([*IncidentLog.loads(text).incidents, *self._log.incidents])
        self._saved = text

    def _remember(self, instance: dg.DagsterInstance) -> None:
        text = self._log.dumps()
        if text == self._saved:
            return
        try:
            instance.daemon_cursor_storage.set_cursor_values({_MEMORY: text})
            self._saved = text
        except Exception:
            self._logger.exception("%s does not answer.", STORAGE)
