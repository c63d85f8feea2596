"""Ranges of a key that the rows of one large read are split into, whatever the system."""

from collections.abc import Sequence
from typing import Any

from tranship.comparisons import Predicate, sql_column


def equal_cuts(low: int, high: int, parts: int) -> list[int]:
    """The whole numbers at which a closed range is cut into parts of equal width.

    Example:
        >>> equal_cuts(1, 100, 4)
        [26, 51, 76]
    """
    width = high - low + 1
    cuts = {low + width * number // parts for number in range(1, parts)}
    return sorted(cut for cut in cuts if cut > low)


def ranges(column: str, cuts: Sequence[Any], *, nullable: bool) -> list[Predicate | None]:
    """Half-open ranges between cuts, the outer ones open; rows without a key are in the first.

    Example:
        >>> [str(one) for one in ranges("id", [10], nullable=False)]
        ['"id" < :id_1', '"id" >= :id_1']
    """
    import sqlalchemy as sa

    key = sql_column(column)
    if not cuts:
        return [None]
    predicates: list[Predicate | None] = []
    for low, high in zip([None, *cuts], [*cuts, None], strict=True):
        bounds: list[Predicate] = []
        if low is not None:
            bounds.append(key >= low)
        if high is not None:
            bounds.append(key < high)
        predicate = sa.and_(*bounds)
        if low is None and nullable:
            predicate = sa.or_(predicate, key.is_(None))
        predicates.append(predicate)
    return predicates
