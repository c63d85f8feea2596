"""Holds every batch of a stream to one schema: what fits exactly is cast, all else is refused by name."""

# pyarrow-stubs leaves types unknown; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from collections.abc import Iterable, Iterator

import pyarrow as pa

from tranship.arrow_types import ArrowArray, ArrowField
from tranship.errors import BatchDoesNotFitError

_LISTS = (pa.ListType, pa.LargeListType)


def hold_to(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows, every batch with exactly this schema.

    Columns are put in its order and cast where no value changes.

    Raises:
        BatchDoesNotFitError: A batch has other columns, or values that the types cannot hold.
    """
    try:
        for number, batch in enumerate(batches, start=1):
            yield _fit(batch, schema, number)
    finally:
        # Ends a generator's own `with` blocks in this thread, not when the garbage is collected.
        close = getattr(batches, "close", None)
        if close is not None:
            close()


def _fit(batch: pa.RecordBatch, schema: pa.Schema, number: int) -> pa.RecordBatch:
    if batch.schema.equals(schema, check_metadata=True):
        return batch
    if batch.schema.equals(schema):  # the source types of the fields come from the first batch
        return pa.RecordBatch.from_arrays(batch.columns, schema=schema)
    missing = [name for name in schema.names if name not in batch.schema.names]
    extra = [name for name in batch.schema.names if name not in schema.names]
    twice = [name for name in schema.names if batch.schema.names.count(name) > 1]
    if missing or extra or twice:
        listed = [f'"{name}" is missing' for name in missing]
        listed += [f'"{name}" is new' for name in dict.fromkeys(extra)]
        listed += [f'"{name}" is there more than once' for name in twice]
        raise BatchDoesNotFitError(
            f"Batch {number} does not have the columns of the first one: {', '.join(listed)}.",
            "Give every batch the same columns.",
        )
    return pa.RecordBatch.from_arrays(
        [_cast(batch.column(field.name), field, number) for field in schema], schema=schema
    )


def _cast(array: ArrowArray, field: ArrowField, number: int) -> ArrowArray:
    """The same values as the first batch's type, where that loses nothing."""
    if array.null_count and not field.nullable:
        raise BatchDoesNotFitError(
            f'Batch {number} has {array.null_count} null(s) in "{field.name}", which is declared not null.',
            "Fill them, or declare the column nullable.",
        )
    if array.type == field.type:
        return array
    if pa.types.is_null(field.type):
        raise BatchDoesNotFitError(
            f'"{field.name}" was all null in the first batch and is {array.type} in batch {number}.',
            "Declare the types: give the first frame's column a type, or pass a schema.",
        )
    differ = f'"{field.name}" is {field.type} in the first batch and {array.type} in batch {number}'
    if not _keeps_values(array.type, field.type):
        raise BatchDoesNotFitError(f"{differ}.", "Give every batch the same types.")
    try:
        return array.cast(field.type, safe=True)
    except pa.ArrowException as error:
        raise BatchDoesNotFitError(
            f"{differ}, and its values do not fit: {str(error).rstrip('.')}.",
            "Give every batch the same types.",
        ) from error


def _keeps_values(from_: pa.DataType, to: pa.DataType) -> bool:
    """Whether Arrow's safe cast changes no value or refuses.

    It is less careful than its name: it makes 5 true, "007" 7, and 0.1 a rounded float or decimal,
    and takes wall clocks for UTC.
    """
    if pa.types.is_null(from_):
        return True
    if pa.types.is_floating(from_) and pa.types.is_floating(to):
        return from_.bit_width <= to.bit_width
    if {pa.types.is_decimal(from_), pa.types.is_decimal(to)} == {True, False}:
        return pa.types.is_integer(from_) or pa.types.is_integer(to)
    if isinstance(from_, _LISTS) and isinstance(to, _LISTS):
        return _keeps_values(from_.value_type, to.value_type)
    return _kind(from_) == _kind(to)


def _kind(type_: pa.DataType) -> str:
    """What a type's values are, whatever their width or unit."""
    types = pa.types
    if types.is_dictionary(type_):
        return _kind(type_.value_type)
    if types.is_timestamp(type_):
        return "instant" if type_.tz else "wall clock"
    if types.is_integer(type_) or types.is_floating(type_) or types.is_decimal(type_):
        return "number"
    if types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_):
        return "text"
    if types.is_date(type_) or types.is_time(type_):
        return "date" if types.is_date(type_) else "time"
    if types.is_binary(type_) or types.is_large_binary(type_) or types.is_binary_view(type_):
        return "bytes"
    return "bytes" if types.is_fixed_size_binary(type_) else str(type_)
