"""How incoming columns meet a table that is there, and what must change in it before they fit."""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg2.errors
import pyarrow as pa
from psycopg2 import sql

from tranship.errors import ColumnDrift, SchemaDriftError, WriteFailedError
from tranship.pgsql.driver import SqlCursor, qualified
from tranship.postgres.casting import ColumnPlan, plan_column
from tranship.postgres.catalogue import RELATION_KINDS, PostgresColumn, PostgresTable
from tranship.postgres.ddl import comment_column
from tranship.postgres.keys import NO_CHANGE, KeyChange, key_change, shown
from tranship.postgres.types import PostgresType, column_type, holds, widened
from tranship.slices import WholeTable
from tranship.tables import Column, TableName, TableSchema
from tranship.writes import OnSchemaChange, WriteMode, WriteRequest

_WRITABLE_KINDS = {"r", "p", "f"}


@dataclass(frozen=True, slots=True)
class Evolution:
    """What must change in a table before the incoming rows fit.

    Args:
        added: Columns that it gets.
        widened: Columns whose type becomes one that holds more.
        loosened: Columns that may be null from now on.
        key: What becomes of its key.
        dropped: Columns that it loses, where it is made anew.
        retyped: Columns whose values are of another type, where it is made anew; for an empty table only.
    """

    added: tuple[tuple[Column, PostgresType], ...] = ()
    widened: tuple[tuple[str, PostgresType], ...] = ()
    loosened: tuple[str, ...] = ()
    key: KeyChange = NO_CHANGE
    dropped: tuple[str, ...] = ()
    retyped: tuple[tuple[str, PostgresType], ...] = ()

    def __bool__(self) -> bool:
        return bool(
            self.added or self.widened or self.loosened or self.key or self.dropped or self.retyped
        )

    def __str__(self) -> str:
        parts = [f'"{column.name}" {type_} added' for column, type_ in self.added]
        parts += [f'"{name}" widened to {type_}' for name, type_ in self.widened]
        parts += [f'"{name}" may be null' for name in self.loosened]
        parts += [f'"{name}" dropped' for name in self.dropped]
        parts += [f'"{name}" is now {type_}' for name, type_ in self.retyped]
        parts += [str(self.key)] if self.key else []
        return ", ".join(parts)

    def statements(self, table: TableName) -> Iterator[sql.Composable]:
        """The statements that change the columns; the key is another matter."""
        changes = [
            sql.SQL("add column {} {}").format(sql.Identifier(column.name), sql.SQL(str(type_)))
            for column, type_ in self.added
        ]
        changes += [
            sql.SQL("alter column {} type {}").format(sql.Identifier(name), sql.SQL(str(type_)))
            for name, type_ in self.widened
        ]
        changes += [
            sql.SQL("alter column {} drop not null").format(sql.Identifier(name))
            for name in self.loosened
        ]
        changes += [sql.SQL("drop column {}").format(sql.Identifier(name)) for name in self.dropped]
        for name, type_ in self.retyped:
            column, type_name = sql.Identifier(name), sql.SQL(str(type_))
            # What a default is worth in another type, nobody knows; there are no values to convert.
            yield sql.SQL("alter table {} alter column {} drop default").format(
                qualified(table), column
            )
            changes.append(
                sql.SQL("alter column {0} type {1} using null::{1}").format(column, type_name)
            )
        if changes:
            yield sql.SQL("alter table {} {}").format(qualified(table), sql.SQL(", ").join(changes))


def reconcile(
    request: WriteRequest, schema: TableSchema, existing: PostgresTable
) -> tuple[list[ColumnPlan], Evolution]:
    """How the incoming columns go into the table that is there, and what must change in it first.

    A table's type that holds every incoming value is no drift: the values are cast.

    Raises:
        SchemaDriftError: They do not fit, and the policy does not allow the change.
        WriteFailedError: What is there is not a table.
    """
    if existing.kind not in _WRITABLE_KINDS:
        kind = RELATION_KINDS.get(existing.kind, existing.kind)
        raise WriteFailedError(
            f"{request.table} is a {kind}, not a table.", "Choose another name, or drop it."
        )
    return _Reconciliation(request, schema, existing).run()


def constraint_drifts(
    request: WriteRequest, schema: TableSchema, existing: PostgresTable
) -> list[ColumnDrift]:
    """Where a table is stricter than its source: rows may come that it does not take."""
    return [
        ColumnDrift(
            name,
            "null",
            "not null",
            f'"{name}" may be null in the source, and is not null in the table',
        )
        for name in _loosened(request, schema, existing, key_change(request, schema, existing))
        if name in schema.names
    ]


def evolve_table(cursor: SqlCursor, table: TableName, evolution: Evolution) -> None:
    """Change the columns of a table: the old key must be gone before, the new one comes after the rows."""
    try:
        for statement in evolution.statements(table):
            cursor.execute(statement)
    except (
        psycopg2.errors.FeatureNotSupported,
        psycopg2.errors.DependentObjectsStillExist,
    ) as error:
        detail = error.diag.message_detail or error.diag.message_primary
        raise WriteFailedError(
            f"{table} cannot be changed ({evolution}): {detail}.",
            "Drop what depends on the column, run the write, and create it again.",
        ) from None
    for column, _ in evolution.added:
        comment_column(cursor, table, column)


