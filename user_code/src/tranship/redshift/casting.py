"""Incoming batches as the staged files take them: exact types, every value checked before it leaves."""

# pyarrow-stubs leaves types unknown; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tranship.arrow_types import (
    ArrowArray,
    in_words,
    is_uuid,
    plain_array,
    times_in_microseconds,
    uuid_texts,
)
from tranship.errors import RowsOutsideSliceError, ValueDoesNotFitError
from tranship.exactness import (
    MisfitError,
    check_clock,
    check_years,
    to_dates,
    to_decimals,
    to_floats,
)
from tranship.redshift.identifiers import fold_slice
from tranship.redshift.nested import check_inner_values
from tranship.redshift.plan import ColumnPlan, LoadPlan
from tranship.redshift.types import is_nested
from tranship.slices import Slice
from tranship.tables import is_binary, is_text

SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Longest:
    """The longest value of a column: its size in bytes, and the row it is in, counted from 1."""

    bytes: int
    row: int


class BatchCaster:
    """Casts and checks one stream of batches, and remembers the longest texts.

    Args:
        plan: The columns and their limits.
        part: The slice that every row has to belong to.
        key: Names, folded, of the columns that identify a row when merging.
        truncate_timestamps: Whether nanoseconds may be cut off.
        rounding: Whether numbers may be rounded to what their column holds.
    """

    def __init__(
        self,
        plan: LoadPlan,
        part: Slice,
        key: tuple[str, ...] = (),
        *,
        truncate_timestamps: bool = False,
        rounding: bool = False,
    ):
        self._plan = plan
        self._slice = fold_slice(part)
        self._key = key
        self._truncates = truncate_timestamps
        self._rounding = rounding
        self._schema = plan.staged_schema
        self.rows = 0
        self.longest: dict[str, Longest] = {}

    def cast(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One batch as it is staged.

        Raises:
            ValueDoesNotFitError: A value does not fit its column; the message names column, row, value.
            RowsOutsideSliceError: A row belongs to another partition or key range.
        """
        folded = pa.RecordBatch.from_arrays(
            [batch.column(column.source) for column in self._plan.columns],
            names=list(self._plan.names),
        )
        self._check_slice(folded)
        arrays = [
            self._cast(column, folded.column(index))
            for index, column in enumerate(self._plan.columns)
        ]
        self.rows += batch.num_rows
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def longest_bytes(self) -> dict[str, int]:
        """Bytes of the longest value, by column."""
        return {name: longest.bytes for name, longest in self.longest.items()}

    def _cast(self, column: ColumnPlan, array: ArrowArray) -> ArrowArray:
        if is_uuid(array.type) and is_text(column.staged):
            array = uuid_texts(plain_array(array))
        array = plain_array(array)
        if array.null_count and (column.name in self._key or not column.nullable):
            raise self._null(column, array)
        if array.type != column.staged or pa.types.is_temporal(array.type) or is_nested(array.type):
            array = self._converted(column, array)
        if column.limit_bytes is not None:
            self._measure(column, array)
        if column.parses_json:
            self._check_json(column, array)
        return array

    def _check_json(self, column: ColumnPlan, array: ArrowArray) -> None:
        """Redshift names neither row nor column of a text that is no JSON."""
        for index, text in enumerate(array.to_pylist()):
            if text is not None and (reason := why_not_json(text)) is not None:
                row = self.rows + index + 1
                raise ValueDoesNotFitError(
                    f'Row {row}, column "{column.source}" of {self._plan.table}: {_shown(text)} is no JSON, which '
                    f"SUPER is parsed from: {reason}.",
                    f'Correct the value, or keep texts as strings: {{"column_types": {{"{column.source}": "super text"}}}}.',
                    details={"column": column.source, "row": row, "value": _shown(text)},
                )

    def _converted(self, column: ColumnPlan, array: ArrowArray) -> ArrowArray:
        if self._truncates and pa.types.is_timestamp(array.type):
            array = pc.cast(array, pa.timestamp("us", array.type.tz), safe=False)

        def cast(values: ArrowArray) -> ArrowArray:
            return _to_type(values, column, rounding=self._rounding)

        try:
            return cast(array)
        except MisfitError as error:
            raise self._does_not_fit(column, array, error.index, error.why, error.remedy) from error
        except pa.ArrowException as error:
            index = first_failing(array, cast)
            raise self._does_not_fit(column, array, index, str(error)) from error

    def _measure(self, column: ColumnPlan, array: ArrowArray) -> None:
        lengths = pc.call_function("binary_length", [array])
        longest = pc.max(lengths)
        most = longest.as_py() or 0
        known = self.longest.get(column.name)
        if known is not None and most <= known.bytes:
            return
        # Made of a Python number, the scalar would import pandas, which takes a second.
        index = pc.index(lengths, longest).as_py() if longest.is_valid else 0
        row = self.rows + max(index, 0) + 1
        self.longest[column.name] = Longest(most, row)
        if column.limit_bytes is not None and most > column.limit_bytes:
            raise self._too_long(column, most, row, array[index].as_py())

    def _check_slice(self, batch: pa.RecordBatch) -> None:
        mask = self._slice.mask(batch)
        if mask is None or pc.all(mask).as_py() is not False:
            return
        index = pc.index(mask, pa.scalar(False)).as_py()
        row = self.rows + index + 1
        values = ", ".join(
            f'"{name}" is {_shown(batch.column(name)[index].as_py())}'
            for name in self._slice.columns
        )
        raise RowsOutsideSliceError(
            f"Row {row} does not belong to {self._slice} of {self._plan.table}: {values}.",
            "Return only the rows of the partition, or correct partition_expr.",
            details={"row": row},
        )

    def _null(self, column: ColumnPlan, array: ArrowArray) -> ValueDoesNotFitError:
        row = self.rows + pc.index(pc.is_null(array), pa.scalar(True)).as_py() + 1
        why = "identifies rows" if column.name in self._key else "takes no nulls"
        return ValueDoesNotFitError(
            f'Row {row} of the data has null in "{column.source}", which {why} in {self._plan.table}.',
            "Fill it, or leave the row out.",
            details={"column": column.source, "row": row},
        )

    def _does_not_fit(
        self,
        column: ColumnPlan,
        array: ArrowArray,
        index: int,
        reason: str,
        remedy: str | None = None,
    ) -> ValueDoesNotFitError:
        row, value = self.rows + index + 1, array[index]
        if (
            remedy is None
            and "would lose data" in reason
            and getattr(array.type, "unit", "") == "ns"
        ):
            reason = "it has digits beyond microseconds, which Redshift cannot keep"
            remedy = "Round it to microseconds."
            if pa.types.is_timestamp(array.type):
                remedy = (
                    "Round it to microseconds, or set truncate_timestamps to cut such digits off."
                )
        remedy = remedy or "Correct the value, or declare a wider type in column_types."
        return ValueDoesNotFitError(
            f'Row {row}, column "{column.source}" of {self._plan.table}: {_shown(_python(value))} '
            f"({array.type}) does not fit {column.type}: {reason}.",
            remedy,
            details={"column": column.source, "row": row, "value": _shown(_python(value))},
        )

    def _too_long(
        self, column: ColumnPlan, size: int, row: int, value: str | bytes
    ) -> ValueDoesNotFitError:
        if column.parses_json:
            remedy = (
                "Redshift parses JSON from a VARCHAR of 65,535 bytes at most; a SUPER value itself may have 16 MB. Return "
                "the column as lists and structs of Arrow instead of as text, or shorten it."
            )
        elif column.type.measured or column.limit_bytes == column.type.limit_bytes:
            remedy = (
                "Shorten it. A string in a SUPER has the same limit, unless the cluster's parameter "
                "enable_large_strings_opt_in is Yes: then 16,000,000 bytes, with "
                f'{{"column_types": {{"{column.source}": "super text"}}}}.'
            )
        elif column.exists:
            remedy = "Set on_schema_change to evolve to widen the column, or shorten the value."
        else:
            remedy = "Give the column more bytes in varchar_lengths or column_types."
        return ValueDoesNotFitError(
            f'Row {row}, column "{column.source}" of {self._plan.table}: the value has {size} bytes, '
            f"and the column holds {column.limit_bytes}: {_shown(value)}.",
            remedy,
            details={
                "column": column.source,
                "row": row,
                "bytes": size,
                "limit": column.limit_bytes,
            },
        )


def why_not_json(text: str) -> str | None:
    """Why a text is no JSON document; `None` where it is one.

    Example:
        >>> why_not_json('{"a": [1]}'), why_not_json("NaN")
        (None, 'NaN is no value of JSON')
    """

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no value of JSON")

    try:
        json.loads(text, parse_constant=refuse)
    except RecursionError:
        return "it is nested too deeply"
    except ValueError as error:
        return str(error)
    return None


def first_failing(array: ArrowArray, cast: Callable[[ArrowArray], object]) -> int:
    """The index of the first value that a cast refuses, found by halving.

    Example:
        >>> values = pa.array([1, 2, 70_000, 4])
        >>> first_failing(values, lambda part: part.cast(pa.int16()))
        2
    """
    low, high = 0, len(array)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            cast(array.slice(low, middle - low))
        except pa.ArrowException:
            high = middle
        else:
            low = middle
    return low


def _to_type(array: ArrowArray, column: ColumnPlan, *, rounding: bool) -> ArrowArray:
    """An array as its column is staged, every value as it was."""
    wanted, given = column.staged, array.type
    if pa.types.is_decimal(wanted) and (
        pa.types.is_floating(given) or is_text(given) or (rounding and pa.types.is_decimal(given))
    ):
        return to_decimals(array, wanted, rounding=rounding)
    if pa.types.is_floating(wanted):
        return to_floats(array, wanted, rounding=rounding)
    if pa.types.is_date32(wanted):
        return to_dates(array)
    if pa.types.is_time(given) and column.type.name == "time":
        # Its text is what Redshift casts to a TIME, which holds microseconds.
        array = array.cast(pa.time64("us"))
        check_clock(array)
    if pa.types.is_nested(wanted):
        check_inner_values(array)
        return times_in_microseconds(array)
    if is_text(wanted) and is_binary(given):
        array = array.cast(pa.binary())
    if pa.types.is_decimal(wanted) and pa.types.is_integer(given):
        # Arrow judges an integer by its type, not its value; a wide decimal in between does the opposite.
        array = array.cast(pa.decimal128(20, 0))
    shaped = array.cast(wanted, safe=True)
    if pa.types.is_timestamp(wanted):
        check_years(shaped)
    return shaped


def _python(value: "pa.Scalar[Any]") -> object:
    try:
        return value.as_py()
    except (ValueError, OverflowError, pa.ArrowException):
        return in_words(value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."
