"""What is wrong at the moment, and which channel knows: the memory that keeps alerts at one per incident.

`IncidentLog` is fed with troubles and recoveries as they are found, says what each channel is owed, and is told
what a channel took. It is plain data: `dumps` and `loads` carry it from one sensor tick to the next.
"""

import enum
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

MAX_INCIDENTS = 500
"""More are not remembered: the oldest go, and would be told again."""
MAX_CAUSE_LENGTH = 1_500


class Kind(enum.StrEnum):
    """What sort of thing went wrong."""

    RUN = "run"
    CHECK = "check"
    STALE = "stale"
    DAEMON = "daemon"
    LEFT_OUT = "left out"
    TICK = "tick"


class Change(enum.StrEnum):
    """What a channel is told about an incident."""

    ALERT = "alert"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True)
class Link:
    """A page of the UI.

    Args:
        label: What it shows, as on a button: "Open the run".
        url: Its address.
    """

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that was found to be wrong.

    Args:
        kind: What sort of thing.
        subject: What is wrong, as the reader knows it: a table, a check of it, a step, a daemon.
        cause: Why, in the words of whoever knows best; cut after 1,500 characters, and freed of what is no text.
        time: When, in seconds since 1970.
        links: Where to look, the most useful first.
        where: What it happened in: "run 6f1c2a3b of staging_job".
        scope: Tells incidents of one subject apart: the partition, or the backfill.
        parts: What has to recover before the incident is over; partitions, or one empty name.
        group: Troubles of one group are told in one message: those of a run, or of a backfill.
        setting: A fingerprint of the run's configuration: a later run with the same one speaks for this one too.
    """

    kind: Kind
    subject: str
    cause: str
    time: float
    links: tuple[Link, ...] = ()
    where: str = ""
    scope: str = ""
    parts: frozenset[str] = frozenset({""})
    group: str = ""
    setting: str = ""

    def __post_init__(self) -> None:
        # Half a character, or a NUL, is a message that no channel takes.
        cause = "".join(
            sign if sign.isprintable() or sign in "\n\t" else " " for sign in self.cause
        )
        if len(cause) > MAX_CAUSE_LENGTH:
            cause = cause[: MAX_CAUSE_LENGTH - 2] + " …"
        object.__setattr__(self, "cause", cause)

    @property
    def key(self) -> str:
        """What makes it the same incident when it is found again."""
        return "|".join((self.kind, self.subject, self.scope))


@dataclass(frozen=True, slots=True)
class Recovery:
    """Something that was found to be right again.

    Args:
        kind: What sort of thing.
        subject: As in the trouble.
        time: When, in seconds since 1970.
        links: Where to look.
        part: The part that is right; `None` for all of them.
        group: As in the trouble.
    """

    kind: Kind
    subject: str
    time: float
    links: tuple[Link, ...] = ()
    part: str | None = None
    group: str = ""


@dataclass(frozen=True, slots=True)
class Incident:
    """A trouble from when it was found until every channel knows that it is over.

    Args:
        trouble: The trouble as it was found first.
        parts: All that was broken at some time.
        broken: What of it has not recovered.
        recovery: What ended it; `None` while it lasts.
        told: What each channel was told last.
    """

    trouble: Trouble
    parts: frozenset[str]
    broken: frozenset[str]
    recovery: Recovery | None = None
    told: Mapping[str, Change] = field(default_factory=dict[str, Change])

    @classmethod
    def begun_by(cls, trouble: Trouble, told: Mapping[str, Change] | None = None) -> "Incident":
        """An incident that was just found."""
        return cls(trouble, parts=trouble.parts, broken=trouble.parts, told=told or {})


class IncidentLog:
    """The incidents that are open, or whose end is not known to every channel yet.

    Example:
        >>> log = IncidentLog()
        >>> log.add(Trouble(Kind.STALE, "staging/DimDate", "No rows since Monday.", time=0))
        >>> [change.value for change, incident in log.owed("slack")]
        ['alert']
        >>> log.mark_told("slack", Change.ALERT, log.incidents)
        >>> log.owed("slack")
        []
    """

    def __init__(self, incidents: Iterable[Incident] = ()):
        self._incidents = {incident.trouble.key: incident for incident in incidents}

    @property
    def incidents(self) -> list[Incident]:
        """All that is remembered, in the order in which it was found."""
        return list(self._incidents.values())

    def open(self, kind: Kind) -> list[Incident]:
        """Those of a kind that are not over."""
        return [
            incident
            for incident in self._incidents.values()
            if incident.trouble.kind is kind and incident.recovery is None
        ]

    def add(self, trouble: Trouble) -> None:
        """Take in a trouble: a new incident, or more of one that is open."""
        earlier = self._incidents.get(trouble.key)
        if earlier is not None and earlier.recovery is None:
            self._incidents[trouble.key] = replace(
                earlier, parts=earlier.parts | trouble.parts, broken=earlier.broken | trouble.parts
            )
            return
        # A channel that has not heard of the recovery yet still believes the incident to be open, and is right.
        believing = {} if earlier is None else _those_that_think_it_open(earlier)
        self._incidents.pop(trouble.key, None)
        self._incidents[trouble.key] = Incident.begun_by(trouble, believing)
        while len(self._incidents) > MAX_INCIDENTS:
            del self._incidents[next(iter(self._incidents))]

    def recover(self, recovery: Recovery) -> None:
        """Take in a recovery; incidents that have no broken part left are over."""
        for incident in self.open(recovery.kind):
            if incident.trouble.subject != recovery.subject:
                continue
            healed = incident.broken if recovery.part is None else frozenset({recovery.part})
            broken = incident.broken - healed
            self._incidents[incident.trouble.key] = replace(
                incident, broken=broken, recovery=None if broken else recovery
            )

    def drop(self, incident: Incident) -> None:
        """Forget an incident whose subject is no longer watched."""
        self._incidents.pop(incident.trouble.key, None)

    def owed(self, channel: str) -> list[tuple[Change, Incident]]:
        """Give what a channel has to be told, in the order in which it should be."""
        alerts = [
            (Change.ALERT, incident)
            for incident in self._incidents.values()
            if channel not in incident.told
        ]
        recoveries = [
            (Change.RECOVERY, incident)
            for incident in self._incidents.values()
            if incident.recovery and incident.told.get(channel) is not Change.RECOVERY
        ]
        return alerts + recoveries

    def mark_told(self, channel: str, change: Change, incidents: Iterable[Incident]) -> None:
        """Remember that a channel took a message about some incidents."""
        for incident in incidents:
            earlier = self._incidents.get(incident.trouble.key)
            if earlier is not None:
                told = {**earlier.told, channel: change}
                self._incidents[incident.trouble.key] = replace(earlier, told=told)

    def forget_settled(self, channels: Collection[str]) -> None:
        """Forget what is over where every channel knows it, and what channels that are gone were told."""
        for key, incident in list(self._incidents.items()):
            told = {name: change for name, change in incident.told.items() if name in channels}
            knowing = {name for name, change in told.items() if change is Change.RECOVERY}
            if incident.recovery and knowing.issuperset(channels):
                del self._incidents[key]
            elif told != incident.told:
                self._incidents[key] = replace(incident, told=told)

    def to_plain(self) -> list[dict[str, Any]]:
        """Give the incidents as values that JSON knows."""
        plain: list[dict[str, Any]] = []
        for incident in self._incidents.values():
            values = asdict(incident)
            values["parts"] = sorted(incident.parts)
            values["broken"] = sorted(incident.broken)
            values["trouble"]["parts"] = sorted(incident.trouble.parts)
            plain.append(values)
        return plain

    @classmethod
    def from_plain(cls, plain: Iterable[Mapping[str, Any]]) -> "IncidentLog":
        """Read what `to_plain` gave."""
        return cls(_incident(values) for values in plain)

    def dumps(self) -> str:
        """Write the log as text."""
        return json.dumps(self.to_plain(), separators=(",", ":"))

    @classmethod
    def loads(cls, text: str) -> "IncidentLog":
        """Read what `dumps` wrote."""
        return cls.from_plain(json.loads(text))


def _those_that_think_it_open(incident: Incident) -> dict[str, Change]:
    return {name: told for name, told in incident.told.items() if told is Change.ALERT}


def _incident(values: Mapping[str, Any]) -> Incident:
    trouble, recovery = _revived(values["trouble"]), values["recovery"]
    trouble["parts"] = frozenset(trouble["parts"])
    return Incident(
        trouble=Trouble(**trouble),
        parts=frozenset(values["parts"]),
        broken=frozenset(values["broken"]),
        recovery=None if recovery is None else Recovery(**_revived(recovery)),
        told={name: Change(change) for name, change in values["told"].items()},
    )


def _revived(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a trouble or a recovery, of which JSON knows neither the kind nor the links."""
    return {**values, "kind": Kind(values["kind"]), "links": _links(values["links"])}


def _links(plain: Iterable[Mapping[str, str]]) -> tuple[Link, ...]:
    return tuple(Link(**link) for link in plain)
