"""psycopg2, which both Postgres and Redshift are spoken to through: what it gives, and statements as it takes them."""

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg2
import psycopg2.extensions
from psycopg2 import sql

from tranship.tables import TableName

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.engine import Dialect

SqlConnection: TypeAlias = psycopg2.extensions.connection
"""A connection. Called otherwise than the driver calls it, as `Cursor` is a load's here."""
SqlCursor: TypeAlias = psycopg2.extensions.cursor
"""A cursor of such a connection, which is also a target's handle of an open transaction."""

Statement: TypeAlias = tuple[str, dict[str, Any]]
"""A statement's text, and the values that are bound to it."""


def compiled(statement: "sa.ClauseElement") -> Statement:
    """A statement of SQLAlchemy as the driver takes it."""
    text = statement.compile(dialect=_dialect(), compile_kwargs={"render_postcompile": True})
    # The unused value keeps the driver substituting, and with it turning %% into %.
    return str(text), {**dict(text.params or {}), "tranship": None}


def qualified(table: TableName) -> sql.Identifier:
    """A table's name with its schema's, quoted."""
    return sql.Identifier(table.schema, table.name)


def column_list(names: Iterable[str]) -> sql.Composed:
    """Column names, quoted, with commas between."""
    return sql.SQL(", ").join([sql.Identifier(name) for name in names])


def one_row(cursor: SqlCursor) -> tuple[Any, ...]:
    """The row of a statement that gives one, whatever there is.

    Raises:
        psycopg2.ProgrammingError: It gave none.
    """
    row = cursor.fetchone()
    if row is None:
        raise psycopg2.ProgrammingError("the statement gave no row")
    return row


@cache
def _dialect() -> "Dialect":
    from sqlalchemy.dialects.postgresql import psycopg2 as dialect_module

    return dialect_module.dialect()
