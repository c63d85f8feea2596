"""What a session's transaction changed in tracked tables, held until its commit gives it a version."""

from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from standins.sqlserver.cdc.recording import CaptureRecorder
from standins.sqlserver.tracking.store import ChangeTracking, Tracked

TRACKED_KEYS = "tracked_keys"
"""The column in which a statement returns the keys it changed in a tracked table."""
ACTION = "tracked_action"
"""The column in which MERGE returns what it did to each row."""


@dataclass(frozen=True, slots=True)
class TrackedChange:
    """What a statement records beside changing rows.

    Args:
        table: the tracked table.
        tracked: the period of its tracking.
        operation: I, U or D; for a change of keys I, with what they were in `old_keys`; M where `ACTION` tells it of each row.
        columns: ids of the columns that an update sets; None where it records none.
        old_keys: a query for the keys before the statement, where it changes keys.
    """

    table: int
    tracked: Tracked
    operation: str
    columns: tuple[int, ...] | None = None
    old_keys: str = ""


@dataclass(frozen=True, slots=True)
class _Recorded:
    table: int
    generation: int
    operation: str
    keys: pa.ChunkedArray
    columns: tuple[int, ...] | None
    context: bytes | None


_KEYS = pa.list_(pa.string())
_SCHEMA = pa.schema(
    [
        ("object_id", pa.int32()), ("generation", pa.int64()), ("version", pa.int64()), ("position", pa.int64()), ("operation", pa.string()),
        ("columns", pa.list_(pa.int32())), ("context", pa.binary()), ("keys", _KEYS),
    ]
)  # fmt: skip


class Recorder:
    """One session's changes since its transaction began; nothing of them is seen before COMMIT, and a rollback draws no version."""

    def __init__(self, tracking: ChangeTracking, captured: CaptureRecorder) -> None:
        self.tracking = tracking
        self.captured = captured
        """What Change Data Capture records; it goes into the log in the same moment."""
        self.context: bytes | None = None
        self._recorded: list[_Recorded] = []
        self._switched: dict[int, Tracked | None] = {}

    def begin(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Begins DuckDB's transaction, and its snapshot: that is taken with the first statement."""
        with self.tracking.committing():
            connection.execute("begin transaction; select 1 from standin.tracking").fetchall()

    def of(self, object_id: int) -> Tracked | None:
        """How a table is tracked, as this transaction left it."""
        if object_id in self._switched:
            return self._switched[object_id]
        return self.tracking.tables.get(object_id)

    def record(
        self, change: TrackedChange, old_keys: pa.ChunkedArray | None, result: pa.Table
    ) -> None:
        """Keeps the keys that a statement changed; all that it took away come before all that it put there."""
        if old_keys is not None:
            self._keep(change, "D", old_keys)
        if change.operation != "M":
            self._keep(change, change.operation, result[TRACKED_KEYS])
            return
        for action in ("DELETE", "UPDATE", "INSERT"):
            rows = result.filter(pc.field(ACTION) == action)
            self._keep(change, action[0], rows[TRACKED_KEYS])

    def _keep(self, change: TrackedChange, operation: str, keys: pa.ChunkedArray) -> None:
        if len(keys):
            generation = change.tracked.generation
            columns = change.columns if operation == "U" else None
            self._recorded.append(
                _Recorded(change.table, generation, operation, keys, columns, self.context)
            )

    def switch(self, object_id: int, tracked: Tracked | None) -> None:
        """From now on the table is tracked so, or not; others see it when the transaction commits."""
        self._switched[object_id] = tracked
        self.forget(object_id)

    def forget(self, object_id: int) -> None:
        """Drops what was recorded of a table."""
        self._recorded = [change for change in self._recorded if change.table != object_id]

    def discard(self) -> None:
        """Drops everything, as a rollback does."""
        self._recorded, self._switched = [], {}
        self.captured.discard()

    def commit(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Commits DuckDB's transaction, with a version for what it changed in tracked tables, if it did."""
        if not self._recorded and not self._switched and not self.captured.has_changes:
            connection.execute("commit")
            return
        with self.tracking.committing():
            recorded = [
                change
                for change in self._recorded
                if (tracked := self.of(change.table)) and tracked.generation == change.generation
            ]
            version = self.tracking.version + bool(recorded)
            position = self.tracking.position
            if recorded:
                position = self._write(connection, recorded, version, position)
            self.captured.write(connection)
            connection.execute("commit")
            self.captured.capture.committed()
            self.tracking.version, self.tracking.position = version, position
            for object_id, tracked in self._switched.items():
                if tracked is None:
                    self.tracking.tables.pop(object_id, None)
                else:
                    self.tracking.tables[object_id] = tracked
        self.discard()

    @staticmethod
    def _write(
        connection: duckdb.DuckDBPyConnection,
        recorded: list[_Recorded],
        version: int,
        position: int,
    ) -> int:
        """Writes the history of one transaction; gives the position of its last entry."""
        parts = []
        for change in recorded:
            count = len(change.keys)
            numbers = range(position + 1, position + 1 + count)
            parts.append(
                pa.Table.from_arrays(
                    [
                        _same(change.table, pa.int32(), count),
                        _same(change.generation, pa.int64(), count),
                        _same(version, pa.int64(), count),
                        pa.array(numbers, pa.int64()),
                        _same(change.operation, pa.string(), count),
                        _same(change.columns, pa.list_(pa.int32()), count),
                        _same(change.context, pa.binary(), count),
                        change.keys.cast(_KEYS),
                    ],
                    schema=_SCHEMA,
                )
            )
            position += count
        connection.register("recorded", pa.concat_tables(parts))
        connection.execute("insert into standin.tracked_changes select * from recorded")
        connection.unregister("recorded")
        connection.execute(
            "insert into standin.tracked_commits values (?, ?)",
            [version, datetime.now(UTC).replace(tzinfo=None)],
        )
        return position


def _same(value: object, kind: pa.DataType, count: int) -> pa.Array:
    return pa.array([value], kind).take(np.zeros(count, np.int64))
