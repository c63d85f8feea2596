"""The driver's batches, as batches of the declared schema, whose texts any target can store.

SQL Server stores U+0000, which Postgres and Redshift refuse. The check looks for a zero byte in a column's whole text
buffer at once (0.04 ms per MB), so it can always be on; rows are looked at only where one was found.

It stores half of a UTF-16 pair, too. The driver gives U+FFFD for such a lone surrogate, which is also a character of its
own that texts may hold. So those that came are counted, and the server is asked how many it has: what is more was made on
the way.
"""

# pyarrow-stubs leaves types unknown; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tranship.arrow_types import ArrowArray
from tranship.comparisons import Predicate
from tranship.errors import BatchDoesNotFitError, ValueDoesNotFitError
from tranship.reads import OnNul
from tranship.sqlserver.statements import CompiledStatement, run
from tranship.sqlserver.types import may_hold_nul, wire_form
from tranship.tables import Column, TableName, TableSchema

if TYPE_CHECKING:
    from tranship.sqlserver.query import Query
    from tranship.sqlserver.stopping import BoundedCursor


Conversion = Callable[[ArrowArray, int], ArrowArray]
NUL = "\x00"

REPLACEMENT = "\ufffd"

_ENCODED = re.compile(REPLACEMENT.encode())

_UTF16 = frozenset({"nchar", "nvarchar", "ntext"})


