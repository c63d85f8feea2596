"""The conditions of a read, and questions about its rows, as SQLAlchemy expressions; imported only where there are any."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import operators, visitors
from sqlalchemy.types import UserDefinedType

from tranship.comparisons import Predicate, sql_column
from tranship.sqlserver.statements import CompiledStatement, compile_statement, sql_table
from tranship.tables import TableName, TableSchema

ROW_COUNT = sa.func.count_big(sa.literal_column("*"))

_MILLISECONDS_OF_TICKS = frozenset({0, 3, 7})


def all_of(
    in_slice: Predicate | None, where: sa.ColumnElement[bool] | str | None, source: TableSchema
) -> Predicate:
    """The condition of a slice and that of the option `where`, as one."""
    conditions: list[Predicate | sa.TextClause] = []
    if in_slice is not None:
        conditions.append(on_datetime_ticks(in_slice, source))
    if isinstance(where, str):
        conditions.append(_own_words(f"({where})"))
    elif where is not None:
        conditions.append(on_datetime_ticks(where, source))
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


class _Declared(UserDefinedType[Any]):
    """A type by its own declaration, so that every type of SQL Server can be cast to."""

    cache_ok = True

    def __init__(self, declaration: str) -> None:
        self.declaration = declaration

    def get_col_spec(self, **_: Any) -> str:
        return self.declaration


def on_datetime_ticks(predicate: Predicate, schema: TableSchema) -> Predicate:
    """The same condition, with values that meet a `datetime` column turned into that type.

    A `datetime` counts in 1/300 s and clients show it in milliseconds: the stored .00666 s arrives as
    .007. Since SQL Server 2016 a comparison with a `datetime2` value is made in full precision, so a
    bound of .007 would miss the very row it was read from.
    https://learn.microsoft.com/sql/t-sql/data-types/datetime-transact-sql (Remarks, level 130)

    Example:
        >>> import pyarrow as pa
        >>> from tranship.tables import Column, SourceType
        >>> schema = TableSchema((Column("At", pa.timestamp("us"), source_type=SourceType("datetime")),))
        >>> str(on_datetime_ticks(sql_column("At") >= datetime(2024, 1, 1), schema))
        '"At" >= CAST(:param_1 AS datetime)'
    """
    ticking = {
        column.name
        for column in schema.columns
        if column.source_type is not None and column.source_type.name == "datetime"
    }

    def replacement(element: Any, **_: Any) -> Any:
        if not (
            isinstance(element, sa.BinaryExpression)
            and isinstance(element.left, sa.ColumnClause)
            and element.left.name in ticking
            and isinstance(element.right, sa.BindParameter)
        ):
            return None
        column, value = element.left, element.right.value
        if element.operator is operators.in_op:
            return sa.or_(*(column == _on_tick(one) for one in value or ()))
        return sa.BinaryExpression(column, _on_tick(value), element.operator, type_=sa.Boolean())

    return visitors.replacement_traverse(predicate, {}, replacement) if ticking else predicate


def _on_tick(value: Any) -> sa.ColumnElement[Any]:
    """A bound value, cast to `datetime` where it is one that a `datetime` column can show."""
    bound = sa.literal(value)
    if isinstance(value, datetime):
        milliseconds, rest = divmod(value.microsecond, 1000)
        if not rest and milliseconds % 10 in _MILLISECONDS_OF_TICKS:
            return sa.cast(bound, _Declared("datetime"))
    return bound
