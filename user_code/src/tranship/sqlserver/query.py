"""The SELECT that reads a table: chosen columns, bound values, and the schema of what it returns.

A read of a whole table is text; SQLAlchemy, which takes longer to import than a small table to read, is
asked only for conditions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tranship.comparisons import Predicate
from tranship.reads import ReadRequest
from tranship.sqlserver.options import ReadOptions
from tranship.sqlserver.statements import CompiledStatement, quoted, quoted_table
from tranship.sqlserver.types import cast_type, require_arrow_type
from tranship.tables import Column, SourceType, TableName, TableSchema, column_not_found, is_text

if TYPE_CHECKING:
    import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class Query:
    """One read: the columns it returns, and the parts of its statement.

    Args:
        table: The table that is read.
        schema: The columns of the result.
        source: The columns of the table.
        casts: The types that columns are cast to, by column.
        predicate: The rows that belong; `None` for all.
        order_by: Columns to order by.
        rows_of: What the rows are taken from in the table's place, as SQL.
    """

    table: TableName
    schema: TableSchema
    source: TableSchema
    casts: Mapping[str, SourceType]
    predicate: Predicate | None
    order_by: tuple[str, ...] = ()
    rows_of: str | None = None

    def select(self, part: Predicate | None = None) -> CompiledStatement:
        """The statement, of all rows that belong or of those in one part."""
        return self._over(self._selected(), part, self.order_by)

    def over(self, selected: str, part: Predicate | None = None) -> CompiledStatement:
        """A statement of aggregates over the same rows.

        Args:
            selected: The select list, as SQL.
            part: The rows of one part, where it is not all of them.
        """
        return self._over(selected, part, ())

    def value(self, name: str) -> str:
        """A column's value as it is read, as SQL."""
        cast = self.casts.get(name)
        return quoted(name) if cast is None else f"cast({quoted(name)} as {cast})"

    def _over(
        self, selected: str, part: Predicate | None, order_by: tuple[str, ...]
    ) -> CompiledStatement:
        conditions = [one for one in (self.predicate, part) if one is not None]
        if not conditions:
            ordered = f" order by {', '.join(map(quoted, order_by))}" if order_by else ""
            rows_of = self.rows_of or quoted_table(self.table)
            return CompiledStatement(f"select {selected} from {rows_of}{ordered}")
        from tranship.sqlserver.conditions import select_where

        return select_where(selected, self.table, conditions, order_by)

    def _selected(self) -> str:
        return ", ".join(self._expression(name) for name in self.schema.names)

    def _expression(self, name: str) -> str:
        value = self.value(name)
        return value if name not in self.casts else f"{value} as {quoted(name)}"

    def rows(self, *expressions: "sa.ColumnElement[Any]") -> "sa.Select[*tuple[Any, ...]]":
        """A select of other expressions over the same rows."""
        from tranship.sqlserver.conditions import select_rows

        return select_rows(self.table, self.predicate, *expressions)


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
    for name in kept:
        column = source.column(name)
        if name in casts:
            type_ = require_arrow_type(casts[name], request.table, name)
            # A text that is cast to a text keeps its collation; of other types bytes tell.
            equality = column.equality if is_text(type_) else None
            column = replace(column, source_type=casts[name], type=type_, equality=equality)
        elif column.source_type is not None:
            require_arrow_type(column.source_type, request.table, name)
        columns.append(column)

    key = source.primary_key if set(source.primary_key) <= set(kept) else ()
    return Query(
        table=request.table,
        schema=TableSchema(tuple(columns), key, source.comment),
        source=source,
        casts=casts,
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
    in_slice = request.slice.predicate(source)
    if in_slice is None and options.where is None:
        return None
    from tranship.sqlserver.conditions import all_of

    return all_of(in_slice, options.where, source)
