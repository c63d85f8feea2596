"""Parquet files for COPY: is the file's schema exactly what Redshift wants, and its rows in Arrow.

Columns go by position. Redshift reads a file with the table's types and refuses others; where real
Redshift would misread (nanoseconds) this refuses too, so that the fault cannot pass unseen.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from standins.redshift.errors import RedshiftError, spectrum
from standins.redshift.storage import S3Object
from standins.redshift.types import MAX_VARCHAR_BYTES, TableColumn

BATCH_ROWS = 16_384
MAX_SUPER_BYTES = 16_000_000
MAX_SUPER_DEPTH = 1_000


def decimal_bytes(precision: int) -> int:
    """The smallest byte width that holds a decimal of this many digits."""
    return next(size for size in range(1, 17) if 10**precision <= 2 ** (8 * size - 1))


def arrow_type(column: TableColumn) -> pa.DataType:
    """The Arrow type in which a column is handed to Postgres."""
    kinds: dict[str, pa.DataType] = {
        "smallint": pa.int16(), "integer": pa.int32(), "bigint": pa.int64(), "real": pa.float32(),
        "double precision": pa.float64(), "boolean": pa.bool_(), "date": pa.date32(),
        "timestamp without time zone": pa.timestamp("us"),
        "timestamp with time zone": pa.timestamp("us", "UTC"),
        "time without time zone": pa.time64("us"), "bytea": pa.binary(), "jsonb": pa.string(),
        "character varying": pa.string(), "character": pa.string(),
    }  # fmt: skip
    if column.kind == "numeric":
        return pa.decimal128(column.precision, column.scale)
    if column.kind not in kinds:
        raise RedshiftError(f"COPY cannot load a column of type {column.kind}", "0A000")
    return kinds[column.kind]


def _accepts(column: TableColumn, leaf: Any, field: pa.Field) -> str | None:
    """None if the file's column fits; else the reason, empty where Redshift gives none."""
    physical, kind = leaf.physical_type, field.type
    wanted: dict[str, Callable[[pa.DataType], bool]] = {
        "smallint": lambda t: t in (pa.int8(), pa.int16(), pa.uint8()),
        "integer": lambda t: t in (pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint16()),
        "bigint": lambda t: physical == "INT64" and pa.types.is_integer(t),
        "real": pa.types.is_float32,
        "double precision": pa.types.is_float64,
        "boolean": pa.types.is_boolean,
        "date": pa.types.is_date32,
        "time without time zone": lambda t: t == pa.time64("us"),
        "timestamp without time zone": pa.types.is_timestamp,
        "timestamp with time zone": pa.types.is_timestamp,
        "character varying": _is_text,
        "character": _is_text,
        "bytea": lambda t: pa.types.is_binary(t) or pa.types.is_large_binary(t),
        "jsonb": lambda t: _is_text(t) or not pa.types.is_nested(t),
        "numeric": pa.types.is_decimal,
    }
    if not wanted.get(column.kind, lambda _: False)(kind):
        return ""
    if pa.types.is_timestamp(kind) and kind.unit == "ns" and physical != "INT96":
        return "Timestamps in nanoseconds are misread by Redshift; write microseconds."
    if column.kind == "numeric":
        return _accepts_decimal(column, leaf, kind)
    return None


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind)


def _accepts_decimal(column: TableColumn, leaf: Any, kind: Any) -> str | None:
    if kind.scale != column.scale:
        return ""
    wanted = decimal_bytes(column.precision)
    if leaf.physical_type == "FIXED_LEN_BYTE_ARRAY" and leaf.length != wanted:
        return f"invalid type length. Expecting: {wanted} len in file: {leaf.length}."
    if kind.precision > column.precision:
        return ""
    return None


def _describe(leaf: Any, field: pa.Field, index: int) -> str:
    names = {
        "BYTE_ARRAY": "byte_array",
        "FIXED_LEN_BYTE_ARRAY": f"fixed_len_byte_array({leaf.length})",
    }
    physical = names.get(leaf.physical_type, leaf.physical_type.lower())
    repetition = "optional" if field.nullable else "required"
    annotation = f" ({leaf.logical_type})" if str(leaf.logical_type) != "None" else ""
    return (
        f"{repetition} {physical} {field.name}{annotation} "
        f"[i:{index} d:{leaf.max_definition_level} r:{leaf.max_repetition_level}]"
    )


def check_schema(
    file: pq.ParquetFile,
    item: S3Object,
    columns: Sequence[TableColumn],
    *,
    serialize: bool,
    fill: bool,
) -> None:
    """Compare a file with the table by position.

    Raises:
        RedshiftError: a Spectrum Scan Error, 15007 for the number of columns, else 15001.
    """
    schema = file.schema_arrow
    found = len(schema)
    if found > len(columns) or (found < len(columns) and not fill):
        raise spectrum(
            f"Unmatched number of columns between table and file. Table columns: {len(columns)}, "
            f"Data columns: {found}, File name: {item.https_url}",
            15007,
        )
    leaves = {}
    for index in range(len(file.schema)):
        leaf = file.schema.column(index)
        leaves.setdefault(leaf.path.split(".")[0], leaf)
    for index, (column, field) in enumerate(zip(columns, schema, strict=False)):
        if pa.types.is_nested(field.type) and column.kind == "jsonb" and serialize:
            continue
        leaf = leaves[field.name]
        reason = _accepts(column, leaf, field)
        if reason is not None:
            raise spectrum(
                f"File '{item.https_url}' has an incompatible Parquet schema for column "
                f"'{item.url}.{field.name}'. Column type: {_column_type(column)}, Parquet schema:\n"
                f"{_describe(leaf, field, index)} {reason}".rstrip()
            )


