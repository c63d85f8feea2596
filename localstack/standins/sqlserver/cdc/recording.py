"""What a session's transaction changed in captured tables, as rows of their change tables, held until its commit puts them into the log.

docs/relational-databases/system-tables/cdc-capture-instance-ct-transact-sql.md of MicrosoftDocs/sql-docs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from standins.sqlserver.cdc import lsns
from standins.sqlserver.cdc.store import CapturedColumn, CaptureInstance, ChangeDataCapture, now
from standins.sqlserver.typed import identifier

if TYPE_CHECKING:
    import duckdb

    from standins.sqlserver.catalogue import ColumnDefinition, TableDefinition

DELETED, INSERTED, BEFORE, AFTER = 1, 2, 3, 4
_ROW, _CHANGED, _ACTION, _KEYS = (
    "captured_row",
    "captured_changed",
    "captured_action",
    "captured_keys",
)
_IMAGES = "captured_images"
_OLD_TYPES = {"image", "text", "ntext"}


@dataclass(frozen=True, slots=True)
class CapturedChange:
    """What a statement records for the capture beside changing rows.

    Args:
        table: the captured table.
        operation: I, U or D, or M where MERGE tells it of each row.
        images: a query for what is needed before the statement runs: of an UPDATE both images of each row, which it then only takes
            over, so that both are of one row also where no key says so; of a MERGE the rows as they were.
    """

    table: "TableDefinition"
    operation: str
    images: str = ""

    @property
    def returned(self) -> list[str]:
        """What the statement has to return, as DuckDB text."""
        if self.operation == "U":
            return ["1 as captured_count"]
        if self.operation == "M":
            keys = [f"{keys_text(self.table)} as {_KEYS}", f"merge_action as {_ACTION}"]
            return [*_named(self.table, "after"), *keys]
        return _named(self.table, "before" if self.operation == "D" else "after")


def keys_text(table: "TableDefinition") -> str:
    """The values of a row's primary key as a list of texts, as DuckDB text."""
    keys = (f"cast({identifier(column.name)} as varchar)" for column in table.key_columns)
    return f"[{', '.join(keys)}]"


def _stored(table: "TableDefinition") -> "Iterator[ColumnDefinition]":
    return (column for column in table.columns if column.computed is None)


def _named(table: "TableDefinition", image: str) -> list[str]:
    return [f"{identifier(c.name)} as {image}_{c.column_id}" for c in _stored(table)]


def _flags(table: "TableDefinition") -> str:
    flags = (f"before_{c.column_id} is distinct from after_{c.column_id}" for c in _stored(table))
    return f"[{', '.join(flags)}] as {_CHANGED}"


def update_through_images(
    table: "TableDefinition", source: str, assignments: list[str], prefix: str, condition: str
) -> tuple[CapturedChange, str]:
    """An UPDATE in two steps: both images of the rows, and a statement that takes the new ones over.

    Args:
        table: the captured table.
        source: its alias.
        assignments: `"column" = value` of each column that is set.
        prefix: common table expressions.
        condition: which rows.
    """
    values = {
        column.column_id: text.removeprefix(start)
        for text in assignments
        for column in table.columns
        if text.startswith(start := f"{identifier(column.name)} = ")
    }
    alias = identifier(source)
    before = [f"{alias}.{identifier(c.name)} as before_{c.column_id}" for c in _stored(table)]
    after = [
        f"{values.get(c.column_id) or f'{alias}.{identifier(c.name)}'} as after_{c.column_id}"
        for c in _stored(table)
    ]
    rows = f"select {alias}.rowid as {_ROW}, {', '.join([*before, *after])} from {table.sql} as {alias} where {condition}"
    images = f"{prefix}select *, {_flags(table)} from ({rows})"
    sets = ", ".join(
        f"{identifier(c.name)} = {_IMAGES}.after_{c.column_id}"
        for c in _stored(table)
        if c.column_id in values
    )
    text = f"update {table.sql} as {alias} set {sets} from {_IMAGES} where {alias}.rowid = {_IMAGES}.{_ROW}"
    return CapturedChange(table, "U", images), text


def merge_images(table: "TableDefinition") -> CapturedChange:
    """A MERGE: rows are found again by their key."""
    before = ", ".join(_named(table, "before"))
    return CapturedChange(
        table, "M", f"select {keys_text(table)} as {_KEYS}, {before} from {table.sql}"
    )


