"""What people read: short, complete, and never markup that came from a cause."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranship.alerts.incidents import Change, IncidentLog, Kind, Link, Recovery, Trouble
from tranship.alerts.notices import MAX_CAUSES, MAX_SUBJECTS, Notice, notices_of
from tranship.alerts.rendering import (
    SLACK_HEADER_LENGTH,
    SLACK_TEXT_LENGTH,
    TEAMS_BYTES,
    as_email,
    as_sent,
    as_slack,
    as_teams,
    as_text,
)

RUN = Link("Open the run", "https://dagster.example.com/runs/6f1c2a3b")
NOON = 1_795_694_400.0


def trouble(subject: str = "staging/DimDate", cause: str = "No such table.", **changes) -> Trouble:
    given = {"links": (RUN,), "where": "run 6f1c2a3b of staging_job", "group": "6f1c2a3b"}
    return Trouble(Kind.RUN, subject, cause, NOON, **(given | changes))


def notice(*troubles: Trouble) -> Notice:
    log = IncidentLog()
    for found in troubles:
        log.add(found)
    [notice] = notices_of(log.owed("any"))
    return notice


def recovered(*troubles: Trouble) -> Notice:
    log = IncidentLog()
    for found in troubles:
        log.add(found)
        log.mark_told("any", Change.ALERT, log.incidents)
        log.recover(Recovery(Kind.RUN, found.subject, NOON + 5400, (RUN,), None, "other run"))
    [notice] = notices_of(log.owed("any"))
    return notice


def test_a_message_says_what_why_when_and_where_to_look():
    assert as_text(notice(trouble())) == (
        "Failed: staging/DimDate\n\n"
        "staging/DimDate\nNo such table.\n\n"
        "Since: 2026-11-26 12:00 UTC\nIn: run 6f1c2a3b of staging_job\n"
        "Open the run: https://dagster.example.com/runs/6f1c2a3b\n"
    )


def test_the_end_says_how_long_it_took_and_what_the_cause_was():
    text = as_text(recovered(trouble()))
    assert text.startswith("Loaded again: staging/DimDate\n")
    assert "The cause was: No such table.\n" in text
    assert "Recovered: 2026-11-26 13:30 UTC, after 90 min\n" in text
    assert "Failed in: run 6f1c2a3b of staging_job\n" in text


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        (Kind.RUN, "Failed: x"),
        (Kind.CHECK, "Check failed: x"),
        (Kind.STALE, "Stale: x"),
        (Kind.DAEMON, "Not working: x"),
        (Kind.LEFT_OUT, "Left out: x"),
        (Kind.TICK, "Failing: x"),
    ],
)
def test_each_kind_has_its_own_title(kind: Kind, title: str):
    assert notice(Trouble(kind, "x", "y", NOON)).title == title


def test_forty_tables_with_one_cause_are_one_paragraph():
    many = notice(*(trouble(f"staging/t{number:02}") for number in range(40)))
    assert many.title == "Failed: staging/t00 and 39 more"
    [section] = many.sections
    assert section.cause == "No such table."
    assert section.subjects.count("staging/") == MAX_SUBJECTS
    assert section.subjects.endswith("and 20 more")


def test_many_causes_are_cut_after_five():
    many = notice(*(trouble(f"t{number}", f"cause {number}") for number in range(9)))
    assert [section.cause for section in many.sections[:-1]] == [
        f"cause {number}" for number in range(MAX_CAUSES)
    ]
    assert many.sections[-1].subjects == "t5, t6, t7, t8"


def test_troubles_of_different_runs_are_different_messages():
    log = IncidentLog()
    log.add(trouble("a", group="run 1"))
    log.add(trouble("b", group="run 2"))
    log.add(trouble("c", group=""))
    log.add(trouble("d", group=""))
    assert [len(found.incidents) for found in notices_of(log.owed("any"))] == [1, 1, 1, 1]


EVIL = 'a <!channel> [b](https://evil.example.com) *c* "d" & </e>'


def test_slack_reads_no_markup_out_of_a_cause_or_a_name():
    body = as_slack(notice(trouble(EVIL, EVIL)))
    assert "<!channel>" not in body["text"]
    for block in body["blocks"]:
        texts = [block["text"]] if "text" in block else block["elements"]
        for text in texts:
            if text["type"] == "mrkdwn":
                assert text["text"] == f"<{RUN.url}|Open the run>"
            else:
                assert text["type"] == "plain_text"


def test_teams_reads_no_markup_out_of_a_cause_or_a_name():
    [attachment] = as_teams(notice(trouble(EVIL, EVIL)))["attachments"]
    assert {block["type"] for block in attachment["content"]["body"]} == {"RichTextBlock"}


def test_a_mail_keeps_its_headers_whatever_a_table_is_called():
    name = "a\r\nBcc: everybody@example.com"
    mail = as_email(notice(trouble(name)), "etl@example.com", ["a@example.com"])
    assert mail["Subject"] == "[Tranship] Failed: a Bcc: everybody@example.com"
    assert mail["Bcc"] is None
    assert mail["Auto-Submitted"] == "auto-generated"


def test_slack_gets_no_text_that_is_longer_than_it_takes():
    body = as_slack(
        notice(*(trouble("n" * 500 + str(number), "c" * 9_000) for number in range(30)))
    )
    header, *rest = body["blocks"]
    assert len(header["text"]["text"]) == SLACK_HEADER_LENGTH
    sections = [block["text"]["text"] for block in rest if block["type"] == "section"]
    assert max(len(text) for text in sections) <= SLACK_TEXT_LENGTH
    assert len(body["blocks"]) <= 50


@given(
    sign=st.sampled_from(["x", "接", "😀", '"', "\\", "ü"]),
    length=st.integers(0, 1_500),
    tables=st.integers(1, 120),
    partitions=st.integers(0, 40),
    causes=st.integers(1, 8),
)
def test_teams_gets_no_card_that_is_larger_than_it_shows(
    sign: str, length: int, tables: int, partitions: int, causes: int
):
    parts = frozenset(f"2024-01-{day:02}|region {sign * 20}" for day in range(partitions)) or {""}
    troubles = (
        trouble(
            f"warehouse/{sign * 100}{number}",
            f"{number % causes} {sign * length}",
            parts=frozenset(parts),
        )
        for number in range(tables)
    )
    told = notice(*troubles)
    sent = as_sent(as_teams(told))
    assert len(sent) <= TEAMS_BYTES < 28_000
    # What is cut is cut no further than it has to be.
    assert len(sent) > TEAMS_BYTES - 1_000 or "…" not in sent.decode() or length > 1_490
    assert RUN.url in sent.decode()


def test_a_card_that_fits_is_sent_whole():
    [attachment] = as_teams(notice(trouble("staging/DimDate", "c" * 1_400)))["attachments"]
    texts = [one["inlines"][0]["text"] for one in attachment["content"]["body"]]
    assert texts[1:3] == ["staging/DimDate", "c" * 1_400]
