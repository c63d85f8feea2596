"""Statements over slices, built with SQLAlchemy so that names are quoted and values bound."""

from typing import TYPE_CHECKING, Any

from psycopg2 import sql

from tranship.comparisons import sql_column, sql_table
from tranship.pgsql.driver import SqlCursor, compiled, qualified
from tranship.slices import Slice
from tranship.tables import TableName, TableSchema

if TYPE_CHECKING:
    import sqlalchemy as sa


def delete_slice(cursor: SqlCursor, table: TableName, slice_: Slice, schema: TableSchema) -> int:
    """Delete the rows of a slice; the whole table's for a slice without a condition.

    Args:
        cursor: Of the write's transaction.
        table: The table.
        slice_: Which rows.
        schema: The table's columns, whose types decide how the slice's values are compared.

    Returns:
        How many rows were deleted.
    """
    predicate = slice_.predicate(schema)
    if predicate is None:
        cursor.execute(sql.SQL("delete from {}").format(qualified(table)))
    else:
        import sqlalchemy as sa

        cursor.execute(*compiled(sa.delete(sql_table(table)).where(_in_byte_order(predicate))))
    return cursor.rowcount


def select_slice(
    table: TableName, columns: list[str], slice_: Slice, schema: TableSchema
) -> "sa.Select[Any]":
    """The select for some columns of a slice's rows."""
    import sqlalchemy as sa

    statement = sa.select(*map(sql_column, columns)).select_from(sql_table(table))
    predicate = slice_.predicate(schema)
    return statement if predicate is None else statement.where(_in_byte_order(predicate))


def _in_byte_order(predicate: "sa.ColumnElement[bool]") -> "sa.ColumnElement[bool]":
    """The same condition with ranges of texts in the order of their bytes, whatever the database's locale is.

    So a row that `Slice.mask` let through is one that the next write's DELETE finds again.
    https://www.postgresql.org/docs/current/collation.html
    """
    import sqlalchemy as sa
    from sqlalchemy.sql import operators, visitors

    ranges = {operators.lt, operators.le, operators.gt, operators.ge}

    def by_bytes(element: Any, **_: Any) -> Any:
        if (
            isinstance(element, sa.BinaryExpression)
            and element.operator in ranges
            and isinstance(element.right, sa.BindParameter)
            and isinstance(element.right.value, str)
        ):
            return element.operator(sa.collate(element.left, "C"), element.right)
        return None

    return visitors.replacement_traverse(predicate, {}, by_bytes)
