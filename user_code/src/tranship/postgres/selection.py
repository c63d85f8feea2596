"""The rows and columns that a source is asked for, as statements: slices, the condition, and casts, all in Postgres's words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import quoted_name
from typing_extensions import override

from tranship.comparisons import Predicate, sql_column, sql_table
from tranship.postgres.source_types import (
    cast_type,
    check_moved,
    is_unbounded,
    moved_as,
    source_type,
)
from tranship.postgres.types import PostgresType
from tranship.slices import Slice
from tranship.tables import Column, TableName, TableSchema, is_text

_RANGES = {operators.lt, operators.le, operators.gt, operators.ge}
_COLLATED = frozenset({"text", "varchar", "char", "bpchar", "name", "citext"})


class Declared(sa.types.UserDefinedType[Any]):
    """A type of Postgres by its declaration."""

    cache_ok = True

    def __init__(self, type_: str) -> None:
        self.type_ = type_

    def get_col_spec(self, **_: Any) -> str:
        """The declaration."""
        return self.type_

    @override
    def bind_processor(self, dialect: Any) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows of a table that meet a condition, and how their columns are read.

    Args:
        table: The table.
        schema: Its columns.
        where: A condition on its rows, in Postgres's words.
        casts: Types that columns are read as, by column.
        key: The columns that tell rows apart.
    """

    table: TableName
    schema: TableSchema
    where: str | None = None
    casts: Mapping[str, str] = field(default_factory=dict[str, str])
    key: tuple[str, ...] = ()

    def read(self, names: Sequence[str]) -> TableSchema:
        """The columns that a read of these gives.

        Raises:
            ColumnNotFoundError: One of them is none of the table.
            ConfigurationError: A cast is to no type that can be moved.
            UnsupportedTypeError: One cannot be moved as it is, and is not cast.
        """
        chosen = self.schema.select(names)
        return replace(chosen, columns=tuple(map(self._read, chosen.columns)))

    def _read(self, column: Column) -> Column:
        declared = self.casts.get(column.name)
        if declared is None:
            check_moved(column, self.table)
            return column
        type_ = cast_type(declared, self.table, column.name)
        arrow = moved_as(type_)
        # A text that is cast to a text is compared as before; of other types bytes tell.
        equality = column.equality if is_text(arrow) and is_text(column.type) else None
        return replace(column, type=arrow, source_type=source_type(type_), equality=equality)

    def select(
        self,
        names: Sequence[str],
        part: Slice | None = None,
        within: Predicate | None = None,
        order_by: Sequence[str] = (),
    ) -> sa.Select[Any]:
        """The statement of the rows of a part.

        Args:
            names: The columns, in order.
            part: Which rows; all by default.
            within: A further condition.
            order_by: Columns to order by.
        """
        statement = self.rows(part, *map(self.value, names))
        if within is not None:
            statement = statement.where(self._in_byte_order(within))
        return statement.order_by(*map(sql_column, order_by))

    def rows(
        self, part: Slice | None, *expressions: sa.ColumnElement[Any]
    ) -> sa.Select[*tuple[Any, ...]]:
        """A select of expressions over the rows of a part that meet the condition."""
        statement = sa.select(*expressions).select_from(sql_table(self.table))
        predicate = None if part is None else part.predicate(self.schema)
        if predicate is not None:
            statement = statement.where(self._in_byte_order(predicate))
        if self.where is not None:
            # In text() a colon would start the name of a value; the line ends a comment that the condition may end with.
            statement = statement.where(sa.text("(" + self.where.replace(":", r"\:") + "\n)"))
        return statement

    def value(self, name: str) -> sa.ColumnElement[Any]:
        """A column's value as it is read."""
        column = sql_column(name)
        if name in self.casts:
            declared = cast_type(self.casts[name], self.table, name)
            return sa.cast(column, Declared(str(declared))).label(quoted_name(name, quote=True))
        if name in self.key and is_unbounded(self.schema.column(name)):
            # 1.0 and 1.00 are one key, and would be two texts.
            return sa.func.trim_scale(column).label(quoted_name(name, quote=True))
        return column

    def order_of(self, name: str) -> sa.ColumnElement[Any]:
        """What rows are ordered by so that ranges of a column hold them: texts by their bytes."""
        column = sql_column(name)
        return sa.collate(column, "C") if self.is_collated(name) else column

    def is_collated(self, name: str) -> bool:
        """Whether a column's values are texts, whose order depends on a locale."""
        type_ = self.schema.column(name).source_type
        return type_ is not None and type_.name in _COLLATED

    def declared(self, name: str) -> str:
        """A column's own type."""
        type_ = self.schema.column(name).source_type
        return str(PostgresType.parse(str(type_))) if type_ is not None else "text"

    def _in_byte_order(self, predicate: Predicate) -> Predicate:
        """The same condition with ranges of texts in the order of their bytes, whatever the database's locale is."""

        def by_bytes(element: Any, **_: Any) -> Any:
            if (
                isinstance(element, sa.BinaryExpression)
                and element.operator in _RANGES
                and isinstance(element.left, sa.ColumnClause)
                and isinstance(element.right, sa.BindParameter)
                and self.is_collated(element.left.name)
            ):
                return element.operator(sa.collate(element.left, "C"), element.right)
            return None

        return visitors.replacement_traverse(predicate, {}, by_bytes)
