"""The one database behind all sessions: DuckDB, the counter of rowversions, and the faults that tests switch on."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
from duckdb.func import PythonUDFType
from duckdb.sqltypes import BLOB, VARCHAR

from standins.sqlserver.catalogue import FIRST_ROWVERSION, prepare
from standins.sqlserver.cdc.store import ChangeDataCapture
from standins.sqlserver.locks.commits import Commits
from standins.sqlserver.locks.table_locks import TableLocks
from standins.sqlserver.tracking.store import ChangeTracking

FIRST_SPID = 51


@dataclass(slots=True)
class Faults:
    """What tests let go wrong.

    Args:
        refuse_connections: new connections are closed at once.
        delay_seconds: every request waits this long before it is answered.
        drop_after_rows: the connection breaks after this many rows of one result.
        silent_after_rows: after this many rows of one result the server says nothing more, and keeps the connection.
    """

    refuse_connections: bool = False
    delay_seconds: float = 0.0
    drop_after_rows: int | None = None
    silent_after_rows: int | None = None


class AlteredTables:
    """When tables were defined anew: a snapshot that is older than that cannot read them (3961)."""

    def __init__(self) -> None:
        self.clock = 0
        self._last: dict[str, int] = {}

    def altered(self, names: Iterable[str]) -> None:
        """The definitions of these tables, by schema and name, were just committed."""
        self.clock += 1
        self._last.update(dict.fromkeys((name.lower() for name in names), self.clock))

    def since(self, name: str, clock: int) -> bool:
        """Whether the table was defined anew after the clock showed this."""
        return self._last.get(name.lower(), 0) > clock


def _utf16(texts: pa.Array) -> pa.Array:
    """Texts as the bytes that an nvarchar has."""
    encoded = [None if text is None else text.encode("utf-16-le") for text in texts.to_pylist()]
    return pa.array(encoded, pa.binary())


class Database:
    """Owns DuckDB; each session gets a cursor of its own, which is a connection with its own transaction.

    Args:
        name: the database's name, as clients log in to it.
        path: a DuckDB file, created if missing; None for memory.
    """

    def __init__(self, name: str, path: Path | None = None) -> None:
        self.name = name
        self.server_name = "TRANSHIP-STANDIN"
        self.faults = Faults()
        self._root = duckdb.connect(str(path) if path else ":memory:")
        # datetimeoffset and uniqueidentifier are read as they are stored
        self._root.execute("set arrow_lossless_conversion = true; set timezone = 'UTC'")
        self._root.execute(f"set variable database = '{name.replace(chr(39), chr(39) * 2)}'")
        self._root.create_function("t_utf16", _utf16, [VARCHAR], BLOB, type=PythonUDFType.ARROW)
        prepare(self._root)
        self._lock = threading.Lock()
        self._next_spid = FIRST_SPID
        self._active_versions: dict[int, int] = {}
        self.definitions_changed = 0
        self.tracking = ChangeTracking(self._root)
        self.capture = ChangeDataCapture(self._root)
        self.locks = TableLocks()
        self.commits = Commits()
        self.altered = AlteredTables()
        self.allows_snapshots = True
        self.reads_versions = False
        """READ_COMMITTED_SNAPSHOT: whether READ COMMITTED reads what was last committed instead of waiting."""
        self.read_options()

    def connect(self) -> tuple[int, duckdb.DuckDBPyConnection]:
        """A session's number and its connection."""
        with self._lock:
            spid = self._next_spid
            self._next_spid += 1
            cursor = self._root.cursor()
        cursor.execute(f"set variable database = '{self.name.replace(chr(39), chr(39) * 2)}'")
        return spid, cursor

    def read_options(self) -> None:
        """Takes over what ALTER DATABASE set."""
        with self._lock:
            ((self.allows_snapshots, self.reads_versions),) = self._root.execute(
                "select snapshot_isolation, read_committed_snapshot from standin.options"
            ).fetchall()

    def last_rowversion(self) -> int:
        """`@@dbts`: the last rowversion given out, committed or not."""
        with self._lock:
            return self._last_rowversion()

    def _last_rowversion(self) -> int:
        found = self._root.execute(
            "select last_value from duckdb_sequences() where schema_name = 'standin' and sequence_name = 'rowversions'"
        )
        ((value,),) = found.fetchall()
        return FIRST_ROWVERSION - 1 if value is None else value

    def version_writer_begins(self, spid: int) -> None:
        """A session is about to write rowversions; until it ends, `min_active_rowversion()` stays below them."""
        with self._lock:
            self._active_versions.setdefault(spid, self._last_rowversion() + 1)

    def version_writer_ends(self, spid: int) -> None:
        """The session's transaction is over."""
        with self._lock:
            self._active_versions.pop(spid, None)

    def min_active_rowversion(self) -> int:
        """The lowest rowversion that an open transaction may have written, else the next one."""
        with self._lock:
            return min(self._active_versions.values(), default=self._last_rowversion() + 1)

    def become(self, **marks: object) -> None:
        """Set what `sys.databases` and `sys.database_recovery_status` tell of this database, as a restore or failover does.

        Args:
            marks: By column: `recovery_fork_guid`, `database_guid`, `service_broker_guid`, `group_database_id`, `created`; `is_visible`
                is whether the login may see the recovery status; `server_name` is what the server calls itself.
        """
        self.server_name = str(marks.pop("server_name", self.server_name))
        with self._lock:
            for column, value in marks.items():
                self._root.execute(f'update standin.identity set "{column}" = ?', [value])

    def restrict(
        self,
        *,
        table: str | None = None,
        column: str | None = None,
        masked: bool = False,
        encryption_type: int | None = None,
        policy: str | None = None,
        denied: Sequence[str] | None = None,
    ) -> None:
        """Take something from the view of the login. Values stay as they are: it is the catalogue that tells.

        Args:
            table: `schema.table` that `column` or `policy` belongs to.
            column: Its column that is masked or encrypted.
            masked: Whether it is masked for who lacks UNMASK.
            encryption_type: 1 (deterministic) or 2 (randomized), where it is encrypted.
            policy: A security policy that filters the table's rows.
            denied: The rights that the login lacks from now on; INDEXES is what it takes to see sys.indexes.
        """
        with self._lock:
            if denied is not None:
                self._root.execute("delete from standin.denied")
                for right in denied:
                    self._root.execute("insert into standin.denied values (?)", [right])
            if table is None:
                return
            schema, name = table.split(".")
            found = self._root.execute(
                """select t.object_id, (select c.column_id from standin.columns c where c.object_id = t.object_id and c.name = ?)
                from standin.tables t join standin.schemas s using (schema_id) where s.name = ? and t.name = ?""",
                [column or "", schema, name],
            )
            ((object_id, column_id),) = found.fetchall()
            if column is not None:
                self._root.execute(
                    "insert into standin.concealed values (?, ?, ?, ?)",
                    [object_id, column_id, masked, encryption_type],
                )
            if policy is not None:
                self._root.execute(
                    "insert into standin.policies values (?, ?)", [policy, object_id]
                )

    def close(self) -> None:
        """Closes DuckDB."""
        self.capture.close()
        self._root.close()
