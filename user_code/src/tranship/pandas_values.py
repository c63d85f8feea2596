"""pandas frames as Arrow batches, every value as it is: what Arrow would change on its way is refused by column.

A column of Python objects has no type of its own. Arrow takes the first that will do, and for that drops the zone
of a time, the clock of a datetime beside a date, or a Decimal that is no number; so its guess is compared with
the values before it is used.
"""

# pandas has no stubs here, and those of pyarrow leave types unknown; what is ours is checked in full.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa

from tranship.arrow_types import ArrowField
from tranship.errors import ConfigurationError, TranshipError, UnsupportedTypeError
from tranship.exactness import MAX_DIGITS

if TYPE_CHECKING:
    import pandas as pd

CONVERSION_ERRORS = (pa.ArrowException, TypeError, ValueError, OverflowError, NotImplementedError)
"""What Arrow and its guests raise for a value they cannot convert; a lone surrogate is a UnicodeEncodeError,
which is a ValueError."""
_SHOWN_CHARACTERS = 60
_REMEDY = "Give all its values one type: frame.astype, frame.cast."
# Classes whose values Arrow takes as they are when a column holds nothing else.
_PLAIN = (str, bytes, bool, int, float, date, UUID)


@dataclass(frozen=True, slots=True)
class PandasFrame:
    """A pandas frame and the Arrow schema that holds its values exactly."""

    frame: "pd.DataFrame"
    schema: pa.Schema

    def batches(self, rows_per_batch: int) -> Iterator[pa.RecordBatch]:
        """The rows, converted one slice at a time.

        Raises:
            UnsupportedTypeError: A value has no Arrow form; the message names column and row.
        """
        for start in range(0, len(self.frame), rows_per_batch):
            part = self.frame.iloc[start : start + rows_per_batch]
            try:
                # A Table and not a batch: pandas keeps Arrow-backed columns in chunks of any layout.
                table = pa.Table.from_pandas(part, schema=self.schema, preserve_index=False)
            except CONVERSION_ERRORS as error:
                raise _misfit(part, self.schema, start, error) from error
            yield from table.to_batches()


def pandas_frame(frame: "pd.DataFrame") -> PandasFrame:
    """A frame with the schema that its columns need.

    Raises:
        ConfigurationError: Its index holds labels, which are no column and would be lost.
        UnsupportedTypeError: No Arrow type holds a column's values exactly; the message names it.
    """
    _check_index(frame)
    return PandasFrame(frame, pa.schema([_field(frame, name) for name in frame.columns]))


def _check_index(frame: "pd.DataFrame") -> None:
    """Only columns are written, so an index that says more than the order of the rows would be lost."""
    named = [str(name) for name in frame.index.names if name is not None]
    if named:
        raise ConfigurationError(
            f"The frame has an index with a name ({', '.join(named)}), and only columns are written.",
            "Make it a column with frame.reset_index(), or drop it with frame.reset_index(drop=True).",
        )
    if not _only_counts(frame.index):
        shown = ", ".join(repr(label) for label in frame.index[:3].tolist())
        more = ", ..." if len(frame.index) > 3 else ""
        raise ConfigurationError(
            f"The frame has an index that holds labels ({shown}{more}), and only columns are written.",
            'Keep them as a column with frame.rename_axis("label").reset_index(), or drop them, as after a '
            "filter, with frame.reset_index(drop=True).",
        )


def _only_counts(index: Any) -> bool:
    """Whether an index numbers rows from 0 without gaps: as they were made, sorted anew, or put together.

    Frames put together by `concat` each bring their own count, so a number may come several times; after
    a filter numbers are missing, and nobody can tell them from labels such as years.
    """
    import pandas as pd

    if isinstance(index, pd.RangeIndex) or not len(index):
        return True
    if isinstance(index, pd.MultiIndex) or not pd.api.types.is_integer_dtype(index.dtype):
        return False
    if index.hasnans or int(index.min()) != 0 or int(index.max()) >= len(index):
        return False
    import numpy as np

    times = np.bincount(index.to_numpy())
    return bool((times[:-1] >= times[1:]).all() and times[-1] > 0)


