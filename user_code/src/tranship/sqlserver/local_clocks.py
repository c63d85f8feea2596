"""Columns that a server fills with its own wall clock, which shows an hour of autumn twice where it has summer time."""

import re
from typing import TYPE_CHECKING

from tranship.tables import TableName

if TYPE_CHECKING:
    import sqlalchemy as sa

# Of the functions of the clock, these give the time of the server's zone without an offset
# (https://learn.microsoft.com/sql/t-sql/functions/date-and-time-data-types-and-functions-transact-sql).
_LOCAL = re.compile(r"\b(getdate|sysdatetime|current_timestamp|sysdatetimeoffset)\b", re.IGNORECASE)


def is_local_clock(default: str | None) -> bool:
    """Whether a column's default is the server's own wall clock.

    Example:
        >>> is_local_clock("(getdate())"), is_local_clock("(sysutcdatetime())"), is_local_clock(None)
        (True, False, False)
    """
    return default is not None and _LOCAL.search(default) is not None


def column_default(table: TableName, column: str) -> "sa.TextClause":
    """The question for a column's default."""
    import sqlalchemy as sa

    return sa.text(
        "select COLUMN_DEFAULT from INFORMATION_SCHEMA.COLUMNS "
        "where TABLE_SCHEMA = :schema and TABLE_NAME = :table and COLUMN_NAME = :column"
    ).bindparams(schema=table.schema, table=table.name, column=column)
