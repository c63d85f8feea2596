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
_ROOM_FOR_KEYS_TABLE = 63
"""Bytes: Postgres's limit, which is the lowest; a table that has keys beside it keeps them under one name."""


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
    name = f"{table.name}{KEYS_SUFFIX}"
    if len(name.encode()) > _ROOM_FOR_KEYS_TABLE:
        digest = hashlib.sha256(table.name.encode()).hexdigest()[:12]
        room = _ROOM_FOR_KEYS_TABLE - len(KEYS_SUFFIX) - len(digest) - 1
        kept = table.name.encode()[:room].decode(errors="ignore")
        name = f"{kept}_{digest}{KEYS_SUFFIX}"
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
