"""Create what is missing, and say what the incoming columns mean for a table that is there."""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import pyarrow as pa
from psycopg2 import sql

from tranship.errors import ColumnDrift, ConfigurationError, SchemaDriftError, WriteFailedError
from tranship.postgres.casting import ColumnPlan, plan_column
from tranship.postgres.catalog import (
    RELATION_KINDS,
    ExistingColumn,
    ExistingTable,
    has_schema,
    quoted,
)
from tranship.postgres.types import PostgresType, column_type, holds, widened
from tranship.tables import Column, TableName, TableSchema, column_not_found
from tranship.writes import OnSchemaChange, WriteMode, WriteRequest

# https://www.postgresql.org/docs/current/limits.html
LONGEST_NAME_BYTES = 63
MOST_COLUMNS = 1600
_SYSTEM_COLUMNS = {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}
_WRITABLE_KINDS = {"r", "p", "f"}


@dataclass(frozen=True, slots=True)
class Evolution:
    """What must change in a table before the incoming rows fit: columns added and types widened."""

    added: tuple[tuple[Column, PostgresType], ...] = ()
    widened: tuple[tuple[str, PostgresType], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.widened)

    def __str__(self) -> str:
        parts = [f'"{column.name}" {type_} added' for column, type_ in self.added]
        parts += [f'"{name}" widened to {type_}' for name, type_ in self.widened]
        return ", ".join(parts)


def check_names(request: WriteRequest, schema: TableSchema) -> None:
    """Refuse what Postgres would cut, mistake or not take, before anything is done.

    Raises:
        ConfigurationError: A name is too long or reserved, or there are too many or no columns.
        ColumnNotFoundError: A setting names a column that the rows lack.
    """
    table = request.table
    for kind, name in (("schema", table.schema), ("table", table.name)):
        _check_name(f"The {kind} name {name!r}", name)
    for name in schema.names:
        _check_name(f"The column name {name!r} for {table}", name)
        if name in _SYSTEM_COLUMNS:
            raise ConfigurationError(
                f"The column name {name!r} for {table} is one of Postgres's system columns.",
                "Rename the column in your function.",
            )
    if not schema.names:
        raise ConfigurationError(
            f"The rows for {table} have no columns.", "Return at least one column."
        )
    if len(schema.names) > MOST_COLUMNS:
        raise ConfigurationError(
            f"The rows for {table} have {len(schema.names)} columns; a Postgres table has at most {MOST_COLUMNS}.",
            "Select fewer, or split the table.",
        )
    named = (*request.slice.columns, *request.key, *request.column_types)
    if missing := [name for name in dict.fromkeys(named) if name not in schema.names]:
        raise column_not_found(missing, schema.names)


def ensure_schema(connection: psycopg2.extensions.connection, schema: str) -> None:
    """Create the schema where it is missing, in a transaction of its own.

    Inside the write's transaction, other writers would wait for its end to create theirs. An empty
    schema harms nobody if the write then fails.
    """
    with connection.cursor() as cursor:
        if not has_schema(cursor, schema):
            try:
                cursor.execute(
                    sql.SQL("create schema if not exists {}").format(sql.Identifier(schema))
                )
            except (psycopg2.errors.UniqueViolation, psycopg2.errors.DuplicateSchema):
                # Another session made it between the check and the creation.
                connection.rollback()
    connection.commit()


def create_table(
    cursor: psycopg2.extensions.cursor,
    table: TableName,
    schema: TableSchema,
    plans: Sequence[ColumnPlan],
) -> None:
    """Create an empty table with the comments of its source; keys come after the rows."""
    columns = [
        sql.SQL("{} {}{}").format(
            sql.Identifier(plan.name),
            sql.SQL(str(plan.type)),
            sql.SQL("" if schema.column(plan.name).nullable else " not null"),
        )
        for plan in plans
    ]
    cursor.execute(
        sql.SQL("create table {} ({})").format(quoted(table), sql.SQL(", ").join(columns))
    )
    if schema.comment:
        cursor.execute(
            sql.SQL("comment on table {} is {}").format(quoted(table), sql.Literal(schema.comment))
        )
    for column in schema.columns:
        comment_column(cursor, table, column)


def comment_column(cursor: psycopg2.extensions.cursor, table: TableName, column: Column) -> None:
    """Give a column the comment of its source, if it has one."""
    if column.comment:
        cursor.execute(
            sql.SQL("comment on column {} is {}").format(
                sql.Identifier(table.schema, table.name, column.name), sql.Literal(column.comment)
            )
        )


