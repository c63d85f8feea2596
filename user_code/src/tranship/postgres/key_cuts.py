"""Where the key of one large read is cut, so that its ranges are read at the same time."""

from typing import Any

import psycopg2.extensions
import sqlalchemy as sa

from tranship.comparisons import Predicate, sql_column
from tranship.errors import ConfigurationError
from tranship.key_ranges import equal_cuts, ranges
from tranship.pgsql.statements import compiled
from tranship.postgres.selection import Declared, Selection
from tranship.slices import Slice

_DENSE = 0.5
"""A whole-number key with at least this share of its range in use is cut by arithmetic alone."""


def cut_column(selection: Selection) -> str:
    """The column to cut by: the first one of the key.

    Raises:
        ConfigurationError: There is no key.
    """
    if selection.key:
        return selection.key[0]
    raise ConfigurationError(
        f"{selection.table} has no primary key to cut it into ranges by, so it cannot be read over several connections.",
        "Name a key (key: [id]), or leave parallel out.",
    )


def range_predicates(
    cursor: psycopg2.extensions.cursor,
    selection: Selection,
    part: Slice | None,
    column: str,
    parts: int,
) -> list[Predicate | None]:
    """Conditions that each row of a part meets exactly one of.

    A whole-number key without large gaps is cut into equal ranges; any other one at its quantiles, for which the server reads the key once.
    There may be fewer ranges than asked for: an empty table has one.

    Args:
        cursor: Of a transaction that sees the moment that is read.
        selection: What is read.
        part: Which of its rows.
        column: The column to cut by.
        parts: How many ranges to aim at.
    """
    cuts = _whole_numbers(cursor, selection, part, column, parts)
    if cuts is None:
        cuts = _quantiles(cursor, selection, part, column, parts)
    return ranges(column, cuts, nullable=selection.schema.column(column).nullable)


def _whole_numbers(
    cursor: psycopg2.extensions.cursor,
    selection: Selection,
    part: Slice | None,
    column: str,
    parts: int,
) -> list[Any] | None:
    import pyarrow as pa

    if not pa.types.is_integer(selection.schema.column(column).type):
        return None
    key = sql_column(column)
    asked = selection.rows(part, sa.func.min(key), sa.func.max(key), sa.func.count())
    cursor.execute(*compiled(asked))
    low, high, count = cursor.fetchone() or (None, None, 0)
    if low is None or high is None:
        return []
    return equal_cuts(low, high, parts) if count >= _DENSE * (high - low + 1) else None


def _quantiles(
    cursor: psycopg2.extensions.cursor,
    selection: Selection,
    part: Slice | None,
    column: str,
    parts: int,
) -> list[Any]:
    # As texts: a key may have values that Python has no form for, such as infinity.
    # https://www.postgresql.org/docs/current/functions-aggregate.html#FUNCTIONS-ORDEREDSET-TABLE
    shares = ", ".join(str(number / parts) for number in range(1, parts))
    quantiles = sa.func.percentile_disc(sa.literal_column(f"array[{shares}]::float8[]"))
    texts = sa.cast(quantiles.within_group(selection.order_of(column)), Declared("text[]"))
    cursor.execute(*compiled(selection.rows(part, texts)))
    (values,) = cursor.fetchone() or (None,)
    kept = list(dict.fromkeys(value for value in values or () if value is not None))
    if selection.is_collated(column):
        return kept
    type_ = Declared(selection.declared(column))
    return [sa.cast(sa.literal(value, sa.Text()), type_) for value in kept]
