"""The conditions of a read, and questions about its rows, as SQLAlchemy expressions; imported only where there are any."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import operators, visitors

from tranship.comparisons import Predicate, sql_column, sql_table
from tranship.sqlserver.shown_values import times_of
from tranship.sqlserver.statements import CompiledStatement, compile_statement
from tranship.tables import TableName, TableSchema

ROW_COUNT = sa.func.count_big(sa.literal_column("*"))


def all_of(
    in_slice: Predicate | None, where: sa.ColumnElement[bool] | str | None, source: TableSchema
) -> Predicate:
    """The condition of a slice and that of the option `where`, as one."""
    conditions: list[Predicate | sa.TextClause] = []
    if in_slice is not None:
        conditions.append(as_shown(in_slice, source))
    if isinstance(where, str):
        conditions.append(_own_words(f"({where})"))
    elif where is not None:
        conditions.append(as_shown(where, source))
    return sa.and_(*conditions)


def select_where(
    selected: str, table: TableName, conditions: Sequence[Predicate], order_by: Sequence[str]
) -> CompiledStatement:
    """A select list, which is SQL text, over the rows that meet all conditions.

    Raises:
        ConfigurationError: It binds more values than SQL Server takes.
    """
    statement = sa.select(_own_words(selected)).select_from(sql_table(table)).where(*conditions)
    return compile_statement(statement.order_by(*(sql_column(name) for name in order_by)))


def select_rows(
    table: TableName, predicate: Predicate | None, *expressions: sa.ColumnElement[Any]
) -> sa.Select[*tuple[Any, ...]]:
    """A select of expressions over the rows that meet a condition; over all of them where it is `None`."""
    statement = sa.select(*expressions).select_from(sql_table(table))
    return statement if predicate is None else statement.where(predicate)


def _own_words(sql: str) -> sa.TextClause:
    """SQL as it is: in text() a colon would start the name of a bound value."""
    return sa.text(sql.replace(":", r"\:"))


def as_shown(predicate: Predicate, schema: TableSchema) -> Predicate:
    """The same condition, of which each comparison of a date or time is one of its shown value.

    Since SQL Server 2016 a comparison of a `datetime` with a `datetime2` value is made in full precision, so a
    bound of .007, which is how the stored .00666 s is shown, would miss the very row it was read from.
    https://learn.microsoft.com/sql/database-engine/breaking-changes-to-database-engine-features-in-sql-server-2016

    Example:
        >>> from datetime import datetime
        >>> import pyarrow as pa
        >>> from tranship.tables import Column, SourceType
        >>> schema = TableSchema((Column("At", pa.timestamp("us"), source_type=SourceType("datetime")),))
        >>> str(as_shown(sql_column("At") >= datetime(2024, 1, 1), schema))
        '"At" >= CAST(:param_1 AS datetime)'
    """
    times = times_of(schema)

    def replacement(element: Any, **_: Any) -> Any:
        if not (
            isinstance(element, sa.BinaryExpression)
            and isinstance(element.left, sa.ColumnClause)
            and element.left.name in times
            and isinstance(element.right, sa.BindParameter)
        ):
            return None
        column, value, shown = element.left, element.right.value, times[element.left.name]
        if element.operator is operators.in_op:
            values: Any = value or ()
            return sa.or_(*(shown.equals(column, one) for one in values))
        return shown.meets(column, element.operator, value) if isinstance(value, date) else None

    return visitors.replacement_traverse(predicate, {}, replacement) if times else predicate
