"""Tables that are kept beside the copies: their names, and what is said where one of another's has such a name.

Bookmarks, journals and keys lie in the schema of the tables they belong to; a table of the source may be called
as one of them.
"""

import hashlib
from collections.abc import Iterable

from tranship.errors import ConfigurationError
from tranship.tables import TableName

KEYS_SUFFIX = "__keys"
"""What the table beside a table is called that its source's keys are written to."""
STATES_SUFFIX = "__states"
"""What the table beside a table is called that states wait in for its history."""
_ROOM_FOR_NAME = 63
"""Bytes: Postgres's limit, which is the lowest; what stands beside a table has one name everywhere."""


def table_beside(table: TableName, suffix: str, what: str) -> str | None:
    """What a table is by its name: `what`, of the table that the name without the suffix is.

    Example:
        >>> table_beside(TableName("public", "sales__keys"), "__keys", "the keys of {}")
        'the keys of public.sales'
    """
    base = table.name.removesuffix(suffix)
    return what.format(f"{table.schema}.{base}") if base and base != table.name else None


def keys_table(table: TableName) -> TableName:
    """The table beside a table that its source's keys are written to.

    Example:
        >>> str(keys_table(TableName("public", "sales")))
        'public.sales__keys'
    """
    return _beside(table, KEYS_SUFFIX)


def states_table(table: TableName) -> TableName:
    """The table beside a table that states wait in for its history.

    Example:
        >>> str(states_table(TableName("public", "sales")))
        'public.sales__states'
    """
    return _beside(table, STATES_SUFFIX)


def _beside(table: TableName, suffix: str) -> TableName:
    name = f"{table.name}{suffix}"
    if len(name.encode()) > _ROOM_FOR_NAME:
        digest = hashlib.sha256(table.name.encode()).hexdigest()[:12]
        room = _ROOM_FOR_NAME - len(suffix) - len(digest) - 1
        kept = table.name.encode()[:room].decode(errors="ignore")
        name = f"{kept}_{digest}{suffix}"
    return TableName(table.schema, name)


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
