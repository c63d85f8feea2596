"""Statements over slices, built with SQLAlchemy so that names are quoted and values bound."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import psycopg2 as dialect_module
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import quoted_name

from tranship.arrow_types import plain_type
from tranship.redshift.identifiers import fold_slice
from tranship.slices import Slice
from tranship.tables import TableName, TableSchema, is_text

Statement = tuple[str, dict[str, Any]]

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
    statement = sa.delete(_clause(table))
    predicate = exact_predicate(part, schema)
    return _compiled(statement if predicate is None else statement.where(predicate))


def select_slice(
    table: TableName, columns: Sequence[sa.ColumnElement[Any]], part: Slice, schema: TableSchema
) -> Statement:
    """The statement that selects columns of the rows of a slice, and its values."""
    statement = sa.select(*columns).select_from(_clause(table))
    predicate = exact_predicate(part, schema)
    return _compiled(statement if predicate is None else statement.where(predicate))


def exact_predicate(part: Slice, schema: TableSchema) -> sa.ColumnElement[bool] | None:
    """The condition of a slice, in which texts are one only where their bytes are.

    Redshift passes over trailing blanks when it compares texts, so replacing the partition 'a' would delete the rows of
    'a ' with it. A character that is no blank, put behind both sides, makes blanks count; it sorts before all others, so
    that ranges are those of bytes.
    https://docs.aws.amazon.com/redshift/latest/dg/r_Character_types.html#r_Character_types-significance-of-trailing-blanks

    Args:
        part: The slice.
        schema: The table's columns, folded.
    """
    predicate = fold_slice(part).predicate(schema)
    if predicate is None:
        return None
    texts = {column.name for column in schema.columns if is_text(plain_type(column.type))}

    def exact(element: Any, **_: Any) -> Any:
        if not (
            isinstance(element, sa.BinaryExpression)
            and element.operator in _COMPARISONS
            and isinstance(element.left, sa.ColumnClause)
            and element.left.name in texts
            and isinstance(element.right, sa.BindParameter)
        ):
            return None
        column = element.left.op("||")(sa.func.chr(1))
        value: Any = element.right.value
        if element.operator is operators.in_op:
            # The plain condition lets whole blocks be passed over; the other one alone decides.
            return sa.and_(
                element.left.in_(value), column.in_([f"{one}{_BEHIND}" for one in value])
            )
        ended = element.operator(column, f"{value}{_BEHIND}")
        return sa.and_(element.left == value, ended) if element.operator is operators.eq else ended

    return visitors.replacement_traverse(predicate, {}, exact)


def _clause(table: TableName) -> sa.TableClause:
    return sa.table(
        quoted_name(table.name, quote=True), schema=quoted_name(table.schema, quote=True)
    )


def _compiled(statement: sa.ClauseElement) -> Statement:
    made = statement.compile(
        dialect=dialect_module.dialect(), compile_kwargs={"render_postcompile": True}
    )
    values: Any = made.params
    # A value nobody uses keeps the driver substituting, and with it turning %% into %.
    return str(made), {**values, "tranship": None}
