"""The texts that Postgres prints and reads for arrays and bytes, made into Arrow and back."""

# pyarrow-stubs leaves types unknown; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from tranship.arrow_types import ArrowArray


def hex_from_bytes(array: ArrowArray) -> ArrowArray:
    r"""Bytes as lower-case hexadecimal text.

    Example:
        >>> hex_from_bytes(pa.array([b"\x00\xff", None], pa.large_binary())).to_pylist()
        ['00ff', None]
    """
    bounds, data = _offsets_and_bytes(array)
    digits = memoryview(data)[int(bounds[0]) : int(bounds[-1])].hex().encode() if data else b""
    doubled = (bounds - bounds[0]) * 2
    buffers = [_validity(array), pa.py_buffer(doubled.tobytes()), pa.py_buffer(digits)]
    return pa.Array.from_buffers(pa.large_string(), len(array), buffers)


def bytes_from_hex(array: ArrowArray, *, digits_from: int = 0) -> ArrowArray:
    r"""Hexadecimal text as bytes.

    Args:
        array: Large strings.
        digits_from: Characters before the first digit: 2 for Postgres's `\x`.

    Raises:
        ValueError: A text is not hexadecimal.

    Example:
        >>> bytes_from_hex(pa.array(["00ff", None], pa.large_string())).to_pylist()
        [b'\x00\xff', None]
    """
    bounds, data = _offsets_and_bytes(array)
    present = _present(array)
    lengths = np.where(present, np.diff(bounds) - digits_from, 0)
    if digits_from:
        texts = np.frombuffer(memoryview(data), np.uint8) if data else np.empty(0, np.uint8)
        keep = np.ones(int(bounds[-1] - bounds[0]), bool)
        starts = (bounds[:-1] - bounds[0])[present]
        for step in range(digits_from):
            keep[starts + step] = False
        digits = texts[int(bounds[0]) : int(bounds[-1])][keep].tobytes()
    else:
        digits = memoryview(data)[int(bounds[0]) : int(bounds[-1])].tobytes() if data else b""
    values = bytes.fromhex(digits.decode("ascii"))
    if 2 * len(values) != int(lengths.sum()) or (lengths % 2).any():
        raise ValueError("it is not hexadecimal")
    offsets = np.zeros(len(array) + 1, np.int64)
    np.cumsum(lengths // 2, out=offsets[1:])
    buffers = [_validity(array), pa.py_buffer(offsets.tobytes()), pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.large_binary(), len(array), buffers)


def _offsets_and_bytes(array: ArrowArray) -> tuple[np.ndarray, pa.Buffer | None]:
    """The offsets of a large array's values, at least one of them, and their bytes."""
    _, offsets, data = array.buffers()
    if not len(array) or offsets is None:
        return np.zeros(1, np.int64), None
    bounds = np.frombuffer(memoryview(offsets), np.int64)[
        array.offset : array.offset + len(array) + 1
    ]
    return bounds, data


def _present(array: ArrowArray) -> np.ndarray:
    """Which values are not null. Asking pyarrow for a NumPy array would import pandas."""
    bits = array.buffers()[0]
    if bits is None or not array.null_count:
        return np.ones(len(array), bool)
    unpacked = np.unpackbits(np.frombuffer(memoryview(bits), np.uint8), bitorder="little")
    return unpacked[array.offset : array.offset + len(array)].astype(bool)


def _validity(array: ArrowArray) -> pa.Buffer | None:
    """The array's null bitmap, from its own first value on."""
    if not array.null_count:
        return None
    return pa.py_buffer(np.packbits(_present(array), bitorder="little").tobytes())


pc: Any = pyarrow.compute  # its stubs know few of the argument types it takes

# https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO: an element is quoted where it could be mistaken for
# syntax or for NULL, with backslashes before quotes and backslashes.
_ELEMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^,{}"]+)', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def lists_of(texts: ArrowArray, wanted: Any) -> ArrowArray:
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
    values = _elements_as(pa.array(elements, pa.large_string()), wanted.value_type)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, type=wanted)


def _elements(text: str) -> list[str | None]:
    if text.startswith("["):
        raise ValueError(f"the array {text} does not begin at 1")
    if text.startswith("{{"):
        raise ValueError(f"the array {text} has several dimensions")
    elements: list[str | None] = []
    for match in _ELEMENT.finditer(text, 1, len(text) - 1):
        quoted, plain = match.groups()
        if plain is None:
            elements.append(_ESCAPED.sub(r"\1", quoted))
        else:
            elements.append(None if plain == "NULL" else plain)
    return elements


def _elements_as(texts: Any, wanted: pa.DataType) -> ArrowArray:
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


def texts_of(lists: Any) -> ArrowArray:
    """Lists as texts that Postgres reads as arrays.

    Example:
        >>> texts_of(pa.array([["a b", None], [], None])).to_pylist()
        ['{"a b",NULL}', '{}', None]
    """
    # Each by its place: a slice of a list shares all values of the whole.
    array_texts = [_array_text(_printed(one.values)) if one.is_valid else None for one in lists]
    return pa.array(array_texts, pa.large_string())


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
