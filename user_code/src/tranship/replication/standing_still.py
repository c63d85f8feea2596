"""A rowversion up to which rows may be loaded, and which does not move: a transaction that never ends, or a secondary.

On a readable secondary `min_active_rowversion()` may stand still while rows with higher values arrive
(https://learn.microsoft.com/sql/t-sql/functions/min-active-rowversion-transact-sql). Loads are then green and bring nothing.
"""

from typing import Any

from tranship.bookmarks import Bookmark
from tranship.cursors import Cursor, Kind
from tranship.source import HighWaterMark

_FACT = "standing_still"
SEVERAL_LOADS = 3


def facts_of(cursor: Cursor, reached: HighWaterMark, bookmark: Bookmark | None) -> dict[str, Any]:
    """What a bookmark keeps of how long it has stood still; nothing where every row may be loaded."""
    if cursor.kind is not Kind.ROWVERSION or reached.furthest is None or reached.counter is None:
        return {}
    at, highest = cursor.text(reached.counter), cursor.text(reached.furthest)
    before = bookmark.facts.get(_FACT) if bookmark is not None else None
    loads = before["loads"] + 1 if before is not None and before["at"] == at else 1
    return {_FACT: {"at": at, "highest": highest, "loads": loads}}


def of(bookmark: Bookmark) -> str | None:
    """What to tell where it has stood still for several loads."""
    kept = bookmark.facts.get(_FACT)
    if kept is None or kept["loads"] < SEVERAL_LOADS:
        return None
    return (
        f"for {kept['loads']} loads the source has let rows be loaded up to {kept['at']} only, and it has values up to "
        f"{kept['highest']}: rows beyond are not loaded. A transaction has been open since, or this is a readable secondary, "
        "where min_active_rowversion() may stand still: end the transaction, or read from the primary."
    )
