"""pandas, polars, pyarrow and iterators of them, as one stream of record batches; and back.

Data is never a whole frame on its way. Frames exist at the two ends, where a user's function asks
for them.
"""

# pandas has no stubs here, and those of pyarrow leave types unknown; what is ours is checked in full.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from tranship.arrow_types import check_carried, is_uuid, plain_array, uuid_texts
from tranship.errors import ConfigurationError, ValueDoesNotFitError
from tranship.exactness import MAX_DIGITS
from tranship.fitting import hold_to
from tranship.tables import TableSchema

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

ROWS_PER_BATCH = 65_536
"""Rows per record batch where we cut them ourselves: 15 MB of a 26-column fact."""

Source = tuple[pa.Schema, Callable[[], Iterator[pa.RecordBatch]]]
"""A frame's schema, and what starts one pass over its batches."""


@dataclass(frozen=True, slots=True)
class Batches:
    """Record batches of one fixed schema, opened as often as their origin allows.

    A frame in memory, or a table in a database, can be opened again, so a write that failed for a
    passing reason is repeated from its first row. A generator can be opened once.

    Whoever consumes them opens, reads and closes in the thread that asked for the write, unless the
    batches allow any: a generator may use what lives in the thread that made it, such as a cursor of sqlite3.

    Args:
        schema: The schema of every batch.
        open: Starts one pass over the batches.
        replayable: Whether `open` may be called more than once; `of` refuses it where it may not.
        any_thread: Whether another thread may open them, and read ahead while this one writes.

    Example:
        >>> batches = Batches.of(pa.table({"id": [1, 2, 3]}))
        >>> batches.to_table().num_rows, batches.replayable
        (3, True)
    """

    schema: pa.Schema
    open: Callable[[], Iterator[pa.RecordBatch]]
    replayable: bool = True
    any_thread: bool = False

    @classmethod
    def of(cls, value: Any, *, schema: pa.Schema | None = None) -> Self:
        """One stream from whatever a function returned.

        Args:
            value: A pandas or polars frame, a pyarrow Table, RecordBatch or RecordBatchReader, any
                object with the Arrow stream protocol, `Batches`, or an iterable of any of these.
            schema: The schema to hold every batch to; by default that of the first batch.

        Raises:
            ConfigurationError: The value is none of these, is an empty iterable without a schema,
                or a frame's column names are not distinct texts.
            UnsupportedTypeError: A column holds Python objects that have no Arrow type in common.
            BatchDoesNotFitError: While iterating: a batch has another schema.
        """
        value = _readable(value)
        any_thread = False
        if isinstance(value, Batches):
            open_batches, first_schema, replayable = value.open, value.schema, value.replayable
            any_thread = value.any_thread
        elif _is_frame(value):
            first_schema, open_batches = _checked(_source(value))
            replayable = any_thread = not isinstance(value, pa.RecordBatchReader)
        elif isinstance(value, Iterable) and not isinstance(value, str | bytes | dict):
            frames = iter(value)
            first = next(frames, None)
            source = None if first is None else _checked(_source(first))
            first_schema = schema if source is None else source[0]
            if first_schema is None:
                raise ConfigurationError(
                    "The iterator gave no frame, so its columns are unknown.",
                    "Yield at least one (empty) frame, or return an empty frame, or None to skip the write.",
                )
            sources = chain([] if source is None else [source], map(_source, frames))
            open_batches, replayable = (lambda: _frame_by_frame(sources, frames)), False
        else:
            raise _not_a_table(value)
        if not replayable and not isinstance(value, Batches):
            open_batches = _once(open_batches)
        fixed = schema if schema is not None else first_schema
        check_carried(fixed)
        return cls(fixed, lambda: hold_to(fixed, open_batches()), replayable, any_thread)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self.open()

    def to_reader(self) -> pa.RecordBatchReader:
        """One pass, as pyarrow's own reader."""
        return pa.RecordBatchReader.from_batches(self.schema, self.open())

    def to_table(self) -> pa.Table:
        """All rows in memory, as a pyarrow Table."""
        return pa.Table.from_batches(list(self.open()), schema=self.schema)

    def to_pandas(self) -> "pd.DataFrame":
        """All rows in memory, as a pandas frame on Arrow types.

        NumPy types would turn nullable integers into floats and decimals into Python objects:
        Arrow's keep every value as it is.
        """
        import pandas as pd

        return self.to_table().to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)

    def to_polars(self) -> "pl.DataFrame":
        """All rows in memory, as a polars frame.

        polars has no UUIDs, which become their texts, and decimals of 38 digits at most.

        Raises:
            ValueDoesNotFitError: A decimal has more digits.
        """
        import polars as pl

        frame = pl.from_arrow(_for_polars(self.to_table()))
        if not isinstance(frame, pl.DataFrame):
            raise ConfigurationError(
                "polars made no frame of the table.", "Ask for a pyarrow Table instead."
            )
        return frame

    def to(self, annotation: Any) -> Any:
        """The rows as the type a function's parameter asks for.

        Args:
            annotation: `pandas.DataFrame`, `polars.DataFrame`, `polars.LazyFrame`, `pyarrow.Table`,
                `pyarrow.RecordBatchReader`, or `Batches`. Dagster has no type for iterators; iterate
                over `Batches` instead.

        Raises:
            ConfigurationError: It is none of these.

        Example:
            >>> Batches.of(pa.table({"id": [1]})).to(pa.Table).num_columns
            1
        """
        if annotation is Batches:
            return self
        if annotation is pa.Table:
            return self.to_table()
        if annotation is pa.RecordBatchReader:
            return self.to_reader()
        name = (
            getattr(annotation, "__module__", "").split(".")[0],
            getattr(annotation, "__name__", ""),
        )
        if name == ("pandas", "DataFrame"):
            return self.to_pandas()
        if name == ("polars", "DataFrame"):
            return self.to_polars()
        if name == ("polars", "LazyFrame"):
            return self.to_polars().lazy()
        raise ConfigurationError(
            f"A table cannot be loaded as {annotation!r}.",
            "Annotate the parameter as pandas.DataFrame, polars.DataFrame, polars.LazyFrame, "
            "pyarrow.Table, pyarrow.RecordBatchReader, or Batches to iterate over record batches.",
        )


