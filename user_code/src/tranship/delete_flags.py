"""Rows that a source marks as deleted itself, in a column, instead of deleting them."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from tranship.errors import ConfigurationError
from tranship.tables import TableName, TableSchema, is_text

Flag = str | int | float


@dataclass(frozen=True, slots=True)
class DeleteFlag:
    """How a source marks a row as deleted.

    Args:
        column: The column.
        value: Its value in deleted rows; `None` where any value says so, such as the time of the deletion. A row whose column is
            null lives.

    Example:
        >>> DeleteFlag("IsDeleted", 1).column
        'IsDeleted'
    """

    column: str
    value: Flag | None = None


@dataclass(frozen=True, slots=True)
class Words:
    """How a system writes names and values in a statement.

    Args:
        quoted: Quotes a name.
        text: Makes a literal of a text.
        booleans: What false and true are.
    """

    quoted: Callable[[str], str]
    text: Callable[[str], str]
    booleans: tuple[str, str] = ("0", "1")


def condition_of_live_rows(
    flag: DeleteFlag | None, where: str | None, schema: TableSchema, table: TableName, words: Words
) -> str | None:
    """The condition of a table's rows that are not marked as deleted, in the source's words; `None` where all rows meet it.

    Args:
        flag: How rows are marked; `None` where none are.
        where: What they must meet beside.
        schema: The table's columns.
        table: The table, for messages.
        words: How the system writes it.

    Raises:
        ColumnNotFoundError: The table has no such column.
        ConfigurationError: The column cannot have such a value.

    Example:
        >>> from tranship.tables import Column
        >>> schema = TableSchema((Column("Gone", pa.bool_()),))
        >>> words = Words(lambda name: f"[{name}]", repr)
        >>> condition_of_live_rows(DeleteFlag("Gone", 1), None, schema, TableName("dbo", "A"), words)
        '([Gone] is null or [Gone] <> 1)'
    """
    if flag is None:
        return where
    column = words.quoted(schema.column(flag.column).name)
    lives = f"{column} is null"
    if flag.value is not None:
        lives = f"({lives} or {column} <> {_literal(flag, schema, table, words)})"
    # The line ends a comment that a condition may end with.
    return lives if where is None else f"({where}\n) and {lives}"


def _literal(flag: DeleteFlag, schema: TableSchema, table: TableName, words: Words) -> str:
    type_, value = schema.column(flag.column).type, flag.value
    is_number = isinstance(value, int | float)
    if pa.types.is_boolean(type_) and is_number and value in {0, 1}:
        return words.booleans[int(value)]
    if _counts(type_) and is_number:
        return f"{int(value)}" if value == int(value) else repr(value)
    if is_text(type_):
        return words.text(str(value))
    raise ConfigurationError(
        f'The delete_flag of {table} is {value!r}, and its column "{flag.column}" is '
        f"{schema.column(flag.column).source_type or type_}.",
        "Give a value that the column can have; or leave value out, where any value marks a row as deleted.",
    )


def _counts(type_: pa.DataType) -> bool:
    return pa.types.is_integer(type_) or pa.types.is_decimal(type_) or pa.types.is_floating(type_)
