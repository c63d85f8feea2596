"""What lists, structs and maps may hold on their way into a SUPER: what it has no value for is refused, never guessed.

Redshift makes a SUPER of what lies in the staged file, of which it sees the stored numbers and bytes alone: a span of time
would become a bare number. https://docs.aws.amazon.com/redshift/latest/dg/super-overview.html
"""

# pyarrow-stubs leaves types unknown; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from typing import Any

import pyarrow as pa

from tranship.arrow_types import ArrowArray, inner_fields, plain_type
from tranship.errors import UnsupportedTypeError
from tranship.exactness import MisfitError, check_years, pc
from tranship.tables import is_text


def check_inner_types(column: str, type_: pa.DataType) -> None:
    """Refuse a nested type of which a part has no value in a SUPER.

    Args:
        column: The column's name, for the error.
        type_: A list, struct or map.

    Raises:
        UnsupportedTypeError: The message names the column and the type inside of it.

    Example:
        >>> check_inner_types("tags", pa.list_(pa.string()))
    """
    fields = inner_fields(type_)
    if not fields:
        raise UnsupportedTypeError(
            f'"{column}" is {type_}, a struct without fields, which no file for Redshift can hold.',
            "Leave it out, or return its JSON text with column_types: super.",
        )
    for field in fields:
        inner = field.type
        plain = inner.value_type if pa.types.is_dictionary(inner) else inner
        if _has_parts(plain):
            check_inner_types(column, plain)
        elif not _has_value(plain):
            raise UnsupportedTypeError(
                f'"{column}" holds {inner} inside of {type_}, which has no value in a SUPER.',
                "Cast it to a number or text, or return the whole as JSON text with column_types: super.",
                details={"column": column, "type": str(inner)},
            )


def _has_parts(type_: pa.DataType) -> bool:
    # A union and values in runs are nested too, by some releases of pyarrow; in neither is there a value for a SUPER.
    return pa.types.is_nested(type_) and not (
        pa.types.is_union(type_) or pa.types.is_run_end_encoded(type_)
    )


def check_inner_values(array: ArrowArray) -> None:
    """Refuse rows with a number, day or text inside that JSON, which SUPER is read as, cannot say.

    Args:
        array: Lists, structs or maps of types that `check_inner_types` let through.

    Raises:
        MisfitError: The first such row.
    """
    try:
        _check(array)
    except (MisfitError, pa.ArrowException) as error:
        raise MisfitError(_first(array), getattr(error, "why", str(error))) from None


def _first(array: ArrowArray) -> int:
    for index in range(len(array)):
        try:
            _check(array.slice(index, 1))
        except (MisfitError, pa.ArrowException):
            return index
    return 0


def _check(array: Any) -> None:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    type_ = array.type
    if pa.types.is_struct(type_):
        for child in array.flatten():
            _check(child)
    elif pa.types.is_map(type_):
        # Of keys and items as such, a slice would give those of the whole.
        _check(array.cast(pa.list_(pa.struct([type_.key_field, type_.item_field]))).flatten())
    elif pa.types.is_nested(type_):
        _check(array.flatten())
    elif pa.types.is_floating(type_):
        if pc.all(pc.is_finite(array)).as_py() is False:
            raise MisfitError(0, "NaN and infinities are no numbers of JSON")
    elif pa.types.is_date(type_):
        check_years(array.cast(pa.date32()))
    elif pa.types.is_timestamp(type_):
        check_years(array.cast(pa.timestamp("us", type_.tz)))
    elif is_text(type_):
        array.validate(full=True)


def _has_value(type_: pa.DataType) -> bool:
    if isinstance(type_, pa.BaseExtensionType):
        return plain_type(type_) == type_.storage_type and is_text(type_.storage_type)
    return (
        pa.types.is_null(type_)
        or pa.types.is_boolean(type_)
        or pa.types.is_integer(type_)
        or pa.types.is_floating(type_)
        or pa.types.is_decimal(type_)
        or pa.types.is_date(type_)
        or pa.types.is_timestamp(type_)
        or pa.types.is_time(type_)
        or is_text(type_)
    )
