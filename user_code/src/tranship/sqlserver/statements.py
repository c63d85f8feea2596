"""Statements run on a bare driver connection: SQL text, or SQLAlchemy Core compiled for SQL Server.

The driver's own cursor is what gives Arrow batches, so statements do not go through an engine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tranship.errors import ConfigurationError
from tranship.sqlserver.stopping import BoundedCursor, DriverConnection, stoppable_cursor
from tranship.tables import TableName

if TYPE_CHECKING:
    import sqlalchemy as sa

    Statement = sa.Select[*tuple[Any, ...]] | sa.TextClause
else:
    # SQLAlchemy takes longer to import than a small table to read, so only those who need it do.
    Statement = Any

MAX_BOUND_VALUES = 2100
"""https://learn.microsoft.com/sql/sql-server/maximum-capacity-specifications-for-sql-server"""


@dataclass(frozen=True, slots=True)
class CompiledStatement:
    """SQL text with `?` for each bound value, and the values in order."""

    sql: str
    values: tuple[Any, ...] = ()


def compile_statement(statement: Statement) -> CompiledStatement:
    r"""A Core statement as SQL Server's text and bound values.

    Raises:
        ConfigurationError: It binds more values than SQL Server takes.

    Example:
        >>> import sqlalchemy as sa
        >>> compile_statement(sa.select(sa.column("a b")).where(sa.column("c") > 1)).sql
        'SELECT [a b] \nWHERE c > ?'
    """
    # The base dialect: the one of the driver, which compiles alike, arrived in SQLAlchemy 2.1.
    from sqlalchemy.dialects.mssql.base import MSDialect

    dialect = MSDialect(paramstyle="qmark")
    compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    parameters = compiled.construct_params(escape_names=False)
    values = tuple(parameters[name] for name in compiled.positiontup or ())
    if len(values) > MAX_BOUND_VALUES:
        raise ConfigurationError(
            f"The query compares with {len(values)} values; SQL Server takes {MAX_BOUND_VALUES}.",
            "Select fewer partitions at a time, or a key range.",
        )
    return CompiledStatement(compiled.string, values)


def run(cursor: BoundedCursor, statement: Statement | CompiledStatement) -> BoundedCursor:
    """Execute a statement on a driver's cursor, which is returned."""
    compiled = (
        statement if isinstance(statement, CompiledStatement) else compile_statement(statement)
    )
    # The driver reads % and ? of the text as markers only where values come with it.
    return (
        cursor.execute(compiled.sql, compiled.values)
        if compiled.values
        else cursor.execute(compiled.sql)
    )


def rows(
    connection: DriverConnection, statement: Statement | CompiledStatement
) -> list[tuple[Any, ...]]:
    """All rows of a small result, such as a catalogue query."""
    with stoppable_cursor(connection) as cursor:
        return [tuple(row) for row in run(cursor, statement).fetchall()]


def several(
    connection: DriverConnection, statements: Sequence[CompiledStatement]
) -> list[list[tuple[Any, ...]]]:
    """The rows of several small results, asked for in one round trip.

    The server refuses all of them where it refuses one.
    """
    together = CompiledStatement(
        ";\n".join(statement.sql for statement in statements),
        tuple(value for statement in statements for value in statement.values),
    )
    with stoppable_cursor(connection) as cursor:
        run(cursor, together)
        results = [[tuple(row) for row in cursor.fetchall()]]
        while cursor.nextset():
            results.append([tuple(row) for row in cursor.fetchall()])
        return results


def quoted(name: str) -> str:
    """A name in brackets, in which only the closing bracket needs doubling.

    https://learn.microsoft.com/sql/t-sql/functions/quotename-transact-sql

    Example:
        >>> quoted("Order]s [%]")
        '[Order]]s [%]]]'
    """
    return "[" + name.replace("]", "]]") + "]"


def quoted_table(table: TableName) -> str:
    """A table with its schema, in brackets.

    Example:
        >>> quoted_table(TableName("dbo", "Order lines"))
        '[dbo].[Order lines]'
    """
    return f"{quoted(table.schema)}.{quoted(table.name)}"