def _field(frame: "pd.DataFrame", name: str) -> ArrowField:
    import pandas as pd

    column = frame[name]
    try:
        if isinstance(column.dtype, pd.CategoricalDtype):
            categories = column.cat.categories
            if categories.dtype == object:
                _type_of_objects(categories.to_numpy(), name)
        elif column.dtype == object:
            return pa.field(name, _type_of_objects(column.to_numpy(), name))
        return (
            pa.Schema.from_pandas(frame.loc[:, [name]], preserve_index=False)
            .remove_metadata()
            .field(0)
        )
    except CONVERSION_ERRORS as error:
        raise untyped(name, _said(error)) from error


def _type_of_objects(values: Any, column: str) -> pa.DataType:
    """The Arrow type that gives each of these objects back as it is.

    Raises:
        UnsupportedTypeError: There is none.
    """
    classes = set(map(type, values))
    missing = {one for one in classes if one.__name__ in {"NoneType", "NAType", "NaTType"}}
    classes -= missing
    if classes - {float} and float in classes and all(v != v for v in values if type(v) is float):
        classes.discard(float)  # pandas' own mark of a missing value between others
    (only,) = classes if len(classes) == 1 else (None,)
    if only is int:
        return _integers(values)
    if only in _PLAIN:
        return pa.array(values, from_pandas=True).type
    checked: Sequence[Any] = values if classes & {Decimal, set, frozenset} else ()
    for index, value in enumerate(checked):
        if isinstance(value, Decimal) and not value.is_finite():
            raise _changed(column, values, index, "decimals in a table are finite")
        if isinstance(value, set | frozenset):
            raise _changed(column, values, index, "a set has no order")
    guess = _guess(values, classes, column)
    for index, (value, kept) in enumerate(
        zip(values, guess.to_pylist(), strict=True) if only is not Decimal else ()
    ):
        if not (_same(value, kept) or (kept is None and _is_missing(value))):
            raise _changed(column, values, index, f"Arrow would make {_shown(kept)} of it")
    return _zone_of_all(values, guess.type)


def _guess(values: Any, classes: set[type], column: str) -> Any:
    """What Arrow makes of them."""
    try:
        return pa.array(values, type=_finer_type(values), from_pandas=True)
    except CONVERSION_ERRORS as error:
        if len(classes) < 2:
            raise
        first = next(type(value) for value in values if type(value) in classes)
        index = next(i for i, v in enumerate(values) if type(v) in classes - {first})
        raise _changed(column, values, index, _said(error)) from error


def _integers(values: Any) -> pa.DataType:
    """64 bits where they do, else decimals of all digits there are."""
    numbers = [value for value in values if type(value) is int]
    least, most = min(numbers), max(numbers)
    if least >= -(2**63) and most < 2**63:
        return pa.int64()
    if least >= 0 and most < 2**64:
        return pa.uint64()
    if max(abs(least), most) >= 10**MAX_DIGITS:
        raise OverflowError(f"it holds integers of more than {MAX_DIGITS} digits")
    return pa.decimal128(MAX_DIGITS, 0)


def _finer_type(values: Any) -> pa.DataType | None:
    """Nanoseconds where pandas' own moments or spans have any; `None`: what Arrow thinks."""
    import pandas as pd

    moments = [value for value in values if isinstance(value, pd.Timestamp) and value.nanosecond]
    if moments:
        return pa.timestamp("ns") if moments[0].tzinfo is None else pa.timestamp("ns", "UTC")
    if any(isinstance(value, pd.Timedelta) and value.value % 1000 for value in values):
        return pa.duration("ns")
    return None


def _zone_of_all(values: Any, guess: pa.DataType) -> pa.DataType:
    """The zone of the moments where they have one in common; otherwise UTC, which keeps each instant."""
    if not pa.types.is_timestamp(guess) or guess.tz is None:
        return guess
    zones = {
        str(value.tzinfo) for value in values if isinstance(value, datetime) and value == value
    }
    return guess if len(zones) == 1 else pa.timestamp(guess.unit, "UTC")


