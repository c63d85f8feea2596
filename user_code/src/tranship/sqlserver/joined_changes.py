"""Keys that changed, joined outward to the rows as they are now: what loads by Change Tracking and by Change Data Capture read.

A key without a row is of a row that is gone, or that the table's condition lets through no more. Rows as they are now never
bring a copy back to an older state, and have what no record of changes has: computed and long values, and new columns.
"""

# pyarrow-stubs leave out the types of what an array of any type holds.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from tranship.reads import ReadRequest
from tranship.sqlserver.query import Query, build_query
from tranship.sqlserver.statements import quoted, quoted_table
from tranship.tables import Column, SourceType, TableSchema

if TYPE_CHECKING:
    from tranship.sqlserver.source import SqlServerSource

_IS_PRESENT = "__is_present"
_HAS_ROW = "__has_row"


@dataclass(frozen=True, slots=True)
class JoinedChanges:
    """The query for what changed in a table.

    Args:
        source: The table.
        changed: What has a row for each key that changed, for FROM, without an alias.
    """

    source: "SqlServerSource"
    changed: str

    def query(self, columns: Sequence[str]) -> Query:
        """Keys of rows that are gone first, then rows.

        Args:
            columns: The columns of the rows; those of the key come with them.
        """
        request = ReadRequest(self.source.table, columns=tuple(columns))
        built = build_query(request, self.source.schema, self.source.read_options(columns))
        is_present = Column(_IS_PRESENT, pa.int32(), nullable=False, source_type=SourceType("int"))
        schema = TableSchema((is_present, *built.schema.columns), built.schema.primary_key)
        return replace(
            built,
            schema=schema,
            predicate=None,
            rows_of=self._joined(columns),
            order_by=(_IS_PRESENT,),
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
        return (
            f"(select case when {gone} then 0 else 1 end as {quoted(_IS_PRESENT)}, {', '.join(shown)} "
            f"from {self.changed} as c left join {row} as t on {same}) as changed"
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


class PartedChanges:
    """One stream of changes as two: the keys of rows that are gone, which come first, and the rows.

    Args:
        stream: What `JoinedChanges` reads.
        schema: The columns of the rows.
        key: The key columns.
    """

    def __init__(
        self, stream: Iterator[pa.RecordBatch], schema: TableSchema, key: Sequence[str]
    ) -> None:
        self.schema = schema
        keys = TableSchema(tuple(schema.column(name) for name in key), tuple(key))
        self.key_schema = keys.to_arrow()
        self._key = list(key)
        self._stream = stream
        self._left: pa.RecordBatch | None = None

    def deleted_keys(self) -> Iterator[pa.RecordBatch]:
        """The keys of rows that are gone."""
        for batch in self._stream:
            gone = batch.column(_IS_PRESENT).to_pylist().count(0)
            if gone:
                yield batch.slice(0, gone).select(self._key).cast(self.key_schema)
            if gone < batch.num_rows:
                self._left = batch.slice(gone)
                return

    def rows(self) -> Iterator[pa.RecordBatch]:
        """The rows; those that are gone are passed over where nobody asked for them."""
        if self._left is None:
            for _ in self.deleted_keys():
                pass
        names, schema = self.schema.names, self.schema.to_arrow()
        left, self._left = self._left, None
        if left is None:
            return
        yield left.select(names).cast(schema)
        for batch in self._stream:
            yield batch.select(names).cast(schema)
