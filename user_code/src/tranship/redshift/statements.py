"""Statements over slices, built with SQLAlchemy so that names are quoted and values bound."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import operators, visitors

from tranship.arrow_types import plain_type
from tranship.comparisons import sql_table
from tranship.pgsql.driver import Statement, compiled
from tranship.redshift.identifiers import fold_slice
from tranship.slices import Slice
from tranship.tables import TableName, TableSchema, is_binary, is_text

_BEHIND = "\x01"
_COMPARISONS = {
    operators.eq,
    operators.in_op,
    operators.ge,
    operators.gt,
    operators.le,
    operators.lt,
}


def delete_slice(table: TableName, part: Slice, schema: TableSchema) -> Statement:
    """The statement that deletes the rows of a slice, and its values.

    Args:
        table: The table, folded.
        part: Which rows; the whole table without a condition.
        schema: The table's columns, folded; their types decide how the slice's values compare.
    """
    statement = sa.delete(sql_table(table))
    predicate = exact_predicate(part, schema)
    return compiled(statement if predicate is None else statement.where(predicate))


def select_slice(
    table: TableName, columns: Sequence[sa.ColumnElement[Any]], part: Slice, schema: TableSchema
) -> Statement:
    """The statement that selects columns of the rows of a slice, and its values."""
    statement = sa.select(*columns).select_from(sql_table(table))
    predicate = exact_predicate(part, schema)
    return compiled(statement if predicate is None else statement.where(predicate))


def exact_predicate(part: Slice, schema: TableSchema) -> sa.ColumnElement[bool] | None:
    """The condition of a slice, in which texts are one only where their bytes are, and bytes are written as Redshift reads them.

    Redshift passes over trailing blanks when it compares texts, so replacing the partition 'a' would delete the rows of
    'a ' with it. A character that is no blank, put behind both sides, makes blanks count; it sorts before all others, so
    that ranges are those of bytes.
    https://docs.aws.amazon.com/redshift/latest/dg/r_Character_types.html#r_Character_types-significance-of-trailing-blanks

    The driver writes bytes as Postgres's bytea, a type that Redshift lacks.
    https://docs.aws.amazon.com/redshift/latest/dg/r_FROM_HEX.html

    Args:
        part: The slice.
        schema: The table's columns, folded.
    """
    predicate = fold_slice(part).predicate(schema)
    if predicate is None:
        return None
    texts = {column.name for column in schema.columns if is_text(plain_type(column.type))}
    binaries = {column.name for column in schema.columns if is_binary(plain_type(column.type))}

    def exact(element: Any, **_: Any) -> Any:
        if not (
            isinstance(element, sa.BinaryExpression)
            and element.operator in _COMPARISONS
            and isinstance(element.left, sa.ColumnClause)
            and isinstance(element.right, sa.BindParameter)
        ):
            return None
        value: Any = element.right.value
        if element.left.name in binaries:
            if element.operator is operators.in_op:
                return element.left.in_([_from_hex(one) for one in value])
            return element.operator(element.left, _from_hex(value))
        if element.left.name not in texts:
            return None
        column = element.left.op("||")(sa.func.chr(1))
        if element.operator is operators.in_op:
            # The plain condition lets whole blocks be passed over; the other one alone decides.
            return sa.and_(
                element.left.in_(value), column.in_([f"{one}{_BEHIND}" for one in value])
            )
        ended = element.operator(column, f"{value}{_BEHIND}")
        return sa.and_(element.left == value, ended) if element.operator is operators.eq else ended

    return visitors.replacement_traverse(predicate, {}, exact)


def _from_hex(value: bytes) -> sa.ColumnElement[Any]:
    return sa.func.from_hex(value.hex())
