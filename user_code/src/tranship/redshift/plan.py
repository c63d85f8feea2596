"""How each incoming column reaches its column in the table: checked against what is there, before any row moves."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa

from tranship.arrow_types import in_microseconds, is_uuid, plain_type
from tranship.equality import TextEquality
from tranship.errors import (
    ColumnDrift,
    ConfigurationError,
    SchemaDriftError,
    UnsupportedTypeError,
)
from tranship.redshift.catalogue import ExistingColumn, ExistingTable
from tranship.redshift.exchange import Exchange
from tranship.redshift.identifiers import fold, fold_columns
from tranship.redshift.nested import check_inner_types
from tranship.redshift.types import (
    MAX_VARCHAR_BYTES,
    RedshiftType,
    is_nested,
    type_for,
    varchar_width,
)
from tranship.slices import WholeTable
from tranship.tables import Column, TableName, TableSchema, is_text
from tranship.writes import OnSchemaChange, WriteMode, WriteRequest

TIME_TEXT = RedshiftType("varchar", length=16)
JSON_TEXT = RedshiftType("varchar", length=MAX_VARCHAR_BYTES)


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
    columns: tuple[PlannedColumn, ...]
    exists: bool
    loosened: tuple[ExistingColumn, ...] = ()
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
    def exchanges(self) -> tuple[Exchange, ...]:
        """The columns of the table that make way for others."""
        incoming = [
            Exchange(column.name, column.type, column.exchange == "with values", column.comment)
            for column in self.columns
            if column.exchange is not None
        ]
        missing = [
            Exchange(column.name, column.type, keeps_values=True, comment=column.comment)
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
    return _Meeting(request, existing, table, varchar_lengths).plan(schema)


@dataclass(frozen=True, slots=True)
class _Meeting:
    """One comparison of incoming columns with those of a table."""

    request: WriteRequest
    existing: ExistingTable | None
    table: TableName
    varchar_lengths: Mapping[str, int]

    def plan(self, schema: TableSchema) -> LoadPlan:
        folded = fold_columns(schema.names, self.table)
        declared = _declared(self.request, self.varchar_lengths, folded, self.table)
        columns: list[PlannedColumn] = []
        drifts: list[ColumnDrift] = []
        for column in schema.columns:
            planned = self._incoming(column, folded[column.name], declared, drifts)
            columns += [planned] if planned is not None else []
        missing = [
            present
            for present in (self.existing.columns if self.existing is not None else ())
            if present.name not in folded.values() and not present.filled_by_table
        ]
        if not self._follows and not self._rebuilds:
            drifts.extend(ColumnDrift(present.name, None, str(present.type)) for present in missing)
        if drifts:
            remedy = _drift_remedy(drifts, evolve=self._evolves, is_whole=self._is_whole)
            raise SchemaDriftError(self.table, drifts, remedy)
        return LoadPlan(
            self.table,
            tuple(columns),
            self.existing is not None,
            loosened=()
            if self._rebuilds
            else tuple(present for present in missing if not present.nullable),
            dropped=tuple(present.name for present in missing) if self._rebuilds else (),
        )

    @property
    def _evolves(self) -> bool:
        return self.request.on_schema_change is not OnSchemaChange.ERROR

    @property
    def _follows(self) -> bool:
        """Whether the table follows the constraints of its source, which has declared them."""
        return self._evolves and self.request.declared is not None

    @property
    def _is_whole(self) -> bool:
        return self.request.mode is WriteMode.REPLACE and isinstance(self.request.slice, WholeTable)

    @property
    def _rebuilds(self) -> bool:
        return self._is_whole and self.request.on_schema_change is OnSchemaChange.REBUILD

    def _incoming(
        self, column: Column, name: str, declared: Mapping[str, str], drifts: list[ColumnDrift]
    ) -> PlannedColumn | None:
        there = self.existing.column(name) if self.existing is not None else None
        incoming = _incoming_type(column, declared.get(name), there)
        if there is None:
            if self.existing is not None and not self._evolves:
                drifts.append(ColumnDrift(column.name, str(incoming), None))
            return _new_column(column, name, incoming, added=self.existing is not None)
        if not _accepts(there, incoming, column):
            if self._rebuilds:
                anew = _new_column(column, name, incoming, added=True)
                return replace(anew, exists=True, exchange="without values")
            drifts.append(ColumnDrift(column.name, str(incoming), str(there.type)))
            return None
        present = _present_column(column, there, incoming, evolve=self._evolves)
        if self._follows and column.nullable and not there.nullable:
            values = "without values" if self._is_whole else "with values"
            return replace(present, nullable=True, comment=there.comment, exchange=values)
        return present


def constraint_drifts(schema: TableSchema, existing: ExistingTable) -> list[ColumnDrift]:
    """Where a table is stricter than its source: rows may come that it does not take."""
    return [
        ColumnDrift(
            column.name,
            "null",
            "not null",
            f'"{column.name}" may be null in the source, and is not null in the table',
        )
        for column in schema.columns
        if column.nullable
        and (present := existing.column(fold(column.name))) is not None
        and not present.nullable
    ]


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
    if there.type.name == "varbyte" and is_uuid(column.type):
        return True  # what such columns were made as before UUIDs were texts
    return there.type.holds(incoming)


def _new_column(column: Column, name: str, type_: RedshiftType, *, added: bool) -> PlannedColumn:
    limited = type_.holds_text or type_.name == "varbyte"
    parses_json = _parses_json(column, type_, type_)
    return PlannedColumn(
        source=column.name,
        name=name,
        type=type_,
        staged=_staged_type(column, type_),
        # A column added to rows that are there has to be null in them.
        nullable=column.nullable or added,
        comment=column.comment,
        limit_bytes=MAX_VARCHAR_BYTES
        if parses_json
        else (type_.length or type_.limit_bytes)
        if limited
        else None,
        parses_json=parses_json,
    )


def _present_column(
    column: Column, there: ExistingColumn, incoming: RedshiftType, *, evolve: bool
) -> PlannedColumn:
    limited = there.type.holds_text or there.type.name == "varbyte"
    may_widen = evolve and there.type.name == "varchar"
    parses_json = _parses_json(column, there.type, incoming)
    if parses_json:
        incoming = there.type
    return PlannedColumn(
        source=column.name,
        name=there.name,
        type=there.type,
        staged=_staged_type(column, there.type if limited else _staged_as(there.type, incoming)),
        nullable=there.nullable,
        exists=True,
        limit_bytes=MAX_VARCHAR_BYTES
        if parses_json
        else (there.type.limit_bytes if may_widen else there.type.length)
        if limited
        else None,
        may_widen=may_widen,
        parses_json=parses_json,
    )


def _parses_json(column: Column, type_: RedshiftType, incoming: RedshiftType) -> bool:
    """Whether texts are documents of a SUPER, not strings in it."""
    return type_.name == "super" and is_text(plain_type(column.type)) and not incoming.as_text


def _staged_as(there: RedshiftType, incoming: RedshiftType) -> RedshiftType:
    """SUPER takes the values as they come; every other column takes its own type, cast beforehand."""
    return incoming if there.name == "super" else there


def _staged_type(column: Column, type_: RedshiftType) -> pa.DataType:
    incoming = plain_type(column.type)
    if type_.name == "time":
        return pa.string()
    if type_.name == "super":
        if is_nested(incoming):
            check_inner_types(column.name, incoming)
            return in_microseconds(incoming)
        return incoming if pa.types.is_large_string(incoming) else pa.string()
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


def _drift_remedy(drifts: list[ColumnDrift], *, evolve: bool, is_whole: bool) -> str:
    rebuild = (
        "on_schema_change: rebuild exchanges the columns of a table that is replaced as a whole"
        if is_whole
        else ""
    )
    if evolve:
        return (
            "on_schema_change: evolve adds columns and widens texts; Redshift can change nothing else in "
            f"place. Cast the data, or rebuild the table{f': {rebuild}' if rebuild else ''}."
        )
    if all(drift.existing is None for drift in drifts):
        return "Set on_schema_change to evolve to add the columns."
    return (
        "Bring the data back to the table's columns, or alter the table; "
        "on_schema_change: evolve adds new columns and widens texts"
        f"{f', and {rebuild}' if rebuild else ''}."
    )
