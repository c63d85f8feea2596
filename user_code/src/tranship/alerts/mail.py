"""Mail, through an SMTP server, to which a password signs in or OAuth 2 as Exchange Online and Gmail want it (SASL's XOAUTH2).

https://learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth
https://developers.google.com/gmail/imap/xoauth2-protocol
"""

import json
import smtplib
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Literal

from tranship.alerts.channels import (
    MAX_ANSWER_LENGTH,
    TIMEOUT_SECONDS,
    ChannelDownError,
    NotDeliveredError,
    RecipientsRefusedError,
    name_of,
)
from tranship.alerts.notices import Notice
from tranship.alerts.redirects import OPENER
from tranship.alerts.rendering import as_email
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


@quiet
@dataclass(frozen=True, slots=True)
class EmailChannel:
    """Mail, through an SMTP server.

    Args:
        host: The server.
        port: Its port; by default 587, or 465 with `security="tls"`, or 25 with `security="none"`.
        sender: The From address.
        recipients: Who gets the mails.
        user: Login; empty for a server that asks for none.
        password: Password of the login.
        oauth: The application that signs in as the user, instead of a password: Exchange Online takes no passwords.
        security: `starttls` turns the connection into an encrypted one and insists on it, `tls` starts with it,
            `none` sends in the clear and therefore takes no login.
        name: What the log calls it.
    """

    host: str
    sender: str
    recipients: tuple[str, ...]
    port: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    oauth: OAuth2 | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    name: str = "e-mail"

    def __post_init__(self) -> None:
        hide(self, "password")
        if not self.recipients:
            raise ConfigurationError("The mails have no recipient.", "Name at least one address.")
        if self.oauth is not None and (not self.user or self.password):
            raise ConfigurationError(
                "Signing in to the mail server by OAuth needs a user, and no password.",
                "Name the mailbox as the user, and leave the password out.",
            )
        if self.security == "none" and self.user:
            raise ConfigurationError(
                f"The password of {self.user} would travel to {self.host} in the clear.",
                "Use starttls or tls, or a server that needs no login.",
            )

    def send(self, notice: Notice) -> None:
        """Hand a mail to the server; see `Channel`."""
        message = as_email(notice, self.sender, list(self.recipients))
        try:
            with self._connection() as server:
                refused = server.send_message(message)
        except ssl.SSLCertVerificationError as error:
            raise NotDeliveredError(
                f"The certificate of {self.host} is not trusted: {error.verify_message}.",
                "Set SSL_CERT_FILE to a PEM file with its authority.",
            ) from None
        except smtplib.SMTPException as error:
            raise self._refusal(error) from None
        except OSError as error:
            raise ChannelDownError(
                f"The mail server {self.host} did not answer ({name_of(error)}).",
                "Check that this machine may reach it, and the port.",
            ) from None
        if refused:
            # Some got the mail: sending it again would tell them twice.
            raise RecipientsRefusedError(self.host, refused)

    def _connection(self) -> smtplib.SMTP:
        # The full name of this machine, which smtplib would use, can take a minute to look up.
        greeting = socket.gethostname()
        if self.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self.host,
                self.port or 465,
                local_hostname=greeting,
                timeout=TIMEOUT_SECONDS,
                context=ssl.create_default_context(),
            )
        else:
            port = self.port or (587 if self.security == "starttls" else 25)
            server = smtplib.SMTP(self.host, port, local_hostname=greeting, timeout=TIMEOUT_SECONDS)
        try:
            if self.security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if self.oauth is not None:
                self.oauth.sign_in(server, self.user)
            elif self.user:
                server.login(self.user, self.password)
        except BaseException:
            server.close()
            raise
        return server

    def _refusal(self, error: smtplib.SMTPException) -> NotDeliveredError:
        answer = redact(_said(error), [self.password])
        problem = f"The mail server {self.host} refused: {answer}".rstrip(".") + "."
        if isinstance(error, smtplib.SMTPAuthenticationError):
            remedy = (
                f"Check user and password of {self.user}."
                if self.oauth is None
                else f"Check that the application may send as {self.user}: the permission SMTP.SendAsApp, and its "
                "service principal's access to the mailbox."
            )
            return NotDeliveredError(problem, remedy)
        if isinstance(error, smtplib.SMTPNotSupportedError):
            return NotDeliveredError(
                problem, "Set the security that it offers: starttls, tls or none."
            )
        if isinstance(error, smtplib.SMTPServerDisconnected) or _is_for_now(error):
            return ChannelDownError(problem)
        return NotDeliveredError(problem, "Check the addresses of sender and recipients.")


def _said(error: smtplib.SMTPException) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        answers = [f"{who}: {_answer(*answer)}" for who, answer in error.recipients.items()]
        return "; ".join(answers)
    if isinstance(error, smtplib.SMTPResponseException):
        return _answer(error.smtp_code, error.smtp_error)
    return str(error)


def _answer(code: int, text: bytes | str) -> str:
    words = text.decode("utf-8", errors="replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(words.split())}"[:MAX_ANSWER_LENGTH]


def _is_for_now(error: smtplib.SMTPException) -> bool:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(400 <= code < 500 for code, _ in error.recipients.values())
    return isinstance(error, smtplib.SMTPResponseException) and 400 <= error.smtp_code < 500
