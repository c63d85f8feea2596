"""Signing in to a mail server by OAuth 2, as Exchange Online and Gmail want it: SASL's XOAUTH2.

https://learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth
https://developers.google.com/gmail/imap/xoauth2-protocol
"""

import json
import smtplib
import ssl
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from http.client import HTTPException

from tranship.alerts.channels import (
    MAX_ANSWER_LENGTH,
    TIMEOUT_SECONDS,
    ChannelDownError,
    NotDeliveredError,
    name_of,
)
from tranship.alerts.redirects import OPENER
from tranship.errors import ConfigurationError, redact
from tranship.secret import hide, quiet

EXCHANGE_SCOPE = "https://outlook.office365.com/.default"
MICROSOFT_TOKEN_URL = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
_MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})


@quiet
@dataclass(frozen=True, slots=True)
class OAuth2:
    """An application that may send mail as somebody.

    Args:
        token_url: Where it gets its access tokens:
            `https://login.microsoftonline.com/<tenant>/oauth2/v2.0/token`, or `https://oauth2.googleapis.com/token`.
        client_id: The application.
        client_secret: Its secret.
        refresh_token: What the user has granted it, where the application has no rights of its own (Gmail).
        scope: What the token is for; Exchange Online's by default, and none with a refresh token.

    Raises:
        ConfigurationError: The address is not an https one.
    """

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    scope: str = EXCHANGE_SCOPE

    def __post_init__(self) -> None:
        hide(self, "client_secret", "refresh_token")
        parts = urllib.parse.urlsplit(self.token_url)
        local = parts.hostname in {"127.0.0.1", "::1", "localhost"}
        if not parts.hostname or (parts.scheme != "https" and not local):
            raise ConfigurationError(
                f"{self.token_url!r} is no address to get tokens at: a secret goes there, so it has to be https.",
                f"For Exchange Online it is {MICROSOFT_TOKEN_URL.format(tenant='<tenant>')}.",
            )

    def access_token(self) -> str:
        """Get a token; it is good for about an hour, and is asked for anew for each mail.

        Raises:
            ChannelDownError: The server does not answer, or not now.
            NotDeliveredError: It refuses.
        """
        form = {"client_id": self.client_id, "client_secret": self.client_secret}
        if self.refresh_token:
            form |= {"grant_type": "refresh_token", "refresh_token": self.refresh_token}
        else:
            form |= {"grant_type": "client_credentials", "scope": self.scope}
        request = urllib.request.Request(
            self.token_url, urllib.parse.urlencode(form).encode(), {"User-Agent": "tranship"}
        )
        host = urllib.parse.urlsplit(self.token_url).hostname
        try:
            with OPENER.open(request, timeout=TIMEOUT_SECONDS) as answer:
                token = json.load(answer).get("access_token")
        except urllib.error.HTTPError as error:
            with error:
                words = error.read(MAX_ANSWER_LENGTH).decode("utf-8", errors="replace").strip()
            problem = f"{host} gave no token for mail ({error.code} {self._redacted(words)})."
            if error.code in _MAY_PASS:
                raise ChannelDownError(problem) from None
            raise NotDeliveredError(problem, "Check tenant, client id and secret.") from None
        except (urllib.error.URLError, OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise NotDeliveredError(
                    f"The certificate of {host} is not trusted: {reason.verify_message}.",
                    "Set SSL_CERT_FILE to a PEM file with its authority.",
                ) from None
            raise ChannelDownError(
                f"{host} gave no token for mail ({self._redacted(name_of(reason))}).",
                "Check that this machine may reach it.",
            ) from None
        if not isinstance(token, str) or not token:
            raise NotDeliveredError(
                f"{host} answered without an access token.", "Check the token's address."
            )
        return token

    def sign_in(self, server: smtplib.SMTP, user: str) -> None:
        """Sign in to a mail server.

        Raises:
            smtplib.SMTPException: The server does not know XOAUTH2, or refuses.
        """
        token = self.access_token()
        server.ehlo_or_helo_if_needed()
        if "XOAUTH2" not in server.esmtp_features.get("auth", "").upper().split():
            raise smtplib.SMTPNotSupportedError("The server does not offer XOAUTH2.")

        def answered(challenge: bytes | None = None) -> str:
            # The one challenge there is tells of an error; an empty answer has the server say so in words.
            return "" if challenge else f"user={user}\x01auth=Bearer {token}\x01\x01"

        server.auth("XOAUTH2", answered)

    def _redacted(self, text: str) -> str:
        return redact(text, [self.client_secret, self.refresh_token])
