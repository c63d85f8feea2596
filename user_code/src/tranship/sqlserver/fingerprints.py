"""Short texts that change when a table's rows do: what a sensor of changes compares.

Where the server tracks a table's changes, it is asked whether there are any (`tranship.sqlserver.tracking_marks`). With a `rowversion` it is the row count and the highest version, which the server finds without reading rows. Without one the server
reads the table and hashes each row: SHA2_256 over all its values, summed in two numbers of 112 bits together. Two states of a
table have the same text in one case of 2^112, also where many rows change in the same way.

`binary_checksum` is not used: it leaves out xml, text, ntext and image, it is not the same for different values of some types by design, and
its sums cancel out, as `update t set flag = 1` of two rows changes both checksums by the same bits.
https://learn.microsoft.com/sql/t-sql/functions/binary-checksum-transact-sql
`sys.dm_db_index_usage_stats` is not used either: it counts a statement when it runs, not when it commits, so a load between the two would be the last.
https://learn.microsoft.com/sql/relational-databases/system-dynamic-management-views/sys-dm-db-index-usage-stats-transact-sql
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tranship.errors import TranshipError
from tranship.sqlserver.catalogue import describe_over
from tranship.sqlserver.connection import connect, driver
from tranship.sqlserver.consistency import begin_consistent_read
from tranship.sqlserver.driver_errors import driver_errors
from tranship.sqlserver.identity import identity_of
from tranship.sqlserver.settings import SqlServerSettings
from tranship.sqlserver.statements import CompiledStatement, quoted, quoted_table, rows
from tranship.sqlserver.stopping import DriverConnection
from tranship.sqlserver.tracking_marks import tracking_marks
from tranship.sqlserver.types import is_large
from tranship.tables import Column, TableName, TableSchema

_LOWEST_OPEN = CompiledStatement("select cast(min_active_rowversion() as binary(8))")
_TEXTS_AT_ONCE = 100
"""Two arguments each; CONCAT takes 254 (https://learn.microsoft.com/sql/t-sql/functions/concat-transact-sql)."""
_BINARY = frozenset({"binary", "varbinary", "image", "geography", "geometry", "hierarchyid"})
_STYLES = {
    **dict.fromkeys(("float", "real"), 3),  # 17 digits, of which a value is made again exactly
    **dict.fromkeys(("money", "smallmoney"), 2),
    **dict.fromkeys(
        ("date", "datetime", "smalldatetime", "datetime2", "datetimeoffset", "time"), 121
    ),
}
"""How a value is shown in full.
https://learn.microsoft.com/sql/t-sql/functions/cast-and-convert-transact-sql"""


def fingerprint(settings: SqlServerSettings, table: TableName) -> str:
    """The text of one table.

    Raises:
        TableNotFoundError: There is no such table.

    Example:
        >>> fingerprint(settings, TableName("dbo", "DimProduct"))  # doctest: +SKIP
        '5f0c63e1b7a04d21:606:21690215138337893:20125530129351103'
    """
    marks, refused = fingerprints(settings, [table])
    if table in refused:
        raise refused[table]
    return marks[table]


def fingerprints(
    settings: SqlServerSettings,
    tables: Sequence[TableName],
    seen: Mapping[TableName, str] | None = None,
) -> tuple[dict[TableName, str], dict[TableName, TranshipError]]:
    """The texts of several tables, over one connection.

    A text also says whose rows they are: it changes where another server, database or table answers to the names.

    Args:
        settings: Where they are.
        tables: The tables.
        seen: The text of each table that was looked at before, empty at the first look. Where the server tracks a table's
            changes it is asked for those since, and the table's rows are not read. `None` where texts are only compared with
            each other.

    Returns:
        The texts, and why there is none for the other tables: one that is gone does not stand in the way of the rest.

    Raises:
        ConnectionFailedError: The server cannot be reached or refuses the login.
        TransientError: The connection was lost.
    """
    marks: dict[TableName, str] = {}
    refused: dict[TableName, TranshipError] = {}
    if not tables:
        return marks, refused
    with connect(settings, doing="looking for changes") as connection:
        begin_consistent_read(connection)
        if seen is not None:
            marks |= tracking_marks(connection, settings, tables, seen)
        for table in tables:
            if table in marks:
                continue
            try:
                with driver_errors(driver(), settings, f"looking for changes of {table}"):
                    marks[table] = _mark(connection, settings, table)
            except TranshipError as error:
                if error.transient:
                    raise
                refused[table] = error
    return marks, refused


def _mark(connection: DriverConnection, settings: SqlServerSettings, table: TableName) -> str:
    schema = describe_over(connection, settings, [table])[table]
    whose = identity_of(connection, settings, table).token
    version = next((column for column in schema.columns if _type(column) == "rowversion"), None)
    if version is None:
        values = rows(connection, row_hashes(table, schema))[0]
    else:
        values = _versions(connection, table, version)
    return ":".join([whose, *("-" if value is None else _shown(value) for value in values)])


def _versions(connection: DriverConnection, table: TableName, version: Column) -> tuple[Any, ...]:
    """Row count and highest version; and the lowest one that an open transaction may have written, where that is lower.

    Without it, a row that is committed late, behind versions which were seen before, would not show.
    https://learn.microsoft.com/sql/t-sql/functions/min-active-rowversion-transact-sql
    """
    highest = f"cast(max({quoted(version.name)}) as binary(8))"
    # Asked for first: a transaction that ends between the two is then seen in the second.
    lowest_open = _lowest_open(connection)
    count, last = rows(
        connection, CompiledStatement(f"select count_big(*), {highest} from {quoted_table(table)}")
    )[0]
    if last is None or lowest_open is None or lowest_open > last:
        return count, last
    return count, last, lowest_open


def _lowest_open(connection: DriverConnection) -> Any:
    try:
        return rows(connection, _LOWEST_OPEN)[0][0]
    except driver().Error:
        return None  # Babelfish has no such function


def row_hashes(table: TableName, schema: TableSchema) -> CompiledStatement:
    """The statement that counts the rows and adds up their hashes."""
    text = _joined([_text(column) for column in schema.columns if _type(column)])
    half = "sum(cast(cast(substring(h.[row], {}, 7) as bigint) as decimal(38, 0)))"
    return CompiledStatement(
        f"select count_big(*), {half.format(1)}, {half.format(8)}\n"
        f"from (select hashbytes('SHA2_256', {text}) as [row] from {quoted_table(table)}) as h"
    )


def _text(column: Column) -> str:
    """A column's value as a text that another value does not have; a null is a text of its own."""
    name, kind = quoted(column.name), _type(column)
    large = column.source_type is not None and is_large(column.source_type)
    if kind in _BINARY:
        shown = f"convert(varbinary(max), {name})"
    elif kind == "sql_variant":  # has no texts beyond that
        shown = f"convert(nvarchar(max), convert(nvarchar(4000), {name}))"
    else:
        style = _STYLES.get(kind)
        shown = f"convert(nvarchar(max), {name}{'' if style is None else f', {style}'})"
    if large:
        shown = f"hashbytes('SHA2_256', {shown})"
    if kind in _BINARY or large:
        shown = f"convert(nvarchar(max), {shown}, 2)"
    return f"isnull({shown}, nchar(30)), nchar(31)"


def _joined(texts: Sequence[str]) -> str:
    """All texts in one, however many: nested calls, each with as many as it takes."""
    parts = texts
    while len(parts) > 1 or not parts[0].startswith("concat("):
        parts = [
            f"concat(nchar(30), {', '.join(parts[start : start + _TEXTS_AT_ONCE])})"
            for start in range(0, len(parts), _TEXTS_AT_ONCE)
        ]
    return parts[0]


def _type(column: Column) -> str:
    return column.source_type.name.lower() if column.source_type is not None else ""


def _shown(value: Any) -> str:
    return value.hex() if isinstance(value, bytes | bytearray) else str(value)