@dataclass(frozen=True, slots=True)
class _Recorded:
    """Rows of one statement: their images by column, before and after."""

    table: "TableDefinition"
    operation: str
    images: pa.Table


class CaptureRecorder:
    """One session's changes of captured tables since its transaction began."""

    def __init__(self, capture: ChangeDataCapture) -> None:
        self.capture = capture
        self._recorded: list[_Recorded] = []
        self._began: datetime | None = None

    def captures(self, object_id: int) -> bool:
        """Whether changes of a table are captured."""
        return object_id in self.capture.instances

    @property
    def has_changes(self) -> bool:
        """Whether the transaction has something to log."""
        return bool(self._recorded)

    def prepare(
        self,
        connection: "duckdb.DuckDBPyConnection",
        change: CapturedChange,
        parameters: dict[str, object],
    ) -> None:
        """Called before the statement runs."""
        if change.images:
            images = connection.sql(change.images, params=parameters or None).to_arrow_table()
            connection.register(_IMAGES, images)

    def record(
        self, connection: "duckdb.DuckDBPyConnection", change: CapturedChange, result: pa.Table
    ) -> None:
        """Called with what the statement returned."""
        self._began = self._began or now()
        if change.operation == "U":
            self._keep(change, "U", connection.sql(f"from {_IMAGES}").to_arrow_table())
        elif change.operation == "M":
            self._record_merge(connection, change, result)
        else:
            self._keep(change, change.operation, result)

    def release(self, connection: "duckdb.DuckDBPyConnection", change: CapturedChange) -> None:
        """Called when the statement is over, whatever became of it."""
        if change.images:
            connection.unregister(_IMAGES)

    def _record_merge(
        self, connection: "duckdb.DuckDBPyConnection", change: CapturedChange, result: pa.Table
    ) -> None:
        connection.register("captured_result", result)
        for action in ("DELETE", "UPDATE", "INSERT"):
            joined = "" if action == "INSERT" else f" join {_IMAGES} b on b.{_KEYS} = r.{_KEYS}"
            columns = ", ".join(
                [f"r.{name}" for name in result.column_names if name.startswith("after_")]
                + ([] if action == "INSERT" else [f"b.* exclude ({_KEYS})"])
            )
            flags = f", {_flags(change.table)}" if action == "UPDATE" else ""
            rows = connection.sql(
                f"""select *{flags} from (select {columns} from captured_result r{joined} where r.{_ACTION} = '{action}')"""
            )
            self._keep(change, action[0], rows.to_arrow_table())
        connection.unregister("captured_result")

    def _keep(self, change: CapturedChange, operation: str, images: pa.Table) -> None:
        if images.num_rows:
            self._recorded.append(_Recorded(change.table, operation, images))

    def discard(self) -> None:
        """Drops everything, as a rollback does."""
        self._recorded, self._began = [], None

    def write(self, connection: "duckdb.DuckDBPyConnection") -> None:
        """Writes the transaction's changes into the log, as part of the transaction; called by one session at a time."""
        if not self._recorded:
            return
        lsn, position = self.capture.next_lsn(), 0
        connection.execute(
            "insert into standin.cdc_log values (?, ?, ?)", [lsn, self._began or now(), now()]
        )
        for recorded in self._recorded:
            changes = list(_changes(recorded))
            for instance in self.capture.instances.get(recorded.table.object_id, ()):
                _write_into(connection, instance, recorded, changes, lsn, position)
            position += recorded.images.num_rows


def _changes(recorded: _Recorded) -> Iterator[tuple[int, int, int]]:
    """Operation, row, and place in the statement of each row for the change table.

    An UPDATE that sets a column of a unique key to another value takes rows away and puts others there, all deletes first; an update
    that changes nothing leaves nothing in the log.
    https://support.microsoft.com/help/238254
    """
    if recorded.operation != "U":
        number = DELETED if recorded.operation == "D" else INSERTED
        yield from ((number, row, row) for row in range(recorded.images.num_rows))
        return
    ids = [column.column_id for column in _stored(recorded.table)]
    in_keys = {name.lower() for key in recorded.table.keys for name in key.columns}
    key_ids = {c.column_id for c in _stored(recorded.table) if c.name.lower() in in_keys}
    moved: list[int] = []
    for row, flags in enumerate(_changed(recorded)):
        if any(flag and column_id in key_ids for flag, column_id in zip(flags, ids, strict=True)):
            moved.append(row)
        elif any(flags):
            yield BEFORE, row, row
            yield AFTER, row, row
    count = recorded.images.num_rows
    yield from ((DELETED, row, count + row) for row in moved)
    yield from ((INSERTED, row, 2 * count + row) for row in moved)


