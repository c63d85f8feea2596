"""Record batches as bytes for Postgres' COPY: binary through pgpq where it is installed, else CSV."""

import importlib.util
import io
from collections.abc import Iterator
from typing import Protocol

import pyarrow as pa
import pyarrow.csv


class Encoder(Protocol):
    """Turns batches of one schema into COPY data."""

    options: str

    def encode(self, batch: pa.RecordBatch) -> bytes:
        """The bytes of one batch."""
        ...

    def finish(self) -> bytes:
        """The bytes after the last batch."""
        ...


class BinaryEncoder:
    """Postgres' binary COPY format; `json_columns` go to jsonb columns."""

    options = "format binary"

    def __init__(self, schema: pa.Schema, json_columns: frozenset[str]) -> None:
        from pgpq import ArrowToPostgresBinaryEncoder
        from pgpq.encoders import StringEncoderBuilder
        from pgpq.schema import Jsonb

        encoders = {
            field.name: StringEncoderBuilder.new_with_output(field, Jsonb())
            if field.name in json_columns
            else ArrowToPostgresBinaryEncoder.infer_encoder(field)
            for field in schema
        }
        self._encoder = ArrowToPostgresBinaryEncoder.new_with_encoders(schema, encoders)
        self._header = bytes(self._encoder.write_header())

    def encode(self, batch: pa.RecordBatch) -> bytes:
        """The bytes of one batch."""
        header, self._header = self._header, b""
        return header + self._encoder.write_batch(batch)

    def finish(self) -> bytes:
        """The trailer."""
        return self._header + self._encoder.finish()


class CsvEncoder:
    """CSV in which NULL is an empty field and an empty string is quoted."""

    options = "format csv"

    def __init__(self) -> None:
        self._write = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")

    def encode(self, batch: pa.RecordBatch) -> bytes:
        """The bytes of one batch."""
        arrays = [_csv_ready(batch.column(i)) for i in range(batch.num_columns)]
        plain = pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)
        sink = io.BytesIO()
        pyarrow.csv.write_csv(plain, sink, self._write)
        return sink.getvalue()

    def finish(self) -> bytes:
        """Nothing follows the last row."""
        return b""


def _csv_ready(array: pa.Array) -> pa.Array:
    if pa.types.is_binary(array.type):
        texts = [None if v is None else "\\x" + v.hex() for v in array.to_pylist()]
        return pa.array(texts, pa.string())
    return array.cast(pa.string()) if pa.types.is_decimal(array.type) else array


def new_encoder(schema: pa.Schema, json_columns: frozenset[str]) -> Encoder:
    """The fastest encoder that is installed here."""
    if importlib.util.find_spec("pgpq") is not None:
        return BinaryEncoder(schema, json_columns)
    return CsvEncoder()


def chunks(data: bytes, size: int = 262_144) -> Iterator[memoryview]:
    """`data` in pieces of at most `size` bytes."""
    view = memoryview(data)
    for start in range(0, len(view), size):
        yield view[start : start + size]
