"""The watcher tells of dead daemons once, and once more when they are back; it can be restarted at any time."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from alert_receivers import SECRETS, WebhookServer
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat
from sqlalchemy.exc import OperationalError

from tranship.alerts.sensors import RUNS_SENSOR
from tranship.alerts.watcher import Watcher
from tranship.alerts.webhooks import SlackChannel

UI_URL = "https://dagster.example.com"
START = 1_795_683_600.0


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watcher(
    instance_on_disk: dg.DagsterInstance, webhook: WebhookServer, clock: Clock
) -> Callable[..., Watcher]:
    """Start a watcher; each call is a new process, as it were."""

    def start(
        open_instance: Callable[[], dg.DagsterInstance] = lambda: instance_on_disk,
    ) -> Watcher:
        return Watcher(
            open_instance,
            [SlackChannel(webhook.url())],
            ui_url=UI_URL,
            max_silence_seconds=120,
            clock=clock,
        )

    return start


def beat(instance: dg.DagsterInstance, time: float, *, but: str = "") -> None:
    for kind in instance.get_required_daemon_types():
        if kind != but:
            instance.add_daemon_heartbeat(DaemonHeartbeat(time, kind, "1"))


def test_a_dead_daemon_is_told_once_and_once_more_when_it_is_back(
    webhook: WebhookServer, instance_on_disk: dg.DagsterInstance, clock: Clock, watcher
):
    beat(instance_on_disk, START, but="SCHEDULER")
    # Its threads write at different times, so they are not found dead at once.
    instance_on_disk.add_daemon_heartbeat(DaemonHeartbeat(START + 25, "SCHEDULER", "1"))
    watching = watcher()
    for _ in range(20):
        clock.now += 15
        watching.look()
    [body] = webhook.bodies
    assert body["text"] == "🔴 Not working: Dagster's daemon"
    shown = str(body["blocks"])
    assert "Dagster's daemon (threads " in shown
    assert "No sign of life for more than 120 s. See the log of the daemon's container" in shown
    assert "https://dagster.example.com/deployment/daemons" in shown

    beat(instance_on_disk, clock.now, but="SCHEDULER")
    watching.look()
    assert len(webhook.bodies) == 1
    beat(instance_on_disk, clock.now)
    watching.look()
    watching.look()
    assert [body["text"][0] for body in webhook.bodies] == ["🔴", "🟢"]


def test_one_thread_of_the_daemon_that_is_dead_is_told(
    webhook: WebhookServer, instance_on_disk: dg.DagsterInstance, clock: Clock, watcher
):
    beat(instance_on_disk, START)
    watching = watcher()
    clock.now += 200
    beat(instance_on_disk, clock.now, but="SCHEDULER")
    watching.look()
    [body] = webhook.bodies
    assert "Dagster's daemon (thread SCHEDULER)" in str(body["blocks"])


def test_a_stack_that_was_off_for_the_night_has_time_to_start(
    webhook: WebhookServer, instance_on_disk: dg.DagsterInstance, clock: Clock, watcher
):
    beat(instance_on_disk, START - 8 * 3600)
    watching = watcher()
    clock.now += 60
    watching.look()
    beat(instance_on_disk, clock.now)
    clock.now += 100
    watching.look()
    assert webhook.bodies == []


def test_a_watcher_that_is_restarted_does_not_tell_again(
    webhook: WebhookServer, instance_on_disk: dg.DagsterInstance, clock: Clock, watcher
):
    beat(instance_on_disk, START)
    first = watcher()
    clock.now += 200
    first.look()
    second = watcher()
    for _ in range(10):
        clock.now += 30
        second.look()
    assert len(webhook.bodies) == 1
    beat(instance_on_disk, clock.now)
    watcher().look()
    watcher().look()
    assert [body["text"][0] for body in webhook.bodies] == ["🔴", "🟢"]


def sensor_ticked(
    instance: dg.DagsterInstance, time: float, *, new: bool = False, failed: bool = False
) -> None:
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="etl.definitions"))
    repository = RemoteRepositoryOrigin(location, "__repository__")
    state = InstigatorState(
        RemoteInstigatorOrigin(repository, RUNS_SENSOR),
        InstigatorType.SENSOR,
        InstigatorStatus.DECLARED_IN_CODE,
        SensorInstigatorData(
            last_tick_timestamp=time,
            min_interval=30,
            last_tick_success_timestamp=None if failed else time,
        ),
    )
    if new:
        instance.add_instigator_state(state)
    else:
        instance.update_instigator_state(state)


@pytest.mark.parametrize("ticks_fail", [False, True])
def test_alert_sensors_that_are_not_evaluated_are_told(
    webhook: WebhookServer,
    instance_on_disk: dg.DagsterInstance,
    clock: Clock,
    watcher,
    ticks_fail: bool,
):
    sensor_ticked(instance_on_disk, START, new=True)
    watching = watcher()
    watching.look()
    for number in range(20):
        clock.now += 30
        beat(instance_on_disk, clock.now)
        if ticks_fail:
            sensor_ticked(instance_on_disk, clock.now, failed=True)
        watching.look()
        # Two minutes of silence, as for every daemon, and ten of its own intervals.
        assert len(webhook.bodies) == (1 if number >= 14 else 0)
    [body] = webhook.bodies
    assert body["text"] == f"🔴 Not working: sensor {RUNS_SENSOR}"
    assert "See whether its code location is loaded" in str(body["blocks"])
    sensor_ticked(instance_on_disk, clock.now)
    watching.look()
    assert [body["text"][0] for body in webhook.bodies] == ["🔴", "🟢"]


def test_a_sensor_that_was_just_switched_on_has_time_to_be_evaluated(
    webhook: WebhookServer, instance_on_disk: dg.DagsterInstance, clock: Clock, watcher
):
    watching = watcher()
    clock.now += 24 * 3600
    beat(instance_on_disk, clock.now)
    sensor_ticked(instance_on_disk, clock.now, new=True, failed=True)
    watching.look()
    assert webhook.bodies == []


def test_sensors_that_are_late_for_want_of_a_daemon_are_no_incident_of_their_own(
    webhook: WebhookServer, instance_on_disk: dg.DagsterInstance, clock: Clock, watcher
):
    sensor_ticked(instance_on_disk, START, new=True)
    beat(instance_on_disk, START)
    watching = watcher()
    for _ in range(20):
        clock.now += 30
        watching.look()
    assert len(webhook.bodies) == 1


def test_a_storage_that_does_not_answer_is_told(
    webhook: WebhookServer, instance_on_disk: dg.DagsterInstance, clock: Clock, watcher
):
    down = True

    def open_instance() -> dg.DagsterInstance:
        if down:
            raise OperationalError("connect", {}, Exception("connection refused"))
        return instance_on_disk

    watching = watcher(open_instance)
    for _ in range(10):
        clock.now += 30
        watching.look()
    assert [body["text"] for body in webhook.bodies] == ["🔴 Not working: Dagster's storage"]
    down = False
    beat(instance_on_disk, clock.now)
    watching.look()
    assert webhook.bodies[-1]["text"] == "🟢 Working again: Dagster's storage"
    assert len(webhook.bodies) == 2


# ---- the process ----


def start(home: Path, *options: str, **variables: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "DAGSTER_HOME": str(home), "TMPDIR": str(home), **variables}
    return subprocess.Popen(
        [sys.executable, "-m", "tranship.alerts.watch", *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        beat(instance, time.time() - 3600)
    return tmp_path


def test_a_single_look_prints_what_is_dead_and_tells_it(home: Path, webhook: WebhookServer):
    process = start(home, "--once", TRANSHIP_ALERT_SLACK_WEBHOOK=webhook.url())
    printed, logged = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Dagster's daemon: No sign of life for more than 120 s." in printed
    assert len(webhook.bodies) == 1
    assert not [secret for secret in SECRETS if secret in printed + logged]


def test_the_process_is_healthy_while_it_watches_and_ends_when_told_to(home: Path):
    process = start(home, "--every-seconds", "0.2")
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (home / "tranship-alerts-watch").exists():
            time.sleep(0.1)
        asked = start(home, "--healthy")
        assert asked.wait(timeout=30) == 0
        asked.communicate()
        process.send_signal(signal.SIGTERM)
        _, logged = process.communicate(timeout=30)
        assert process.returncode == 0
        assert logged.count("No alerts are sent: no channel is configured.") == 1
    finally:
        process.kill()
        process.wait()


def test_a_watcher_that_has_not_looked_is_not_healthy(home: Path):
    asked = start(home, "--healthy")
    _, said = asked.communicate(timeout=30)
    assert (asked.returncode, said) == (1, "the watcher has not looked yet\n")


def test_a_wrong_setting_ends_the_process_with_what_to_do(home: Path):
    process = start(home, TRANSHIP_ALERT_SMTP_HOST="127.0.0.1")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "TRANSHIP_ALERT_SMTP_TO is not. Set it to the addresses" in said
