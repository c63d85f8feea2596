"""Notices as Slack, Teams and mail programs want them. Causes are never read as markup."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Any

from tranship.alerts.incidents import Change
from tranship.alerts.notices import Notice, Section

#: https://api.slack.com/reference/block-kit/blocks
SLACK_HEADER_LENGTH = 150
SLACK_TEXT_LENGTH = 3_000
#: https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using: a message of more
#: than 28 KB is not shown, and the workflow has answered 202 before it finds out. What it adds itself needs room too.
TEAMS_BYTES = 26_000
_SIGNS = {Change.ALERT: "🔴", Change.RECOVERY: "🟢"}


def as_text(notice: Notice) -> str:
    """Write a notice as plain text, the addresses of its links included."""
    lines = [notice.title, ""]
    for section in notice.sections:
        lines += [section.subjects, _why(notice, section), ""]
    lines += [f"{name}: {value}" for name, value in notice.facts]
    lines += [f"{link.label}: {link.url}" for link in notice.links]
    return "\n".join(lines) + "\n"


def as_slack(notice: Notice) -> dict[str, Any]:
    """Write a notice as the body of a call to a Slack incoming webhook."""
    title = f"{_SIGNS[notice.change]} {notice.title}"
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _slack_plain(title, SLACK_HEADER_LENGTH)},
    ]
    # Plain text is shown as it is: a cause that holds <!channel> or *stars* calls nobody.
    blocks += [
        {
            "type": "section",
            "text": _slack_plain(f"{section.subjects}\n{_why(notice, section)}", SLACK_TEXT_LENGTH),
        }
        for section in notice.sections
    ]
    facts = " · ".join(f"{name} {value}" for name, value in notice.facts)
    blocks.append({"type": "context", "elements": [_slack_plain(facts, SLACK_TEXT_LENGTH)]})
    if notice.links:
        links = " · ".join(f"<{link.url}|{slack_escaped(link.label)}>" for link in notice.links)
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": links}})
    # Shown in notifications, and wherever blocks cannot be.
    return {"text": slack_escaped(title), "blocks": blocks}


def as_sent(body: Mapping[str, Any]) -> bytes:
    """Write a body as it goes over the wire."""
    return json.dumps(body, ensure_ascii=False).encode(errors="replace")


def as_teams(notice: Notice) -> dict[str, Any]:
    """Write a notice as the body of a call to a Teams workflow: a message with one Adaptive Card.

    Where it would be larger than Teams takes, each text is cut to the length with which all of them fit.
    """
    whole = _teams_message(notice, None)
    if len(as_sent(whole)) <= TEAMS_BYTES:
        return whole
    # As many letters as fit, found by halves: what a letter takes depends on the script, and on what JSON escapes.
    fits, too_long = 0, max(len(text) for text in _teams_texts(notice))
    while too_long - fits > 1:
        length = (fits + too_long) // 2
        if len(as_sent(_teams_message(notice, length))) <= TEAMS_BYTES:
            fits = length
        else:
            too_long = length
    return _teams_message(notice, max(fits, 2))


def _teams_texts(notice: Notice) -> list[str]:
    sections = [text for section in notice.sections for text in (section.subjects, section.cause)]
    return [notice.title, *sections, *(f"{name} {value}" for name, value in notice.facts)]


def _teams_message(notice: Notice, length: int | None) -> dict[str, Any]:
    def cut(text: str) -> str:
        return text if length is None else _cut(text, length)

    alert = notice.change is Change.ALERT
    body: list[dict[str, Any]] = [
        _teams_text(
            f"{_SIGNS[notice.change]} {cut(notice.title)}",
            size="large",
            weight="bolder",
            color="attention" if alert else "good",
        )
    ]
    for section in notice.sections:
        body.append(_teams_text(cut(section.subjects), weight="bolder"))
        body.append(_teams_text(cut(_why(notice, section))))
    facts = "\n".join(cut(f"{name} {value}") for name, value in notice.facts)
    body.append(_teams_text(facts, isSubtle=True, size="small"))
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": cut(notice.title),
        "msteams": {"width": "Full"},
        "body": body,
        "actions": [
            {"type": "Action.OpenUrl", "title": link.label, "url": link.url}
            for link in notice.links
        ],
    }
    return {
        "type": "message",
        "attachments": [
            {
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": None,
                "content": card,
            }
        ],
    }


def as_email(notice: Notice, sender: str, recipients: list[str]) -> EmailMessage:
    """Write a notice as a mail; that of a recovery joins the thread of its alert."""
    domain = sender.rpartition("@")[2].rstrip("> ") or "localhost"
    message = EmailMessage()
    # A header is one line, whatever a table is called.
    message["Subject"] = f"[Tranship] {' '.join(notice.title.split())}"
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = make_msgid(domain=domain)
    message["References"] = " ".join(f"<{thread}@{domain}>" for thread in notice.threads)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(as_text(notice))
    return message


def slack_escaped(text: str) -> str:
    """Escape what Slack would read as markup, a mention or a link.

    Example:
        >>> slack_escaped("<!channel> & co")
        '&lt;!channel&gt; &amp; co'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _why(notice: Notice, section: Section) -> str:
    return section.cause if notice.change is Change.ALERT else f"The cause was: {section.cause}"


def _slack_plain(text: str, length: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": _cut(text, length), "emoji": False}


def _teams_text(text: str, **style: Any) -> dict[str, Any]:
    # A TextRun is not read as Markdown, as the text of a TextBlock is.
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **style}]}


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 2] + " …"
