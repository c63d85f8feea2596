"""Which row is which: the values of the key that a row is known by, as texts that are equal where the key is."""

from typing import TYPE_CHECKING

import pyarrow as pa

from standins.sqlserver import collations
from standins.sqlserver.typed import Typed, identifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from standins.sqlserver.catalogue import ColumnDefinition, TableDefinition

RowKey = tuple[str | None, ...]
"""The texts of a key's values."""
LOCKED_KEYS = "locked_keys"
"""The column in which a statement returns the keys of the rows that it changed; what is behind it are the rows."""


def key_columns(table: "TableDefinition") -> "tuple[ColumnDefinition, ...]":
    """What tells the rows of a table apart: the primary key, else a unique one without nulls; nothing where there is none."""
    for key in sorted(table.keys, key=lambda key: not key.primary):
        columns = tuple(column for name in key.columns if (column := table.column(name)))
        if columns and not any(column.nullable for column in columns):
            return columns
    return ()


def stored_columns(table: "TableDefinition") -> "tuple[ColumnDefinition, ...]":
    """The columns whose values are kept."""
    return tuple(column for column in table.columns if column.computed is None)


def key_text(table: "TableDefinition", values: "Sequence[str] | None" = None) -> str:
    """The key of a row as a list of texts, as DuckDB text; null where rows cannot be told apart.

    Args:
        table: the table.
        values: the key's values as DuckDB text, by default the columns themselves.
    """
    columns = key_columns(table)
    if not columns:
        return "null"
    texts = []
    for column, value in zip(
        columns, values or [identifier(column.name) for column in columns], strict=True
    ):
        plain = (
            collations.key(Typed(value, column.type))
            if column.type.is_string
            else f"({value}).t"
            if column.type.name == "datetimeoffset"
            else value
        )
        texts.append(f"cast({plain} as varchar)")
    return f"[{', '.join(texts)}]"


def keys_of(values: pa.ChunkedArray) -> set[RowKey]:
    """The keys that DuckDB returned as lists of texts."""
    return {tuple(key) for key in values.to_pylist() if key is not None}