def _same(value: Any, kept: Any) -> bool:
    """Whether what came back from Arrow is what went in: the same value of the same kind."""
    if kept is None:
        # Inside of lists and dicts a NaN is a number, of which Arrow would make a null.
        return _is_missing(value) and not isinstance(value, float)
    if isinstance(value, dict):
        return (
            isinstance(kept, dict)
            and value.keys() == kept.keys()
            and all(_same(value[name], kept[name]) for name in value)
        )
    if isinstance(kept, list):
        if not (isinstance(value, list | tuple) or hasattr(value, "__array__")):
            return False
        return len(value) == len(kept) and all(map(_same, value, kept))
    kinds = (
        bool,
        int | float | Decimal,
        str,
        bytes | bytearray | memoryview,
        datetime,
        date,
        time,
        timedelta,
        UUID,
    )
    plain = _python(value)
    kind = next((one for one in kinds if isinstance(kept, one)), None)
    if (
        kind is None
        or not isinstance(plain, kind)
        or (isinstance(plain, bool) != isinstance(kept, bool))
    ):
        return False
    if isinstance(plain, datetime) != isinstance(kept, datetime):
        return False
    try:
        return bool(plain == kept) or (isinstance(kept, float) and kept != kept and plain != plain)
    except InvalidOperation:  # a signalling NaN
        return False


def _python(value: Any) -> Any:
    """A NumPy scalar as Python's or pandas' own value."""
    if not hasattr(value, "dtype") or not hasattr(value, "item"):
        return value
    if value.dtype.kind in "mM":
        import pandas as pd

        return pd.Timestamp(value) if value.dtype.kind == "M" else pd.Timedelta(value)
    return value.item()


def _is_missing(value: Any) -> bool:
    import pandas as pd

    if value is None or value is pd.NA or value is pd.NaT:
        return True
    return isinstance(value, float) and value != value


def _changed(column: str, values: Any, index: int, why: str) -> UnsupportedTypeError:
    first = next((value for value in values if not _is_missing(value)), None)
    mixed = (
        ""
        if first is None or type(first) is type(values[index])
        else f", beside {_shown(first)} in another row"
    )
    return UnsupportedTypeError(
        f'The column "{column}" of the frame has no type that can be moved: row {index + 1} is '
        f"{_shown(values[index])}{mixed}: {why}.",
        _REMEDY,
        details={"column": column, "row": index + 1, "value": _shown(values[index])},
    )


def _misfit(
    part: "pd.DataFrame", schema: pa.Schema, rows_before: int, error: Exception
) -> TranshipError:
    """Say which column and row of a slice it was that Arrow did not take."""
    for field in schema:
        column = part[field.name]
        try:
            pa.Table.from_pandas(
                part.loc[:, [field.name]], schema=pa.schema([field]), preserve_index=False
            )
        except CONVERSION_ERRORS as raised:
            for index, value in enumerate(column.tolist()):
                try:
                    pa.array([value], type=field.type, from_pandas=True)
                except CONVERSION_ERRORS as cause:
                    return untyped(
                        field.name,
                        f"row {rows_before + index + 1} is {_shown(value)}: {_said(cause)}",
                    )
            return untyped(field.name, _said(raised))
    return untyped(", ".join(schema.names), _said(error))


def untyped(name: str, why: str) -> UnsupportedTypeError:
    """The error for a column that no Arrow type holds."""
    return UnsupportedTypeError(
        f'The column "{name}" of the frame has no type that can be moved: {why}.',
        _REMEDY,
        details={"column": name},
    )


def _said(error: Exception) -> str:
    if isinstance(error, UnicodeEncodeError):
        place = f"{error.object[error.start]!r}"
        return (
            f"a text holds half of a UTF-16 pair, the lone surrogate {place}, which is no character"
        )
    return str(error.args[0] if error.args else error).rstrip(".")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
