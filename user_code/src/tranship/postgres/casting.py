"""Fit a batch's values to the columns they are for, before COPY, which coerces nothing.

Every value that the column could not hold, or would change, is an error that names column, row and
value; nothing is rounded, cut or guessed.
"""

# pyarrow-stubs leaves types unknown; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from dataclasses import dataclass

import pyarrow as pa

from tranship.arrow_types import ArrowArray, in_words, is_uuid, plain_array, plain_type, uuid_texts
from tranship.errors import TranshipError, UnsupportedTypeError, ValueDoesNotFitError
from tranship.exactness import (
    MAX_DIGITS,
    Convert,
    MisfitError,
    number_texts,
    to_dates,
    to_decimals,
    to_floats,
)
from tranship.postgres.conversions import (
    UUID_BYTES,
    cast_to,
    checked_time,
    checked_timestamp,
    decimal_type,
    json_text,
    plain_text,
    text_up_to,
    unchanged,
    uuid_bytes,
    whole_ticks,
    xml_text,
    zero_or_one,
)
from tranship.postgres.text_forms import texts_of
from tranship.postgres.types import MICROSECOND_DIGITS, PostgresType
from tranship.tables import Column, is_binary, is_text

_SHOWN_CHARACTERS = 60
_MISFITS = (MisfitError, pa.ArrowException, OverflowError, ValueError, KeyError)
"""What a value raises that has no form in its column; Python raises KeyError for a map with a key twice."""


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


def plan_column(
    column: Column, type_: PostgresType, table: object, *, rounding: bool = False
) -> ColumnPlan:
    """How a column's values reach a table column of a type.

    Args:
        column: The incoming column.
        type_: The type of the table's column.
        table: Named in errors.
        rounding: Whether numbers may be rounded to what the type holds.

    Raises:
        UnsupportedTypeError: They cannot: such values have no meaning in that type.
    """
    arrow = plain_type(column.type)
    prepare: Convert = unchanged if arrow == column.type else plain_array
    if is_uuid(column.type) and type_.name in _TEXTS:
        arrow, prepare = pa.large_string(), _plain_uuid_texts
    conversion = _plan(arrow, type_, column, rounding=rounding)
    if conversion is None:
        raise UnsupportedTypeError(
            f'Column "{column.name}" of {table} is {type_}, and {column.type} values cannot be put there.',
            "Cast the column in your function, or choose another type with column_types.",
            details={"column": column.name},
        )
    wire, convert, binary = conversion
    if prepare is unchanged:
        return ColumnPlan(column.name, type_, wire, convert, binary)
    return ColumnPlan(column.name, type_, wire, lambda array: convert(prepare(array)), binary)


def _plain_uuid_texts(array: ArrowArray) -> ArrowArray:
    return uuid_texts(plain_array(array))


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
    arrays: list[ArrowArray] = []
    for plan in plans:
        array = batch.column(plan.name)
        try:
            arrays.append(plan.convert(array))
        except _MISFITS as error:
            raise _located(error, array, plan, table, rows_before) from None
    return pa.RecordBatch.from_arrays(
        arrays, schema=pa.schema([(plan.name, plan.wire) for plan in plans])
    )


def _located(
    error: Exception, array: ArrowArray, plan: ColumnPlan, table: object, rows_before: int
) -> TranshipError:
    index = error.index if isinstance(error, MisfitError) else _first_failing(array, plan.convert)
    try:
        shown = repr(array[index].as_py())
    except (OverflowError, ValueError):
        shown = in_words(array[index])
    shown = shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}..."
    row = rows_before + index + 1
    why = str(error).splitlines()[0]
    own = error.remedy if isinstance(error, MisfitError) else None
    remedy = own or "Mend the value at its source, or choose a wider type with column_types."
    return ValueDoesNotFitError(
        f'Row {row} of the rows for {table} has {shown} in column "{plan.name}", '
        f"which {plan.type} cannot hold: {why}.",
        remedy,
        details={"column": plan.name, "row": row, "value": shown, "type": str(plan.type)},
    )


def _first_failing(array: ArrowArray, convert: Convert) -> int:
    """The first index whose value fails, found by halving."""
    low, high = 0, len(array)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            convert(array.slice(low, middle - low))
        except _MISFITS:
            high = middle
        else:
            low = middle
    return low


def _plan(
    arrow: pa.DataType, type_: PostgresType, column: Column, *, rounding: bool
) -> tuple[pa.DataType, Convert, bool] | None:
    """Wire type, conversion, and whether binary COPY can carry it; `None` where there is none."""
    name = type_.name
    if name in _WIRE_INTEGERS:
        return _plan_integer(arrow, _WIRE_INTEGERS[name])
    if name == "numeric":
        if not type_.modifiers and is_text(arrow) and _are_numbers_of_postgres(column):
            return pa.large_string(), plain_text, False
        return _plan_numeric(arrow, type_, rounding=rounding)
    if name in {"real", "double precision"}:
        wire = pa.float32() if name == "real" else pa.float64()
        return _plan_float(arrow, wire, rounding=rounding)
    if name == "boolean":
        if pa.types.is_integer(arrow):
            return pa.bool_(), zero_or_one, True
        ok = pa.types.is_boolean(arrow) or pa.types.is_null(arrow) or is_text(arrow)
        return (pa.bool_(), cast_to(pa.bool_()), True) if ok else None
    if name == "bytea":
        ok = is_binary(arrow) or is_text(arrow) or pa.types.is_null(arrow)
        return (pa.large_binary(), cast_to(pa.large_binary()), True) if ok else None
    if name == "uuid":
        return _plan_uuid(arrow)
    if name in {"date", "time", "timestamp", "timestamptz", "interval"}:
        return _plan_temporal(arrow, type_, column)
    return _plan_text(arrow, type_)


