"""What one write does to one table: how each incoming column reaches its column, and which columns make way."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import psycopg2
import pyarrow as pa
from psycopg2 import sql

from tranship.equality import TextEquality
from tranship.errors import (
    WriteFailedError,
)
from tranship.pgsql.driver import qualified
from tranship.redshift.catalogue import RedshiftColumn
from tranship.redshift.types import (
    MAX_VARCHAR_BYTES,
    RedshiftType,
    varchar_width,
)
from tranship.tables import Column, TableName, TableSchema

TIME_TEXT = RedshiftType("varchar", length=16)
JSON_TEXT = RedshiftType("varchar", length=MAX_VARCHAR_BYTES)
_KEY_COLUMN = re.compile(r'cannot drop (sort|dist)key column "(.*)"')
_DEPENDENTS = re.compile(r"other objects depend on it|depends on")
_WITHOUT = {"sort": "alter sortkey none", "dist": "alter diststyle even"}


@dataclass(frozen=True, slots=True)
class ColumnExchange:
    """A column takes the place of another one of the same name: what Redshift has instead of altering it.

    Redshift drops no NOT NULL and changes no type but to a longer VARCHAR (https://docs.aws.amazon.com/redshift/latest/dg/r_ALTER_TABLE.html).
    So a new column is filled, the old one dropped, and the new one renamed, all in the transaction of the write: the
    table stays the same one, with its grants, keys and late-binding views. The column is the last one afterwards.

    Args:
        name: Its name.
        type: The type that it has then.
        keeps_values: Whether its values go over to the new column.
        comment: Its comment, which goes over as well.
    """

    name: str
    type: RedshiftType
    keeps_values: bool
    comment: str | None = None

    def statements(self, table: TableName, passing: str) -> Iterator[sql.Composed]:
        """The statements, in order; for one transaction.

        Args:
            table: The table, folded.
            passing: What the new column is called meanwhile.
        """
        of = {
            "table": qualified(table),
            "new": sql.Identifier(passing),
            "old": sql.Identifier(self.name),
            "type": sql.SQL(str(self.type)),
        }
        yield sql.SQL("alter table {table} add column {new} {type}").format(**of)
        if self.keeps_values:
            yield sql.SQL("update {table} set {new} = {old}").format(**of)
        yield sql.SQL("alter table {table} drop column {old}").format(**of)
        yield sql.SQL("alter table {table} rename column {new} to {old}").format(**of)
        if self.comment:
            yield sql.SQL("comment on column {} is {}").format(
                sql.Identifier(table.schema, table.name, self.name), sql.Literal(self.comment)
            )


def exchange_refused(error: psycopg2.Error, table: TableName) -> WriteFailedError | None:
    """Why a column cannot be dropped, with the statements that make it possible; `None` for other errors."""
    message = " ".join(str(error).split())
    shown = f'"{table.schema}"."{table.name}"'
    if (match := _KEY_COLUMN.search(message)) is not None:
        kind, column = match[1], match[2]
        return WriteFailedError(
            f'"{column}" of {table} must be exchanged for a column that takes what the source has now, but it is the '
            f"table's {kind}key: {message}",
            f"Run: alter table {shown} {_WITHOUT[kind]}; then load again, and give the table its {kind}key back.",
            details={"column": column},
        )
    if _DEPENDENTS.search(message):
        return WriteFailedError(
            f"A column of {table} must be exchanged for one that takes what the source has now, but: {message}",
            "Drop the view, load again, and create it anew; a view with no schema binding does not stand in the way.",
        )
    return None


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """One column on its way.

    Args:
        source: Its name in the data.
        name: Its name in Redshift.
        type: Its type in the table; a text or bytes column without a length is still to be measured.
        staged: Its Arrow type in the staged files.
        nullable: Whether a new table takes nulls in it.
        comment: Its comment, for a new table.
        exists: Whether the table has it already.
        limit_bytes: The most bytes one value may have, for text and bytes.
        may_widen: Whether the table's column may be made wider for longer values.
        parses_json: Whether its texts are JSON that becomes a SUPER.
        exchange: Whether the table's column makes way for one of this type; with its values, or without them.
    """

    source: str
    name: str
    type: RedshiftType
    staged: pa.DataType
    nullable: bool = True
    comment: str | None = None
    exists: bool = False
    limit_bytes: int | None = None
    may_widen: bool = False
    parses_json: bool = False
    exchange: Literal["with values", "without values"] | None = None

    @property
    def copied(self) -> RedshiftType:
        """The type it is copied as.

        COPY of Parquet has no TIME, which is cast from text afterwards, and makes of a text in a SUPER a string:
        https://docs.aws.amazon.com/redshift/latest/dg/ingest-super.html#parse_json
        """
        if self.parses_json:
            return JSON_TEXT
        return TIME_TEXT if self.type.name == "time" else self.type

    @property
    def is_converted(self) -> bool:
        """Whether it cannot be copied straight into its column."""
        return self.type.name == "time" or self.parses_json


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What one write does to one table's columns.

    Args:
        table: The table, folded.
        columns: The incoming columns in their order, which is that of the staged files.
        exists: Whether the table is there.
        loosened: Columns that the rows lack and that take no null as yet.
        dropped: Columns that the table loses.
    """

    table: TableName
    columns: tuple[ColumnPlan, ...]
    exists: bool
    loosened: tuple[RedshiftColumn, ...] = ()
    dropped: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names in Redshift, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def staged_schema(self) -> pa.Schema:
        """The one schema of every staged file."""
        return pa.schema([pa.field(column.name, column.staged) for column in self.columns])

    @property
    def serializes(self) -> bool:
        """Whether COPY has to turn values into SUPER."""
        return any(column.copied.name == "super" for column in self.columns)

    @property
    def exchanges(self) -> tuple[ColumnExchange, ...]:
        """The columns of the table that make way for others."""
        incoming = [
            ColumnExchange(
                column.name, column.type, column.exchange == "with values", column.comment
            )
            for column in self.columns
            if column.exchange is not None
        ]
        missing = [
            ColumnExchange(column.name, column.type, keeps_values=True, comment=column.comment)
            for column in self.loosened
        ]
        return (*incoming, *missing)

    @property
    def converts(self) -> bool:
        """Whether rows must pass through a temporary table on their way."""
        return any(column.is_converted for column in self.columns)

    def target_schema(self, schema: TableSchema) -> TableSchema:
        """The columns as the table types them, for slices: folded names, the types of its columns."""
        return TableSchema(
            tuple(Column(column.name, _comparable(column)) for column in self.columns),
            comment=schema.comment,
        )

    def equalities(self, rules: Mapping[str, TextEquality]) -> dict[str, TextEquality]:
        """How texts of some columns are compared, by the columns' names here, of those that are texts here."""
        return {
            column.name: rules[column.source]
            for column in self.columns
            if column.source in rules and column.type.holds_text
        }

    def measured(self, longest: Mapping[str, int]) -> "LoadPlan":
        """The same plan, with widths for the columns whose values were measured.

        Args:
            longest: Bytes of the longest value, by column.
        """
        return replace(self, columns=tuple(_with_width(column, longest) for column in self.columns))


def _with_width(column: ColumnPlan, longest: Mapping[str, int]) -> ColumnPlan:
    most_bytes = longest.get(column.name, 0)
    type_ = column.type
    if type_.measured:
        return replace(
            column, type=replace(type_, length=varchar_width(most_bytes, type_.limit_bytes))
        )
    if column.may_widen and type_.length is not None and most_bytes > type_.length:
        return replace(column, type=replace(type_, length=varchar_width(most_bytes)))
    return column


def _comparable(column: ColumnPlan) -> pa.DataType:
    return pa.string() if column.type.name == "super" else column.type.arrow()
