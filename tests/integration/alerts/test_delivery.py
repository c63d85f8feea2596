"""A channel that is down loses nothing, delays nobody, and no channel tells its secrets."""

import logging
import time
from collections.abc import Callable, Sequence

import pytest
from alert_receivers import (
    SLACK_PATH,
    SMTP_PASSWORD,
    SMTP_USER,
    TEAMS_PATH,
    MailServer,
    WebhookServer,
)

from standins.sqlserver.certificate import self_signed, server_context
from tranship.alerts.channels import Channel, ChannelDownError, NotDeliveredError
from tranship.alerts.delivery import deliver
from tranship.alerts.incidents import IncidentLog, Kind, Link, Recovery, Trouble
from tranship.alerts.mail import EmailChannel
from tranship.alerts.notices import Notice, notices_of
from tranship.alerts.settings import AlertSettings
from tranship.alerts.webhooks import SlackChannel, TeamsChannel
from tranship.errors import ConfigurationError

LOGGER = logging.getLogger("test")
RUN = Link("Open the run", "https://dagster.example.com/runs/6f1c2a3b")


def stale(subject: str = "staging/DimDate") -> Trouble:
    return Trouble(Kind.RUN, subject, "No such table: dbo.DimDate.", 1_795_683_600, links=(RUN,))


def log_of(*troubles: Trouble) -> IncidentLog:
    log = IncidentLog()
    for trouble in troubles:
        log.add(trouble)
    return log


def notice() -> Notice:
    [notice] = notices_of(log_of(stale()).owed("any"))
    return notice


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between two tries are not waited for."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)


@pytest.fixture
def mail(mail_server: MailServer) -> EmailChannel:
    return EmailChannel(
        "127.0.0.1", "etl@example.com", ("a@example.com",), port=mail_server.port, security="none"
    )


@pytest.mark.usefixtures("quick")
def test_an_alert_arrives_once_when_its_channel_is_back(
    webhook: WebhookServer, mail_server: MailServer, mail: EmailChannel
):
    channels: Sequence[Channel] = [SlackChannel(webhook.url()), mail]
    log = log_of(stale())
    webhook.stop()
    delivered = deliver(log, channels, logger=LOGGER)
    assert delivered.sent == 1
    assert "Slack at 127.0.0.1 did not answer (Connection refused)." in delivered.problems["Slack"]
    assert len(mail_server.mails) == 1

    log = IncidentLog.loads(log.dumps())
    webhook.start()
    for _ in range(3):
        deliver(log, channels, logger=LOGGER)
    assert [body["text"] for body in webhook.bodies] == ["🔴 Failed: staging/DimDate"]
    assert len(mail_server.mails) == 1


@pytest.mark.usefixtures("quick")
def test_what_is_over_before_a_channel_is_back_is_told_with_its_end(webhook: WebhookServer):
    channels = [SlackChannel(webhook.url())]
    log = log_of(stale())
    webhook.answer = 503
    deliver(log, channels, logger=LOGGER)
    log.recover(Recovery(Kind.RUN, "staging/DimDate", 1_795_687_200))
    deliver(log, channels, logger=LOGGER)
    webhook.answer = 200
    deliver(log, channels, logger=LOGGER)
    assert [body["text"][0] for body in webhook.bodies] == ["🔴", "🟢"]
    assert log.incidents == []


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("answer", "calls"), [(503, 3), (429, 3), (404, 1), (302, 1)])
def test_only_what_may_pass_is_tried_again_at_once(webhook: WebhookServer, answer: int, calls: int):
    webhook.answer = answer
    webhook.say = "no_service"
    delivered = deliver(log_of(stale()), [SlackChannel(webhook.url())], logger=LOGGER)
    assert f"Slack answered {answer} no_service." in delivered.problems["Slack"]
    assert webhook.calls == calls


def test_a_channel_that_hangs_delays_nobody_longer_than_the_budget(webhook: WebhookServer):
    class Hanging:
        name = "hanging"

        def send(self, notice: Notice) -> None:
            time.sleep(30)

    log = log_of(stale())
    started = time.monotonic()
    delivered = deliver(
        log, [Hanging(), SlackChannel(webhook.url())], logger=LOGGER, budget_seconds=1.0
    )
    assert time.monotonic() - started < 25
    assert delivered.sent == 1
    assert delivered.problems == {"hanging": "Not done after 1 s."}
    assert len(log.owed("hanging")) == 1