class _Reconciliation:
    """One comparison of incoming columns with those of a table."""

    def __init__(self, request: WriteRequest, schema: TableSchema, existing: PostgresTable) -> None:
        self.request, self.schema, self.existing = request, schema, existing
        self.key = key_change(request, schema, existing)
        self.is_whole = request.mode == WriteMode.REPLACE and isinstance(request.slice, WholeTable)
        self.rebuilds = self.is_whole and request.on_schema_change == OnSchemaChange.REBUILD
        self.plans: list[ColumnPlan] = []
        self.added: list[tuple[Column, PostgresType]] = []
        self.wider: list[tuple[str, PostgresType]] = []
        self.retyped: list[tuple[str, PostgresType]] = []
        self.dropped: list[str] = []
        self.drifts: list[ColumnDrift] = []
        self.allowed_by_evolve = True

    def run(self) -> tuple[list[ColumnPlan], Evolution]:
        for column in self.schema.columns:
            self._incoming(column)
        for column in self.existing.columns:
            self._missing(column)
        self._key_drift()
        evolve = self.request.on_schema_change != OnSchemaChange.ERROR
        if self.drifts and not (evolve and (self.allowed_by_evolve or self.rebuilds)):
            raise SchemaDriftError(self.request.table, self.drifts, self._remedy())
        loosened = _loosened(self.request, self.schema, self.existing, self.key) if evolve else ()
        return self.plans, Evolution(
            tuple(self.added),
            tuple(self.wider),
            tuple(name for name in loosened if name not in self.dropped),
            self.key if evolve else NO_CHANGE,
            tuple(self.dropped),
            tuple(self.retyped),
        )

    def _incoming(self, column: Column) -> None:
        incoming = column_type(column, self.request.column_types)
        present = self.existing.column(column.name)
        if present is None:
            self.added.append((column, incoming))
            self.drifts.append(ColumnDrift(column.name, str(incoming), None))
            self._plan(column, incoming)
            return
        target, change = _types_for(column, incoming, present)
        if change is not None or target is None:
            self.drifts.append(ColumnDrift(column.name, str(incoming), _described(present)))
        if target is None:
            self.allowed_by_evolve = False
            if not self.rebuilds or present.generated:
                return
            target = incoming
            self.retyped.append((column.name, incoming))
        elif change is not None:
            self.wider.append((column.name, change))
        self._plan(column, target)

    def _plan(self, column: Column, target: PostgresType) -> None:
        request = self.request
        self.plans.append(plan_column(column, target, request.table, rounding=request.round))

    def _missing(self, present: PostgresColumn) -> None:
        if present.name in self.schema.names or present.generated or present.identity:
            return
        self.drifts.append(ColumnDrift(present.name, None, _described(present)))
        if self.rebuilds and not present.has_default:
            self.dropped.append(present.name)
        in_key = present.name in _primary_after(self.existing, self.key)
        may_be_left = present.nullable or (self.request.declared is not None and not in_key)
        self.allowed_by_evolve = self.allowed_by_evolve and (may_be_left or present.has_default)

    def _key_drift(self) -> None:
        if not self.key:
            return
        incoming = self.key.added.columns if self.key.added else ()
        old = self.key.dropped[0].columns if self.key.dropped else ()
        if set(incoming) != set(old):
            self.drifts.append(
                ColumnDrift(
                    "key",
                    shown(incoming),
                    shown(old),
                    f"the key is {shown(incoming)} in the source and {shown(old)} in the table",
                )
            )

    def _remedy(self) -> str:
        if self.allowed_by_evolve:
            return (
                'Set on_schema_change to "evolve" to add new columns, widen types, and leave columns that '
                "the rows lack at null or their default; or bring the rows back to the table's columns."
            )
        rebuild = (
            ' Set on_schema_change to "rebuild" to make the table anew from the rows, with its grants and '
            "without the columns that they lack;"
            if self.is_whole
            else ""
        )
        return (
            "No setting allows all of this in place: types are never narrowed and not-null columns never "
            f"left out.{rebuild} choose types with column_types, or alter or drop the table."
            if rebuild
            else "No setting allows all of this: types are never narrowed and not-null columns never left out. "
            "Choose types with column_types, or alter or drop the table."
        )


def _loosened(
    request: WriteRequest, schema: TableSchema, existing: PostgresTable, key: KeyChange
) -> tuple[str, ...]:
    """The columns that the table takes no null in, and the source has none or null for."""
    if request.declared is None:
        return ()
    strict = _primary_after(existing, key)
    return tuple(
        column.name
        for column in existing.columns
        if not column.nullable
        and column.name not in strict
        and not (column.generated or column.identity)
        and (
            schema.column(column.name).nullable
            if column.name in schema.names
            else not column.has_default
        )
    )


def _primary_after(existing: PostgresTable, key: KeyChange) -> tuple[str, ...]:
    """The columns of the primary key that the table has in the end, which are never null."""
    if key.added is not None and not key.added.may_be_null:
        return key.added.columns
    return () if any(index.is_primary for index in key.dropped) else existing.primary_key


def _types_for(
    column: Column, incoming: PostgresType, present: PostgresColumn
) -> tuple[PostgresType | None, PostgresType | None]:
    """The type the rows are cast to, and the type the column must become first (`None`: as it is)."""
    if present.generated:
        return None, None
    if pa.types.is_null(column.type) or holds(present.type, incoming):
        return present.type, None
    change = widened(present.type, incoming)
    return change, change


def _described(present: PostgresColumn) -> str:
    return f"{present.type} (generated)" if present.generated else str(present.type)
