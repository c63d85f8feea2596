"""Statements over slices, built with SQLAlchemy so that names are quoted and values bound."""

from typing import Any

import psycopg2.extensions
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import psycopg2 as dialect_module
from sqlalchemy.sql.elements import quoted_name

from tranship.slices import Slice
from tranship.tables import TableName, TableSchema

_DIALECT = dialect_module.dialect()


def delete_slice(
    cursor: psycopg2.extensions.cursor, table: TableName, slice_: Slice, schema: TableSchema
) -> int:
    """Delete the rows of a slice; the whole table's for a slice without a condition.

    Args:
        cursor: Of the write's transaction.
        table: The table.
        slice_: Which rows.
        schema: The table's columns, whose types decide how the slice's values are compared.

    Returns:
        How many rows were deleted.
    """
    statement = sa.delete(_table(table))
    predicate = slice_.predicate(schema)
    if predicate is not None:
        statement = statement.where(predicate)
    cursor.execute(*compiled(statement))
    return cursor.rowcount


def compiled(statement: sa.ClauseElement) -> tuple[str, dict[str, Any]]:
    """A statement's text and values as the driver takes them."""
    made = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    # The unused value keeps the driver substituting, and with it turning %% into %.
    return str(made), {**dict(made.params or {}), "tranship": None}


def select_slice(
    table: TableName, columns: list[str], slice_: Slice, schema: TableSchema
) -> sa.Select[Any]:
    """The select for some columns of a slice's rows."""
    chosen = [sa.column(quoted_name(name, quote=True)) for name in columns]
    statement = sa.select(*chosen).select_from(_table(table))
    predicate = slice_.predicate(schema)
    return statement if predicate is None else statement.where(predicate)


def _table(table: TableName) -> sa.TableClause:
    return sa.table(
        quoted_name(table.name, quote=True), schema=quoted_name(table.schema, quote=True)
    )