@dataclass(frozen=True, slots=True)
class Conformer:
    """Turns each batch of one query into a batch of the declared schema; most columns pass untouched.

    Args:
        schema: The declared schema.
        conversions: Per column, what makes the declared type of what the driver gives.
    """

    schema: pa.Schema
    conversions: tuple[Conversion | None, ...]

    def conform(self, batch: pa.RecordBatch, first_row: int) -> pa.RecordBatch:
        """One batch of the declared schema.

        Args:
            batch: What the driver fetched.
            first_row: The number of its first row in the result, counted from 1.

        Raises:
            ValueDoesNotFitError: A text holds U+0000 and the policy is to refuse it.
            BatchDoesNotFitError: A value does not fit the declared type.
        """
        arrays = [
            array if convert is None else convert(array, first_row)
            for array, convert in zip(batch.columns, self.conversions, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def conformer(
    table: TableName, schema: TableSchema, fetched: pa.Schema, on_nul: OnNul
) -> Conformer:
    """The conversions for a query, from what the driver says it will fetch.

    Raises:
        BatchDoesNotFitError: The server's columns are not those that the catalogue declared.
    """
    if len(fetched) != len(schema.columns):
        raise BatchDoesNotFitError(
            f"{table} gave {len(fetched)} columns where {len(schema.columns)} were asked for.",
            "The table was changed in between; read it again.",
        )
    return Conformer(
        schema.to_arrow(),
        tuple(
            _conversion(table, column, arrow_field.type, on_nul)
            for column, arrow_field in zip(schema.columns, fetched, strict=True)
        ),
    )


def _conversion(
    table: TableName, column: Column, fetched: pa.DataType, on_nul: OnNul
) -> Conversion | None:
    source, target = column.source_type, column.type
    if source is not None:
        expected = wire_form(source, target)
        if fetched == expected.type:
            convert = expected.convert
            if convert is not None:
                return lambda array, _: convert(array)
            if may_hold_nul(source) and on_nul is not OnNul.KEEP:
                return lambda array, first_row: without_nul(
                    array, on_nul, table=table, column=column.name, first_row=first_row
                )
    if fetched == target:
        return None

    def cast(array: ArrowArray, _: int) -> ArrowArray:
        try:
            return array.cast(target)
        except pa.ArrowException as error:
            raise BatchDoesNotFitError(
                f'The column "{column.name}" of {table} is declared {source or target}, but arrived as '
                f"{array.type}: {error}.",
                "If the table was changed meanwhile, read it again; else name the type with cast.",
            ) from error

    return cast


def without_nul(
    array: ArrowArray, policy: OnNul, *, table: TableName, column: str, first_row: int
) -> ArrowArray:
    r"""A text column that meets the policy.

    Args:
        array: A column of type `large_string`.
        policy: What to do with U+0000.
        table: The table it was read from, for the message.
        column: The column's name, for the message.
        first_row: The number of the array's first row in the result, counted from 1.

    Raises:
        ValueDoesNotFitError: A text holds U+0000 and the policy is `error`.

    Example:
        >>> without_nul(pa.array(["a\0b"], pa.large_string()), OnNul.STRIP,
        ...             table=TableName("dbo", "t"), column="c", first_row=1).to_pylist()
        ['ab']
    """
    import pyarrow.compute as pc  # whoever names a policy does not need it

    if policy is OnNul.KEEP or not holds_zero_byte(array):
        return array
    index = pc.index(pc.match_substring(array, NUL), True).as_py()
    if index < 0:
        return array  # The byte belongs to no value: a null's place in the buffer.
    if policy is OnNul.STRIP:
        return pc.replace_substring(array, NUL, "")
    row = first_row + index
    raise ValueDoesNotFitError(
        f'The column "{column}" of {table} holds the character U+0000 in row {row} of the result, '
        "which Postgres and Redshift cannot store.",
        'Set on_nul to "strip" to leave the character out, or mend the row in the source.',
        details={"table": str(table), "column": column, "row": row},
    )


def holds_zero_byte(array: ArrowArray) -> bool:
    """Whether the bytes behind a `large_string` array include a zero, which UTF-8 uses for U+0000 only."""
    import pyarrow.compute as pc

    _, offsets, text = array.buffers()
    if not len(array) or offsets is None or text is None:
        return False
    positions = memoryview(offsets).cast("q")
    start, end = positions[array.offset], positions[array.offset + len(array)]
    if start == end:
        return False
    window = pa.Array.from_buffers(pa.uint8(), end - start, [None, text.slice(start, end - start)])
    return pc.min(window).as_py() == 0


@dataclass(slots=True)
class ReplacementWatch:
    """Counts the U+FFFD of one query's result, and holds them against what the server has.

    Args:
        query: The query whose batches are seen.
        seen: By column, how many there were, and the row of the first, counted from 1.
    """

    query: "Query"
    seen: dict[str, tuple[int, int]] = field(default_factory=dict)

    def see(self, batch: pa.RecordBatch, first_row: int) -> None:
        """Count what one batch holds.

        Args:
            batch: A batch of the query's schema.
            first_row: The number of its first row in the result, counted from 1.
        """
        for column, array in zip(self.query.schema.columns, batch.columns, strict=True):
            source = column.source_type
            if source is None or source.name not in _UTF16 or not _holds_replacement(array):
                continue
            import pyarrow.compute  # most tables hold none

            pc: Any = pyarrow.compute  # its stubs know few of the argument types it takes
            counts = pc.count_substring(array, REPLACEMENT)
            count = pc.sum(counts).as_py() or 0
            if count:
                row = first_row + pc.index(pc.greater(counts, 0), pa.scalar(True)).as_py()
                earlier, first = self.seen.get(column.name, (0, row))
                self.seen[column.name] = (earlier + count, first)

    def check(self, cursor: "BoundedCursor", part: Predicate | None) -> None:
        """Ask the server how many it has, over the connection and the snapshot that the rows came from.

        Args:
            cursor: A cursor whose result has been read to its end.
            part: The part of the query's rows that was read.

        Raises:
            ValueDoesNotFitError: More came than the server has.
        """
        if not self.seen:
            return
        names = list(self.seen)
        run(cursor, self._stored(names, part))
        (stored,) = cursor.fetchall()
        for name, count in zip(names, stored, strict=True):
            received, row = self.seen[name]
            if received > int(count or 0):
                raise ValueDoesNotFitError(
                    f'The column "{name}" of {self.query.table} holds half of a UTF-16 pair (a lone surrogate), '
                    f"which is no character: U+FFFD came in its place {received - int(count or 0)} times, the first "
                    f"in or after row {row} of the result.",
                    'Set on_surrogate to "replace" to load U+FFFD in its place, or mend the row in the source.',
                    details={"table": str(self.query.table), "column": name, "row": row},
                )

    def _stored(self, names: list[str], part: Predicate | None) -> CompiledStatement:
        return self.query.over(", ".join(self._occurrences(name) for name in names), part)

    def _occurrences(self, name: str) -> str:
        # By code unit, which is what a BIN2 collation compares:
        # https://learn.microsoft.com/sql/relational-databases/collations/collation-and-unicode-support#Binary-collations
        text = f"cast({self.query.value(name)} as nvarchar(max)) collate Latin1_General_BIN2"
        without = f"replace({text}, N'{REPLACEMENT}', N'')"
        # datalength counts bytes, trailing blanks included; a code unit has two.
        return f"sum(cast((datalength({text}) - datalength({without})) / 2 as bigint))"


def _holds_replacement(array: ArrowArray) -> bool:
    """Whether the bytes behind a `large_string` array include those of U+FFFD."""
    _, offsets, text = array.buffers()
    if not len(array) or offsets is None or text is None:
        return False
    positions = memoryview(offsets).cast("q")
    start, end = positions[array.offset], positions[array.offset + len(array)]
    return _ENCODED.search(memoryview(text)[start:end]) is not None