def _write_into(
    connection: "duckdb.DuckDBPyConnection",
    instance: CaptureInstance,
    recorded: _Recorded,
    changes: list[tuple[int, int, int]],
    lsn: bytes,
    position: int,
) -> None:
    """Rows of one statement for one instance's part of the log."""
    flags = _flags_by_row(recorded)
    captured_ids = {column.column_id for column in instance.columns}
    # Of an update of other columns an instance keeps nothing.
    changes = [
        change
        for change in changes
        if change[0] in {DELETED, INSERTED} or flags[change[1]] & captured_ids
    ]
    if not changes:
        return
    operations = [operation for operation, _, _ in changes]
    rows = [row for _, row, _ in changes]
    masks = [
        _mask(instance, flags[row] if operation in {BEFORE, AFTER} else None)
        for operation, row, _ in changes
    ]
    count = len(changes)
    fixed: list[Any] = [
        pa.array([lsn] * count, pa.binary()),
        pa.nulls(count, pa.binary()),
        # Statements of one transaction follow each other: 3 places for a row are what an update of keys needs.
        pa.array(
            [lsns.within(lsn, 3 * position + place + 1) for _, _, place in changes], pa.binary()
        ),
        pa.array(operations, pa.int32()),
        pa.array(masks, pa.binary()),
    ]
    values = [_values(column, recorded, operations, rows, flags) for column in instance.columns]
    arrays = [*fixed, *values, pa.array(range(1, count + 1), pa.int32())]
    connection.register(
        "captured_rows", pa.table(arrays, names=[f"c{index}" for index in range(len(arrays))])
    )
    connection.execute(f"insert into {instance.log} from captured_rows")
    connection.unregister("captured_rows")


def _changed(recorded: _Recorded) -> list[list[bool]]:
    """Of each row of an update, which of the table's columns it changed."""
    return [list(flags or ()) for flags in recorded.images[_CHANGED].to_pylist()]


def _flags_by_row(recorded: _Recorded) -> list[set[int]]:
    """Ids of the columns that each row of an update changed."""
    if recorded.operation != "U":
        return []
    ids = [column.column_id for column in _stored(recorded.table)]
    return [
        {column_id for flag, column_id in zip(flags, ids, strict=True) if flag}
        for flags in _changed(recorded)
    ]


def _mask(instance: CaptureInstance, changed: set[int] | None) -> bytes:
    """`__$update_mask`: a bit for each captured column, the first in the last byte's lowest; all of them where a row came or went."""
    bits = sum(
        1 << place
        for place, column in enumerate(instance.columns)
        if changed is None or column.column_id in changed
    )
    return bits.to_bytes((len(instance.columns) + 7) // 8, "big")


def _values(
    column: CapturedColumn,
    recorded: _Recorded,
    operations: list[int],
    rows: list[int],
    flags: list[set[int]],
) -> pa.Array:
    """A column's values for the change table: of both images, one behind the other, those that the rows have."""
    names = [f"{image}_{column.column_id}" for image in ("before", "after")]
    images = [name for name in names if name in recorded.images.column_names]
    if column.computed or not images:
        # A computed column is never captured, and one that the table has no more is null.
        return pa.nulls(len(rows))
    chunks = [chunk for name in images for chunk in recorded.images[name].chunks]
    behind = recorded.images.num_rows if len(images) > 1 else 0
    chosen: list[int | None] = []
    for operation, row in zip(operations, rows, strict=True):
        is_before = operation in {DELETED, BEFORE}
        hidden = (is_before and column.type_name in _OLD_TYPES) or (
            column.is_large and operation == BEFORE and column.column_id not in flags[row]
        )
        chosen.append(None if hidden else row if is_before else row + behind)
    return pa.concat_arrays(chunks).take(pa.array(chosen, pa.int64()))
