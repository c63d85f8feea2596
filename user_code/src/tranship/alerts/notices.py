"""A notice: one message about one or several incidents that belong together, in plain words."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from tranship.alerts.incidents import Change, Incident, Kind, Link

MAX_SUBJECTS = 20
MAX_CAUSES = 5
MAX_PARTS = 10
_ADJECTIVES = {
    Kind.RUN: "Failed",
    Kind.CHECK: "Check failed",
    Kind.STALE: "Stale",
    Kind.DAEMON: "Not working",
    Kind.LEFT_OUT: "Left out",
    Kind.TICK: "Failing",
}
_RECOVERED = {
    Kind.RUN: "Loaded again",
    Kind.CHECK: "Check passes again",
    Kind.STALE: "Fresh again",
    Kind.DAEMON: "Working again",
    Kind.LEFT_OUT: "Taken in again",
    Kind.TICK: "Working again",
}


@dataclass(frozen=True, slots=True)
class Section:
    """What has the same cause.

    Args:
        subjects: Tables, checks, steps or daemons, with their partitions: "staging/DimDate, DimDate_2 and 3 more".
        cause: Why.
    """

    subjects: str
    cause: str


@dataclass(frozen=True, slots=True)
class Notice:
    """One message.

    Args:
        change: Whether it tells of a trouble or of its end.
        kind: What sort of thing.
        incidents: What it tells of; at least one.

    Example:
        >>> from tranship.alerts.incidents import Trouble
        >>> trouble = Trouble(Kind.RUN, "staging/DimDate", "No such table: dbo.DimDate.", time=0)
        >>> Notice(Change.ALERT, Kind.RUN, (Incident.begun_by(trouble),)).title
        'Failed: staging/DimDate'
    """

    change: Change
    kind: Kind
    incidents: tuple[Incident, ...]

    @property
    def title(self) -> str:
        """The message in one line."""
        words = _ADJECTIVES if self.change is Change.ALERT else _RECOVERED
        names = _unique(incident.trouble.subject for incident in self.incidents)
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        return f"{words[self.kind]}: {names[0]}{more}"

    @property
    def sections(self) -> list[Section]:
        """What is wrong, or was, by cause; at most five causes and twenty names for each."""
        by_cause: dict[str, list[str]] = {}
        for incident in self.incidents:
            by_cause.setdefault(incident.trouble.cause, []).append(_subject(incident))
        sections = [
            Section(_listed(subjects, MAX_SUBJECTS), cause)
            for cause, subjects in list(by_cause.items())[:MAX_CAUSES]
        ]
        rest = [
            subject for subjects in list(by_cause.values())[MAX_CAUSES:] for subject in subjects
        ]
        if rest:
            sections.append(Section(_listed(rest, MAX_SUBJECTS), "Other causes: see the run."))
        return sections

    @property
    def facts(self) -> list[tuple[str, str]]:
        """When and where, as pairs of a name and a value."""
        first = min(incident.trouble.time for incident in self.incidents)
        where = _listed(
            _unique(
                incident.trouble.where for incident in self.incidents if incident.trouble.where
            ),
            MAX_CAUSES,
        )
        facts = [("Since", _moment(first))]
        recoveries = [incident.recovery for incident in self.incidents if incident.recovery]
        if self.change is Change.RECOVERY and recoveries:
            over = max(recovery.time for recovery in recoveries)
            facts.append(("Recovered", f"{_moment(over)}, after {_duration(over - first)}"))
        inside = "In" if self.change is Change.ALERT else "Failed in"
        return [*facts, (inside, where)] if where else facts

    @property
    def links(self) -> list[Link]:
        """Where to look: of the first incident that knows."""
        for incident in self.incidents:
            ended = incident.recovery if self.change is Change.RECOVERY else None
            links = (ended.links if ended else ()) or incident.trouble.links
            if links:
                return list(links)
        return []

    @property
    def threads(self) -> list[str]:
        """Names that an alert and the end of its incidents share, for mail programs to group by."""
        names = (
            f"{incident.trouble.kind}|{incident.trouble.group}|{incident.trouble.time}"
            for incident in self.incidents
        )
        return _unique(hashlib.sha256(name.encode()).hexdigest()[:24] for name in names)[
            :MAX_CAUSES
        ]


def notices_of(owed: Iterable[tuple[Change, Incident]]) -> list[Notice]:
    """Put what is owed into messages: one for each run, backfill or look in which it was found or ended."""
    groups: dict[tuple[Change, Kind, str], list[Incident]] = {}
    for change, incident in owed:
        trouble, recovery = incident.trouble, incident.recovery
        group = recovery.group if change is Change.RECOVERY and recovery else trouble.group
        # Without a group an incident has a message of its own.
        groups.setdefault((change, trouble.kind, group or trouble.key), []).append(incident)
    return [
        Notice(change, kind, tuple(incidents)) for (change, kind, _), incidents in groups.items()
    ]


def _subject(incident: Incident) -> str:
    parts = sorted(part for part in incident.parts if part)
    if not parts:
        return incident.trouble.subject
    word = "thread" if incident.trouble.kind is Kind.DAEMON else "partition"
    words = word if len(parts) == 1 else f"{word}s"
    return f"{incident.trouble.subject} ({words} {_listed(parts, MAX_PARTS)})"


def _listed(names: list[str], most: int) -> str:
    shown, hidden = names[:most], len(names) - most
    return ", ".join(shown) + (f" and {hidden} more" if hidden > 0 else "")


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _duration(seconds: float) -> str:
    """Say how long something took.

    Example:
        >>> _duration(45), _duration(125), _duration(26 * 3600)
        ('45 s', '2 min', '26 h 0 min')
    """
    if seconds < 120:
        return f"{max(seconds, 0):.0f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