def _column_type(column: TableColumn) -> str:
    if column.kind == "numeric":
        return f"DECIMAL({column.precision},{column.scale})"
    names = {
        "integer": "INT",
        "bigint": "BIGINT",
        "smallint": "SMALLINT",
        "character": "CHAR",
        "character varying": "VARCHAR",
    }
    name = names.get(column.kind, column.redshift_type.upper())
    return f"{name}({column.max_bytes})" if column.max_bytes else name


def longest_bytes(values: pa.Array) -> int:
    """The length of the longest text."""
    lengths = pc.call_function("binary_length", [values])
    return pc.call_function("max", [lengths]).as_py() or 0


def _json_texts(values: pa.Array, column: str, item: S3Object) -> pa.Array:
    texts: list[str | None] = []
    for value in values.to_pylist():
        reason = too_large_for_super(value)
        text = None if value is None else json.dumps(value, default=str, ensure_ascii=False)
        if text is not None and len(text.encode()) > MAX_SUPER_BYTES:
            reason = f"The SUPER value is larger than {MAX_SUPER_BYTES} bytes"
        if reason is not None:
            raise spectrum(f"{reason}. Column: {column}, File name: {item.https_url}", 15001)
        texts.append(text)
    return pa.array(texts, pa.string())


def too_large_for_super(value: Any) -> str | None:
    """Why a value, or one inside of it, may not be in a SUPER; `None` where it may.

    A cluster with enable_large_strings_opt_in takes longer texts, which is not the default:
    https://docs.aws.amazon.com/redshift/latest/dg/limitations-super.html
    """
    waiting = [(value, 0)]
    while waiting:
        one, depth = waiting.pop()
        if depth > MAX_SUPER_DEPTH:
            return f"The SUPER value is nested deeper than {MAX_SUPER_DEPTH}"
        if isinstance(one, str) and len(one.encode()) > MAX_VARCHAR_BYTES:
            return f"A string in a SUPER value is longer than {MAX_VARCHAR_BYTES} bytes"
        if isinstance(one, dict):
            waiting += [(part, depth + 1) for part in one.values()]
        elif isinstance(one, list | tuple):
            waiting += [(part, depth + 1) for part in one]
    return None


def _to_target(array: pa.Array, column: TableColumn, item: S3Object) -> pa.Array:
    target = arrow_type(column)
    if column.kind == "jsonb":
        return _json_texts(array, column.name, item)
    if pa.types.is_timestamp(target) and target.tz is None and array.type.tz is not None:
        array = array.cast(pa.timestamp(array.type.unit, "UTC")).cast(pa.timestamp(array.type.unit))
    elif pa.types.is_timestamp(target) and target.tz and array.type.tz is None:
        array = pc.call_function("assume_timezone", [array], pc.AssumeTimezoneOptions("UTC"))
    try:
        array = array if array.type == target else array.cast(target)
    except pa.ArrowInvalid as error:
        text = f"The value of column '{column.name}' cannot be read: {error}. File name: {item.https_url}"
        raise spectrum(text) from error
    if column.max_bytes is not None:
        longest = longest_bytes(array)
        if longest > column.max_bytes:
            raise spectrum(
                "The length of the data column "
                f"{column.name} is longer than the length defined in the table. "
                f"Table: {column.max_bytes}, Data: {longest}, File name: {item.https_url}"
            )
    if column.not_null and array.null_count:
        raise spectrum(
            f"Cannot insert a NULL value into column {column.name}. File name: {item.https_url}"
        )
    return array


def read_batches(
    path: Path,
    item: S3Object,
    columns: Sequence[TableColumn],
    *,
    serialize: bool = False,
    fill: bool = False,
) -> Iterator[pa.RecordBatch]:
    """The rows of a file in the table's types.

    Args:
        path: the downloaded file.
        item: where it came from, for messages.
        columns: the table's columns that the file's columns fill, in order.
        serialize: SERIALIZETOJSON.
        fill: FILLRECORD, missing columns at the end are NULL.

    Raises:
        RedshiftError: the file does not fit.
    """
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        text = f"Invalid Parquet file. File name: {item.https_url}: {error}"
        raise spectrum(text) from error
    check_schema(file, item, columns, serialize=serialize, fill=fill)
    schema = pa.schema([pa.field(c.name, arrow_type(c)) for c in columns])
    for batch in file.iter_batches(batch_size=BATCH_ROWS):
        arrays = [
            _to_target(batch.column(index), column, item)
            if index < batch.num_columns
            else pa.nulls(batch.num_rows, schema.field(index).type)
            for index, column in enumerate(columns)
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)
