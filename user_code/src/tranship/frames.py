"""pandas, polars, pyarrow and iterators of them, as one stream of record batches; and back.

Data is never a whole frame on its way. Frames exist at the two ends, where a user's function asks
for them.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from tranship.errors import ConfigurationError, UnsupportedTypeError
from tranship.fitting import hold_to
from tranship.tables import TableSchema

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

ROWS_PER_BATCH = 65_536
"""Rows per record batch where we cut them ourselves: 15 MB of a 26-column fact."""


@dataclass(frozen=True, slots=True)
class Batches:
    """Record batches of one fixed schema, opened as often as their origin allows.

    A frame in memory, or a table in a database, can be opened again, so a write that failed for a
    passing reason is repeated from its first row. A generator can be opened once.

    Args:
        schema: The schema of every batch.
        open: Starts one pass over the batches.
        replayable: Whether `open` may be called more than once; `of` refuses it where it may not.

    Example:
        >>> batches = Batches.of(pa.table({"id": [1, 2, 3]}))
        >>> batches.to_table().num_rows, batches.replayable
        (3, True)
    """

    schema: pa.Schema
    open: Callable[[], Iterator[pa.RecordBatch]]
    replayable: bool = True

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
        if isinstance(value, Batches):
            opened, found, replayable = value.open, value.schema, value.replayable
        elif _is_frame(value):
            found = schema_of(value)
            opened, replayable = (
                (lambda: _batches_of(value)),
                not isinstance(value, pa.RecordBatchReader),
            )
        elif isinstance(value, Iterable) and not isinstance(value, str | bytes | dict):
            frames = iter(value)
            first = _readable(next(frames, None))
            found = schema if first is None else schema_of(first)
            if found is None:
                raise ConfigurationError(
                    "The iterator gave no frame, so its columns are unknown.",
                    "Yield at least one (empty) frame, or return an empty frame, or None to skip the write.",
                )
            present = chain([] if first is None else [first], frames)
            opened, replayable = (
                (lambda: chain.from_iterable(_batches_of(frame) for frame in present)),
                False,
            )
        else:
            raise _not_a_table(value)
        if not replayable and not isinstance(value, Batches):
            opened = _once(opened)
        fixed = schema if schema is not None else found
        return cls(fixed, lambda: hold_to(fixed, opened()), replayable)

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
        """All rows in memory, as a polars frame."""
        import polars as pl

        frame = pl.from_arrow(self.to_table())
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
        UnsupportedTypeError: A column holds Python objects that have no Arrow type in common.
    """
    if isinstance(frame, pa.Table | pa.RecordBatch | pa.RecordBatchReader | Batches):
        schema = frame.schema
    elif _library(frame) == "polars":
        collected = (
            frame.collect_schema().to_frame()
            if type(frame).__name__ == "LazyFrame"
            else frame.clear()
        )
        opaque = [name for name, dtype in collected.schema.items() if str(dtype) == "Object"]
        if opaque:
            raise _untyped(opaque[0], "it holds Python objects")
        schema = collected.to_arrow().schema
    elif _library(frame) == "pandas":
        _check_names(list(frame.columns))
        _check_index(frame)
        schema = _pandas_schema(frame)
    elif isinstance(stream := _readable(frame), pa.RecordBatchReader):
        schema = stream.schema
    else:
        raise _not_a_table(frame)
    _check_names(schema.names)
    return schema


def _batches_of(frame: Any) -> Iterator[pa.RecordBatch]:
    if isinstance(frame, pa.RecordBatch):
        yield from pa.Table.from_batches([frame]).to_batches(max_chunksize=ROWS_PER_BATCH)
    elif isinstance(frame, pa.RecordBatchReader | Batches):
        yield from frame
    elif isinstance(frame, pa.Table):
        yield from frame.to_batches(max_chunksize=ROWS_PER_BATCH)
    elif _library(frame) == "polars":
        eager = frame.collect() if type(frame).__name__ == "LazyFrame" else frame
        # Slices share memory with the frame; only one slice at a time is converted.
        for part in eager.iter_slices(ROWS_PER_BATCH):
            yield from part.to_arrow().to_batches()
    elif _library(frame) == "pandas":
        schema = schema_of(frame)
        for start in range(0, len(frame), ROWS_PER_BATCH):
            part = frame.iloc[start : start + ROWS_PER_BATCH]
            yield pa.RecordBatch.from_pandas(part, schema=schema, preserve_index=False)
    elif isinstance(stream := _readable(frame), pa.RecordBatchReader):
        yield from stream
    else:
        raise _not_a_table(frame)


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


def _pandas_schema(frame: "pd.DataFrame") -> pa.Schema:
    try:
        return pa.Schema.from_pandas(frame, preserve_index=False).remove_metadata()
    except (pa.ArrowException, TypeError):
        for name in frame.columns:  # Arrow does not always say which column it was
            try:
                pa.Schema.from_pandas(frame.loc[:, [name]], preserve_index=False)
            except (pa.ArrowException, TypeError) as error:
                raise _untyped(name, str(error).rstrip(".")) from error
        raise


def _check_index(frame: "pd.DataFrame") -> None:
    """An index with a name holds data, such as the keys of a groupby; only columns are written."""
    named = [str(name) for name in frame.index.names if name is not None]
    if named:
        raise ConfigurationError(
            f"The frame has an index with a name ({', '.join(named)}), and only columns are written.",
            "Make it a column with frame.reset_index(), or drop it with frame.reset_index(drop=True).",
        )


def _untyped(name: str, why: str) -> UnsupportedTypeError:
    return UnsupportedTypeError(
        f'The column "{name}" of the frame has no type that can be moved: {why}.',
        "Give all its values one type: frame.astype, frame.cast.",
    )


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