def schema_of(frame: Any) -> pa.Schema:
    """The Arrow schema of one frame, without converting its rows where that can be avoided.

    Raises:
        ConfigurationError: The value is not a frame, or its column names are not distinct texts.
        UnsupportedTypeError: No Arrow type holds a column's values exactly.
    """
    return _checked(_source(frame))[0]


def _checked(source: Source) -> Source:
    schema, _ = source
    _check_names(schema.names)
    check_carried(schema)
    return source


def _source(frame: Any) -> Source:
    """A frame's schema, and what starts one pass over its batches."""
    if isinstance(frame, pa.RecordBatch):
        schema, opened = frame.schema, lambda: _cut(pa.Table.from_batches([frame]))
    elif isinstance(frame, pa.RecordBatchReader | Batches):
        schema, opened = frame.schema, lambda: iter(frame)
    elif isinstance(frame, pa.Table):
        schema, opened = frame.schema, lambda: _cut(frame)
    elif _library(frame) == "polars":
        from tranship.polars_values import polars_frame

        polars = polars_frame(frame)
        schema, opened = polars.schema, lambda: polars.batches(ROWS_PER_BATCH)
    elif _library(frame) == "pandas":
        from tranship.pandas_values import pandas_frame

        _check_names(list(frame.columns))
        pandas = pandas_frame(frame)
        schema, opened = pandas.schema, lambda: pandas.batches(ROWS_PER_BATCH)
    elif isinstance(stream := _readable(frame), pa.RecordBatchReader):
        schema, opened = stream.schema, lambda: iter(stream)
    else:
        raise _not_a_table(frame)
    return schema, opened


def _cut(table: pa.Table) -> Iterator[pa.RecordBatch]:
    return iter(table.to_batches(max_chunksize=ROWS_PER_BATCH))


