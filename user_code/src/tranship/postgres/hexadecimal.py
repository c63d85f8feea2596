"""Whole columns of hexadecimal text to bytes and back, without a Python object per value."""

import numpy as np
import pyarrow as pa


def hex_from_bytes(array: pa.Array) -> pa.Array:
    r"""Bytes as lower-case hexadecimal text.

    Example:
        >>> hex_from_bytes(pa.array([b"\x00\xff", None], pa.large_binary())).to_pylist()
        ['00ff', None]
    """
    bounds, data = _values(array)
    digits = memoryview(data)[int(bounds[0]) : int(bounds[-1])].hex().encode() if data else b""
    doubled = (bounds - bounds[0]) * 2
    buffers = [_validity(array), pa.py_buffer(doubled.tobytes()), pa.py_buffer(digits)]
    return pa.Array.from_buffers(pa.large_string(), len(array), buffers)


def bytes_from_hex(array: pa.Array, *, digits_from: int = 0) -> pa.Array:
    r"""Hexadecimal text as bytes.

    Args:
        array: Large strings.
        digits_from: Characters before the first digit: 2 for Postgres's `\x`.

    Raises:
        ValueError: A text is not hexadecimal.

    Example:
        >>> bytes_from_hex(pa.array(["00ff", None], pa.large_string())).to_pylist()
        [b'\x00\xff', None]
    """
    bounds, data = _values(array)
    present = _present(array)
    lengths = np.where(present, np.diff(bounds) - digits_from, 0)
    if digits_from:
        texts = np.frombuffer(memoryview(data), np.uint8) if data else np.empty(0, np.uint8)
        keep = np.ones(int(bounds[-1] - bounds[0]), bool)
        starts = (bounds[:-1] - bounds[0])[present]
        for step in range(digits_from):
            keep[starts + step] = False
        digits = texts[int(bounds[0]) : int(bounds[-1])][keep].tobytes()
    else:
        digits = memoryview(data)[int(bounds[0]) : int(bounds[-1])].tobytes() if data else b""
    values = bytes.fromhex(digits.decode("ascii"))
    if 2 * len(values) != int(lengths.sum()) or (lengths % 2).any():
        raise ValueError("it is not hexadecimal")
    offsets = np.zeros(len(array) + 1, np.int64)
    np.cumsum(lengths // 2, out=offsets[1:])
    buffers = [_validity(array), pa.py_buffer(offsets.tobytes()), pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.large_binary(), len(array), buffers)


def _values(array: pa.Array) -> tuple[np.ndarray, pa.Buffer | None]:
    """The offsets of a large array's values, at least one of them, and their bytes."""
    _, offsets, data = array.buffers()
    if not len(array) or offsets is None:
        return np.zeros(1, np.int64), None
    bounds = np.frombuffer(memoryview(offsets), np.int64)[
        array.offset : array.offset + len(array) + 1
    ]
    return bounds, data


def _present(array: pa.Array) -> np.ndarray:
    """Which values are not null. Asking pyarrow for a NumPy array would import pandas."""
    bits = array.buffers()[0]
    if bits is None or not array.null_count:
        return np.ones(len(array), bool)
    unpacked = np.unpackbits(np.frombuffer(memoryview(bits), np.uint8), bitorder="little")
    return unpacked[array.offset : array.offset + len(array)].astype(bool)


def _validity(array: pa.Array) -> pa.Buffer | None:
    """The array's null bitmap, from its own first value on."""
    if not array.null_count:
        return None
    return pa.py_buffer(np.packbits(_present(array), bitorder="little").tobytes())
