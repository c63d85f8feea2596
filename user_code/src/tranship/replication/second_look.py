"""Asks the source for single rows by their key: what one scan under read committed did not show may be there all the same.

A scan reads rows where they lie at the moment; a row whose place changes meanwhile may be passed over, or come twice.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from tranship.replication.columns import ColumnChanges
from tranship.slices import AllOf, AnyOf, Slice, Values
from tranship.tables import TableSchema, is_binary, is_text

MOST_KEYS = 50_000
"""Beyond this many, a second look at all keys costs no more than asking for each."""
_VALUES_PER_QUESTION = 1_000
"""A question binds them all, and SQL Server takes 2,100
(https://learn.microsoft.com/sql/sql-server/maximum-capacity-specifications-for-sql-server)."""


def is_askable(changes: ColumnChanges, schema: TableSchema, key: Sequence[str]) -> bool:
    """Whether the copy's key values find their rows in the source: they arrived as they are, and compare exactly.

    Times do not: SQL Server keeps digits of them that no copy shows.
    """
    return all(
        changes.arrives_as_it_is(name) and _is_exact(schema.column(name).type) for name in key
    )


def questions(
    schema: TableSchema,
    key: Sequence[str],
    rows: Sequence[Sequence[Any]],
    names: Sequence[str] | None = None,
) -> list[Slice]:
    """Slices of the source that hold the rows with these keys, each small enough for one statement.

    Args:
        schema: The source's columns.
        key: The key's columns in the source.
        rows: The keys, as the target's driver gives them.
        names: What the columns are called where the slices are for; by default as in the source.

    Raises:
        ConfigurationError: A value is none of its column.
    """
    per_question = max(_VALUES_PER_QUESTION // len(key), 1)
    batches = (rows[at : at + per_question] for at in range(0, len(rows), per_question))
    types = [schema.column(name).type for name in key]
    made = [
        _question(names or key, [tuple(map(_plain, row, types)) for row in batch])
        for batch in batches
    ]
    for slice_ in made if names is None else ():
        slice_.predicate(schema)  # which refuses a value that its column cannot have
    return made


def _question(key: Sequence[str], rows: list[tuple[Any, ...]]) -> Slice:
    if len(key) == 1:
        return Values(key[0], tuple(value for (value,) in rows))
    return AnyOf(
        tuple(
            AllOf(tuple(Values(name, (value,)) for name, value in zip(key, row, strict=True)))
            for row in rows
        )
    )


def _plain(value: Any, type_: pa.DataType) -> Any:
    if is_binary(type_) and isinstance(value, str):  # Redshift's driver knows no bytes
        return bytes.fromhex(value.removeprefix("\\x"))
    return bytes(value) if isinstance(value, memoryview) else value


def _is_exact(type_: pa.DataType) -> bool:
    return (
        pa.types.is_integer(type_)
        or pa.types.is_decimal(type_)
        or pa.types.is_date(type_)
        or pa.types.is_boolean(type_)
        or is_text(type_)
        or is_binary(type_)
    )
