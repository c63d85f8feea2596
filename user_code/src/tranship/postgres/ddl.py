"""Create what is missing: schema, table, comments; and refuse the names that Postgres does not take."""

from collections.abc import Sequence

import psycopg2
import psycopg2.errors
from psycopg2 import sql

from tranship.errors import ConfigurationError
from tranship.pgsql.catalogue import has_schema
from tranship.pgsql.driver import SqlConnection, SqlCursor, qualified
from tranship.postgres.casting import ColumnPlan, plan_column
from tranship.postgres.types import column_type
from tranship.tables import Column, TableName, TableSchema, column_not_found
from tranship.writes import WriteRequest

# https://www.postgresql.org/docs/current/limits.html
LONGEST_NAME_BYTES = 63
MOST_COLUMNS = 1600
_SYSTEM_COLUMNS = {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}


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
                f"Rename it in your function, or in a replication with rename: {{{name}: {name}_}}.",
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


def ensure_schema(connection: SqlConnection, schema: str) -> None:
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
    cursor: SqlCursor,
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
        sql.SQL("create table {} ({})").format(qualified(table), sql.SQL(", ").join(columns))
    )
    if schema.comment:
        cursor.execute(
            sql.SQL("comment on table {} is {}").format(
                qualified(table), sql.Literal(schema.comment)
            )
        )
    for column in schema.columns:
        comment_column(cursor, table, column)


def comment_column(cursor: SqlCursor, table: TableName, column: Column) -> None:
    """Give a column the comment of its source, if it has one."""
    if column.comment:
        cursor.execute(
            sql.SQL("comment on column {} is {}").format(
                sql.Identifier(table.schema, table.name, column.name), sql.Literal(column.comment)
            )
        )


def new_columns(request: WriteRequest, schema: TableSchema) -> list[ColumnPlan]:
    """The plan for a table that is made from the incoming rows alone."""
    return [
        plan_column(
            column,
            column_type(column, request.column_types),
            request.table,
            rounding=request.round,
        )
        for column in schema.columns
    ]


def _check_name(what: str, name: str) -> None:
    size = len(name.encode())
    if size > LONGEST_NAME_BYTES:
        raise ConfigurationError(
            f"{what} is {size} bytes long; Postgres cuts names after {LONGEST_NAME_BYTES}.",
            "Choose a shorter name.",
        )
    if "\0" in name:
        raise ConfigurationError(f"{what} contains U+0000.", "Choose another name.")
