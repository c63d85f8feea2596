"""Keys that changed, joined outward to the rows as they are now: what loads by Change Tracking and by Change Data Capture read.

A key without a row is of a row that is gone, or that the table's condition lets through no more. Rows as they are now never
bring a copy back to an older state, and have what no record of changes has: computed and long values, and new columns.
"""

# pyarrow-stubs leave out the types of what an array of any type holds.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from tranship.change_feeds import GONE_SINCE, ChangeCounts
from tranship.reads import ReadRequest
from tranship.sqlserver.query import Query, build_query
from tranship.sqlserver.statements import CompiledStatement, quoted, quoted_table
from tranship.tables import Column, SourceType, TableSchema

if TYPE_CHECKING:
    from tranship.sqlserver.source import SqlServerSource

GONE, UPDATED, INSERTED = 0, 1, 2
"""What became of a row, in the order in which they are read."""
_KIND = "__kind"
_KIND_COLUMN = Column(_KIND, pa.int32(), nullable=False, source_type=SourceType("int"))
_WENT_COLUMN = Column(GONE_SINCE.name, pa.timestamp("us"), source_type=SourceType.parse("datetime"))
_HAS_ROW = "__has_row"


@dataclass(frozen=True, slots=True)
class JoinedChanges:
    """The query for what changed in a table.

    Args:
        source: The table.
        changed: What has a row for each key that changed, for FROM, without an alias; it is called `c`.
        kind: What became of a row that is there, in SQL: `UPDATED` or `INSERTED`.
        went: When a row that is not there went, in SQL; `None` where that is not asked for.
        beside: What `kind` and `went` need beside the changes, as a join.
    """

    source: "SqlServerSource"
    changed: str
    kind: str = str(UPDATED)
    went: str | None = None
    beside: str = ""

    def query(self, columns: Sequence[str]) -> Query:
        """Keys of rows that are gone first, then rows.

        Args:
            columns: The columns of the rows; those of the key come with them.
        """
        request = ReadRequest(self.source.table, columns=tuple(columns))
        built = build_query(request, self.source.schema, self.source.read_options(columns))
        added = (_KIND_COLUMN,) if self.went is None else (_KIND_COLUMN, _WENT_COLUMN)
        return replace(
            built,
            schema=TableSchema((*added, *built.schema.columns), built.schema.primary_key),
            predicate=None,
            rows_of=self._joined(columns),
            order_by=(_KIND,),
        )

    def _joined(self, columns: Sequence[str]) -> str:
        """The changes with their rows. Keys are told by the record where there is no row: it spells them as they were."""
        key = self.source.key
        needed = list(dict.fromkeys([*key, *columns]))
        row = f"(select 1 as {quoted(_HAS_ROW)}, {', '.join(map(quoted, needed))} from {rows_of(self.source)})"
        same = " and ".join(map(self._same, key))
        gone = f"t.{quoted(_HAS_ROW)} is null"
        shown = [
            f"case when {gone} then c.{quoted(name)} else t.{quoted(name)} end as {quoted(name)}"
            if name in key
            else f"t.{quoted(name)}"
            for name in needed
        ]
        if self.went is not None:
            shown.append(f"case when {gone} then {self.went} end as {quoted(GONE_SINCE.name)}")
        return (
            f"(select case when {gone} then {GONE} else {self.kind} end as {quoted(_KIND)}, {', '.join(shown)} "
            f"from {self.changed} as c left join {row} as t on {same}{self.beside}) as changed"
        )

    def _same(self, name: str) -> str:
        column = quoted(name)
        if not self.source.schema.column(name).nullable:
            return f"t.{column} = c.{column}"
        return f"(t.{column} = c.{column} or (t.{column} is null and c.{column} is null))"


def rows_of(source: "SqlServerSource") -> str:
    """The rows of a table that its condition lets through, for FROM."""
    table, where = quoted_table(source.table), source.condition
    return f"{table} where ({where})" if where else table


def count_of(source: "SqlServerSource") -> CompiledStatement:
    """How many rows a table has that its condition lets through."""
    return CompiledStatement(f"select count_big(*) from {rows_of(source)}")


class PartedChanges:
    """One stream of changes as two: the keys of rows that are gone, which come first, and the rows.

    Args:
        stream: What `JoinedChanges` reads.
        schema: The columns of the rows.
        key: The key columns.
        has_times: Whether the keys say when their rows went.
    """

    def __init__(
        self,
        stream: Iterator[pa.RecordBatch],
        schema: TableSchema,
        key: Sequence[str],
        *,
        has_times: bool = False,
    ) -> None:
        self.schema = schema
        self.counts = ChangeCounts()
        columns = [schema.column(name) for name in key]
        keys = TableSchema((*columns, GONE_SINCE) if has_times else tuple(columns), tuple(key))
        self.key_schema = keys.to_arrow()
        self._stream = stream
        self._left: pa.RecordBatch | None = None

    def deleted_keys(self) -> Iterator[pa.RecordBatch]:
        """The keys of rows that are gone."""
        for batch in self._stream:
            gone = _count(batch, GONE)
            self.counts.deleted += gone
            if gone:
                yield batch.slice(0, gone).select(self.key_schema.names).cast(self.key_schema)
            if gone < batch.num_rows:
                self._left = batch.slice(gone)
                return

    def rows(self) -> Iterator[pa.RecordBatch]:
        """The rows; those that are gone are passed over where nobody asked for them."""
        if self._left is None:
            for _ in self.deleted_keys():
                pass
        left, self._left = self._left, None
        if left is None:
            return
        yield self._counted(left)
        for batch in self._stream:
            yield self._counted(batch)

    def _counted(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        inserted = _count(batch, INSERTED)
        self.counts.inserted += inserted
        self.counts.updated += batch.num_rows - inserted
        return batch.select(self.schema.names).cast(self.schema.to_arrow())


def _count(batch: pa.RecordBatch, kind: int) -> int:
    equal: Any = pc.equal  # whose stubs know no comparison with a plain number
    return int(equal(batch.column(_KIND), kind).true_count)
