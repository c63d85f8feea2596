"""What a wall clock shows during a span of time, also where it goes back or leaps ahead within it.

In autumn an hour is shown twice, so two spans that do not touch may show the same times; in spring one is shown never.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

_FARTHEST = timedelta(hours=25)
"""No clock has gone back by more than a day, when places changed sides of the date line."""
_STEP = timedelta(minutes=30)
_MICROSECOND = timedelta(microseconds=1)


def shown_range(start: datetime, end: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """The earliest time that a clock shows from one instant on, and the first later than all it shows before another.

    Args:
        start: The first instant; has a zone.
        end: The first instant after it all; has a zone.
        zone: Where the clock is.

    Example:
        >>> from zoneinfo import ZoneInfo
        >>> berlin = ZoneInfo("Europe/Berlin")
        >>> low, high = shown_range(datetime(2024, 10, 27, 0, tzinfo=UTC), datetime(2024, 10, 27, 1, tzinfo=UTC), berlin)
        >>> str(low), str(high)
        ('2024-10-27 02:00:00', '2024-10-27 03:00:00')
    """
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    is_long = end - start > _FARTHEST
    after = _changes(start, start + _FARTHEST if is_long else end, zone)
    before = _changes(end - _FARTHEST if is_long else start, end, zone)
    low = min(_shown(one, zone) for one in (start, *after) if one < end)
    last = max(_shown(one - _MICROSECOND, zone) for one in (end, *before) if one > start)
    return low, max(_shown(end, zone), last + _MICROSECOND)


def is_shown_elsewhere(start: datetime, end: datetime, zone: tzinfo) -> bool:
    """Whether a clock shows a time of this span before or after it too.

    Example:
        >>> from zoneinfo import ZoneInfo
        >>> hour = datetime(2024, 10, 27, 1, tzinfo=UTC), datetime(2024, 10, 27, 2, tzinfo=UTC)
        >>> is_shown_elsewhere(*hour, ZoneInfo("Europe/Berlin")), is_shown_elsewhere(*hour, UTC)
        (True, False)
    """
    low, high = shown_range(start, end, zone)
    try:
        highest_before = shown_range(start - _FARTHEST, start, zone)[1]
        lowest_after = shown_range(end, end + _FARTHEST, zone)[0]
    except OverflowError:
        return False  # the first or the last day that there is
    return highest_before > low or lowest_after < high


def _changes(start: datetime, end: datetime, zone: tzinfo) -> list[datetime]:
    return list(_found(start, end, zone))


def _found(start: datetime, end: datetime, zone: tzinfo) -> Iterator[datetime]:
    """The instants after one and up to another at which the clock's offset changes."""
    low = start
    while low < end:
        high = min(low + _STEP, end)
        if _offset(low, zone) != _offset(high, zone):
            yield _first_with_new_offset(low, high, zone)
        low = high


def _first_with_new_offset(low: datetime, high: datetime, zone: tzinfo) -> datetime:
    old = _offset(low, zone)
    while high - low > _MICROSECOND:
        middle = low + (high - low) / 2
        low, high = (middle, high) if _offset(middle, zone) == old else (low, middle)
    return high


def _offset(instant: datetime, zone: tzinfo) -> timedelta | None:
    return instant.astimezone(zone).utcoffset()


def _shown(instant: datetime, zone: tzinfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)
