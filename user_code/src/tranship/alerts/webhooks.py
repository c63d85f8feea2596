"""Slack and Teams: channels that take JSON at an address that is their secret."""

import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from tranship.alerts.channels import (
    MAX_ANSWER_LENGTH,
    TIMEOUT_SECONDS,
    ChannelDownError,
    NotDeliveredError,
    name_of,
)
from tranship.alerts.notices import Notice
from tranship.alerts.redirects import OPENER
from tranship.alerts.rendering import as_sent, as_slack, as_teams
from tranship.errors import ConfigurationError, redact
from tranship.secret import hide, quiet

#: Answers that another try may change.
_MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})


@quiet
@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that takes JSON; the address is the secret.

    Args:
        url: The address, http or https.
        name: What it belongs to, for messages.
    """

    url: str = field(repr=False)
    name: str

    def __post_init__(self) -> None:
        hide(self, "url")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(
                f"The webhook of {self.name} is no address of a web server.",
                "Copy it whole; it starts with https://.",
            )

    def post(self, body: Mapping[str, Any]) -> None:
        """Send a body; return when the server answered that it took it.

        Raises:
            ChannelDownError: The server does not answer, or says that it cannot now.
            NotDeliveredError: It refuses.
        """
        request = urllib.request.Request(
            self.url,
            as_sent(body),
            {"Content-Type": "application/json", "User-Agent": "tranship"},
        )
        try:
            with OPENER.open(request, timeout=TIMEOUT_SECONDS) as answer:
                answer.read(MAX_ANSWER_LENGTH)
        except urllib.error.HTTPError as error:
            with error:
                text = error.read(MAX_ANSWER_LENGTH).decode("utf-8", errors="replace").strip()
            problem = f"{self.name} answered {error.code} {self._redacted(text)}".rstrip(" .") + "."
            if error.code in _MAY_PASS:
                raise ChannelDownError(problem) from None
            raise NotDeliveredError(
                problem, "Make a new webhook if this one is gone, and set it as before."
            ) from None
        except ssl.SSLCertVerificationError as error:
            raise self._untrusted(error) from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                raise self._untrusted(error.reason) from None
            raise self._down(error.reason) from None
        except (OSError, HTTPException) as error:
            raise self._down(error) from None

    def _down(self, error: object) -> ChannelDownError:
        what = name_of(error)
        return ChannelDownError(
            f"{self.name} at {urlsplit(self.url).hostname} did not answer ({self._redacted(what)}).",
            "Check that this machine may reach it.",
        )

    def _untrusted(self, error: ssl.SSLCertVerificationError) -> NotDeliveredError:
        return NotDeliveredError(
            f"The certificate of {urlsplit(self.url).hostname} is not trusted: {error.verify_message}.",
            "Set SSL_CERT_FILE to a PEM file with its authority.",
        )

    def _redacted(self, text: str) -> str:
        parts = urlsplit(self.url)
        path = parts.path.rstrip("/")
        return redact(text, [self.url, f"{path}?{parts.query}", path, parts.query])


@quiet
@dataclass(frozen=True, slots=True)
class SlackChannel(Webhook):
    """A Slack channel, through an incoming webhook.

    Args:
        url: The webhook's address.
        name: What the log calls it.
    """

    name: str = "Slack"

    def send(self, notice: Notice) -> None:
        """Post a notice; see `Channel`."""
        self.post(as_slack(notice))


@quiet
@dataclass(frozen=True, slots=True)
class TeamsChannel(Webhook):
    """A Teams channel or chat, through a workflow that starts when a webhook request is received.

    Args:
        url: The workflow's address.
        name: What the log calls it.
    """

    name: str = "Teams"

    def send(self, notice: Notice) -> None:
        """Post a notice; see `Channel`."""
        self.post(as_teams(notice))
