"""A table that is there, as the catalogues of Postgres and Redshift show it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tranship.pgsql.driver import SqlCursor
from tranship.tables import Column, TableName, TableSchema

TypeOfColumn = TypeVar("TypeOfColumn")


@dataclass(frozen=True, slots=True)
class ExistingColumn(ABC, Generic[TypeOfColumn]):
    """One column of a table that is there.

    Args:
        name: Its name.
        type: Its type, as the system calls it.
        nullable: Whether it accepts null.
        has_default: Whether a row that leaves it out gets a value.
        comment: Its comment.
    """

    name: str
    type: TypeOfColumn
    nullable: bool = True
    has_default: bool = False
    comment: str | None = None

    @abstractmethod
    def read(self) -> Column:
        """The column in Arrow terms, as it is read, with the system's type as source type."""


AnyColumn = TypeVar("AnyColumn", bound="ExistingColumn[Any]")


@dataclass(frozen=True, slots=True)
class ExistingTable(Generic[AnyColumn]):
    """A table that is there.

    Args:
        name: Its schema and name.
        columns: Its columns in order.
        primary_key: The columns of its primary key in order, where the system enforces one.
        comment: Its comment.
    """

    name: TableName
    columns: tuple[AnyColumn, ...]
    primary_key: tuple[str, ...] = ()
    comment: str | None = None

    def column(self, name: str) -> AnyColumn | None:
        """The column of that name, if there is one."""
        return next((column for column in self.columns if column.name == name), None)

    def schema(self) -> TableSchema:
        """The table in Arrow terms, as it is read."""
        columns = tuple(column.read() for column in self.columns)
        return TableSchema(columns, self.primary_key, self.comment)


def has_schema(cursor: SqlCursor, schema: str) -> bool:
    """Whether a schema is there, to be used or not."""
    cursor.execute("select 1 from pg_namespace where nspname = %s", (schema,))
    return cursor.fetchone() is not None
