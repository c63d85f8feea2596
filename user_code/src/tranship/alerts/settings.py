"""Which channels there are, as the environment says. The names are those of `.env.example` and `docs/alerts.md`.

What sends is imported when channels are made, for every run loads these settings and sends nothing.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tranship.alerts.channels import Channel
from tranship.errors import ConfigurationError
from tranship.secret import Secret, hides_arguments

if TYPE_CHECKING:
    from tranship.alerts.mail import EmailChannel, OAuth2

HOW_TO_CONFIGURE = (
    "No alerts are sent: no channel is configured. Set TRANSHIP_ALERT_SLACK_WEBHOOK,"
    " TRANSHIP_ALERT_TEAMS_WEBHOOK, TRANSHIP_ALERT_SMTP_HOST with TRANSHIP_ALERT_SMTP_TO, or"
    " TRANSHIP_ALERT_CHANNELS; docs/alerts.md shows how."
)
DEFAULT_UI_URL = "http://127.0.0.1:3000"
_SLACK = "TRANSHIP_ALERT_SLACK_WEBHOOK"
_TEAMS = "TRANSHIP_ALERT_TEAMS_WEBHOOK"
_OWN = "TRANSHIP_ALERT_CHANNELS"
_SMTP = "TRANSHIP_ALERT_SMTP_"
_OAUTH = f"{_SMTP}OAUTH_"
_SECURITIES = ("starttls", "tls", "none")
_SECRETS = (_SLACK, _TEAMS, f"{_SMTP}PASSWORD", f"{_OAUTH}CLIENT_SECRET", f"{_OAUTH}REFRESH_TOKEN")


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """What the environment says about alerts.

    It is checked when channels are asked for, not when it is read: a wrong port must not keep a code location,
    and with it all data, from loading.

    Args:
        ui_url: Where the UI is, as seen by those who read the alerts.
        variables: The variables that name channels, those that are not empty.

    Example:
        >>> AlertSettings.from_environment({"TRANSHIP_ALERT_SLACK_WEBHOOK": ""}).configured
        False
    """

    ui_url: str = DEFAULT_UI_URL
    variables: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def __post_init__(self) -> None:
        hidden = {
            name: Secret(value) if name in _SECRETS else value
            for name, value in self.variables.items()
        }
        object.__setattr__(self, "variables", hidden)

    @classmethod
    @hides_arguments
    def from_environment(cls, environment: Mapping[str, str]) -> "AlertSettings":
        """Read the variables; empty ones count as not set."""
        variables = {
            name: value.strip()
            for name, value in environment.items()
            if name.startswith("TRANSHIP_ALERT_") and value.strip()
        }
        ui_url = environment.get("TRANSHIP_UI_URL", "").strip() or DEFAULT_UI_URL
        return cls(ui_url=ui_url.rstrip("/"), variables=variables)

    @property
    def configured(self) -> bool:
        """Whether any channel is named, rightly or wrongly."""
        return any(name in self.variables for name in (_SLACK, _TEAMS, f"{_SMTP}HOST", _OWN))

    def channels(self) -> list[Channel]:
        """Make the channels.

        Raises:
            ConfigurationError: A variable is missing or wrong; says which.
        """
        from tranship.alerts.webhooks import SlackChannel, TeamsChannel

        channels: list[Channel] = []
        if _SLACK in self.variables:
            channels.append(SlackChannel(self.variables[_SLACK]))
        if _TEAMS in self.variables:
            channels.append(TeamsChannel(self.variables[_TEAMS]))
        if f"{_SMTP}HOST" in self.variables:
            channels.append(self._email())
        if _OWN in self.variables:
            channels.extend(own_channels(self.variables[_OWN]))
        return channels

    def _email(self) -> "EmailChannel":
        from tranship.alerts.mail import EmailChannel

        smtp = {
            name.removeprefix(_SMTP): value
            for name, value in self.variables.items()
            if name.startswith(_SMTP)
        }
        user = smtp.get("USER", "")
        sender = smtp.get("FROM") or (user if "@" in user else "")
        recipients = tuple(
            address.strip() for address in smtp.get("TO", "").split(",") if address.strip()
        )
        if not recipients:
            raise ConfigurationError(
                f"{_SMTP}HOST is set, but {_SMTP}TO is not.",
                "Set it to the addresses that get the alerts, with commas between them.",
            )
        if not sender:
            raise ConfigurationError(
                f"{_SMTP}HOST is set, but {_SMTP}FROM is not.",
                "Set it to the address that the alerts come from.",
            )
        security = smtp.get("SECURITY", "starttls").lower()
        if security not in _SECURITIES:
            raise ConfigurationError(
                f"{_SMTP}SECURITY is {security!r}.", f"Use one of {', '.join(_SECURITIES)}."
            )
        return EmailChannel(
            host=smtp["HOST"],
            port=_port(smtp.get("PORT", "")),
            sender=sender,
            recipients=recipients,
            user=user,
            password=smtp.get("PASSWORD", ""),
            security=security,
            oauth=self._oauth(),
        )

    def _oauth(self) -> "OAuth2 | None":
        from tranship.alerts.mail import EXCHANGE_SCOPE, MICROSOFT_TOKEN_URL, OAuth2

        values = {
            name.removeprefix(_OAUTH): value
            for name, value in self.variables.items()
            if name.startswith(_OAUTH)
        }
        if not values:
            return None
        if tenant := values.get("TENANT"):
            values.setdefault("TOKEN_URL", MICROSOFT_TOKEN_URL.format(tenant=tenant))
        needed = ("TOKEN_URL", "CLIENT_ID", "CLIENT_SECRET")
        if missing := [f"{_OAUTH}{name}" for name in needed if not values.get(name)]:
            raise ConfigurationError(
                f"Variables {_OAUTH}... are set, but {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not.",
                f"Set what is missing; for Exchange Online {_OAUTH}TENANT does for {_OAUTH}TOKEN_URL.",
            )
        return OAuth2(
            token_url=values["TOKEN_URL"],
            client_id=values["CLIENT_ID"],
            client_secret=values["CLIENT_SECRET"],
            refresh_token=values.get("REFRESH_TOKEN", ""),
            scope=values.get("SCOPE", EXCHANGE_SCOPE),
        )


def own_channels(where: str) -> list[Channel]:
    """The channels of somebody's own that a function gives.

    Args:
        where: The function, as `package.module:function`.

    Raises:
        ConfigurationError: There is no such function, or it gives no channels.
    """
    module_name, _, function_name = where.partition(":")
    try:
        channels = list(getattr(importlib.import_module(module_name), function_name)())
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{_OWN} is {where!r}, which gives no channels: {error}.",
            "Write package.module:function, of a function without arguments that gives a list of channels, and see to it "
            "that the module is installed where the sensors run and where the watcher does.",
        ) from error
    if wrong := [one for one in channels if not hasattr(one, "send") or not hasattr(one, "name")]:
        raise ConfigurationError(
            f"{where} gives a {type(wrong[0]).__name__}, which is no channel.",
            "A channel has a name and a method send(notice).",
        )
    return channels


def _port(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65_536):
        raise ConfigurationError(
            f"{_SMTP}PORT is {text!r}, which is no port.",
            "Use a number, such as 587 for starttls or 465 for tls.",
        )
    return int(text)