class Picky:
    """A channel that never takes one of the messages."""

    name = "picky"

    def __init__(self, error: Exception):
        self.error = error
        self.taken: list[str] = []

    def send(self, notice: Notice) -> None:
        if notice.title == "Failed: a":
            raise self.error
        self.taken.append(notice.title)


@pytest.mark.parametrize("error", [NotDeliveredError("invalid_blocks"), KeyError("blocks")])
def test_a_message_that_is_refused_does_not_hold_back_the_next_ones(error: Exception):
    channel = Picky(error)
    log = log_of(stale("a"), stale("b"), stale("c"))
    delivered = deliver(log, [channel], logger=LOGGER)
    assert channel.taken == ["Failed: b", "Failed: c"]
    assert delivered.sent == 2
    assert list(delivered.problems) == ["picky"]
    assert [incident.trouble.subject for _, incident in log.owed("picky")] == ["a"]


def test_two_channels_of_one_name_are_refused():
    channels = [Picky(KeyError()), Picky(KeyError())]
    with pytest.raises(ConfigurationError, match="Two channels have one name: picky, picky"):
        deliver(IncidentLog(), channels, logger=LOGGER)


def test_teams_gets_an_adaptive_card(webhook: WebhookServer):
    TeamsChannel(webhook.url(TEAMS_PATH)).send(notice())
    [(path, body)] = webhook.received
    assert path == TEAMS_PATH
    [attachment] = body["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert card["type"] == "AdaptiveCard"
    texts = [run["text"] for block in card["body"] for run in block["inlines"]]
    assert texts[:3] == [
        "🔴 Failed: staging/DimDate",
        "staging/DimDate",
        "No such table: dbo.DimDate.",
    ]
    assert card["actions"] == [{"type": "Action.OpenUrl", "title": "Open the run", "url": RUN.url}]


# ---- mail ----


@pytest.fixture
def encrypted(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """A mail server that offers STARTTLS with a certificate that this process trusts."""
    certificate, key = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with MailServer(tls=server_context(certificate, key)) as server:
        yield server


def channel_to(server: MailServer, **changes) -> EmailChannel:
    given = {"port": server.port, "user": SMTP_USER, "password": SMTP_PASSWORD}
    recipients = ("a@example.com", "b@example.com")
    return EmailChannel("127.0.0.1", "ETL <etl@example.com>", recipients, **(given | changes))


def test_a_mail_is_sent_encrypted_and_with_a_login(encrypted: MailServer):
    channel_to(encrypted).send(notice())
    assert encrypted.logins == [(SMTP_USER, SMTP_PASSWORD, True)]
    assert encrypted.recipients == [["a@example.com", "b@example.com"]]
    [mail] = encrypted.mails
    assert mail["Subject"] == "[Tranship] Failed: staging/DimDate"
    assert mail["From"] == "ETL <etl@example.com>"
    assert mail.get_content().splitlines() == [
        "Failed: staging/DimDate",
        "",
        "staging/DimDate",
        "No such table: dbo.DimDate.",
        "",
        "Since: 2026-11-26 09:00 UTC",
        f"Open the run: {RUN.url}",
    ]


def test_a_connection_can_be_encrypted_from_its_first_byte(
    tmp_path, monkeypatch: pytest.MonkeyPatch
):
    certificate, key = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with MailServer(server_context(certificate, key), encrypted_at_once=True) as server:
        channel_to(server, security="tls").send(notice())
        assert server.logins == [(SMTP_USER, SMTP_PASSWORD, True)]
        assert len(server.mails) == 1


def test_the_mail_of_a_recovery_joins_the_thread_of_its_alert(
    mail_server: MailServer, mail: EmailChannel
):
    log = log_of(stale())
    deliver(log, [mail], logger=LOGGER)
    log.recover(Recovery(Kind.RUN, "staging/DimDate", 1_795_687_200))
    deliver(log, [mail], logger=LOGGER)
    alert, recovery = mail_server.mails
    assert recovery["Subject"] == "[Tranship] Loaded again: staging/DimDate"
    assert recovery["References"] == alert["References"]
    assert recovery["Message-ID"] != alert["Message-ID"]
    assert "Recovered: 2026-11-26 10:00 UTC, after 60 min" in recovery.get_content()


def test_a_wrong_password_is_told_without_the_password_and_not_tried_again(encrypted: MailServer):
    with pytest.raises(NotDeliveredError, match="535 wrong password") as refused:
        channel_to(encrypted, password="s3cr3t-of-smtp-but-old").send(notice())
    assert "s3cr3t" not in str(refused.value)
    assert f"Check user and password of {SMTP_USER}." in str(refused.value)
    assert not refused.value.transient


def test_a_server_without_encryption_gets_no_password(mail_server: MailServer):
    with pytest.raises(NotDeliveredError, match="STARTTLS"):
        channel_to(mail_server).send(notice())
    assert mail_server.logins == []


def test_a_certificate_that_is_not_trusted_is_refused(
    encrypted: MailServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(NotDeliveredError, match=r"is not trusted.*SSL_CERT_FILE"):
        channel_to(encrypted).send(notice())


def test_a_mail_that_some_recipients_get_is_not_sent_again(caplog: pytest.LogCaptureFixture):
    with MailServer(refused=("b@example.com",)) as server:
        channel = channel_to(server, user="", password="", security="none")
        log = log_of(stale())
        for _ in range(2):
            deliver(log, [channel], logger=LOGGER)
        assert server.recipients == [["a@example.com"]]
    assert "took the mail, but not for b@example.com." in caplog.text


def test_a_mail_server_that_is_down_is_tried_again():
    with MailServer() as server:
        channel = channel_to(server, user="", password="", security="none")
    with pytest.raises(ChannelDownError, match=r"The mail server 127\.0\.0\.1 did not answer"):
        channel.send(notice())


# ---- all of it together, from the environment ----


def test_channels_from_the_environment_get_the_alert(webhook: WebhookServer, encrypted: MailServer):
    settings = AlertSettings.from_environment(
        {
            "TRANSHIP_ALERT_SLACK_WEBHOOK": webhook.url(),
            "TRANSHIP_ALERT_TEAMS_WEBHOOK": webhook.url(TEAMS_PATH),
            "TRANSHIP_ALERT_SMTP_HOST": "127.0.0.1",
            "TRANSHIP_ALERT_SMTP_PORT": str(encrypted.port),
            "TRANSHIP_ALERT_SMTP_USER": SMTP_USER,
            "TRANSHIP_ALERT_SMTP_PASSWORD": SMTP_PASSWORD,
            "TRANSHIP_ALERT_SMTP_TO": "a@example.com, b@example.com",
        }
    )
    delivered = deliver(log_of(stale()), settings.channels(), logger=LOGGER)
    assert str(delivered) == "3 messages sent."
    assert len(webhook.bodies) == 2
    assert encrypted.recipients == [["a@example.com", "b@example.com"]]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("answer", [404, 503])
@pytest.mark.parametrize(("make", "path"), [(SlackChannel, SLACK_PATH), (TeamsChannel, TEAMS_PATH)])
def test_an_answer_that_repeats_the_address_is_told_without_it(
    webhook: WebhookServer, make: Callable[[str], Channel], path: str, answer: int
):
    webhook.answer = answer
    webhook.say = f"nothing at {webhook.url(path)} or {path}"
    channel = make(webhook.url(path))
    log = log_of(stale())
    problem = str(deliver(log, [channel], logger=LOGGER))
    assert f"answered {answer} nothing at *** or ***" in problem
    assert "s3cr3t" not in problem + repr(channel) + log.dumps()


def test_a_channel_does_not_show_its_password():
    channel = EmailChannel("127.0.0.1", "a@b.c", ("d@e.f",), 1, SMTP_USER, SMTP_PASSWORD)
    assert "s3cr3t" not in repr(channel)
