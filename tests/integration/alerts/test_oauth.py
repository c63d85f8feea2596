"""A mailbox without a password: the application gets a token, and signs in with it by XOAUTH2."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from alert_receivers import MailServer, TokenServer

from standins.sqlserver.certificate import self_signed, server_context
from tranship.alerts.channels import ChannelDownError, NotDeliveredError
from tranship.alerts.incidents import Change, Incident, Kind, Trouble
from tranship.alerts.mail import EmailChannel, OAuth2
from tranship.alerts.notices import Notice
from tranship.alerts.settings import AlertSettings
from tranship.errors import ConfigurationError


def notice() -> Notice:
    trouble = Trouble(Kind.RUN, "staging/DimDate", "No such table: dbo.DimDate.", 1_795_683_600)
    return Notice(Change.ALERT, Kind.RUN, (Incident.begun_by(trouble),))


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    with TokenServer() as server:
        yield server


@pytest.fixture
def exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    """A mail server that takes one token, and whose certificate is trusted."""
    certificate, key = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with MailServer(tls=server_context(certificate, key), tokens=("s3cr3t-token",)) as server:
        yield server


@pytest.fixture
def channel(exchange: MailServer, tokens: TokenServer) -> EmailChannel:
    application = OAuth2(tokens.url("/tenant/oauth2/v2.0/token"), "app", "s3cr3t-of-app")
    return EmailChannel(
        "localhost",
        "alerts@example.com",
        ("a@example.com",),
        port=exchange.port,
        user="alerts@example.com",
        oauth=application,
    )


def test_a_mail_is_sent_with_a_token_of_the_application(
    exchange: MailServer, tokens: TokenServer, channel: EmailChannel
):
    for _ in range(2):
        channel.send(notice())
    assert exchange.logins == [("alerts@example.com", "s3cr3t-token", True)] * 2
    assert len(exchange.mails) == 2
    assert tokens.received[0] == (
        "/tenant/oauth2/v2.0/token",
        {
            "client_id": "app",
            "client_secret": "s3cr3t-of-app",
            "grant_type": "client_credentials",
            "scope": "https://outlook.office365.com/.default",
        },
    )


def test_a_refresh_token_is_used_where_there_is_one(tokens: TokenServer, channel: EmailChannel):
    application = OAuth2(tokens.url(), "app", "s3cr3t-of-app", refresh_token="s3cr3t-refresh")
    replace(channel, oauth=application).send(notice())
    ((_, form),) = tokens.received
    assert form["grant_type"] == "refresh_token"
    assert form["refresh_token"] == "s3cr3t-refresh"


def test_a_token_that_the_mail_server_refuses_is_told_with_the_cure(
    exchange: MailServer, channel: EmailChannel
):
    exchange.tokens = ("another",)
    with pytest.raises(
        NotDeliveredError, match=r"Authentication unsuccessful.*SMTP\.SendAsApp"
    ) as told:
        channel.send(notice())
    assert "s3cr3t" not in str(told.value)


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, NotDeliveredError), (400, NotDeliveredError), (503, ChannelDownError)],
)
def test_a_token_that_is_not_given_is_told_without_the_secret(
    tokens: TokenServer, channel: EmailChannel, status: int, error: type[Exception]
):
    tokens.answer, tokens.say = status, "AADSTS7000215: Invalid client secret s3cr3t-of-app"
    with pytest.raises(error, match=f"gave no token for mail .{status} AADSTS7000215") as told:
        channel.send(notice())
    assert "s3cr3t" not in str(told.value)


def test_a_server_without_xoauth2_is_told(exchange: MailServer, channel: EmailChannel):
    exchange.tokens = ()
    with pytest.raises(NotDeliveredError, match="does not offer XOAUTH2"):
        channel.send(notice())


@pytest.mark.parametrize(
    "change", [{"user": ""}, {"password": "s3cr3t-of-smtp"}], ids=["no user", "a password too"]
)
def test_oauth_needs_a_user_and_no_password(channel: EmailChannel, change: dict[str, str]):
    with pytest.raises(ConfigurationError, match="by OAuth needs a user, and no password"):
        replace(channel, **change)


def test_a_secret_is_sent_to_https_addresses_alone():
    with pytest.raises(ConfigurationError, match="it has to be https"):
        OAuth2("http://login.example.com/token", "app", "s3cr3t-of-app")


MAIL = {
    "TRANSHIP_ALERT_SMTP_HOST": "smtp.office365.com",
    "TRANSHIP_ALERT_SMTP_USER": "alerts@example.com",
    "TRANSHIP_ALERT_SMTP_TO": "a@example.com",
    "TRANSHIP_ALERT_SMTP_OAUTH_TENANT": "contoso",
    "TRANSHIP_ALERT_SMTP_OAUTH_CLIENT_ID": "app",
    "TRANSHIP_ALERT_SMTP_OAUTH_CLIENT_SECRET": "s3cr3t-of-app",
}


def test_the_environment_names_the_application():
    (channel,) = AlertSettings.from_environment(MAIL).channels()
    assert isinstance(channel, EmailChannel)
    assert channel.oauth == OAuth2(
        "https://login.microsoftonline.com/contoso/oauth2/v2.0/token", "app", "s3cr3t-of-app"
    )
    assert "s3cr3t" not in repr(channel)


def test_a_variable_of_the_application_that_is_missing_is_named():
    environment = {**MAIL, "TRANSHIP_ALERT_SMTP_OAUTH_CLIENT_SECRET": ""}
    with pytest.raises(ConfigurationError, match="TRANSHIP_ALERT_SMTP_OAUTH_CLIENT_SECRET is not"):
        AlertSettings.from_environment(environment).channels()
