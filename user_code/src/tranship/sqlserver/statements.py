"""SQLAlchemy Core statements, compiled for SQL Server and run on a bare driver connection.

The driver's own cursor is what gives Arrow batches, so statements do not go through an engine.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.mssql.mssqlpython import MSDialect_mssqlpython
from sqlalchemy.sql.elements import quoted_name

from tranship.errors import ConfigurationError
from tranship.tables import TableName

Statement = sa.Select[*tuple[Any, ...]] | sa.TextClause

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
        >>> compile_statement(sa.select(sa.column("a b")).where(sa.column("c") > 1)).sql
        'SELECT [a b] \nWHERE c > ?'
    """
    dialect = MSDialect_mssqlpython(paramstyle="qmark")
    compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    parameters = compiled.construct_params()
    values = tuple(parameters[name] for name in compiled.positiontup or ())
    if len(values) > MAX_BOUND_VALUES:
        raise ConfigurationError(
            f"The query compares with {len(values)} values; SQL Server takes {MAX_BOUND_VALUES}.",
            "Select fewer partitions at a time, or a key range.",
        )
    return CompiledStatement(compiled.string, values)


def run(cursor: Any, statement: Statement | CompiledStatement) -> Any:
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


def rows(connection: Any, statement: Statement | CompiledStatement) -> list[tuple[Any, ...]]:
    """All rows of a small result, such as a catalogue query."""
    cursor = connection.cursor()
    try:
        return [tuple(row) for row in run(cursor, statement).fetchall()]
    finally:
        cursor.close()


def sql_table(table: TableName) -> sa.TableClause:
    """A table whose names are always quoted."""
    return sa.table(
        quoted_name(table.name, quote=True),
        schema=quoted_name(table.schema, quote=True),
    )
