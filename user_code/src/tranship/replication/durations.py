"""Spans of time as people write them in configuration: `15 minutes`, `7 days`."""

import re
from datetime import timedelta

from tranship.errors import ConfigurationError

_UNITS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
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
