"""polars frames as Arrow batches, every value as it is."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tranship.errors import UnsupportedTypeError
from tranship.exactness import MAX_DIGITS

if TYPE_CHECKING:
    import polars as pl

_WIDE_INTEGERS = {"Int128", "UInt128"}
"""polars' own: Arrow has no integers of 128 bits, and a sum of Int64 may be one."""


@dataclass(frozen=True, slots=True)
class PolarsFrame:
    """A polars frame, eager or lazy, and the Arrow schema of its rows."""

    frame: "pl.DataFrame | pl.LazyFrame"
    schema: pa.Schema

    def batches(self, rows_per_batch: int) -> Iterator[pa.RecordBatch]:
        """The rows; slices share memory with the frame, and only one at a time is converted.

        Raises:
            UnsupportedTypeError: An integer has more digits than any target holds.
        """
        frame: Any = self.frame
        rows_before = 0
        for part in (frame.collect() if _is_lazy(frame) else frame).iter_slices(rows_per_batch):
            yield from _narrowed(part, rows_before).to_arrow().to_batches()
            rows_before += part.height


def polars_frame(frame: "pl.DataFrame | pl.LazyFrame") -> PolarsFrame:
    """A frame with the schema of its rows, none of which is converted for it.

    Raises:
        UnsupportedTypeError: A column's type has no form in Arrow; the message names it.
    """
    source: Any = frame
    empty = source.collect_schema().to_frame() if _is_lazy(source) else source.clear()
    for name, type_ in empty.schema.items():
        if str(type_) == "Object":
            raise _untyped(name, "it holds Python objects")
    empty = _narrowed(empty, 0)
    try:
        return PolarsFrame(frame, empty.to_arrow().schema)
    except (pa.ArrowException, TypeError, ValueError):
        for name in empty.columns:
            try:
                empty.select(name).to_arrow()
            except (pa.ArrowException, TypeError, ValueError) as error:
                why = f"Arrow has no form for polars' {empty.schema[name]}"
                raise _untyped(name, why) from error
        raise


def _narrowed(frame: "pl.DataFrame", rows_before: int) -> "pl.DataFrame":
    """The frame with decimals of 38 digits for integers of 128 bits."""
    import polars as pl

    for name, type_ in frame.schema.items():
        if str(type_) not in _WIDE_INTEGERS:
            continue
        try:
            frame = frame.with_columns(pl.col(name).cast(pl.Decimal(MAX_DIGITS, 0)))
        except pl.exceptions.InvalidOperationError as error:
            values = frame[name].to_list()
            row = next(
                index
                for index, value in enumerate(values)
                if value is not None and abs(value) >= 10**MAX_DIGITS
            )
            raise _untyped(
                name,
                f"row {rows_before + row + 1} is {values[row]}, which has more than {MAX_DIGITS} digits",
            ) from error
    return frame


def _is_lazy(frame: Any) -> bool:
    return type(frame).__name__ == "LazyFrame"


def _untyped(name: str, why: str) -> UnsupportedTypeError:
    return UnsupportedTypeError(
        f'The column "{name}" of the frame has no type that can be moved: {why}.',
        "Give all its values one type: frame.astype, frame.cast.",
        details={"column": name},
    )
