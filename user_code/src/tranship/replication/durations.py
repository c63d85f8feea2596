"""Spans of time and shares as people write them in configuration: `15 minutes`, `7 days`, `20%`."""

import re
from datetime import timedelta
from decimal import Decimal

from tranship.errors import ConfigurationError

_UNITS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
_SHARE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*%\s*$")
_SPAN = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([a-z]+?)s?\s*$", re.IGNORECASE)


def parse_duration(text: str, setting: str) -> timedelta:
    """Read a span of time.

    Args:
        text: A number and a unit: seconds, minutes, hours, days or weeks.
        setting: What it was given for, for the message.

    Raises:
        ConfigurationError: It is no span of time.

    Example:
        >>> parse_duration("36 hours", "freshness")
        datetime.timedelta(days=1, seconds=43200)
    """
    match = _SPAN.match(text)
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ConfigurationError(
            f"{setting} is {text!r}, which is no span of time.",
            f"Write a number and a unit ({', '.join(f'{name}s' for name in _UNITS)}): 36 hours.",
        )
    return float(match[1]) * unit


def parse_share(text: str, setting: str) -> Decimal:
    """Read a share of a whole.

    Args:
        text: Percent, with the sign.
        setting: What it was given for, for the message.

    Raises:
        ConfigurationError: It is none from 0% to 100%.

    Example:
        >>> parse_share("2.5%", "delete_guard")
        Decimal('2.5')
    """
    match = _SHARE.match(text)
    if match is None or Decimal(match[1]) > 100:
        raise ConfigurationError(
            f"{setting} is {text!r}, which is no share of a whole.", "Write 0% to 100%: 20%."
        )
    return Decimal(match[1])
