"""The cursor of a plan: its column held against the source's, and how far before the bookmark a load starts."""

from datetime import timedelta

import pyarrow as pa

from tranship.cursors import Cursor, Kind, has_zone, kind_of
from tranship.errors import ConfigurationError
from tranship.replication.config import parse_duration
from tranship.replication.plan import LateRows, Mode, TablePlan
from tranship.source import Source
from tranship.tables import TableSchema

KEYLESS_CURSOR = "the cursor of a table without key"
"""What it is that must arrive as it is, for messages."""
DEFAULT_LOOKBACK_TIME = timedelta(minutes=10)
REPEATED_HOUR = timedelta(hours=1)
"""How far a clock without an offset goes back in autumn."""
DEFAULT_LOOKBACK_LOCAL_TIME = REPEATED_HOUR + DEFAULT_LOOKBACK_TIME
DEFAULT_LOOKBACK_DATE = timedelta(days=1)
DEFAULT_LOOKBACK_STEPS = 1000


def cursor_of(plan: TablePlan, source: TableSchema, *, has_key: bool) -> Cursor | None:
    """The plan's cursor, held against the source's columns; `None` where it has none.

    Args:
        plan: The table's plan.
        source: The source's columns.
        has_key: Whether rows can be told apart, so that reading some twice does no harm.

    Raises:
        ColumnNotFoundError: There is no such column.
        ConfigurationError: Its type does not grow, or the lookback does not fit it.
    """
    if plan.cursor is None:
        return None
    column = source.column(plan.cursor)
    kind = kind_of(column)
    if kind is None:
        raise ConfigurationError(
            f'The cursor "{column.name}" of {plan.source} is {column.source_type or column.type}.',
            "Choose a column of whole numbers, decimals, dates, times, or a rowversion.",
        )
    if kind is Kind.ROWVERSION and plan.mode is Mode.APPEND:
        raise ConfigurationError(
            f'The cursor "{column.name}" of {plan.source} is a rowversion, which also grows when a row is '
            "changed.",
            "Set mode to merge, so that a changed row takes the place of the old one.",
        )
    if plan.columns.mask.get(column.name):
        raise ConfigurationError(
            f'The cursor "{column.name}" of {plan.source} is masked.', "Choose another cursor."
        )
    lookback = _lookback(plan, kind, column.type, has_key=has_key)
    return Cursor(column.name, kind, column.nullable, lookback, column.type)


def _lookback(plan: TablePlan, kind: Kind, type_: pa.DataType, *, has_key: bool) -> int | timedelta:
    steps = kind in {Kind.NUMBER, Kind.ROWVERSION}
    none = 0 if steps else timedelta()
    given = plan.lookback
    if given is None:
        if plan.late_rows is LateRows.IGNORE:
            return none
        return DEFAULT_LOOKBACK_STEPS if steps else _default_span(kind, type_)
    span = none if given in {0, "0"} else _given(plan, kind, steps=steps)
    if not span and not has_key and plan.late_rows is not LateRows.IGNORE:
        raise ConfigurationError(
            f"The lookback of {plan.source} is {given}, and without a key nothing else finds rows that are "
            f'committed late, with a value of "{plan.cursor}" below the bookmark.',
            "Leave lookback out, make it longer than your longest transaction, or write late_rows: ignore.",
        )
    return span


def _default_span(kind: Kind, type_: pa.DataType) -> timedelta:
    """A day where rows of yesterday may come after midnight; over an hour where clocks go back by one."""
    if kind is Kind.DATE:
        return DEFAULT_LOOKBACK_DATE
    return DEFAULT_LOOKBACK_TIME if has_zone(type_) else DEFAULT_LOOKBACK_LOCAL_TIME


def _given(plan: TablePlan, kind: Kind, *, steps: bool) -> int | timedelta:
    given = plan.lookback
    if steps:
        try:
            return int(given or 0)
        except ValueError as error:
            raise ConfigurationError(
                f'The lookback of {plan.source} is {given!r}, but its cursor "{plan.cursor}" is a {kind}.',
                "Write a number: 1000.",
            ) from error
    span = parse_duration(str(given), f"The lookback of {plan.source}")
    if kind is Kind.DATE and span % timedelta(days=1):
        raise ConfigurationError(
            f'The lookback of {plan.source} is {given!r}, but its cursor "{plan.cursor}" holds whole days.',
            "Write days or weeks: 7 days.",
        )
    return span


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
