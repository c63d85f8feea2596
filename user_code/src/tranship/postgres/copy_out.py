"""Rows as COPY sends them: the texts that a session must print, blocks of whole rows, and record batches of them.

pyarrow parses the CSV of a block at a time, while a thread receives the next.
"""

# pyarrow-stubs leaves types unknown; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
from pyarrow import csv

from tranship.arrow_types import ArrowArray, ArrowField
from tranship.deadlines import Deadline
from tranship.errors import ValueDoesNotFitError
from tranship.frames import ROWS_PER_BATCH
from tranship.pgsql.driver import SqlCursor
from tranship.postgres.text_forms import bytes_from_hex, lists_of
from tranship.tables import TableSchema

BLOCK_BYTES = 4 * 2**20
"""Size at which a block of rows is handed over; one larger row makes a larger block."""
BLOCKS_AHEAD = 2

TEXT_FORMS = (
    "set datestyle = 'ISO, YMD'; set timezone = 'UTC'; set bytea_output = 'hex'; "
    "set extra_float_digits = 1; set intervalstyle = 'postgres'"
)
"""The texts that are parsed here; a role or database may have other defaults."""
LEAVE_OUT = "leave the column out, or read it through a view that casts it."

_CONVERSION = re.compile(r"In CSV column #(?P<column>\d+): (?P<why>.*)")


def copy_out(cursor: SqlCursor, select: str, put: Callable[[bytes], None]) -> None:
    """Run one COPY from the first row to the last, and hand over its blocks.

    Args:
        cursor: Of a session that prints `TEXT_FORMS`.
        select: The statement of the rows.
        put: Takes a block of whole rows; it may wait.
    """
    blocks = _Blocks(put)
    cursor.copy_expert(f"copy ({select}) to stdout with (format csv)", blocks)
    blocks.hand_over()


@dataclass(frozen=True, slots=True)
class CopiedRows:
    """What the rows of a COPY are.

    Args:
        table: Where they come from, for messages.
        schema: Their columns.
        remedy: What can be done about a value that Arrow has no form for.
    """

    table: object
    schema: TableSchema
    remedy: str = LEAVE_OUT

    def batches(self, block: bytes, rows_before: int) -> Iterator[pa.RecordBatch]:
        """A block as record batches.

        Args:
            block: Whole rows of CSV.
            rows_before: Rows that came before it, for messages.

        Raises:
            ValueDoesNotFitError: A value has no Arrow form; the message names its column.
        """
        arrow_schema = self.schema.to_arrow()
        types = {
            column.name: pa.large_string() if _comes_as_text(column.type) else column.type
            for column in self.schema.columns
        }
        try:
            table = csv.read_csv(
                io.BytesIO(block),
                # One block: a boundary inside would have to fall between rows.
                read_options=csv.ReadOptions(
                    column_names=list(self.schema.names), block_size=len(block) + 1
                ),
                parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
                convert_options=csv.ConvertOptions(
                    column_types=types,
                    null_values=[""],
                    true_values=["t"],
                    false_values=["f"],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid as error:
            raise self._unreadable(error, rows_before) from None
        for batch in table.to_batches(max_chunksize=ROWS_PER_BATCH):
            arrays = [
                self._converted(array, wanted, rows_before)
                for array, wanted in zip(batch.columns, arrow_schema, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=arrow_schema)
            rows_before += batch.num_rows

    def _converted(self, array: ArrowArray, wanted: ArrowField, rows_before: int) -> ArrowArray:
        """What the CSV parser has no form for, from its text."""
        if pa.types.is_large_binary(wanted.type):
            return bytes_from_hex(array, digits_from=2)
        if not _comes_as_text(wanted.type):
            return array
        try:
            if pa.types.is_decimal256(wanted.type):
                return array.cast(wanted.type)
            return lists_of(array, wanted.type)
        except ValueError as error:  # pyarrow's are, too
            raise self._without_form(wanted.name, str(error), rows_before) from None

    def _unreadable(self, error: pa.ArrowInvalid, rows_before: int) -> ValueDoesNotFitError:
        match = _CONVERSION.search(str(error))
        name = self.schema.names[int(match["column"])] if match else None
        return self._without_form(name, match["why"] if match else str(error), rows_before)

    def _without_form(self, column: str | None, why: str, rows_before: int) -> ValueDoesNotFitError:
        where = "a row" if column is None else f'column "{column}"'
        return ValueDoesNotFitError(
            f"{self.table} holds a value in {where}, after row {rows_before}, that Arrow has no form "
            f"for: {why}.",
            "Infinite dates, years before 1 or after 9999, NaN in a numeric(p,s), and arrays of several dimensions "
            f"cannot be read: {self.remedy.format(column=column or '<column>')}",
            details={"column": where},
        )


def _comes_as_text(type_: pa.DataType) -> bool:
    return (
        pa.types.is_large_binary(type_) or pa.types.is_list(type_) or pa.types.is_decimal256(type_)
    )


@dataclass(slots=True)
class _Blocks:
    """Rows gathered into blocks; a file that `copy_expert` writes to, one row a call."""

    put: Callable[[bytes], None]
    deadline: Deadline | None = None
    _rows: list[bytes] = field(default_factory=list)
    _size: int = 0

    def write(self, row: bytes) -> int:
        self._rows.append(row)
        self._size += len(row)
        if self._size >= BLOCK_BYTES:
            self.hand_over()
        return len(row)

    def hand_over(self) -> None:
        """Give away what has been gathered, if anything."""
        if self._rows:
            block = b"".join(self._rows)
            self._rows.clear()
            self._size = 0
            # While the block waits for whoever reads it, nobody waits for the server.
            if self.deadline is not None:
                self.deadline.stop()
            self.put(block)
            if self.deadline is not None:
                self.deadline.start()
