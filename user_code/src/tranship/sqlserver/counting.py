"""Exact answers about a table that the server works out by reading it: its row count, its fingerprint."""

from typing import Any

import sqlalchemy as sa

from tranship.comparisons import sql_column
from tranship.reads import ReadRequest
from tranship.sqlserver.catalogue import describe_over
from tranship.sqlserver.conditions import ROW_COUNT, select_rows
from tranship.sqlserver.connection import connect
from tranship.sqlserver.options import ReadOptions
from tranship.sqlserver.query import row_predicate
from tranship.sqlserver.settings import SqlServerSettings
from tranship.sqlserver.statements import rows
from tranship.tables import TableName, TableSchema


def row_count(settings: SqlServerSettings, request: ReadRequest) -> int:
    """How many rows a table, or a slice of it, has now.

    Raises:
        TableNotFoundError: There is no such table.
        ColumnNotFoundError: The slice names a column that the table lacks.

    Example:
        >>> row_count(settings, ReadRequest(TableName("dbo", "DimProduct")))  # doctest: +SKIP
        606
    """
    with connect(settings, doing=f"counting {request.table}") as connection:
        source = describe_over(connection, settings, [request.table])[request.table]
        predicate = row_predicate(request, source, ReadOptions())
        statement = select_rows(request.table, predicate, ROW_COUNT)
        return int(rows(connection, statement)[0][0])


def fingerprint(
    settings: SqlServerSettings, table: TableName, *, schema: TableSchema | None = None
) -> str:
    """A short text that changes when the table's rows do.

    With a rowversion column it is the row count and the highest version, which misses nothing but a
    deletion and an insertion undone in between. Without one it is the row count and a checksum over
    all rows, of 32 bits, which a change may leave as it is in one case of four thousand million, or
    where two changes cancel out: it tells when to look, not that nothing happened.
    https://learn.microsoft.com/sql/t-sql/functions/checksum-agg-transact-sql

    Raises:
        TableNotFoundError: There is no such table.
    """
    with connect(settings, doing=f"fingerprinting {table}") as connection:
        described = schema or describe_over(connection, settings, [table])[table]
        count, value = rows(connection, _fingerprint_query(table, described))[0]
    shown = value.hex() if isinstance(value, bytes | bytearray) else value
    return f"{count}:{shown}"


def _fingerprint_query(table: TableName, schema: TableSchema) -> sa.Select[*tuple[Any, ...]]:
    versions = [
        sql_column(column.name)
        for column in schema.columns
        if column.source_type is not None and column.source_type.name == "rowversion"
    ]
    mark = (
        sa.func.max(versions[0])
        if versions
        else sa.func.checksum_agg(sa.func.binary_checksum(sa.literal_column("*")))
    )
    return select_rows(table, None, ROW_COUNT, mark)
