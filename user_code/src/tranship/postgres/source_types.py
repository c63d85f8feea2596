"""What a column of Postgres is moved as: its Arrow type, and how its texts are compared where bytes do not tell.

A `numeric` without declared digits is moved as text, as no decimal holds all of its values, and any width that was measured
today would be too narrow tomorrow; so is one of more digits than a decimal of 128 bits has. Both arrive as `numeric` in Postgres.
"""

import pyarrow as pa

from tranship.equality import TextEquality
from tranship.errors import ConfigurationError, TranshipError, UnsupportedTypeError
from tranship.exactness import MAX_DIGITS
from tranship.postgres.types import PostgresType, arrow_type
from tranship.tables import Column, SourceType, TableName

# Its texts are those of lc_monetary: https://www.postgresql.org/docs/current/datatype-money.html
READABLE_AS = {"money": "numeric(19,2)"}
"""Types that cannot be moved as they are, and as what they can be read instead."""
_PADDED = frozenset({"char", "bpchar"})
_WITHOUT_RULES = frozenset({"citext"})


def moved_as(type_: PostgresType) -> pa.DataType:
    """The Arrow type of a column of the source; `null` where it cannot be moved.

    Example:
        >>> moved_as(PostgresType.parse("numeric(10,2)")), moved_as(PostgresType.parse("numeric"))
        (Decimal128Type(decimal128(10, 2)), DataType(large_string))
    """
    if type_.name in READABLE_AS:
        return pa.null()
    arrow = arrow_type(type_)
    wide = pa.types.is_decimal(arrow) and arrow.precision > MAX_DIGITS
    return pa.large_string() if wide else arrow


def source_type(type_: PostgresType) -> SourceType | None:
    """The type as a column's metadata carries it; `None` where it is of somebody's own making."""
    try:
        return SourceType.parse(str(type_))
    except TranshipError:
        return None


def is_unbounded(column: Column) -> bool:
    """Whether its values are numbers that may be written with more zeros or fewer: 1.0 and 1.00."""
    return (
        column.source_type is not None
        and column.source_type.name == "numeric"
        and pa.types.is_large_string(column.type)
    )


def equality_of(
    type_: PostgresType, collation: str | None, *, is_deterministic: bool
) -> TextEquality | None:
    """How texts of a column are compared; `None` where equal texts have equal bytes.

    Blanks at the end of a `char(n)` count for nothing (https://www.postgresql.org/docs/current/datatype-character.html). Which texts a
    nondeterministic collation (https://www.postgresql.org/docs/current/collation.html#COLLATION-NONDETERMINISTIC) or `citext` takes for
    the same depends on the server's libraries, so of those nothing is claimed, and a key of them is refused.

    Example:
        >>> equality_of(PostgresType.parse("text"), "de_DE", is_deterministic=True) is None
        True
        >>> equality_of(PostgresType.parse("char(3)"), None, is_deterministic=True).fold("a  ")
        'a'
    """
    name = type_.name.rpartition(".")[2]
    if name in _WITHOUT_RULES:
        return TextEquality(f"the type {name}", case=False, alphabets=())
    if not is_deterministic:
        return TextEquality(f"the nondeterministic collation {collation}", alphabets=())
    if name in _PADDED:
        return TextEquality(f"the type {type_}, whose blanks at the end count for nothing")
    return None


def cast_type(text: str, table: TableName, column: str) -> PostgresType:
    """The type that a user asks a column to be read as, checked before it goes into a statement.

    Raises:
        ConfigurationError: The text is no type, or one that cannot be moved either.
    """
    try:
        parsed = PostgresType.parse(text)
    except ConfigurationError:
        parsed = None
    if parsed is None or pa.types.is_null(moved_as(parsed)):
        raise ConfigurationError(
            f'"{column}" of {table} cannot be read as {text}: that is no type of Postgres that can be moved.',
            f"Name another one, such as cast: {{{column}: text}}.",
        )
    return parsed


def check_moved(column: Column, table: TableName) -> None:
    """Refuse a column that cannot be moved as it is.

    Raises:
        UnsupportedTypeError: The message says how to leave it out or to cast it.
    """
    if not pa.types.is_null(column.type):
        return
    name = str(column.source_type)
    raise UnsupportedTypeError(
        f'The column "{column.name}" of {table} is {name}, whose texts depend on the server\'s locale, so it cannot be '
        "moved as it is.",
        f"Cast it: cast: {{{column.name}: {READABLE_AS[name]}}}; or leave it out: exclude: [{column.name}].",
        details={"table": str(table), "column": column.name, "type": name},
    )
