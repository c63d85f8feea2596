"""Whole arrays of one type made into arrays of another; a value that would change is an error.

Each function raises `MisfitError`, or pyarrow's own error, and `casting` says to whom it happened.
"""

# pyarrow-stubs leaves types unknown; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
import re
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute

from tranship.arrow_types import ArrowArray, times_in_microseconds
from tranship.exactness import MAX_DIGITS, Convert, MisfitError, check_clock, check_years
from tranship.postgres.text_forms import bytes_from_hex
from tranship.postgres.types import MICROSECOND_DIGITS, PostgresType

# Its stubs know few of the argument types it takes. Where all is well no function here is given a Python
# value: pyarrow imports pandas to look at one, which costs a second and 50 MB.
pc: Any = pyarrow.compute

UUID_BYTES = 16
_NUL = ("Postgres texts cannot contain U+0000", "Strip it at the source or in your function.")
_ENCODING_DECLARATION = r"""^(\s*<\?xml[^>]*?)\s+encoding\s*=\s*["'][^"']*["']"""


def unchanged(array: ArrowArray) -> ArrowArray:
    """The array as it is."""
    return array


def cast_to(wire: pa.DataType, *, safe: bool = True) -> Convert:
    """Arrow's own cast; a safe one refuses to lose anything."""

    def convert(array: ArrowArray) -> ArrowArray:
        return array if array.type == wire else array.cast(wire, safe=safe)

    return convert


def decimal_type(type_: PostgresType) -> pa.DataType | None:
    """The Arrow decimal of a `numeric(p,s)`, of 38 digits at most; `None` for a `numeric` without them."""
    if not type_.modifiers:
        return None
    precision, scale = type_.modifiers
    return pa.decimal128(min(precision, MAX_DIGITS), min(scale, MAX_DIGITS))


def zero_or_one(array: ArrowArray) -> ArrowArray:
    """Integers as truth values, and only 0 and 1."""
    wrong = pc.index(pc.is_in(array, pa.array([0, 1, None], array.type)), pa.scalar(False)).as_py()
    if wrong >= 0:
        raise MisfitError(wrong, "only 0 and 1 are truth values")
    return array.cast(pa.bool_())


def uuid_bytes(array: ArrowArray) -> ArrowArray:
    """UUIDs in any usual spelling as their 16 bytes."""
    texts = array.cast(pa.large_string())
    digits = pc.replace_substring(pc.ascii_trim(texts, characters="{}"), "-", "")
    lengths = pc.utf8_length(digits)
    bounds = pc.min_max(lengths)
    if not {bounds["min"].as_py(), bounds["max"].as_py()} <= {2 * UUID_BYTES, None}:
        wrong = pc.index(pc.equal(lengths, 2 * UUID_BYTES), pa.scalar(False)).as_py()
        raise MisfitError(wrong, "it is not a UUID")
    values = bytes_from_hex(digits)
    return values.cast(pa.binary(UUID_BYTES))


def checked_timestamp(wire: pa.DataType) -> Convert:
    """Timestamps of the years 1 to 9999, by UTC where they are instants."""
    cast = cast_to(wire)

    def convert(array: ArrowArray) -> ArrowArray:
        stamps = cast(array)
        check_years(stamps)
        return stamps

    return convert


def checked_time(convert: Convert) -> Convert:
    """Times of one day."""

    def checked(array: ArrowArray) -> ArrowArray:
        times = convert(array)
        check_clock(times)
        return times

    return checked


def whole_ticks(convert: Convert, digits: int) -> Convert:
    """Refuse values with more fractional digits than the column keeps; Postgres would round them."""
    if digits >= MICROSECOND_DIGITS:
        return convert
    tick = 10 ** (MICROSECOND_DIGITS - digits)

    def checked(array: ArrowArray) -> ArrowArray:
        values = convert(array)
        present = values.cast(pa.int64()).drop_null()
        ticks = np.frombuffer(memoryview(present.buffers()[1] or b""), np.int64)
        if (ticks[present.offset : present.offset + len(present)] % tick).any():
            numbers = values.cast(pa.int64())
            rest = pc.subtract(numbers, pc.multiply(pc.divide(numbers, tick), tick))
            where = pc.index(pc.not_equal(rest, 0), pa.scalar(True)).as_py()
            raise MisfitError(where, f"it has more than {digits} digits after the second")
        return values

    return checked


def plain_text(array: ArrowArray) -> ArrowArray:
    """Texts without U+0000."""
    texts = cast_to(pa.large_string())(array)
    _refuse_nul(texts)
    return texts


def text_up_to(limit: int | None) -> Convert:
    """Texts of at most so many characters."""

    def convert(array: ArrowArray) -> ArrowArray:
        texts = plain_text(array)
        offsets = texts.buffers()[1]
        if limit is not None and len(texts) and offsets is not None:
            bounds = np.frombuffer(memoryview(offsets), np.int64)[
                texts.offset : texts.offset + len(texts) + 1
            ]
            # No text has more characters than bytes, so most batches need no counting.
            if int(np.diff(bounds).max(initial=0)) > limit:
                lengths = pc.utf8_length(texts)
                # Comparing with a Python number would import pandas, which takes a second.
                if (pc.max(lengths).as_py() or 0) > limit:
                    where = pc.index(pc.greater(lengths, limit), pa.scalar(True)).as_py()
                    raise MisfitError(where, f"it has {lengths[where].as_py()} characters")
        return texts

    return convert


def _refuse_nul(texts: ArrowArray) -> None:
    """Postgres's texts cannot hold U+0000 (https://www.postgresql.org/docs/current/datatype-character.html)."""
    _, offsets, data = texts.buffers()
    if data is None or offsets is None or not len(texts):
        return
    bounds = np.frombuffer(memoryview(offsets), np.int64)
    first, last = int(bounds[texts.offset]), int(bounds[texts.offset + len(texts)])
    if first == last or np.frombuffer(memoryview(data), np.uint8)[first:last].min() != 0:
        return
    where = pc.index(pc.match_substring(texts, "\0"), pa.scalar(True)).as_py()
    if where >= 0:
        raise MisfitError(where, *_NUL)


def xml_text(array: ArrowArray) -> ArrowArray:
    """Text without an encoding declaration: it is UTF-8 by now, whatever it was declared as."""
    return pc.replace_substring_regex(plain_text(array), _ENCODING_DECLARATION, r"\1")


def json_text(array: ArrowArray) -> ArrowArray:
    """Nested values as JSON; times finer than microseconds are refused, as everywhere."""
    array = times_in_microseconds(array)
    values = array.to_pylist(maps_as_pydicts="strict")
    texts: list[str | None] = []
    for index, value in enumerate(values):
        try:
            text = None if value is None else json.dumps(value, default=_as_json, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise MisfitError(index, f"JSON cannot express it ({error})") from None
        if text is not None and re.search(r"(?<!\\)(?:\\\\)*\\u0000", text):
            raise MisfitError(index, *_NUL)
        texts.append(text)
    return pa.array(texts, pa.large_string())


def _as_json(value: Any) -> Any:
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"a {type(value).__name__} has no JSON form")
