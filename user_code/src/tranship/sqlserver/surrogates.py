"""Half a UTF-16 pair in a text: SQL Server stores it, and nothing on the way to a target can.

The driver gives U+FFFD for such a lone surrogate, which is also a character of its own that texts may hold. So
those that came are counted, and the server is asked how many it has: what is more was made on the way.
"""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tranship.comparisons import Predicate
from tranship.errors import ValueDoesNotFitError
from tranship.sqlserver.statements import CompiledStatement, run

if TYPE_CHECKING:
    from tranship.sqlserver.query import Query

REPLACEMENT = "\ufffd"
_ENCODED = re.compile(REPLACEMENT.encode())
_UTF16 = frozenset({"nchar", "nvarchar", "ntext"})


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
            found = pc.count_substring(array, REPLACEMENT)
            count = pc.sum(found).as_py() or 0
            if count:
                row = first_row + pc.index(pc.greater(found, 0), pa.scalar(True)).as_py()
                known, first = self.seen.get(column.name, (0, row))
                self.seen[column.name] = (known + count, first)

    def check(self, cursor: Any, part: Predicate | None) -> None:
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
            came, row = self.seen[name]
            if came > int(count or 0):
                raise ValueDoesNotFitError(
                    f'The column "{name}" of {self.query.table} holds half of a UTF-16 pair (a lone surrogate), '
                    f"which is no character: U+FFFD came in its place {came - int(count or 0)} times, the first "
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


def _holds_replacement(array: pa.Array) -> bool:
    """Whether the bytes behind a `large_string` array include those of U+FFFD."""
    _, offsets, text = array.buffers()
    if not len(array) or offsets is None or text is None:
        return False
    positions = memoryview(offsets).cast("q")
    start, end = positions[array.offset], positions[array.offset + len(array)]
    return _ENCODED.search(memoryview(text)[start:end]) is not None
