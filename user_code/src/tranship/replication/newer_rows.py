"""Rows that the source got or changed since the load: what they did to the rows behind the bookmark is left out of account.

A changed row has a new cursor value: it lies beyond the bookmark in the source, and behind it in the copy. Its key tells
which one it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tranship.cursors import Cursor, Value
from tranship.replication.columns import ColumnChanges
from tranship.replication.plan import Mode, TablePlan
from tranship.replication.second_look import is_askable, questions
from tranship.slices import AnyOf, Interval
from tranship.source import Source
from tranship.tables import TableSchema
from tranship.target import Target

MOST_KEYS = 1_000


@dataclass(frozen=True, slots=True)
class NewerRows:
    """The rows beyond the bookmark at a moment.

    Args:
        count: How many there are.
        are_known: Whether the copy's rows can be told from theirs.
        others: The condition that all other rows of the copy meet; `None` for every row.
    """

    count: int
    are_known: bool = True
    others: sa.ColumnElement[bool] | None = None


def newer_rows(
    plan: TablePlan,
    source: Source,
    target: Target,
    changes: ColumnChanges,
    cursor: Cursor,
    bookmark: Value,
    schema: Callable[[], TableSchema],
) -> NewerRows:
    """The rows that lie beyond a bookmark now.

    Args:
        plan: The table's plan.
        source: The table.
        target: Where its copy is.
        changes: What happens to its columns on the way.
        cursor: What its loads follow.
        bookmark: The bookmark's value.
        schema: Gives the copy's columns.
    """
    count = source.count_newer(cursor, bookmark)
    # Rows that are appended are never changed: what is behind the bookmark stays as it is.
    if not count or plan.mode is Mode.APPEND:
        return NewerRows(count)
    if count > MOST_KEYS or not is_askable(changes, source.schema, source.key):
        return NewerRows(count, are_known=False)
    beyond = Interval(cursor.column, bookmark, includes_low=False)
    rows = source.read(source.key, beyond).to_table()
    keys = [tuple(row.values()) for row in rows.to_pylist()]
    if not keys:
        return NewerRows(count)
    names = changes.target_names(source.key, "part of the key")
    parts = questions(source.schema, source.key, keys, names)
    return NewerRows(count, others=_without(target, AnyOf(tuple(parts)), schema()))


def _without(target: Target, part: AnyOf, schema: TableSchema) -> sa.ColumnElement[bool] | None:
    predicate: Any = target.predicate(part, schema)
    return None if predicate is None else sa.not_(predicate)
