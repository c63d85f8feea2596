"""Arrow record batches to TDS rows, a column at a time: each column becomes pieces of bytes, one C call joins them per row.

To add a type: its bytes in `_FIXED` (always the same width) or a branch in `_pieces`, its TYPE_INFO in `type_info`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from standins.sqlserver.errors import SqlError, unsupported
from standins.sqlserver.types import FINEST_SCALE, SqlType

ROW = 0xD1
NULL_LENGTH = 0xFFFF
DAY_MICROSECONDS = 86_400_000_000
DAY_TICKS = 10 * DAY_MICROSECONDS
DAYS_FROM_YEAR_1 = 719_162
DAYS_FROM_1900 = 25_567
GUID_ORDER = (3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15)
TEXT_POINTER = bytes([16]) + b"tranship-standin" + b"\0" * 8

Block = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]


def _array(buffer: pa.Buffer | None, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The values in an Arrow buffer, not copied."""
    return (
        np.empty(0, dtype) if buffer is None else np.frombuffer(cast("memoryview", buffer), dtype)
    )


def _buffer(values: npt.NDArray[Any]) -> pa.Buffer:
    return pa.py_buffer(cast("memoryview", values))


@dataclass(frozen=True, slots=True)
class Variable:
    """Bytes of differing length per row."""

    offsets: Integers
    data: Block

    def binary(self) -> pa.Array:
        """As an Arrow binary array, without copying the bytes."""
        offsets = np.ascontiguousarray(self.offsets, np.int32)
        buffers = [None, _buffer(offsets), _buffer(np.ascontiguousarray(self.data))]
        return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers)


Piece = Block | Variable


def encode_rows(batch: pa.RecordBatch, types: Sequence[SqlType]) -> bytes:
    """ROW tokens for all rows of `batch`, whose columns have these T-SQL types."""
    count = batch.num_rows
    if not count:
        return b""
    pieces: list[Piece] = [np.full((count, 1), ROW, np.uint8)]
    for column, kind in zip(batch.columns, types, strict=True):
        for piece in _pieces(_storage(column, kind), kind):
            if isinstance(piece, np.ndarray) and isinstance(pieces[-1], np.ndarray):
                pieces[-1] = np.concatenate((pieces[-1], piece), axis=1)
            else:
                pieces.append(piece)
    if len(pieces) == 1 and isinstance(pieces[0], np.ndarray):
        return pieces[0].tobytes()
    arrays = [_as_variable(piece).binary() for piece in pieces]
    joined = pc.call_function("binary_join_element_wise", [*arrays, pa.scalar(b"", pa.binary())])
    offsets = _array(joined.buffers()[1], np.int32)
    return memoryview(joined.buffers()[2])[: offsets[count]].tobytes()


