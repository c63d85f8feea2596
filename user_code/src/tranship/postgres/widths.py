"""How many digits the values of a `numeric` without declared digits have, so that they can be read as decimals."""

from dataclasses import replace
from decimal import Decimal

import psycopg2.extensions
import pyarrow as pa
from psycopg2 import sql

from tranship.exactness import MAX_DIGITS
from tranship.tables import Column, TableSchema, is_text

MOST_DIGITS = 76
"""Digits of Arrow's widest decimal."""


def with_widths(
    cursor: psycopg2.extensions.cursor, schema: TableSchema, statement: str
) -> tuple[TableSchema, list[str]]:
    """The schema with decimals for numbers without declared digits, by the values that a statement gives.

    Args:
        cursor: A cursor of an open connection.
        schema: The columns of the statement's rows.
        statement: The select that will be read.

    Returns:
        The schema, and the columns that stay texts: with NaN or infinities, or of more than 76 digits.
    """
    unbounded = [column.name for column in schema.columns if _is_unbounded(column)]
    if not unbounded:
        return schema, []
    measures = sql.SQL(", ").join(
        sql.SQL("max(scale(q.{0})), max(abs(q.{0}))").format(sql.Identifier(name))
        for name in unbounded
    )
    cursor.execute(sql.SQL("select {} from ({}) q").format(measures, sql.SQL(statement)))
    measured = list(cursor.fetchone() or ())
    types = {
        name: _decimal(*measured[2 * index : 2 * index + 2]) for index, name in enumerate(unbounded)
    }
    columns = tuple(
        replace(column, type=types.get(column.name) or column.type) for column in schema.columns
    )
    return replace(schema, columns=columns), [name for name in unbounded if types[name] is None]


def _is_unbounded(column: Column) -> bool:
    source = column.source_type
    return (
        source is not None
        and source.name == "numeric"
        and source.precision is None
        and is_text(column.type)
    )


def _decimal(scale: int | None, largest: Decimal | None) -> pa.DataType | None:
    if largest is None:
        return pa.decimal128(MAX_DIGITS, 0)
    if not largest.is_finite():  # they sort above all numbers
        return None
    places = scale or 0
    digits = (largest.adjusted() + 1 if abs(largest) >= 1 else 0) + places
    if digits <= MAX_DIGITS:
        return pa.decimal128(MAX_DIGITS, places)
    return pa.decimal256(MOST_DIGITS, places) if digits <= MOST_DIGITS else None