def _frame_by_frame(sources: Iterator[Source], values: Iterator[Any]) -> Iterator[pa.RecordBatch]:
    """The batches of each frame; what gave them is closed here, not when the garbage is collected."""
    try:
        for schema, opened in sources:
            check_carried(schema)
            yield from opened()
            del opened
    finally:
        close = getattr(values, "close", None)
        if close is not None:
            close()


def _for_polars(table: pa.Table) -> pa.Table:
    for index, field in enumerate(table.schema):
        if is_uuid(field.type):
            chunks = [uuid_texts(plain_array(chunk)) for chunk in table.column(index).chunks]
            column = pa.chunked_array(chunks, pa.large_string())
        elif pa.types.is_decimal256(field.type):
            try:
                narrow = pa.decimal128(MAX_DIGITS, min(field.type.scale, MAX_DIGITS))
                column = table.column(index).cast(narrow)
            except pa.ArrowException as error:
                raise ValueDoesNotFitError(
                    f'The column "{field.name}" is {field.type} and holds a number of more than '
                    f"{MAX_DIGITS} digits, which polars has no type for.",
                    "Ask for a pandas or pyarrow table instead, or leave the column out.",
                    details={"column": field.name},
                ) from error
        else:
            continue
        table = table.set_column(index, field.name, column)
    return table


def _once(opened: Callable[[], Iterator[pa.RecordBatch]]) -> Callable[[], Iterator[pa.RecordBatch]]:
    """Refuse a second pass: it would find no rows, and a repeated write would replace all by none."""
    passes = count()

    def first_pass() -> Iterator[pa.RecordBatch]:
        if next(passes) > 0:
            raise ConfigurationError(
                "The rows come from an iterator, which can be read only once, and were read again.",
                "Return a frame, or hold the rows with Batches.of(batches.to_table()).",
            )
        return opened()

    return first_pass


def _check_names(names: list[Any]) -> None:
    wrong = [name for name in names if not isinstance(name, str) or not name]
    if not names:
        raise ConfigurationError(
            "The frame has no columns.",
            "Return an empty frame with its columns, or None to skip the write.",
        )
    if wrong:
        raise ConfigurationError(
            f"Column names must be texts, but these are not: {wrong!r}.",
            'Name the columns: frame.columns = ["id", "name"].',
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(
            f"The frame has several columns of the same name: {twice}.", "Rename them."
        )


def _is_frame(value: Any) -> bool:
    return isinstance(value, pa.Table | pa.RecordBatch | pa.RecordBatchReader) or bool(
        _library(value)
    )


def _readable(value: Any) -> Any:
    """Another library's Arrow stream as pyarrow's reader, everything else as it is.

    The protocol does not say whether a stream can be opened twice, so it is opened once.
    """
    if isinstance(value, Batches) or _is_frame(value) or not hasattr(value, "__arrow_c_stream__"):
        return value
    try:
        return pa.RecordBatchReader.from_stream(value)
    except pa.ArrowException as error:  # a stream of one column, such as a Series
        raise _not_a_table(value) from error


def _not_a_table(value: Any) -> ConfigurationError:
    return ConfigurationError(
        f"A {type(value).__module__}.{type(value).__qualname__} is not a table.",
        "Return a pandas, polars or pyarrow frame, or an iterator of them.",
    )


def _library(value: Any) -> str:
    """Whose frame a value is, "" for none; by name, so that no library is imported for nothing."""
    for base in type(value).__mro__:
        library = base.__module__.split(".")[0]
        if library in {"pandas", "polars"} and base.__name__ in {"DataFrame", "LazyFrame"}:
            return library
    return ""


def describe(schema: pa.Schema) -> str:
    """A schema on one line, for logs.

    Example:
        >>> describe(pa.schema([("id", pa.int32())]))
        'id int32'
    """
    return ", ".join(
        f"{column.name} {column.source_type or column.type}"
        for column in TableSchema.from_arrow(schema).columns
    )
