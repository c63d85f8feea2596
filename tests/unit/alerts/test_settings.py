"""Channels come from the environment; a wrong variable is named, and its value's secrets are not shown."""

import re
import sys

import pytest

from tranship.alerts.mail import EmailChannel
from tranship.alerts.settings import AlertSettings
from tranship.alerts.webhooks import SlackChannel, TeamsChannel
from tranship.errors import ConfigurationError

SLACK = "https://hooks.slack.com/services/T000/B000/s3cr3t"
MAIL = {
    "TRANSHIP_ALERT_SMTP_HOST": "smtp.example.com",
    "TRANSHIP_ALERT_SMTP_FROM": "etl@example.com",
    "TRANSHIP_ALERT_SMTP_TO": "a@example.com, b@example.com,",
}


def channels(environment: dict[str, str]):
    return AlertSettings.from_environment(environment).channels()


def test_nothing_is_configured_by_empty_variables():
    settings = AlertSettings.from_environment(
        {"TRANSHIP_ALERT_SLACK_WEBHOOK": " ", "TRANSHIP_ALERT_SMTP_HOST": "", "TRANSHIP_UI_URL": ""}
    )
    assert not settings.configured
    assert settings.channels() == []
    assert settings.ui_url == "http://127.0.0.1:3000"


def test_each_channel_needs_its_own_variables_only():
    assert channels({"TRANSHIP_ALERT_SLACK_WEBHOOK": SLACK}) == [SlackChannel(SLACK)]
    assert channels({"TRANSHIP_ALERT_TEAMS_WEBHOOK": SLACK}) == [TeamsChannel(SLACK)]
    assert channels(MAIL) == [
        EmailChannel("smtp.example.com", "etl@example.com", ("a@example.com", "b@example.com"))
    ]


def test_a_login_that_is_an_address_is_the_sender():
    environment = MAIL | {
        "TRANSHIP_ALERT_SMTP_FROM": "",
        "TRANSHIP_ALERT_SMTP_USER": "login@example.com",
        "TRANSHIP_ALERT_SMTP_PASSWORD": "s3cr3t",
    }
    [mail] = channels(environment)
    assert isinstance(mail, EmailChannel)
    assert mail.sender == "login@example.com"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"TRANSHIP_ALERT_SMTP_TO": " , "}, "TRANSHIP_ALERT_SMTP_TO is not. Set it to the"),
        ({"TRANSHIP_ALERT_SMTP_FROM": ""}, "TRANSHIP_ALERT_SMTP_FROM is not. Set it to the"),
        ({"TRANSHIP_ALERT_SMTP_PORT": "smtp"}, "TRANSHIP_ALERT_SMTP_PORT is 'smtp', which is no"),
        ({"TRANSHIP_ALERT_SMTP_PORT": "70000"}, "TRANSHIP_ALERT_SMTP_PORT is '70000'"),
        ({"TRANSHIP_ALERT_SMTP_SECURITY": "ssl"}, "SECURITY is 'ssl'. Use one of starttls, tls"),
        (
            {"TRANSHIP_ALERT_SMTP_SECURITY": "none", "TRANSHIP_ALERT_SMTP_USER": "me"},
            "The password of me would travel to smtp.example.com in the clear.",
        ),
    ],
)
def test_a_wrong_variable_is_named(changes: dict[str, str], said: str):
    settings = AlertSettings.from_environment(MAIL | changes)
    assert settings.configured
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        settings.channels()


@pytest.mark.parametrize(
    "url", ["s3cr3t", "ftp://host/s3cr3t", "file:///s3cr3t", "https:///s3cr3t"]
)
def test_a_webhook_that_is_no_web_address_is_refused_without_showing_it(url: str):
    with pytest.raises(ConfigurationError, match="webhook of Slack is no address") as refused:
        channels({"TRANSHIP_ALERT_SLACK_WEBHOOK": url})
    assert "s3cr3t" not in str(refused.value)


def test_settings_do_not_show_their_secrets():
    settings = AlertSettings.from_environment({"TRANSHIP_ALERT_SLACK_WEBHOOK": SLACK})
    assert "s3cr3t" not in repr(settings) + repr(settings.channels())


class OwnChannel:
    """A channel of somebody's own."""

    name = "pager"

    def send(self, notice: object) -> None:
        """Take it."""


def own_channels() -> list[OwnChannel]:
    return [OwnChannel()]


def no_channels() -> list[int]:
    return [7]


def test_channels_of_ones_own_come_from_a_function_so_that_the_watcher_has_them_too(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setitem(sys.modules, "my_project.alerts", sys.modules[__name__])
    settings = AlertSettings.from_environment(
        {"TRANSHIP_ALERT_CHANNELS": "my_project.alerts:own_channels"}
    )
    assert settings.configured
    assert [channel.name for channel in settings.channels()] == ["pager"]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("nowhere.to.be:found", "gives no channels: No module named 'nowhere'"),
        ("my_project.alerts:nothing", "has no attribute 'nothing'"),
        ("my_project.alerts", "package.module:function"),
        ("my_project.alerts:no_channels", "gives a int, which is no channel"),
    ],
)
def test_a_function_that_gives_no_channels_is_named(
    where: str, said: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "my_project.alerts", sys.modules[__name__])
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        channels({"TRANSHIP_ALERT_CHANNELS": where})
