"""How the rows of one large query are split into ranges of a key, to be read at the same time."""

import logging
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from tranship.comparisons import Predicate, equal_cuts, ranges, sql_column
from tranship.errors import ConfigurationError
from tranship.sqlserver.conditions import ROW_COUNT, as_shown
from tranship.sqlserver.query import Query
from tranship.sqlserver.statements import rows
from tranship.sqlserver.stopping import DriverConnection
from tranship.sqlserver.types import is_large

_DENSE = 0.5
"""A whole-number key with at least this share of its range in use is split by arithmetic alone."""

_UNORDERED = frozenset({"bit", "xml", "text", "ntext", "image", "json"})

_log = logging.getLogger(__name__)


def part_column(query: Query, named: str | None) -> str:
    """The column to split by.

    Args:
        query: The query to split.
        named: The column that the user named, if any.

    Raises:
        ColumnNotFoundError: The named column is not in the table.
        ConfigurationError: None was named and the table has no key of one column, or the column
            cannot be ordered.
    """
    key = query.source.primary_key
    name = named or (key[0] if len(key) == 1 else None)
    if name is None:
        raise ConfigurationError(
            f"{query.table} has no primary key of one column to split it into parts by.",
            "Name a column with part_column, best the first one of the clustered index.",
        )
    column = query.source.column(name)
    source = column.source_type
    if source is not None and (source.name in _UNORDERED or is_large(source)):
        raise ConfigurationError(
            f'"{name}" of {query.table} is {source}, which cannot be split into ranges.',
            "Name another column with part_column: a number, a date, or a short text.",
        )
    return name


def part_predicates(
    connection: DriverConnection, query: Query, column: str, parts: int
) -> list[Predicate | None]:
    """Conditions that each row of the query meets exactly one of.

    A whole-number key without large gaps is cut into equal ranges; any other one at its quantiles,
    for which the server reads the key once. There may be fewer parts than asked for: an empty table
    has one.

    Args:
        connection: Where the key's range is asked for.
        query: The query to split.
        column: The column to split by.
        parts: How many parts to aim at.
    """
    key = sql_column(column)
    low, high, count = rows(
        connection,
        query.rows(sa.func.min(key), sa.func.max(key), ROW_COUNT),
    )[0]
    if low is None or parts == 1:
        return ranges(column, (), nullable=True)
    if isinstance(low, int) and not isinstance(low, bool) and _is_dense(low, high, count):
        cuts: Sequence[Any] = equal_cuts(low, high, parts)
    else:
        cuts = quantile_cuts(connection, query, column, parts)
    _log.info("Reading %s in %d parts of %s.", query.table, len(cuts) + 1, column)
    nullable = query.source.column(column).nullable
    # The driver binds no date before 1753, and shows less of some times than they hold.
    return [
        None if part is None else as_shown(part, query.source)
        for part in ranges(column, cuts, nullable=nullable)
    ]


def _is_dense(low: int, high: int, count: int) -> bool:
    return count >= _DENSE * (high - low + 1)


def quantile_cuts(connection: DriverConnection, query: Query, column: str, parts: int) -> list[Any]:
    """The first key of each part but the first, where all parts have about as many rows."""
    key = sql_column(column)
    part = sa.func.ntile(sa.literal_column(str(parts))).over(order_by=key)
    ranked = (
        query.rows(key.label("part_key"), part.label("part"))
        .where(key.is_not(None))
        .subquery("ranked")
    )
    firsts = (
        sa.select(sa.func.min(ranked.c.part_key)).group_by(ranked.c.part).order_by(ranked.c.part)
    )
    first_keys = [row[0] for row in rows(connection, firsts)]
    # Equal keys may fill several parts: they share one. The first part is open below.
    return [cut for cut in dict.fromkeys(first_keys) if cut != first_keys[0]]
