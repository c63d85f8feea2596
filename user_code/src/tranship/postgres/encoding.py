"""Record batches as bytes for COPY: binary by pgpq, or CSV by pyarrow. One function, two encoders.

pgpq is three times cheaper but has no wheel on every platform and does not know every type; CSV
carries everything. The same tests run on both.
"""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pyarrow as pa
import pyarrow.compute
from pyarrow import csv

from tranship.errors import ConfigurationError
from tranship.postgres.casting import ColumnPlan
from tranship.postgres.hexadecimal import hex_from_bytes
from tranship.postgres.types import PostgresType

pc: Any = pyarrow.compute  # its stubs know few of the argument types it takes
ROWS_PER_CHUNK = 8_192
"""Rows encoded at once: about 2 MB of a 26-column fact. The encoder holds the GIL meanwhile."""
BYTES_PER_CHUNK = 4 * 2**20


class Encoder(StrEnum):
    """How rows are written for COPY."""

    AUTO = "auto"
    """Binary where the platform and the types allow it, else CSV."""
    BINARY = "binary"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Encoding:
    """A chosen encoder for the columns of one write.

    Args:
        encoder: `BINARY` or `CSV`.
        copy_options: What stands in the parentheses of `copy ... from stdin with (...)`.
        chunks: Makes the bytes of one pass: feeds on fitted batches, ends with the trailer.
    """

    encoder: Encoder
    copy_options: str
    chunks: Callable[[Iterator[pa.RecordBatch]], Iterator[bytes]]


def encode(plans: list[ColumnPlan], wanted: Encoder = Encoder.AUTO) -> Encoding:
    """Choose how these columns are written.

    Args:
        plans: The columns, whose `wire` types the batches will have.
        wanted: An encoder to insist on.

    Raises:
        ConfigurationError: Binary was insisted on and cannot be had.
    """
    textual = [plan for plan in plans if not plan.binary]
    available = importlib.util.find_spec("pgpq") is not None
    if wanted is Encoder.BINARY and not available:
        raise ConfigurationError(
            "Binary COPY needs the package pgpq, which is not installed.",
            "Install it, or leave the encoder at auto: CSV works everywhere.",
        )
    if wanted is Encoder.BINARY and textual:
        listed = ", ".join(f'"{plan.name}" ({plan.type})' for plan in textual)
        raise ConfigurationError(
            f"Binary COPY cannot carry {listed}.", "Leave the encoder at auto, or use csv."
        )
    if wanted is Encoder.CSV or textual or not available:
        return Encoding(Encoder.CSV, "format csv", lambda batches: _csv_chunks(plans, batches))
    return Encoding(Encoder.BINARY, "format binary", lambda batches: _binary_chunks(plans, batches))


def _slices(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        # Long texts make short slices: what is encoded at once is bounded in bytes too.
        fitting = BYTES_PER_CHUNK * batch.num_rows // max(batch.nbytes, 1)
        rows = max(1, min(ROWS_PER_CHUNK, fitting))
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


def _binary_chunks(plans: list[ColumnPlan], batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    import pgpq
    from pgpq import encoders, schema

    fields = [pa.field(plan.name, plan.wire) for plan in plans]
    builders = {
        field.name: (
            encoders.LargeStringEncoderBuilder.new_with_output(field, schema.Jsonb())
            if plan.type == PostgresType("jsonb")
            else pgpq.ArrowToPostgresBinaryEncoder.infer_encoder(field)
        )
        for field, plan in zip(fields, plans, strict=True)
    }
    encoder = pgpq.ArrowToPostgresBinaryEncoder.new_with_encoders(pa.schema(fields), builders)
    yield encoder.write_header()
    for part in _slices(batches):
        yield encoder.write_batch(part)
    yield encoder.finish()


def _csv_chunks(plans: list[ColumnPlan], batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    """Texts are always quoted and nulls never, so an empty text stays apart from a null."""
    options = csv.WriteOptions(
        include_header=False, quoting_style="needed", batch_size=ROWS_PER_CHUNK
    )
    for part in _slices(batches):
        arrays = [_csv_array(array, plan) for array, plan in zip(part.columns, plans, strict=True)]
        sink = pa.BufferOutputStream()
        csv.write_csv(pa.RecordBatch.from_arrays(arrays, names=part.schema.names), sink, options)
        yield sink.getvalue().to_pybytes()


def _csv_array(array: pa.Array, plan: ColumnPlan) -> pa.Array:
    """The array as something whose CSV form Postgres reads back as the same values."""
    wire = plan.wire
    if pa.types.is_fixed_size_binary(wire):
        return hex_from_bytes(array.cast(pa.large_binary()))
    if pa.types.is_large_binary(wire):
        return pc.replace_substring_regex(hex_from_bytes(array), pattern="^", replacement=r"\\x")
    if pa.types.is_duration(wire):
        ticks = array.cast(pa.int64()).cast(pa.large_string())
        return pc.binary_join_element_wise(ticks, _text("microseconds"), _text(" "))
    return array


def _text(value: str) -> pa.Scalar:
    return pa.scalar(value, pa.large_string())
