"""Cursors that show a wall clock: in autumn it goes back an hour, and a load must look back further than that."""

from datetime import timedelta

from tranship.cursors import Cursor, Kind
from tranship.errors import ConfigurationError
from tranship.replication.cursors import REPEATED_HOUR
from tranship.replication.plan import LateRows, TablePlan
from tranship.source import Source


def check_lookback(plan: TablePlan, cursor: Cursor, source: Source) -> None:
    """Refuse a lookback that rows of the repeated hour fall behind, where the server's clock fills the column.

    Without a lookback of its own a table has one that is long enough; a column of UTC needs no more.

    Raises:
        ConfigurationError: The message says what to write.
    """
    if plan.lookback is None or plan.late_rows is LateRows.IGNORE:
        return
    if cursor.kind is not Kind.TIME or cursor.has_zone:
        return
    if not isinstance(cursor.lookback, timedelta) or cursor.lookback > REPEATED_HOUR:
        return
    default = source.local_clock_of(cursor.column)
    if default is not None:
        raise ConfigurationError(
            f'The lookback of {plan.source} is {plan.lookback}, but its cursor "{cursor.column}" is filled by '
            f"{default}, a clock that shows an hour twice when summer time ends: rows of the second one lie up to "
            "an hour below the bookmark.",
            "Leave lookback out, make it longer than an hour (lookback: 2 hours), or write late_rows: ignore "
            "where the server's zone has no summer time.",
        )
