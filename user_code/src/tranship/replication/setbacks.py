"""What is done where the source's highest cursor value lies below the bookmark: never a silent load of no rows.

The newest rows were deleted, a value was corrected, an older state was restored, or a clock was set back. From then on
rows may get values that no load from the bookmark on would read.
"""

import logging
from collections.abc import Callable

from tranship.cursors import Cursor
from tranship.errors import TranshipError
from tranship.replication.keyless import BothSides
from tranship.replication.plan import OnCursorBack, TablePlan
from tranship.source import HighWaterMark


class CursorWentBackError(TranshipError):
    """The source's highest cursor value is below the bookmark, and the settings say to fail then.

    What to do: Find out why; then set `on_cursor_back` to `reload` or `warn`, or name a key.
    """


def set_back(
    plan: TablePlan,
    cursor: Cursor,
    reached: HighWaterMark,
    bookmark: str,
    log: logging.Logger,
    both: BothSides | None,
    reload: Callable[[str | None], None],
) -> str | None:
    """Deal with a highest value below the bookmark as the settings say.

    Args:
        plan: The table's plan.
        cursor: Its cursor.
        reached: How far the cursor is.
        bookmark: The bookmark's value.
        log: Where it is told.
        both: Counts rows of source and copy, for a table without key.
        reload: Reads all rows again, up to a value that the bookmark gets.

    Returns:
        What was loaded; `None` where the load goes on from the bookmark.

    Raises:
        CursorWentBackError: The settings say to fail, or nothing and there is no key.
    """
    highest = cursor.text(reached.value)
    what = f'the highest "{cursor.column}" of {plan.source} is {highest}, below the bookmark {bookmark}'
    if both is not None:
        in_source, in_copy = both.up_to(reached.value)
        if in_source == in_copy:
            log.warning(
                "Now %s: its newest rows were deleted. The copy has the %d rows that are left, and keeps the others.",
                what, in_copy,
            )  # fmt: skip
            return None
        what += f", with {in_source:,} rows up to there where the copy has {in_copy:,}"
    match plan.on_cursor_back or (OnCursorBack.FAIL if both else OnCursorBack.RELOAD):
        case OnCursorBack.RELOAD:
            log.warning("Now %s: all rows are read again.", what)
            reload(highest)
            how = "the whole table" if both else "all rows, by key"
            return f"{how}, because {what}"
        case OnCursorBack.WARN:
            log.warning("Now %s: rows that come between the two are not read.", what)
            return None
        case OnCursorBack.FAIL:
            raise CursorWentBackError(
                f"Now {what}: rows were deleted or corrected, an older state was restored, or a clock was set back.",
                "Set on_cursor_back to reload, so that all of it is read again, or to warn, so that loads go on "
                "from the bookmark; or name a key, by which rows are told apart.",
                details={"table": str(plan.source), "highest": highest or "", "bookmark": bookmark},
            )