def _are_numbers_of_postgres(column: Column) -> bool:
    """Whether texts are what a numeric column printed: any number of digits, NaN and infinities are its values too."""
    return column.source_type is not None and column.source_type.name == "numeric"


_TEXTS = {"text", "varchar", "char", "citext"}
_WIRE_INTEGERS = {"smallint": pa.int16(), "integer": pa.int32(), "bigint": pa.int64()}


def _plan_integer(
    arrow: pa.DataType, wire: pa.DataType
) -> tuple[pa.DataType, Convert, bool] | None:
    numbers = (
        pa.types.is_integer(arrow) or pa.types.is_floating(arrow) or pa.types.is_decimal(arrow)
    )
    ok = numbers or pa.types.is_boolean(arrow) or pa.types.is_null(arrow) or is_text(arrow)
    return (wire, cast_to(wire), True) if ok else None


def _plan_numeric(
    arrow: pa.DataType, type_: PostgresType, *, rounding: bool
) -> tuple[pa.DataType, Convert, bool] | None:
    wire = decimal_type(type_)
    if pa.types.is_floating(arrow) or is_text(arrow):
        # The shortest text of a float is what Postgres itself would make of it.
        if wire is None:
            return pa.large_string(), number_texts, False
        return wire, lambda array: to_decimals(array, wire, rounding=rounding), True
    if pa.types.is_integer(arrow):
        whole = pa.decimal128(20, 0)
        wire = wire or whole
        return wire, lambda array: array.cast(whole).cast(wire), True
    if pa.types.is_decimal(arrow) or pa.types.is_null(arrow):
        wire = wire or pa.decimal128(MAX_DIGITS, min(getattr(arrow, "scale", 0), MAX_DIGITS))
        if rounding and pa.types.is_decimal(arrow):
            return wire, lambda array: to_decimals(array, wire, rounding=True), True
        return wire, cast_to(wire), True
    return None


def _plan_float(
    arrow: pa.DataType, wire: pa.DataType, *, rounding: bool
) -> tuple[pa.DataType, Convert, bool] | None:
    numbers = (
        pa.types.is_integer(arrow) or pa.types.is_floating(arrow) or pa.types.is_decimal(arrow)
    )
    if not (numbers or pa.types.is_null(arrow) or is_text(arrow)):
        return None
    return wire, lambda array: to_floats(array, wire, rounding=rounding), True


def _plan_uuid(arrow: pa.DataType) -> tuple[pa.DataType, Convert, bool] | None:
    wire = pa.binary(UUID_BYTES)
    if pa.types.is_fixed_size_binary(arrow) and arrow.byte_width == UUID_BYTES:
        return wire, unchanged, True
    if is_text(arrow):
        return wire, uuid_bytes, True
    return (wire, cast_to(wire), True) if pa.types.is_null(arrow) else None


def _plan_temporal(
    arrow: pa.DataType, type_: PostgresType, column: Column
) -> tuple[pa.DataType, Convert, bool] | None:
    name = type_.name
    digits = type_.modifiers[0] if type_.modifiers else MICROSECOND_DIGITS
    loose = pa.types.is_null(arrow) or is_text(arrow)
    if name == "date":
        ok = loose or pa.types.is_date(arrow) or (pa.types.is_timestamp(arrow) and arrow.tz is None)
        return (pa.date32(), to_dates, True) if ok else None
    if name == "time":
        wire = pa.time64("us")
        # SQL Server's time keeps 100 ns; the seventh digit goes the way of datetime2's, which the
        # driver drops as well.
        drop = column.source_type is not None and column.source_type.name == "time"
        convert = checked_time(cast_to(wire, safe=not drop))
        return (
            (wire, whole_ticks(convert, digits), True) if loose or pa.types.is_time(arrow) else None
        )
    if name == "interval":
        if is_text(arrow):
            return pa.large_string(), plain_text, False
        wire = pa.duration("us")
        ok = pa.types.is_duration(arrow) or pa.types.is_null(arrow)
        return (wire, cast_to(wire), True) if ok else None
    zoned = name == "timestamptz"
    wire = pa.timestamp("us", tz="UTC") if zoned else pa.timestamp("us")
    stamps = pa.types.is_timestamp(arrow) and (arrow.tz is not None) == zoned
    if not (loose or stamps or (pa.types.is_date(arrow) and not zoned)):
        return None
    return wire, whole_ticks(checked_timestamp(wire), digits), True


def _plan_text(arrow: pa.DataType, type_: PostgresType) -> tuple[pa.DataType, Convert, bool] | None:
    wire = pa.large_string()
    name = type_.name
    binary = name in {"text", "varchar", "char", "json", "jsonb", "xml", "citext", "name"}
    if pa.types.is_list(arrow) and name.endswith("[]"):
        return wire, texts_of, False
    if pa.types.is_nested(arrow):
        return (wire, json_text, True) if name in {"json", "jsonb", "text"} else None
    if name in {"json", "jsonb", "xml"} and not (is_text(arrow) or pa.types.is_null(arrow)):
        return None
    if name == "xml":
        return wire, xml_text, binary
    limit = type_.modifiers[0] if name in {"varchar", "char"} and type_.modifiers else None
    if is_binary(arrow) and name not in {"text", "varchar", "char"}:
        return None
    return wire, text_up_to(limit), binary
