"""Every channel is told of every incident once, and of its end once, whatever happens in between."""

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranship.alerts.incidents import (
    MAX_CAUSE_LENGTH,
    MAX_INCIDENTS,
    Change,
    IncidentLog,
    Kind,
    Link,
    Recovery,
    Trouble,
)

CHANNELS = ("Slack", "e-mail")


def trouble(subject: str = "staging/DimDate", **changes) -> Trouble:
    return Trouble(Kind.RUN, subject, "It did not answer.", 100.0, **changes)


def recovery(subject: str = "staging/DimDate", part: str | None = "") -> Recovery:
    return Recovery(Kind.RUN, subject, 200.0, part=part)


def tell(log: IncidentLog, channel: str = "Slack") -> list[Change]:
    """Tell a channel all that it is owed."""
    owed = log.owed(channel)
    for change, incident in owed:
        log.mark_told(channel, change, [incident])
    return [change for change, _ in owed]


def test_an_incident_is_owed_to_each_channel_until_that_channel_was_told():
    log = IncidentLog()
    log.add(trouble())
    assert tell(log, "Slack") == [Change.ALERT]
    assert tell(log, "Slack") == []
    assert tell(log, "e-mail") == [Change.ALERT]


def test_the_end_is_owed_to_those_that_know_of_the_beginning():
    log = IncidentLog()
    log.add(trouble())
    tell(log, "Slack")
    log.recover(recovery())
    assert tell(log, "Slack") == [Change.RECOVERY]
    assert tell(log, "e-mail") == [Change.ALERT, Change.RECOVERY]
    log.forget_settled(CHANNELS)
    assert log.incidents == []


def test_a_channel_that_did_not_hear_of_the_end_is_not_told_of_the_next_beginning():
    log = IncidentLog()
    log.add(trouble())
    tell(log, "Slack")
    tell(log, "e-mail")
    log.recover(recovery())
    tell(log, "Slack")
    log.add(trouble())
    assert tell(log, "Slack") == [Change.ALERT]
    assert tell(log, "e-mail") == []
    log.recover(recovery())
    assert tell(log, "Slack") == tell(log, "e-mail") == [Change.RECOVERY]


def test_an_incident_with_several_parts_is_over_when_all_of_them_are():
    log = IncidentLog()
    log.add(trouble(scope="backfill abc", parts=frozenset({"2024-01-01"})))
    log.add(trouble(scope="backfill abc", parts=frozenset({"2024-01-02"})))
    log.recover(recovery(part="2024-01-01"))
    assert len(log.open(Kind.RUN)) == 1
    log.recover(recovery(part="2024-01-02"))
    assert log.open(Kind.RUN) == []
    [incident] = log.incidents
    assert incident.parts == {"2024-01-01", "2024-01-02"}


@pytest.mark.parametrize(
    "other",
    [
        recovery("staging/DimCustomer"),
        recovery(part="2024-01-01"),
        Recovery(Kind.CHECK, "staging/DimDate", 200.0),
    ],
)
def test_a_recovery_of_something_else_ends_nothing(other: Recovery):
    log = IncidentLog()
    log.add(trouble())
    log.recover(other)
    assert len(log.open(Kind.RUN)) == 1


def test_a_new_channel_hears_of_what_is_open():
    log = IncidentLog()
    log.add(trouble())
    tell(log, "Slack")
    log.forget_settled(["Slack"])
    assert tell(log, "Teams") == [Change.ALERT]


def test_a_channel_that_is_gone_keeps_nothing_in_memory():
    log = IncidentLog()
    log.add(trouble())
    tell(log, "Slack")
    log.recover(recovery())
    tell(log, "Slack")
    log.forget_settled(["Slack"])
    assert log.incidents == []


def test_the_memory_is_bounded():
    log = IncidentLog()
    for number in range(MAX_INCIDENTS + 10):
        log.add(trouble(f"table {number}", scope=""))
    assert len(log.incidents) == MAX_INCIDENTS
    assert log.incidents[-1].trouble.subject == f"table {MAX_INCIDENTS + 9}"


def test_a_cause_is_bounded():
    long = Trouble(Kind.RUN, "staging/DimDate", "x" * 10_000, 0)
    assert len(long.cause) == MAX_CAUSE_LENGTH
    assert long.cause.endswith(" …")


def test_a_cause_is_text():
    odd = Trouble(Kind.RUN, "staging/DimDate", "half \ud800, nul \0, two\nlines, é 漢 🔴", 0)
    assert odd.cause == "half  , nul  , two\nlines, é 漢 🔴"


TROUBLES = st.builds(
    Trouble,
    st.sampled_from(Kind),
    st.text(),
    st.text(),
    st.floats(0, 2e9),
    links=st.lists(st.builds(Link, st.text(), st.text())).map(tuple),
    where=st.text(),
    scope=st.text(),
    parts=st.frozensets(st.text(), min_size=1),
    group=st.text(),
    setting=st.text(),
)


@given(st.lists(TROUBLES), st.booleans())
def test_a_log_survives_being_written_and_read(troubles: list[Trouble], over: bool):
    log = IncidentLog()
    for found in troubles:
        log.add(found)
        log.mark_told("Slack", Change.ALERT, log.incidents)
        if over:
            log.recover(Recovery(found.kind, found.subject, 1.0, found.links))
    assert IncidentLog.loads(log.dumps()).incidents == log.incidents
    assert json.loads(log.dumps()) == json.loads(json.dumps(log.to_plain()))


# ---- any order of events, any channel down at any time ----


@dataclass
class Listener:
    """A channel: what it was told, and whether it is up."""

    up: bool = True
    told: list[Change] = field(default_factory=list)


STEPS = st.lists(
    st.tuples(st.sampled_from(["fail", "succeed", "look"]), st.booleans(), st.booleans())
)


@given(STEPS)
def test_alert_and_end_alternate_for_every_channel_and_none_is_lost(
    steps: list[tuple[str, bool, bool]],
):
    log = IncidentLog()
    listeners = {name: Listener() for name in CHANNELS}
    broken = False

    def look() -> None:
        nonlocal log
        for name, listener in listeners.items():
            if listener.up:
                listener.told += tell(log, name)
        log.forget_settled(CHANNELS)
        log = IncidentLog.loads(log.dumps())

    for step, slack_up, mail_up in steps:
        listeners["Slack"].up, listeners["e-mail"].up = slack_up, mail_up
        if step == "fail":
            broken = True
            log.add(trouble())
        elif step == "succeed":
            broken = False
            log.recover(recovery())
        else:
            look()
    listeners["Slack"].up = listeners["e-mail"].up = True
    look()

    for listener in listeners.values():
        expected = [Change.ALERT, Change.RECOVERY] * len(listener.told)
        assert listener.told == expected[: len(listener.told)]
        assert (listener.told[-1:] == [Change.ALERT]) is broken
    assert bool(log.incidents) is broken
    if any(step == "fail" for step, _, _ in steps):
        assert all(listener.told for listener in listeners.values())