def create_keys(
    cursor: psycopg2.extensions.cursor, request: WriteRequest, schema: TableSchema
) -> None:
    """Give a new table its primary key, or an index on the columns that slices are found by."""
    key: tuple[str, ...] = ()
    if request.key and request.mode != WriteMode.APPEND:
        # Also where rows are replaced: who names a key will merge by it, and needs its index then.
        key = request.key
    elif request.mode == WriteMode.REPLACE and not request.slice.columns:
        # A partition may be a snapshot of the whole source, and appended rows a history: the
        # source's key is a key here only where the whole table is replaced. Its columns may also
        # have been dropped on the way.
        key = schema.primary_key if set(schema.primary_key) <= set(schema.names) else ()
    if key:
        columns = sql.SQL(", ").join(map(sql.Identifier, key))
        # A named key that may be null is unique where it is not, which is all that merging needs.
        may_be_null = request.mode != WriteMode.MERGE and any(
            schema.column(name).nullable for name in key
        )
        statement = (
            "create unique index on {} ({})"
            if may_be_null
            else "alter table {} add primary key ({})"
        )
        cursor.execute(sql.SQL(statement).format(quoted(request.table), columns))
    sliced = request.slice.columns if request.slice.columns != key[:1] else ()
    # Without it, replacing one day would read the whole table to find the rows to delete.
    if sliced:
        columns = sql.SQL(", ").join(map(sql.Identifier, sliced))
        cursor.execute(sql.SQL("create index on {} ({})").format(quoted(request.table), columns))


def new_columns(request: WriteRequest, schema: TableSchema) -> list[ColumnPlan]:
    """The plan for a table that is made from the incoming rows alone."""
    return [
        plan_column(column, column_type(column, request.column_types), request.table)
        for column in schema.columns
    ]


def reconcile(
    request: WriteRequest, schema: TableSchema, existing: ExistingTable
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
    evolve = request.on_schema_change == OnSchemaChange.EVOLVE
    plans: list[ColumnPlan] = []
    added: list[tuple[Column, PostgresType]] = []
    wider: list[tuple[str, PostgresType]] = []
    drifts: list[ColumnDrift] = []
    allowed_by_evolve = True
    for column in schema.columns:
        incoming = column_type(column, request.column_types)
        there = existing.column(column.name)
        if there is None:
            target = incoming
            added.append((column, incoming))
            drifts.append(ColumnDrift(column.name, str(incoming), None))
        else:
            target, change = _meet(column, incoming, there)
            if change is not None or target is None:
                drifts.append(ColumnDrift(column.name, str(incoming), _described(there)))
            if target is None:
                allowed_by_evolve = False
                continue
            if change is not None:
                wider.append((column.name, change))
        plans.append(plan_column(column, target, request.table))
    for there in existing.columns:
        if there.name in schema.names or there.generated or there.identity:
            continue
        drifts.append(ColumnDrift(there.name, None, _described(there)))
        allowed_by_evolve = allowed_by_evolve and (there.nullable or there.has_default)
    if drifts and not (evolve and allowed_by_evolve):
        raise SchemaDriftError(request.table, drifts, _remedy(allowed=allowed_by_evolve))
    return plans, Evolution(tuple(added), tuple(wider))


def evolve_table(
    cursor: psycopg2.extensions.cursor, table: TableName, evolution: Evolution
) -> None:
    """Add columns and widen types."""
    changes = [
        sql.SQL("add column {} {}").format(sql.Identifier(column.name), sql.SQL(str(type_)))
        for column, type_ in evolution.added
    ]
    changes += [
        sql.SQL("alter column {} type {}").format(sql.Identifier(name), sql.SQL(str(type_)))
        for name, type_ in evolution.widened
    ]
    if changes:
        try:
            cursor.execute(
                sql.SQL("alter table {} {}").format(quoted(table), sql.SQL(", ").join(changes))
            )
        except psycopg2.errors.FeatureNotSupported as error:
            detail = error.diag.message_detail or error.diag.message_primary
            raise WriteFailedError(
                f"{table} cannot be changed ({evolution}): {detail}.",
                "Drop what depends on the column, run the write, and create it again.",
            ) from None
    for column, _ in evolution.added:
        comment_column(cursor, table, column)


def _meet(
    column: Column, incoming: PostgresType, there: ExistingColumn
) -> tuple[PostgresType | None, PostgresType | None]:
    """The type the rows are cast to, and the type the column must become first (`None`: as it is)."""
    if there.generated:
        return None, None
    if pa.types.is_null(column.type) or holds(there.type, incoming):
        return there.type, None
    change = widened(there.type, incoming)
    return change, change


def _described(there: ExistingColumn) -> str:
    return f"{there.type} (generated)" if there.generated else str(there.type)


def _remedy(*, allowed: bool) -> str:
    if allowed:
        return (
            'Set on_schema_change to "evolve" to add new columns, widen types, and leave columns '
            "that the rows lack at null or their default; or bring the rows back to the table's columns."
        )
    return (
        "No setting allows all of this: types are never narrowed and not-null columns never left out. "
        "Choose types with column_types, or alter or drop the table."
    )


def _check_name(what: str, name: str) -> None:
    size = len(name.encode())
    if size > LONGEST_NAME_BYTES:
        raise ConfigurationError(
            f"{what} is {size} bytes long; Postgres cuts names after {LONGEST_NAME_BYTES}.",
            "Choose a shorter name.",
        )
    if "\0" in name:
        raise ConfigurationError(f"{what} contains U+0000.", "Choose another name.")
