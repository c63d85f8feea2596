"""Fit a batch's values to the columns they are for, before COPY, which coerces nothing.

Every value that the column could not hold, or would change, is an error that names column, row and
value; nothing is rounded, cut or guessed.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tranship.errors import TranshipError, UnsupportedTypeError, ValueDoesNotFitError
from tranship.postgres.types import MICROSECOND_DIGITS, PostgresType, is_binary, is_text
from tranship.tables import Column

Convert = Callable[[pa.Array], pa.Array]

UUID_BYTES = 16
# https://www.postgresql.org/docs/current/datatype-datetime.html: 4713 BC to 5874897 and 294276 AD;
# an Arrow timestamp in microseconds ends before that.
FIRST_DAY, LAST_DAY = -2_440_588, 2_145_042_905
FIRST_MICROSECOND = -210_866_803_200_000_000
_ENCODING_DECLARATION = r"""^(\s*<\?xml[^>]*?)\s+encoding\s*=\s*["'][^"']*["']"""
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """How one incoming column becomes one table column.

    Args:
        name: Its name, the same on both sides.
        type: The table column's type.
        wire: The Arrow type that the encoders are given.
        convert: Makes an array of that type; raises `MisfitError` or an Arrow error for a bad value.
        binary: Whether Postgres's binary format can carry it; if not, only text can.
    """

    name: str
    type: PostgresType
    wire: pa.DataType
    convert: Convert
    binary: bool = True


class MisfitError(Exception):
    """A value that a column cannot hold: its place in the array and why."""

    def __init__(self, index: int, why: str):
        super().__init__(why)
        self.index = index
        self.why = why


def plan_column(column: Column, type_: PostgresType, table: object) -> ColumnPlan:
    """How a column's values reach a table column of a type.

    Raises:
        UnsupportedTypeError: They cannot: such values have no meaning in that type.
    """
    arrow = column.type
    prepare: Convert | None = None
    if pa.types.is_dictionary(arrow):
        value_type = arrow.value_type
        arrow, prepare = value_type, lambda array: array.cast(value_type)
    if isinstance(arrow, pa.BaseExtensionType):
        arrow, prepare = arrow.storage_type, lambda array: array.storage
    made = _plan(arrow, type_, column)
    if made is None:
        raise UnsupportedTypeError(
            f'Column "{column.name}" of {table} is {type_}, and {column.type} values cannot be put there.',
            "Cast the column in your function, or choose another type with column_types.",
            details={"column": column.name},
        )
    wire, convert, binary = made
    if prepare is None:
        return ColumnPlan(column.name, type_, wire, convert, binary)
    first, second = prepare, convert
    return ColumnPlan(column.name, type_, wire, lambda array: second(first(array)), binary)


def fit_batch(
    batch: pa.RecordBatch, plans: list[ColumnPlan], table: object, rows_before: int
) -> pa.RecordBatch:
    """A batch whose arrays are what the encoders are given.

    Args:
        batch: The incoming rows.
        plans: One for each column that is written.
        table: Named in errors.
        rows_before: Rows of the stream before this batch, so that errors can number the row.

    Raises:
        ValueDoesNotFitError: A value is outside what its column can hold.
    """
    arrays: list[pa.Array] = []
    for plan in plans:
        array = batch.column(plan.name)
        try:
            arrays.append(plan.convert(array))
        except (MisfitError, pa.ArrowException, OverflowError, ValueError) as error:
            raise _located(error, array, plan, table, rows_before) from None
    return pa.RecordBatch.from_arrays(
        arrays, schema=pa.schema([(plan.name, plan.wire) for plan in plans])
    )


def _located(
    error: Exception, array: pa.Array, plan: ColumnPlan, table: object, rows_before: int
) -> TranshipError:
    index = error.index if isinstance(error, MisfitError) else _first_failing(array, plan.convert)
    value = array[index].as_py()
    shown = repr(value)
    shown = shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}..."
    row = rows_before + index + 1
    why = str(error).splitlines()[0]
    nul = isinstance(error, MisfitError) and "U+0000" in why
    remedy = (
        "Strip it at the source or in your function."
        if nul
        else "Mend the value at its source, or choose a wider type with column_types."
    )
    return ValueDoesNotFitError(
        f'Row {row} of the rows for {table} has {shown} in column "{plan.name}", '
        f"which {plan.type} cannot hold: {why}.",
        remedy,
        details={"column": plan.name, "row": row, "value": shown, "type": str(plan.type)},
    )


def _first_failing(array: pa.Array, convert: Convert) -> int:
    """The first index whose value fails, found by halving."""
    low, high = 0, len(array)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            convert(array.slice(low, middle - low))
        except (pa.ArrowException, MisfitError, OverflowError, ValueError):
            high = middle
        else:
            low = middle
    return low


def _plan(
    arrow: pa.DataType, type_: PostgresType, column: Column
) -> tuple[pa.DataType, Convert, bool] | None:
    """Wire type, conversion, and whether binary COPY can carry it; `None` where there is none."""
    name = type_.name
    if name in _WIRE_INTEGERS:
        return _plan_integer(arrow, _WIRE_INTEGERS[name])
    if name == "numeric":
        return _plan_numeric(arrow, type_)
    if name in {"real", "double precision"}:
        return _plan_float(arrow, pa.float32() if name == "real" else pa.float64())
    if name == "boolean":
        if pa.types.is_integer(arrow):
            return pa.bool_(), _zero_or_one, True
        ok = pa.types.is_boolean(arrow) or pa.types.is_null(arrow) or is_text(arrow)
        return (pa.bool_(), _caster(pa.bool_()), True) if ok else None
    if name == "bytea":
        ok = is_binary(arrow) or is_text(arrow) or pa.types.is_null(arrow)
        return (pa.large_binary(), _caster(pa.large_binary()), True) if ok else None
    if name == "uuid":
        return _plan_uuid(arrow)
    if name in {"date", "time", "timestamp", "timestamptz", "interval"}:
        return _plan_temporal(arrow, type_, column)
    return _plan_text(arrow, type_)


_WIRE_INTEGERS = {"smallint": pa.int16(), "integer": pa.int32(), "bigint": pa.int64()}


def _plan_integer(
    arrow: pa.DataType, wire: pa.DataType
) -> tuple[pa.DataType, Convert, bool] | None:
    numbers = (
        pa.types.is_integer(arrow) or pa.types.is_floating(arrow) or pa.types.is_decimal(arrow)
    )
    ok = numbers or pa.types.is_boolean(arrow) or pa.types.is_null(arrow) or is_text(arrow)
    return (wire, _caster(wire), True) if ok else None


def _plan_numeric(
    arrow: pa.DataType, type_: PostgresType
) -> tuple[pa.DataType, Convert, bool] | None:
    if pa.types.is_floating(arrow) or (is_text(arrow) and not type_.modifiers):
        # The shortest text of a float is what Postgres itself would make of it.
        convert = _plain_text if is_text(arrow) else _float_text(bounded=bool(type_.modifiers))
        return pa.large_string(), convert, False
    if pa.types.is_integer(arrow):
        whole = pa.decimal128(20, 0)
        wire = _decimal(type_) or whole
        return wire, lambda array: array.cast(whole).cast(wire), _is_narrow(wire)
    if pa.types.is_decimal(arrow) or pa.types.is_null(arrow) or is_text(arrow):
        wire = _decimal(type_) or (arrow if pa.types.is_decimal(arrow) else pa.decimal128(38, 0))
        return wire, _caster(wire), _is_narrow(wire)
    return None


def _plan_float(arrow: pa.DataType, wire: pa.DataType) -> tuple[pa.DataType, Convert, bool] | None:
    numbers = (
        pa.types.is_integer(arrow) or pa.types.is_floating(arrow) or pa.types.is_decimal(arrow)
    )
    if not (numbers or pa.types.is_null(arrow) or is_text(arrow)):
        return None
    if pa.types.is_float64(arrow) and wire == pa.float32():
        return wire, _to_real, True
    return wire, _caster(wire), True


def _plan_uuid(arrow: pa.DataType) -> tuple[pa.DataType, Convert, bool] | None:
    wire = pa.binary(UUID_BYTES)
    if pa.types.is_fixed_size_binary(arrow) and arrow.byte_width == UUID_BYTES:
        return wire, _same, True
    if is_text(arrow):
        return wire, _uuid_bytes, True
    return (wire, _caster(wire), True) if pa.types.is_null(arrow) else None


def _plan_temporal(
    arrow: pa.DataType, type_: PostgresType, column: Column
) -> tuple[pa.DataType, Convert, bool] | None:
    name = type_.name
    digits = type_.modifiers[0] if type_.modifiers else MICROSECOND_DIGITS
    loose = pa.types.is_null(arrow) or is_text(arrow)
    if name == "date":
        ok = loose or pa.types.is_date(arrow) or (pa.types.is_timestamp(arrow) and arrow.tz is None)
        return (pa.date32(), _checked_date, True) if ok else None
    if name == "time":
        wire = pa.time64("us")
        # SQL Server's time keeps 100 ns; the seventh digit goes the way of datetime2's, which the
        # driver drops as well.
        drop = column.source_type is not None and column.source_type.name == "time"
        convert = _caster(wire, safe=not drop)
        return (
            (wire, _whole_ticks(convert, digits), True)
            if loose or pa.types.is_time(arrow)
            else None
        )
    if name == "interval":
        wire = pa.duration("us")
        return (
            (wire, _caster(wire), True)
            if pa.types.is_duration(arrow) or pa.types.is_null(arrow)
            else None
        )
    zoned = name == "timestamptz"
    wire = pa.timestamp("us", tz="UTC") if zoned else pa.timestamp("us")
    stamps = pa.types.is_timestamp(arrow) and (arrow.tz is not None) == zoned
    if not (loose or stamps or (pa.types.is_date(arrow) and not zoned)):
        return None
    return wire, _whole_ticks(_checked_timestamp(wire), digits), True


def _plan_text(arrow: pa.DataType, type_: PostgresType) -> tuple[pa.DataType, Convert, bool] | None:
    wire = pa.large_string()
    name = type_.name
    binary = name in {"text", "varchar", "char", "json", "jsonb", "xml", "citext", "name"}
    if pa.types.is_nested(arrow):
        return (wire, _json_text, True) if name in {"json", "jsonb", "text"} else None
    if name in {"json", "jsonb", "xml"} and not (is_text(arrow) or pa.types.is_null(arrow)):
        return None
    if name == "xml":
        return wire, _xml_text, binary
    limit = type_.modifiers[0] if name in {"varchar", "char"} and type_.modifiers else None
    if is_binary(arrow) and name not in {"text", "varchar", "char"}:
        return None
    return wire, _text_up_to(limit), binary


def _same(array: pa.Array) -> pa.Array:
    return array


def _caster(wire: pa.DataType, *, safe: bool = True) -> Convert:
    def convert(array: pa.Array) -> pa.Array:
        return array if array.type == wire else array.cast(wire, safe=safe)

    return convert


def _decimal(type_: PostgresType) -> pa.DataType | None:
    if not type_.modifiers:
        return None
    precision, scale = type_.modifiers
    if precision <= 38:
        return pa.decimal128(precision, scale)
    return pa.decimal256(precision, scale) if precision <= 76 else None


def _is_narrow(wire: pa.DataType) -> bool:
    return not pa.types.is_decimal256(wire)


def _zero_or_one(array: pa.Array) -> pa.Array:
    wrong = pc.index(pc.is_in(array, pa.array([0, 1, None], array.type)), pa.scalar(False)).as_py()
    if wrong >= 0:
        raise MisfitError(wrong, "only 0 and 1 are truth values")
    return array.cast(pa.bool_())


def _to_real(array: pa.Array) -> pa.Array:
    narrow = array.cast(pa.float32(), safe=False)
    lost = pc.and_(pc.is_inf(narrow), pc.invert(pc.is_inf(array)))
    where = pc.index(lost, pa.scalar(True)).as_py()
    if where >= 0:
        raise MisfitError(where, "it is too large for a 4-byte float")
    return narrow


def _float_text(*, bounded: bool) -> Convert:
    def convert(array: pa.Array) -> pa.Array:
        if bounded:
            where = pc.index(pc.is_inf(array), pa.scalar(True)).as_py()
            if where >= 0:
                raise MisfitError(where, "a numeric with a precision has no infinity")
        return array.cast(pa.large_string())

    return convert


def _uuid_bytes(array: pa.Array) -> pa.Array:
    digits = pc.replace_substring_regex(array.cast(pa.large_string()), r"^\{(.*)\}$|-", r"\1")
    digits = pc.replace_substring(digits, "-", "")
    lengths = pc.utf8_length(digits)
    odd = pc.index(pc.equal(lengths, 2 * UUID_BYTES), pa.scalar(False)).as_py()
    if odd >= 0:
        raise MisfitError(odd, "it is not a UUID")
    filled = pc.fill_null(digits, "0" * 2 * UUID_BYTES)
    _, offsets, texts = filled.buffers()
    first = np.frombuffer(offsets, np.int64)[filled.offset]
    size = len(filled) * 2 * UUID_BYTES
    joined = texts.slice(first, size).to_pybytes().decode() if size else ""
    values = bytes.fromhex(joined)
    if len(values) != len(filled) * UUID_BYTES:
        raise ValueError("it is not a UUID")
    valid = pc.is_valid(array).buffers()[1] if array.null_count else None
    return pa.Array.from_buffers(pa.binary(UUID_BYTES), len(array), [valid, pa.py_buffer(values)])


def _checked_date(array: pa.Array) -> pa.Array:
    days = _caster(pa.date32())(array)
    _within(days.cast(pa.int32()), FIRST_DAY, LAST_DAY)
    return days


def _checked_timestamp(wire: pa.DataType) -> Convert:
    cast = _caster(wire)

    def convert(array: pa.Array) -> pa.Array:
        stamps = cast(array)
        _within(stamps.cast(pa.int64()), FIRST_MICROSECOND, None)
        return stamps

    return convert


def _within(numbers: pa.Array, low: int, high: int | None) -> None:
    bounds = pc.min_max(numbers)
    least, most = bounds["min"].as_py(), bounds["max"].as_py()
    if least is None or (least >= low and (high is None or most <= high)):
        return
    outside = pc.less(numbers, low)
    if high is not None:
        outside = pc.or_(outside, pc.greater(numbers, high))
    raise MisfitError(
        pc.index(outside, pa.scalar(True)).as_py(), "it is outside the range of Postgres"
    )


def _whole_ticks(convert: Convert, digits: int) -> Convert:
    """Refuse values with more fractional digits than the column keeps; Postgres would round them."""
    if digits >= MICROSECOND_DIGITS:
        return convert
    tick = 10 ** (MICROSECOND_DIGITS - digits)

    def checked(array: pa.Array) -> pa.Array:
        values = convert(array)
        numbers = values.cast(pa.int64())
        rest = pc.subtract(numbers, pc.multiply(pc.divide(numbers, tick), tick))
        where = pc.index(pc.not_equal(rest, 0), pa.scalar(True)).as_py()
        if where >= 0:
            raise MisfitError(where, f"it has more than {digits} digits after the second")
        return values

    return checked


def _plain_text(array: pa.Array) -> pa.Array:
    texts = _caster(pa.large_string())(array)
    _refuse_nul(texts)
    return texts


def _text_up_to(limit: int | None) -> Convert:
    def convert(array: pa.Array) -> pa.Array:
        texts = _plain_text(array)
        if limit is not None and len(texts):
            _, offsets, _ = texts.buffers()
            bounds = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
            # No text has more characters than bytes, so most batches need no counting.
            if int(np.diff(bounds).max(initial=0)) > limit:
                where = pc.index(pc.greater(pc.utf8_length(texts), limit), pa.scalar(True)).as_py()
                if where >= 0:
                    length = pc.utf8_length(texts)[where].as_py()
                    raise MisfitError(where, f"it has {length} characters")
        return texts

    return convert


def _refuse_nul(texts: pa.Array) -> None:
    """Postgres's texts cannot hold U+0000 (https://www.postgresql.org/docs/current/datatype-character.html)."""
    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return
    bounds = np.frombuffer(offsets, np.int64)
    first, last = int(bounds[texts.offset]), int(bounds[texts.offset + len(texts)])
    if first == last or np.frombuffer(data, np.uint8)[first:last].min() != 0:
        return
    where = pc.index(pc.match_substring(texts, "\0"), pa.scalar(True)).as_py()
    if where >= 0:
        raise MisfitError(where, "Postgres texts cannot contain U+0000")


def _xml_text(array: pa.Array) -> pa.Array:
    """Text without an encoding declaration: it is UTF-8 by now, whatever it was declared as."""
    return pc.replace_substring_regex(_plain_text(array), _ENCODING_DECLARATION, r"\1")


def _json_text(array: pa.Array) -> pa.Array:
    values = array.to_pylist(maps_as_pydicts="strict")
    texts = []
    for index, value in enumerate(values):
        try:
            texts.append(
                None if value is None else json.dumps(value, default=_as_json, allow_nan=False)
            )
        except (TypeError, ValueError) as error:
            raise MisfitError(index, f"JSON cannot express it ({error})") from None
        if value is not None and re.search(r"(?<!\\)(?:\\\\)*\\u0000", texts[-1]):
            raise MisfitError(index, "Postgres texts cannot contain U+0000")
    return pa.array(texts, pa.large_string())


def _as_json(value: Any) -> Any:
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"a {type(value).__name__} has no JSON form")