def _storage(column: pa.Array, kind: SqlType) -> pa.Array:
    """The column in the Arrow type that its encoder reads."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if kind.arrow is not None and column.type != kind.arrow:
        try:
            return column.cast(kind.arrow)
        except pa.ArrowInvalid as failure:
            raise SqlError(
                8115, f"Arithmetic overflow error converting expression to data type {kind.name}."
            ) from failure
    return column


def _as_variable(piece: Piece) -> Variable:
    if isinstance(piece, Variable):
        return piece
    count, width = piece.shape
    return Variable(np.arange(0, (count + 1) * width, width, dtype=np.int64), piece.reshape(-1))


def _nulls(column: pa.Array) -> Mask | None:
    return column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None


def _keep(block: Block, lengths: Integers) -> Variable:
    """Of each row of `block` the first `lengths[row]` bytes."""
    kept = np.arange(block.shape[1]) < lengths[:, None]
    return Variable(np.concatenate(([0], np.cumsum(lengths))), block[kept])


def _values(column: pa.Array, dtype: str) -> np.ndarray:
    """The values of a fixed-width column; what stands at a NULL is arbitrary."""
    whole = _array(column.buffers()[1], dtype)
    return whole[column.offset : column.offset + len(column)]


def _little_endian(values: np.ndarray, width: int) -> Block:
    return (
        np.ascontiguousarray(values)
        .view(np.uint8)
        .reshape(len(values), values.dtype.itemsize)[:, :width]
    )


def _plain(dtype: str, width: int) -> Callable[[pa.Array, SqlType], Block]:
    def encode(column: pa.Array, _kind: SqlType) -> Block:
        return _little_endian(_values(column, dtype), width)

    return encode


def _bit(column: pa.Array, _kind: SqlType) -> Block:
    if pa.types.is_boolean(column.type):
        return _little_endian(
            column.fill_null(False).to_numpy(zero_copy_only=False).astype(np.uint8), 1
        )
    return _little_endian(_values(column, "<i1"), 1)


def _decimal(column: pa.Array, kind: SqlType) -> Block:
    pairs = _array(column.buffers()[1], "<u8").reshape(-1, 2)
    pairs = pairs[column.offset : column.offset + len(column)]
    low, high = pairs[:, 0], pairs[:, 1]
    negative = high >> np.uint64(63) == 1
    width = kind.max_bytes
    magnitude = np.empty((len(column), 2), "<u8")
    magnitude[:, 0] = np.where(negative, ~low + np.uint64(1), low)
    magnitude[:, 1] = np.where(negative, ~high + (low == 0).astype(np.uint64), high)
    block = np.empty((len(column), width), np.uint8)
    block[:, 0] = ~negative
    block[:, 1:] = magnitude.view(np.uint8).reshape(len(column), 16)[:, : width - 1]
    return block


def _money(column: pa.Array, kind: SqlType) -> Block:
    pairs = _array(column.buffers()[1], "<i8").reshape(-1, 2)
    values = pairs[column.offset : column.offset + len(column), 0]
    if kind.name == "smallmoney":
        return _little_endian(values.astype("<i4"), 4)
    return _little_endian((values << 32) | ((values >> 32) & 0xFFFFFFFF), 8)


def _days_and_time(values: Integers) -> tuple[Integers, Integers]:
    """Whole days since 1970-01-01, microseconds of the day."""
    days = values // DAY_MICROSECONDS
    return days, values - days * DAY_MICROSECONDS


def _date(column: pa.Array, _kind: SqlType) -> Block:
    return _little_endian(_values(column, "<i4") + np.int32(DAYS_FROM_YEAR_1), 3)


def _scaled_time(microseconds: Integers, scale: int) -> Block:
    scaled = microseconds * 10 if scale == FINEST_SCALE else microseconds // 10 ** (6 - scale)
    return _little_endian(scaled, 3 if scale <= 2 else 4 if scale <= 4 else 5)


def _time(column: pa.Array, kind: SqlType) -> Block:
    return _scaled_time(_values(column, "<i8"), kind.scale)


def _datetime2(column: pa.Array, kind: SqlType) -> Block:
    if kind.is_fine:
        ticks = _values(column, "<i8")
        days = ticks // DAY_TICKS
        date = _little_endian(days, 3)
        return np.concatenate((_little_endian(ticks - days * DAY_TICKS, 5), date), axis=1)
    days, time = _days_and_time(_values(column, "<i8"))
    date = _little_endian(days + DAYS_FROM_YEAR_1, 3)
    return np.concatenate((_scaled_time(time, kind.scale), date), axis=1)


def _datetimeoffset(column: pa.Array, kind: SqlType) -> Block:
    assert isinstance(column, pa.StructArray)
    instants, offsets = column.field(0), column.field(1)
    minutes = _little_endian(_values(offsets, "<i2"), 2)
    return np.concatenate((_datetime2(instants, kind), minutes), axis=1)


def _datetime(column: pa.Array, kind: SqlType) -> Block:
    days, time = _days_and_time(_values(column, "<i8"))
    if kind.name == "smalldatetime":
        first = _little_endian((days + DAYS_FROM_1900).astype("<u2"), 2)
        return np.concatenate(
            (first, _little_endian((time // 60_000_000).astype("<u2"), 2)), axis=1
        )
    ticks = (time * 3 + 5000) // 10000
    first = _little_endian((days + DAYS_FROM_1900).astype("<i4"), 4)
    return np.concatenate((first, _little_endian(ticks.astype("<u4"), 4)), axis=1)


def _guid(column: pa.Array, _kind: SqlType) -> Block:
    raw = _array(column.buffers()[1], np.uint8).reshape(-1, 16)
    return raw[column.offset : column.offset + len(column)][:, GUID_ORDER]


_FIXED: dict[str, Callable[[pa.Array, SqlType], Block]] = {
    "tinyint": _plain("<u1", 1),
    "smallint": _plain("<i2", 2),
    "int": _plain("<i4", 4),
    "bigint": _plain("<i8", 8),
    "float": _plain("<f8", 8),
    "real": _plain("<f4", 4),
    "bit": _bit,
    "decimal": _decimal,
    "numeric": _decimal,
    "money": _money,
    "smallmoney": _money,
    "date": _date,
    "time": _time,
    "datetime": _datetime,
    "smalldatetime": _datetime,
    "datetime2": _datetime2,
    "datetimeoffset": _datetimeoffset,
    "uniqueidentifier": _guid,
}


def _pieces(column: pa.Array, kind: SqlType) -> list[Piece]:
    """The bytes of one column: length prefix and value, for each row."""
    nulls = _nulls(column)
    if kind.name in _FIXED:
        if column.null_count == len(column):
            return [np.zeros((len(column), 1), np.uint8)]
        values = _FIXED[kind.name](column, kind)
        width = values.shape[1]
        block = np.concatenate((np.full((len(column), 1), width, np.uint8), values), axis=1)
        if nulls is None:
            return [block]
        block[nulls, 0] = 0
        return [_keep(block, np.where(nulls, 1, 1 + width))]
    if kind.is_string or kind.name == "xml":
        content = _utf16(column) if kind.is_national or kind.name == "xml" else _code_page(column)
    elif kind.is_binary:
        content = _bytes(column)
    else:
        raise unsupported(f"reading a column of type {kind}: CAST it to nvarchar(max)")
    lengths = np.diff(content.offsets)
    if kind.name in {"text", "ntext", "image"}:
        return _legacy_large(content, lengths, nulls)
    if kind.is_large:
        return _chunked(content, lengths, nulls)
    longest = int(lengths.max())
    if longest > kind.max_bytes:
        raise SqlError(
            8152,
            f"String or binary data would be truncated: {longest} bytes in a value of type {kind}.",
        )
    prefix = lengths if nulls is None else np.where(nulls, NULL_LENGTH, lengths)
    return [_little_endian(prefix.astype("<u2"), 2), content]


def _chunked(content: Variable, lengths: Integers, nulls: Mask | None) -> list[Piece]:
    """Partially length-prefixed: total, one chunk unless empty, terminator; NULL is eight bytes of FF."""
    head = np.empty((len(lengths), 12), np.uint8)
    head[:, :8] = _little_endian(lengths.astype("<u8"), 8)
    head[:, 8:] = _little_endian(lengths.astype("<u4"), 4)
    head_lengths = np.where(lengths > 0, 12, 8)
    tail_lengths = np.full(len(lengths), 4)
    if nulls is not None:
        head[nulls, :8] = 0xFF
        tail_lengths = np.where(nulls, 0, 4)
    return [
        _keep(head, head_lengths),
        content,
        _keep(np.zeros((len(lengths), 4), np.uint8), tail_lengths),
    ]


def _legacy_large(content: Variable, lengths: Integers, nulls: Mask | None) -> list[Piece]:
    """text, ntext, image: text pointer, timestamp, length; NULL is one zero byte."""
    width = len(TEXT_POINTER) + 4
    head = np.empty((len(lengths), width), np.uint8)
    head[:, : len(TEXT_POINTER)] = np.frombuffer(TEXT_POINTER, np.uint8)
    head[:, len(TEXT_POINTER) :] = _little_endian(lengths.astype("<i4"), 4)
    if nulls is None:
        return [head, content]
    head[nulls, 0] = 0
    return [_keep(head, np.where(nulls, 1, width)), content]


def _utf8(column: pa.Array) -> tuple[Integers, Block]:
    """Offsets from zero and bytes of a text or binary column, NULLs empty."""
    if column.null_count:
        empty = pa.scalar("" if pa.types.is_string(column.type) else b"", column.type)
        column = column.fill_null(empty)
    _, starts, data = column.buffers()
    offsets = _array(starts, np.int32)[column.offset : column.offset + len(column) + 1].astype(
        np.int64
    )
    raw = (
        _array(data, np.uint8)[offsets[0] : offsets[-1]]
        if data is not None
        else np.empty(0, np.uint8)
    )
    return offsets - offsets[0], raw


def _bytes(column: pa.Array) -> Variable:
    return Variable(*_utf8(column))


def _utf16(column: pa.Array) -> Variable:
    offsets, raw = _utf8(column)
    if not len(raw) or raw.max() < 0x80:
        data = np.zeros(2 * len(raw), np.uint8)
        data[::2] = raw
        return Variable(offsets * 2, data)
    units = ((raw & 0xC0) != 0x80).astype(np.int64) + (raw >= 0xF0)
    before = np.concatenate(([0], np.cumsum(units)))
    data = np.frombuffer(raw.tobytes().decode().encode("utf-16-le"), np.uint8)
    return Variable(before[offsets] * 2, data)


def _code_page(column: pa.Array) -> Variable:
    """Code page 1252; what it lacks becomes a question mark, as on the real server."""
    offsets, raw = _utf8(column)
    if not len(raw) or raw.max() < 0x80:
        return Variable(offsets, raw)
    before = np.concatenate(([0], np.cumsum((raw & 0xC0) != 0x80)))
    data = np.frombuffer(raw.tobytes().decode().encode("cp1252", "replace"), np.uint8)
    return Variable(before[offsets], data)
