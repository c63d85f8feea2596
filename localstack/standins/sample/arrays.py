"""Arrow columns from numpy and from plain values, by buffers and builders.

`pa.array` and `pa.scalar` import pandas wherever it is installed, which costs a second: more than it takes to make
the whole sample and to start a stand-in with it. So they are not used here.
"""

import datetime
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.lib import StringBuilder

EPOCH = datetime.datetime(1970, 1, 1)
MICROSECONDS_PER_DAY = 86_400_000_000
NUMPY_TYPES: dict[pa.DataType, type[np.generic]] = {
    pa.bool_(): np.bool_,
    pa.uint8(): np.uint8,
    pa.int16(): np.int16,
    pa.int32(): np.int32,
    pa.float64(): np.float64,
}


def random_generator(seed: int, *path: int) -> np.random.Generator:
    """Return the generator for one part of the data, independent of every other part."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *path])))


def numbers(values: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    """Return a column of the numbers (or truth values), null where `missing` is true."""
    if values.dtype == np.bool_:
        data, arrow_type = np.packbits(values, bitorder="little"), pa.bool_()
    else:
        data, arrow_type = np.ascontiguousarray(values), pa.from_numpy_dtype(values.dtype)
    return _from_buffer(arrow_type, len(values), data, missing)


def money(ten_thousandths: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    """Return a money column from whole ten-thousandths (int64), without a detour by floats."""
    words = np.empty((len(ten_thousandths), 2), dtype=np.int64)
    words[:, 0] = ten_thousandths
    words[:, 1] = ten_thousandths >> 63  # the sign fills the upper half of the 128 bits
    return _from_buffer(pa.decimal128(19, 4), len(words), words, missing)


def dates(days: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    """Return a date column from days since 1970-01-01."""
    return numbers(days.astype(np.int32), missing).view(pa.date32())


def datetimes(days: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    """Return a datetime column at midnight from days since 1970-01-01."""
    return numbers(days.astype(np.int64) * MICROSECONDS_PER_DAY, missing).view(pa.timestamp("us"))


def texts(values: Sequence[str | None]) -> pa.Array:
    """Return a text column of the values."""
    builder = StringBuilder()
    builder.append_values(values)
    return builder.finish().cast(pa.large_string())


def chosen(values: Sequence[str | None], positions: np.ndarray) -> pa.Array:
    """Return a text column that takes, for each row, the value at its position."""
    return texts(values).take(numbers(positions.astype(np.int64)))


def joined(*parts: str | pa.Array) -> pa.Array:
    """Return a text column of the parts, constants or columns, set side by side."""
    rows = next(len(part) for part in parts if not isinstance(part, str))
    same = np.zeros(rows, dtype=np.int64)
    columns = [
        chosen([part], same) if isinstance(part, str) else part.cast(pa.large_string())
        for part in (*parts, "")
    ]
    return pc.binary_join_element_wise(*columns)


def zero_padded(values: np.ndarray, width: int) -> pa.Array:
    """Return whole numbers as text of at least `width` digits."""
    return pc.utf8_lpad(numbers(values).cast(pa.large_string()), width=width, padding="0")


def emptied(column: pa.Array, missing: np.ndarray) -> pa.Array:
    """Return the column with null where `missing` is true."""
    return column.take(numbers(np.arange(len(column)), missing))


def batch_of_rows(schema: pa.Schema, rows: Sequence[Sequence[object]]) -> pa.RecordBatch:
    """Turn a few rows of Python values into one batch."""
    columns = zip(*rows, strict=True)
    arrays = [
        _column(list(values), field.type) for values, field in zip(columns, schema, strict=True)
    ]
    return pa.record_batch(arrays, schema=schema)


def picture(red: int, green: int, blue: int) -> bytes:
    """Return a bitmap of two by two points in one colour: 70 bytes, the same from every encoder."""
    row = bytes((blue, green, red)) * 2 + b"\0\0"
    header = b"BM" + (70).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    shape = (40).to_bytes(4, "little") + (2).to_bytes(4, "little") * 2
    depth = (1).to_bytes(2, "little") + (24).to_bytes(2, "little")
    return header + shape + depth + bytes(4) + (16).to_bytes(4, "little") + bytes(16) + row * 2


def _column(values: list, arrow_type: pa.DataType) -> pa.Array:
    if arrow_type == pa.large_string():
        return texts(values)
    missing = np.array([value is None for value in values])
    if arrow_type == pa.large_binary():
        return _binaries(values, missing)
    if arrow_type == pa.timestamp("us"):
        microseconds = [_microseconds(value) if value else 0 for value in values]
        return numbers(np.array(microseconds, dtype=np.int64), missing).view(arrow_type)
    if arrow_type == pa.date32():
        days = [value.toordinal() - EPOCH.toordinal() if value else 0 for value in values]
        return dates(np.array(days), missing)
    if arrow_type == pa.decimal128(19, 4):
        units = [int(Decimal(value or 0).scaleb(4)) for value in values]
        return money(np.array(units, dtype=np.int64), missing)
    filled = [value or 0 for value in values]
    return numbers(np.array(filled, dtype=NUMPY_TYPES[arrow_type]), missing)


def _microseconds(moment: datetime.datetime) -> int:
    return (moment - EPOCH) // datetime.timedelta(microseconds=1)


def _binaries(values: Sequence[bytes | None], missing: np.ndarray) -> pa.Array:
    offsets = np.cumsum([0, *(len(value or b"") for value in values)], dtype=np.int64)
    content = pa.py_buffer(b"".join(value or b"" for value in values))
    buffers = [_validity(missing), pa.py_buffer(offsets.data), content]
    return pa.Array.from_buffers(pa.large_binary(), len(values), buffers)


def _from_buffer(
    arrow_type: pa.DataType, rows: int, data: np.ndarray, missing: np.ndarray | None
) -> pa.Array:
    return pa.Array.from_buffers(arrow_type, rows, [_validity(missing), pa.py_buffer(data.data)])


def _validity(missing: np.ndarray | None) -> pa.Buffer | None:
    if missing is None or not missing.any():
        return None
    return pa.py_buffer(np.packbits(~missing, bitorder="little").data)
