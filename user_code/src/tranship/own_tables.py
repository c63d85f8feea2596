"""Tables that are kept beside the copies, and what is said where one of another's has such a name.

Bookmarks, journals and keys lie in the schema of the tables they belong to; a table of the source may be called
as one of them.
"""

from collections.abc import Iterable

from tranship.errors import ConfigurationError
from tranship.tables import TableName


def own_table(table: TableName, what: str) -> ConfigurationError:
    """The error for rows that would go into a table of our own.

    Args:
        table: The name that was asked for.
        what: What of ours has it, such as "the journal of the writes of public.sales".
    """
    return ConfigurationError(
        f"{table} is {what}, which is kept beside the copies: no rows can be written to that name.",
        "Give the copy another name (target: in a replication, the asset's key elsewhere), or another schema.",
    )


def name_is_taken(table: TableName, what: str, columns: Iterable[str]) -> ConfigurationError:
    """The error for a table of ours whose name somebody else's table has.

    Args:
        table: The name.
        what: What of ours belongs there.
        columns: The columns that are there.
    """
    listed = ", ".join(f'"{name}"' for name in columns)
    return ConfigurationError(
        f"{table} should be {what}, but a table of other columns has that name: {listed}.",
        f"Rename {table} or give it another schema; it was not touched.",
    )
