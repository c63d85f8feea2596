"""Statements over slices, built with SQLAlchemy so that names are quoted and values bound."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import psycopg2 as dialect_module
from sqlalchemy.sql.elements import quoted_name

from tranship.redshift.identifiers import fold_slice
from tranship.slices import Slice
from tranship.tables import TableName, TableSchema

Statement = tuple[str, dict[str, Any]]


def delete_slice(table: TableName, part: Slice, schema: TableSchema) -> Statement:
    """The statement that deletes the rows of a slice, and its values.

    Args:
        table: The table, folded.
        part: Which rows; the whole table without a condition.
        schema: The table's columns, folded; their types decide how the slice's values compare.
    """
    statement = sa.delete(_clause(table))
    predicate = fold_slice(part).predicate(schema)
    return _compiled(statement if predicate is None else statement.where(predicate))


def select_slice(
    table: TableName, columns: Sequence[sa.ColumnElement[Any]], part: Slice, schema: TableSchema
) -> Statement:
    """The statement that selects columns of the rows of a slice, and its values."""
    statement = sa.select(*columns).select_from(_clause(table))
    predicate = fold_slice(part).predicate(schema)
    return _compiled(statement if predicate is None else statement.where(predicate))


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
