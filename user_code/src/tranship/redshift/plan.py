"""How each incoming column reaches its column in the table: checked against what is there, before any row moves."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from tranship.equality import TextEquality
from tranship.errors import (
    ColumnDrift,
    ConfigurationError,
    SchemaDriftError,
    UnsupportedTypeError,
)
from tranship.redshift.catalogue import ExistingColumn, ExistingTable
from tranship.redshift.identifiers import fold, fold_columns
from tranship.redshift.types import (
    RedshiftType,
    is_nested,
    plain_type,
    type_for,
    varchar_width,
)
from tranship.tables import Column, TableName, TableSchema, is_text
from tranship.writes import OnSchemaChange, WriteRequest

TIME_TEXT = RedshiftType("varchar", length=16)


@dataclass(frozen=True, slots=True)
class PlannedColumn:
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

    @property
    def copied(self) -> RedshiftType:
        """The type it is copied as: COPY of Parquet has no TIME, which is cast from text afterwards."""
        return TIME_TEXT if self.type.name == "time" else self.type

    @property
    def is_converted(self) -> bool:
        """Whether it cannot be copied straight into its column."""
        return self.type.name == "time"


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What one write does to one table's columns.

    Args:
        table: The table, folded.
        columns: The incoming columns in their order, which is that of the staged files.
        exists: Whether the table is there.
    """

    table: TableName
    columns: tuple[PlannedColumn, ...]
    exists: bool

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
        return any(column.type.name == "super" for column in self.columns)

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


def plan_load(
    request: WriteRequest,
    schema: TableSchema,
    existing: ExistingTable | None,
    table: TableName,
    varchar_lengths: Mapping[str, int],
) -> LoadPlan:
    """Match incoming columns to the table's.

    Args:
        request: What is written; its policy decides about differences.
        schema: The incoming columns.
        existing: The table, where there is one.
        table: Its name, folded.
        varchar_lengths: Widths that a person set, by column.

    Raises:
        SchemaDriftError: The columns differ and the policy does not allow it.
        UnsupportedTypeError: A column has no type in Redshift.
        ConfigurationError: Names collide when folded, or a setting names no column.
    """
    folded = fold_columns(schema.names, table)
    evolve = request.on_schema_change is not OnSchemaChange.ERROR
    declared = _declared(request, varchar_lengths, folded, table)
    columns: list[PlannedColumn] = []
    drifts: list[ColumnDrift] = []
    for column in schema.columns:
        name = folded[column.name]
        there = existing.column(name) if existing is not None else None
        incoming = _incoming_type(column, declared.get(name), there)
        if there is None:
            if existing is not None and not evolve:
                drifts.append(ColumnDrift(column.name, str(incoming), None))
            columns.append(_new_column(column, name, incoming, added=existing is not None))
        elif not _accepts(there, incoming, column):
            drifts.append(ColumnDrift(column.name, str(incoming), str(there.type)))
        else:
            columns.append(_present_column(column, there, incoming, evolve=evolve))
    missing = [
        there
        for there in (existing.columns if existing is not None else ())
        if there.name not in folded.values() and not there.filled_by_table
    ]
    drifts.extend(ColumnDrift(there.name, None, str(there.type)) for there in missing)
    if drifts:
        raise SchemaDriftError(table, drifts, _drift_remedy(drifts, evolve=evolve))
    return LoadPlan(table, tuple(columns), existing is not None)


def _declared(
    request: WriteRequest,
    varchar_lengths: Mapping[str, int],
    folded: Mapping[str, str],
    table: TableName,
) -> dict[str, str]:
    lengths = {name: f"varchar({length})" for name, length in varchar_lengths.items()}
    known = set(folded.values())
    declared = {fold(name): text for name, text in lengths.items() if fold(name) in known}
    for name, text in request.column_types.items():
        if fold(name) not in known:
            listed = ", ".join(f'"{column}"' for column in folded)
            raise ConfigurationError(
                f'column_types names "{name}", which is not a column of {table}.',
                f"The columns are {listed}.",
            )
        declared[fold(name)] = text
    return declared


def _incoming_type(
    column: Column, declared: str | None, there: ExistingColumn | None
) -> RedshiftType:
    if declared is None and there is not None and pa.types.is_null(plain_type(column.type)):
        return there.type
    return type_for(column, declared)


def _accepts(there: ExistingColumn, incoming: RedshiftType, column: Column) -> bool:
    if there.type.name == "super" and is_nested(plain_type(column.type)):
        return True
    return there.type.holds(incoming)


def _new_column(column: Column, name: str, type_: RedshiftType, *, added: bool) -> PlannedColumn:
    limited = type_.holds_text or type_.name == "varbyte"
    return PlannedColumn(
        source=column.name,
        name=name,
        type=type_,
        staged=_staged_type(column, type_),
        # A column added to rows that are there has to be null in them.
        nullable=column.nullable or added,
        comment=column.comment,
        limit_bytes=(type_.length or type_.limit_bytes) if limited else None,
    )


def _present_column(
    column: Column, there: ExistingColumn, incoming: RedshiftType, *, evolve: bool
) -> PlannedColumn:
    limited = there.type.holds_text or there.type.name == "varbyte"
    may_widen = evolve and there.type.name == "varchar"
    return PlannedColumn(
        source=column.name,
        name=there.name,
        type=there.type,
        staged=_staged_type(column, there.type if limited else _staged_as(there.type, incoming)),
        nullable=there.nullable,
        exists=True,
        limit_bytes=(there.type.limit_bytes if may_widen else there.type.length)
        if limited
        else None,
        may_widen=may_widen,
    )


def _staged_as(there: RedshiftType, incoming: RedshiftType) -> RedshiftType:
    """SUPER takes the values as they come; every other column takes its own type, cast beforehand."""
    return incoming if there.name == "super" else there


def _staged_type(column: Column, type_: RedshiftType) -> pa.DataType:
    incoming = plain_type(column.type)
    if type_.name == "time":
        return pa.string()
    if type_.name == "super":
        return (
            incoming if is_nested(incoming) or pa.types.is_large_string(incoming) else pa.string()
        )
    if type_.holds_text:
        return (
            incoming if is_text(incoming) and not pa.types.is_string_view(incoming) else pa.string()
        )
    if type_.name == "varbyte":
        return pa.large_binary() if pa.types.is_large_binary(incoming) else pa.binary()
    if type_.name == "timetz":
        raise UnsupportedTypeError(
            f'"{column.name}" is timetz in Redshift, which COPY cannot load.', "Use time or text."
        )
    return type_.arrow()


def _with_width(column: PlannedColumn, longest: Mapping[str, int]) -> PlannedColumn:
    found = longest.get(column.name, 0)
    type_ = column.type
    if type_.measured:
        return replace(column, type=replace(type_, length=varchar_width(found, type_.limit_bytes)))
    if column.may_widen and type_.length is not None and found > type_.length:
        return replace(column, type=replace(type_, length=varchar_width(found)))
    return column


def _comparable(column: PlannedColumn) -> pa.DataType:
    return pa.string() if column.type.name == "super" else column.type.arrow()


def _drift_remedy(drifts: list[ColumnDrift], *, evolve: bool) -> str:
    if evolve:
        return (
            "on_schema_change: evolve adds columns and widens texts; Redshift can change nothing else in "
            "place. Cast the data, or rebuild the table."
        )
    if all(drift.existing is None for drift in drifts):
        return "Set on_schema_change to evolve to add the columns."
    return (
        "Bring the data back to the table's columns, or alter the table; "
        "on_schema_change: evolve adds new columns and widens texts."
    )
