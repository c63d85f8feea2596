"""Exact answers about a table that the server works out by reading it: its row count."""

from tranship.reads import ReadRequest
from tranship.sqlserver.catalogue import describe_over
from tranship.sqlserver.conditions import ROW_COUNT, select_rows
from tranship.sqlserver.connection import connect
from tranship.sqlserver.options import ReadOptions
from tranship.sqlserver.query import row_predicate
from tranship.sqlserver.settings import SqlServerSettings
from tranship.sqlserver.statements import rows


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
