"""Arrays as Postgres prints them, made into Arrow lists and back."""

import re
from typing import Any

import pyarrow as pa
import pyarrow.compute

from tranship.postgres.hexadecimal import bytes_from_hex

pc: Any = pyarrow.compute  # its stubs know few of the argument types it takes

# https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO: an element is quoted where it could be mistaken for
# syntax or for NULL, with backslashes before quotes and backslashes.
_ELEMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^,{}"]+)', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def lists_of(texts: pa.Array, wanted: Any) -> pa.Array:
    """Array texts as lists.

    Args:
        texts: Texts as Postgres prints arrays.
        wanted: A list type.

    Raises:
        ValueError: An array has several dimensions, or does not begin at 1, which a list cannot say.
        pyarrow.ArrowInvalid: An element has no form in the list's type.

    Example:
        >>> lists_of(pa.array(['{1,NULL}', None]), pa.list_(pa.int64())).to_pylist()
        [[1, None], None]
    """
    offsets: list[int | None] = []
    elements: list[str | None] = []
    for text in texts.to_pylist():
        if text is None:
            offsets.append(None)
            continue
        offsets.append(len(elements))
        elements += _elements(text)
    offsets.append(len(elements))
    values = _values(pa.array(elements, pa.large_string()), wanted.value_type)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, type=wanted)


def _elements(text: str) -> list[str | None]:
    if text.startswith("["):
        raise ValueError(f"the array {text} does not begin at 1")
    if text.startswith("{{"):
        raise ValueError(f"the array {text} has several dimensions")
    found: list[str | None] = []
    for match in _ELEMENT.finditer(text, 1, len(text) - 1):
        quoted, plain = match.groups()
        if plain is None:
            found.append(_ESCAPED.sub(r"\1", quoted))
        else:
            found.append(None if plain == "NULL" else plain)
    return found


def _values(texts: Any, wanted: pa.DataType) -> pa.Array:
    if pa.types.is_boolean(wanted):
        return pc.equal(texts, pa.scalar("t", pa.large_string()))
    if pa.types.is_large_binary(wanted):
        return bytes_from_hex(texts, digits_from=2)
    if pa.types.is_time(wanted):
        # Arrow reads times from texts only as part of a timestamp.
        day = pa.scalar("1970-01-01", pa.large_string())
        texts = pc.binary_join_element_wise(day, texts, pa.scalar(" ", pa.large_string()))
        return texts.cast(pa.timestamp("us")).cast(wanted)
    return texts.cast(wanted)


def texts_of(lists: Any) -> pa.Array:
    """Lists as texts that Postgres reads as arrays.

    Example:
        >>> texts_of(pa.array([["a b", None], [], None])).to_pylist()
        ['{"a b",NULL}', '{}', None]
    """
    # Each by its place: a slice of a list shares all values of the whole.
    made = [_array_text(_printed(one.values)) if one.is_valid else None for one in lists]
    return pa.array(made, pa.large_string())


def _array_text(elements: list[str | None]) -> str:
    quoted = (
        "NULL" if one is None else '"' + one.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for one in elements
    )
    return "{" + ",".join(quoted) + "}"


def _printed(values: Any) -> list[str | None]:
    if pa.types.is_large_binary(values.type) or pa.types.is_binary(values.type):
        return [None if one is None else f"\\x{one.hex()}" for one in values.to_pylist()]
    return values.cast(pa.large_string()).to_pylist()
