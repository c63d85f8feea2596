"""The shipped code location: sensors that run as soon as a channel is configured, and say what to do until then."""

import os
import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from tranship.alerts.sensors import SENSOR_NAMES, build_alert_sensors
from tranship.alerts.settings import HOW_TO_CONFIGURE, AlertSettings

ROOT = Path(__file__).parents[3]


def loaded(**variables: str) -> str:
    """What a new process says of the sensors, and logs."""
    code = (
        "import logging; logging.basicConfig(level='INFO', format='%(message)s');"
        "from etl.defs.alerts import alerts; alerts();"
        "print([(s.name, s.default_status.value) for s in alerts().sensors])"
    )
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TRANSHIP_ALERT_", "TRANSHIP_UI_"))
    }
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout + answer.stderr


def test_without_a_channel_no_sensor_runs_and_the_log_says_once_what_to_do():
    said = loaded()
    assert str([(name, "STOPPED") for name in SENSOR_NAMES]) in said
    assert said.count(HOW_TO_CONFIGURE) == 1


@pytest.mark.parametrize("variable", ["TRANSHIP_ALERT_SLACK_WEBHOOK", "TRANSHIP_ALERT_SMTP_HOST"])
def test_with_a_channel_the_sensors_run_even_if_it_is_configured_wrongly(variable: str):
    said = loaded(**{variable: "no address"})
    assert str([(name, "RUNNING") for name in SENSOR_NAMES]) in said
    assert HOW_TO_CONFIGURE not in said


@pytest.mark.parametrize("name", SENSOR_NAMES)
def test_a_sensor_that_is_switched_on_without_a_channel_says_what_to_do(name: str):
    told = tick(name, AlertSettings())
    assert told.skip_message == HOW_TO_CONFIGURE


@pytest.mark.parametrize("name", SENSOR_NAMES)
def test_a_wrong_setting_fails_the_tick_and_not_the_code_location(name: str):
    settings = AlertSettings(variables={"TRANSHIP_ALERT_SMTP_HOST": "smtp.example.com"})
    with pytest.raises(dg.Failure, match="TRANSHIP_ALERT_SMTP_TO is not"):
        tick(name, settings)


def tick(name: str, settings: AlertSettings):
    repository = build_alert_sensors(settings.channels, running=False).get_repository_def()
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance, repository_def=repository)
        return repository.get_sensor_def(name).evaluate_tick(context)


def test_every_variable_is_in_the_docs():
    source = (ROOT / "user_code/src/tranship/alerts/settings.py").read_text()
    docs = (ROOT / "docs/alerts.md").read_text()
    smtp = re.findall(r'smtp(?:\.get\(|\[)"([A-Z]+)"', source)
    names = {*re.findall(r"TRANSHIP_(?:ALERT_[A-Z_]*[A-Z]|UI_URL)", source + HOW_TO_CONFIGURE)}
    names |= {f"TRANSHIP_ALERT_SMTP_{name}" for name in smtp}
    assert len(names) >= 10
    assert {name for name in names if name not in docs} == set()
