"""What a sensor of changes knows of each table: what was seen of it at its last successful load, and what was asked since.

Plain values and rules; no Dagster here. A table's mark moves when a load that was asked for has succeeded, never before, and is
compared for being another one, not a later one: a table that changes and changes back is loaded after each change.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

LONGEST_PAUSE_SECONDS = 3600.0
LAUNCH_SECONDS = 600.0
"""How long the run of a load that was asked for may take to appear, before it is asked for again."""
_VERSION = 2
"""Of the cursor's form. The first one moved a mark when a run was asked for, so what it says was not always loaded."""


class Outcome(StrEnum):
    """What became of a load that was asked for."""

    UNDER_WAY = "under way"
    LOADED = "loaded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """There is no run of it: it is not launched yet, was never launched, or was deleted."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A load that was asked for.

    Args:
        token: What its run is known by.
        mark: What was seen of the table when it was asked for, before any row was read.
        at: When it was asked for, in seconds.
        is_launched: Whether its run was seen.
    """

    token: str
    mark: str
    at: float
    is_launched: bool = False


@dataclass(frozen=True, slots=True)
class Watched:
    """One table.

    Args:
        seen: What was seen of it before its last successful load; `None` before the first.
        asked: The load that was asked for and whose outcome is not known yet.
        failures: Loads that failed in a row.
        not_before: The moment, in seconds, before which it is not asked for again.
    """

    seen: str | None = None
    asked: Asked | None = None
    failures: int = 0
    not_before: float = 0.0

    def settled(self, outcome: Outcome, now: float, pause_seconds: float) -> "Watched":
        """The same once something is known of the load that was asked for.

        Args:
            outcome: What became of it.
            now: The time, in seconds.
            pause_seconds: The pause after one failure; it doubles with each, up to an hour.

        Example:
            >>> asked = Watched(asked=Asked("run", "mark", at=90))
            >>> asked.settled(Outcome.LOADED, 0, 60)
            Watched(seen='mark', asked=None, failures=0, not_before=0.0)
            >>> asked.settled(Outcome.FAILED, 100, 60).not_before
            160
        """
        if self.asked is None:
            return self
        if outcome is Outcome.UNDER_WAY:
            return replace(self, asked=replace(self.asked, is_launched=True))
        if outcome is Outcome.LOADED:
            return Watched(seen=self.asked.mark)
        if outcome is Outcome.UNKNOWN:
            waits = not self.asked.is_launched and 0 <= now - self.asked.at < LAUNCH_SECONDS
            return self if waits else replace(self, asked=None)
        failures = self.failures + 1
        pause = min(pause_seconds * 2 ** min(failures - 1, 30), LONGEST_PAUSE_SECONDS)
        return replace(self, asked=None, failures=failures, not_before=now + pause)

    def is_free(self, now: float) -> bool:
        """Whether it may be asked for now: nothing is under way, and no failure is too fresh."""
        # A clock that was set back must not make a pause of an hour one of a year.
        waits = now < self.not_before <= now + LONGEST_PAUSE_SECONDS
        is_loading = self.asked is not None and self.asked.is_launched
        return not is_loading and not waits

    def needs(self, mark: str) -> bool:
        """Whether a load has to be asked for, by what is seen of the table now."""
        return mark not in {self.seen, self.asked.mark if self.asked else self.seen}

    def asks(self, token: str, mark: str, now: float) -> "Watched":
        """The same with a load that is asked for now."""
        return replace(self, asked=Asked(token, mark, now))


def from_cursor(cursor: str | None) -> dict[str, Watched]:
    """What a sensor's cursor says of each table; nothing where it was kept by rules of old.

    Example:
        >>> from_cursor(as_cursor({"a": Watched(seen="1")}))["a"].seen, from_cursor('{"a": "7:12"}')
        ('1', {})
    """
    kept: Any = json.loads(cursor or "{}")
    if kept.get("version") != _VERSION:
        return {}
    return {name: _watched(fields) for name, fields in kept["tables"].items()}


def as_cursor(tables: Mapping[str, Watched]) -> str:
    """The same as a text that a sensor keeps."""
    kept = {name: asdict(watched) for name, watched in tables.items()}
    return json.dumps({"version": _VERSION, "tables": kept}, sort_keys=True)


def _watched(fields: dict[str, Any]) -> Watched:
    asked = fields.pop("asked")
    return Watched(asked=None if asked is None else Asked(**asked), **fields)
