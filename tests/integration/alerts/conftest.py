"""Alerts from a real Dagster instance to real servers on 127.0.0.1."""

import logging
from collections.abc import Callable, Iterator, Sequence

import dagster as dg
import pytest
from alert_receivers import SECRETS, MailServer, WebhookServer

from tranship.alerts.channels import Channel
from tranship.alerts.sensors import build_alert_sensors
from tranship.alerts.webhooks import SlackChannel

UI_URL = "https://dagster.example.com"


class Ticks:
    """Evaluates one of the sensors again and again, as the daemon would, with its cursor kept in between."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        sensor: str,
        channels: Callable[[], Sequence[Channel]],
        definitions: dg.Definitions | None = None,
    ):
        merged = dg.Definitions.merge(
            definitions or dg.Definitions(), build_alert_sensors(channels, ui_url=UI_URL)
        )
        self.repository = merged.get_repository_def()
        self.sensor = self.repository.get_sensor_def(sensor)
        self.instance = instance
        self.cursor: str | None = None

    def __call__(self) -> str:
        """One tick; gives what the UI shows of it."""
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, repository_def=self.repository
        )
        told = self.sensor.evaluate_tick(context)
        self.cursor = told.cursor
        assert told.run_requests == []
        return told.skip_message or ""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance that keeps runs and events in memory."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def webhook() -> Iterator[WebhookServer]:
    with WebhookServer() as server:
        yield server


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server


@pytest.fixture
def ticks(instance: dg.DagsterInstance, webhook: WebhookServer) -> Callable[..., Ticks]:
    """Evaluate a sensor that tells Slack: `ticks("alerts_on_runs_and_checks", definitions)`."""

    def make(sensor: str, definitions: dg.Definitions | None = None) -> Ticks:
        return Ticks(instance, sensor, lambda: [SlackChannel(webhook.url())], definitions)

    return make


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever proxy this machine has, the servers of the tests are on it."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture(autouse=True)
def no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a test does, no log line at any level holds a webhook's address or a password."""
    caplog.set_level(logging.DEBUG)
    yield
    lines = [record.getMessage() for record in caplog.get_records("call")]
    assert [line for line in lines if any(secret in line for secret in SECRETS)] == []
