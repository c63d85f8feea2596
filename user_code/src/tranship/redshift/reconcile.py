"""How incoming columns meet those of a table that is present: checked before any row moves."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from tranship.arrow_types import in_microseconds, is_uuid, plain_type
from tranship.errors import (
    ColumnDrift,
    ConfigurationError,
    SchemaDriftError,
    UnsupportedTypeError,
)
from tranship.redshift.catalogue import RedshiftColumn, RedshiftTable
from tranship.redshift.identifiers import fold, fold_columns
from tranship.redshift.nested import check_inner_types
from tranship.redshift.plan import ColumnPlan, LoadPlan
from tranship.redshift.types import (
    MAX_VARCHAR_BYTES,
    RedshiftType,
    is_nested,
    type_for,
)
from tranship.slices import WholeTable
from tranship.tables import Column, TableName, TableSchema, is_text
from tranship.writes import OnSchemaChange, WriteMode, WriteRequest


def reconcile(
    request: WriteRequest,
    schema: TableSchema,
    existing: RedshiftTable | None,
    table: TableName,
    varchar_lengths: Mapping[str, int],
) -> LoadPlan:
    """Match incoming columns to the table's.

    Args:
        request: What is written; its policy decides about differences.
        schema: The incoming columns.
        existing: The table, where present is one.
        table: Its name, folded.
        varchar_lengths: Widths that a person set, by column.

    Raises:
        SchemaDriftError: The columns differ and the policy does not allow it.
        UnsupportedTypeError: A column has no type in Redshift.
        ConfigurationError: Names collide when folded, or a setting names no column.
    """
    return _Reconciliation(request, existing, table, varchar_lengths).run(schema)


@dataclass(frozen=True, slots=True)
class _Reconciliation:
    """One comparison of incoming columns with those of a table."""

    request: WriteRequest
    existing: RedshiftTable | None
    table: TableName
    varchar_lengths: Mapping[str, int]

    def run(self, schema: TableSchema) -> LoadPlan:
        folded = fold_columns(schema.names, self.table)
        declared = _declared(self.request, self.varchar_lengths, folded, self.table)
        columns: list[ColumnPlan] = []
        drifts: list[ColumnDrift] = []
        for column in schema.columns:
            planned = self._incoming(column, folded[column.name], declared, drifts)
            columns += [planned] if planned is not None else []
        missing = [
            present
            for present in (self.existing.columns if self.existing is not None else ())
            if present.name not in folded.values() and not present.has_default
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
    ) -> ColumnPlan | None:
        present = self.existing.column(name) if self.existing is not None else None
        incoming = _incoming_type(column, declared.get(name), present)
        if present is None:
            if self.existing is not None and not self._evolves:
                drifts.append(ColumnDrift(column.name, str(incoming), None))
            return _new_column(column, name, incoming, added=self.existing is not None)
        if not _accepts(present, incoming, column):
            if self._rebuilds:
                anew = _new_column(column, name, incoming, added=True)
                return replace(anew, exists=True, exchange="without values")
            drifts.append(ColumnDrift(column.name, str(incoming), str(present.type)))
            return None
        planned = _present_column(column, present, incoming, evolve=self._evolves)
        if self._follows and column.nullable and not present.nullable:
            values = "without values" if self._is_whole else "with values"
            return replace(planned, nullable=True, comment=present.comment, exchange=values)
        return planned


def constraint_drifts(schema: TableSchema, existing: RedshiftTable) -> list[ColumnDrift]:
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
    column: Column, declared: str | None, present: RedshiftColumn | None
) -> RedshiftType:
    if declared is None and present is not None and pa.types.is_null(plain_type(column.type)):
        return present.type
    return type_for(column, declared)


def _accepts(present: RedshiftColumn, incoming: RedshiftType, column: Column) -> bool:
    if present.type.name == "super" and is_nested(plain_type(column.type)):
        return True
    if present.type.name == "varbyte" and is_uuid(column.type):
        return True  # what such columns were made as before UUIDs were texts
    return present.type.holds(incoming)


def _new_column(column: Column, name: str, type_: RedshiftType, *, added: bool) -> ColumnPlan:
    limited = type_.holds_text or type_.name == "varbyte"
    parses_json = _parses_json(column, type_, type_)
    return ColumnPlan(
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
    column: Column, present: RedshiftColumn, incoming: RedshiftType, *, evolve: bool
) -> ColumnPlan:
    limited = present.type.holds_text or present.type.name == "varbyte"
    may_widen = evolve and present.type.name == "varchar"
    parses_json = _parses_json(column, present.type, incoming)
    if parses_json:
        incoming = present.type
    return ColumnPlan(
        source=column.name,
        name=present.name,
        type=present.type,
        staged=_staged_type(
            column, present.type if limited else _staged_as(present.type, incoming)
        ),
        nullable=present.nullable,
        exists=True,
        limit_bytes=MAX_VARCHAR_BYTES
        if parses_json
        else (present.type.limit_bytes if may_widen else present.type.length)
        if limited
        else None,
        may_widen=may_widen,
        parses_json=parses_json,
    )


def _parses_json(column: Column, type_: RedshiftType, incoming: RedshiftType) -> bool:
    """Whether texts are documents of a SUPER, not strings in it."""
    return type_.name == "super" and is_text(plain_type(column.type)) and not incoming.as_text


def _staged_as(present: RedshiftType, incoming: RedshiftType) -> RedshiftType:
    """SUPER takes the values as they come; every other column takes its own type, cast beforehand."""
    return incoming if present.name == "super" else present


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
