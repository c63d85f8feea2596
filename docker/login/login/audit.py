"""One line of JSON on standard output for each login, logout and failure."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

Write = Callable[[dict[str, Any]], None]


def write_line(line: dict[str, Any]) -> None:
    """Write one line to standard output, with the time."""
    timed = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **line}
    sys.stdout.write(json.dumps(timed) + "\n")
    sys.stdout.flush()


def entry(audit: str, user: str | None, address: str, **more: Any) -> dict[str, Any]:
    """What a line has: the event, who, from where.

    Args:
        audit: `login`, `logout`, `login failed`, `login locked`.
        user: `None` where nobody of that name is known: people type passwords into the field for names.
        address: Where the request came from, by the word of the edge.
        more: What else there is to tell.
    """
    return {"audit": audit, "user": user, "address": address, **more}
