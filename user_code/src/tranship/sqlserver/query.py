"""The SELECT that reads a table: chosen columns, bound values, and the schema of what it returns."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import operators, visitors
from sqlalchemy.types import UserDefinedType

from tranship.comparisons import Predicate, sql_column
from tranship.reads import ReadRequest
from tranship.sqlserver.options import ReadOptions
from tranship.sqlserver.statements import sql_table
from tranship.sqlserver.types import cast_type, require_arrow_type
from tranship.tables import Column, TableName, TableSchema, column_not_found

_MILLISECONDS_OF_TICKS = frozenset({0, 3, 7})


@dataclass(frozen=True, slots=True)
class Query:
    """One read: the columns it returns, and the parts of its statement.

    Args:
        table: The table that is read.
        schema: The columns of the result.
        source: The columns of the table.
        selected: The expressions of the select list, in the order of `schema`.
        predicate: The rows that belong; `None` for all.
        order_by: Columns to order by.
    """

    table: TableName
    schema: TableSchema
    source: TableSchema
    selected: tuple[sa.ColumnElement[Any], ...]
    predicate: Predicate | None
    order_by: tuple[str, ...] = ()

    def select(self, part: Predicate | None = None) -> sa.Select[*tuple[Any, ...]]:
        """The statement, of all rows that belong or of those in one part."""
        statement = self.rows(*self.selected)
        if part is not None:
            statement = statement.where(part)
        return statement.order_by(*(sql_column(name) for name in self.order_by))

    def rows(self, *expressions: sa.ColumnElement[Any]) -> sa.Select[*tuple[Any, ...]]:
        """A select of other expressions over the same rows."""
        statement = sa.select(*expressions).select_from(sql_table(self.table))
        return statement if self.predicate is None else statement.where(self.predicate)


def build_query(request: ReadRequest, source: TableSchema, options: ReadOptions) -> Query:
    """The query for a request on a table with these columns.

    Raises:
        ColumnNotFoundError: A column that was named is not in the table.
        UnsupportedTypeError: A selected column's type cannot be moved and no cast was asked for.
        ConfigurationError: A cast is to no type of SQL Server.
    """
    names = list(request.columns or source.names)
    named = [*names, *options.exclude, *options.cast, *options.order_by]
    missing = [name for name in dict.fromkeys(named) if name not in source.names]
    if missing:
        raise column_not_found(missing, source.names)
    kept = [name for name in names if name not in options.exclude]
    casts = {name: cast_type(text, request.table, name) for name, text in options.cast.items()}

    columns: list[Column] = []
    selected: list[sa.ColumnElement[Any]] = []
    for name in kept:
        column, expression = source.column(name), sql_column(name)
        if name in casts:
            target = casts[name]
            type_ = require_arrow_type(target, request.table, name)
            column = replace(column, source_type=target, type=type_)
            selected.append(sa.cast(expression, _Declared(str(target))).label(expression.name))
        else:
            if column.source_type is not None:
                require_arrow_type(column.source_type, request.table, name)
            selected.append(expression)
        columns.append(column)

    key = source.primary_key if set(source.primary_key) <= set(kept) else ()
    return Query(
        table=request.table,
        schema=TableSchema(tuple(columns), key, source.comment),
        source=source,
        selected=tuple(selected),
        predicate=row_predicate(request, source, options),
        order_by=options.order_by,
    )


def row_predicate(
    request: ReadRequest, source: TableSchema, options: ReadOptions
) -> Predicate | None:
    """The condition of a request's slice and of the option `where`; `None` where every row belongs.

    Raises:
        ColumnNotFoundError: The slice names a column that the table lacks.
        ConfigurationError: The slice's values are not values of its column.
    """
    conditions: list[Predicate | sa.TextClause] = []
    in_slice = request.slice.predicate(source)
    if in_slice is not None:
        conditions.append(on_datetime_ticks(in_slice, source))
    if isinstance(options.where, str):
        # In text() a colon would start the name of a bound value.
        own_words = options.where.replace(":", r"\:")
        conditions.append(sa.text(f"({own_words})"))
    elif options.where is not None:
        conditions.append(on_datetime_ticks(options.where, source))
    return sa.and_(*conditions) if conditions else None


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
        >>> from tranship.tables import SourceType
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
