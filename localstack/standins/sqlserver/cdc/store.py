"""What a database keeps for Change Data Capture, and the job that reads the log into the change tables.

A commit puts its changes into `standin.cdc_log` and a table of the log for each instance; nobody can read them there. The capture job moves
them into `cdc.<instance>_CT` and writes their commit into `cdc.lsn_time_mapping`. It runs in a thread of its own, whenever there is something
to scan and nobody stopped it (`sys.sp_cdc_stop_job`), so that a reader who asks at once after a commit may find nothing yet, as with the
real one.
"""

import threading
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb

from standins.sqlserver.cdc import lsns
from standins.sqlserver.typed import identifier

TABLES = """
create table if not exists standin.cdc_databases (enabled timestamp);
create table if not exists standin.cdc_change_tables (
    object_id integer, version integer, source_object_id integer, capture_instance varchar collate nocase, start_lsn blob, end_lsn blob,
    supports_net_changes boolean, has_drop_pending boolean, role_name varchar, index_name varchar, filegroup_name varchar,
    create_date timestamp, partition_switch boolean);
create table if not exists standin.cdc_captured_columns (
    object_id integer, column_name varchar, column_id integer, column_type varchar, column_ordinal integer, is_computed boolean);
create table if not exists standin.cdc_index_columns (object_id integer, column_name varchar, index_ordinal tinyint, column_id integer);
create table if not exists standin.cdc_lsn_time_mapping (start_lsn blob, tran_begin_time timestamp, tran_end_time timestamp, tran_id blob);
create table if not exists standin.cdc_log (lsn blob, began timestamp, ended timestamp);
"""
VIEWS: dict[str, tuple[str, str | None]] = {
    "cdc.change_tables": (
        "object_id int, version int, source_object_id int, capture_instance sysname, start_lsn lsn, end_lsn lsn, supports_net_changes bit, "
        "has_drop_pending bit, role_name sysname, index_name sysname, filegroup_name sysname, create_date datetime, partition_switch bit",
        "from standin.cdc_change_tables",
    ),
    "cdc.captured_columns": (
        "object_id int, column_name sysname, column_id int, column_type sysname, column_ordinal int, is_computed bit, masking_function variant",
        "select *, null from standin.cdc_captured_columns",
    ),
    "cdc.index_columns": (
        "object_id int, column_name sysname, index_ordinal tinyint, column_id int",
        "from standin.cdc_index_columns",
    ),
    "cdc.lsn_time_mapping": (
        "start_lsn lsn, tran_begin_time datetime, tran_end_time datetime, tran_id transaction, tran_begin_lsn lsn",
        "select *, start_lsn from standin.cdc_lsn_time_mapping",
    ),
}
"""What `system_views` shows of it, once the database is on: columns and the query behind them."""
_AGAIN_SECONDS = 0.02
_NO_TRANSACTION = bytes(10)
"""https://learn.microsoft.com/sql/relational-databases/system-tables/cdc-lsn-time-mapping-transact-sql"""


@dataclass(frozen=True, slots=True)
class CapturedColumn:
    """A column of the source that an instance captures.

    Args:
        name: its name when the instance was made.
        column_id: its id in the source; another column of that name is another column.
        type_name: the type's name without length.
        is_large: whether it is of a (max) type.
        computed: whether it is computed, and so always null in the change table.
    """

    name: str
    column_id: int
    type_name: str
    is_large: bool
    computed: bool


@dataclass(frozen=True, slots=True)
class CaptureInstance:
    """One capture of one table's changes.

    Args:
        name: its name, unique in the database.
        object_id: the change table's id.
        source: the source table's id.
        columns: what it captures, in the order of their bits in `__$update_mask`.
        start_lsn: the lowest number that can be asked for.
        role: the role that gates it.
        net_index: the key by which net changes are counted.
    """

    name: str
    object_id: int
    source: int
    columns: tuple[CapturedColumn, ...]
    start_lsn: bytes
    role: str | None
    net_index: str | None

    @property
    def table(self) -> str:
        """The change table, as DuckDB text."""
        return f'"cdc".{identifier(self.name + "_CT")}'

    @property
    def log(self) -> str:
        """Where its changes wait for the capture job, as DuckDB text."""
        return f"standin.cdc_log_{self.object_id}"


def now() -> datetime:
    """The server's time, as datetime has it, in steps of a 300th of a second; the stand-in's server is in UTC."""
    moment = datetime.now(UTC).replace(tzinfo=None)
    ticks = moment.microsecond * 300 // 1_000_000
    return moment.replace(microsecond=round(ticks * 1_000_000 / 300))


class ChangeDataCapture:
    """The capture of one database; shared by its sessions.

    Args:
        root: the connection that nobody's session uses.
    """

    def __init__(self, root: duckdb.DuckDBPyConnection) -> None:
        self._root = root
        self._scanning = threading.Lock()
        self._counting = threading.Lock()
        self._due = threading.Event()
        self._closing = False
        self._closed = threading.Event()
        self._job: threading.Thread | None = None
        self.is_running = True
        self.instances: dict[int, tuple[CaptureInstance, ...]] = {}
        self.max_lsn: bytes | None = None
        self._last = 0
        self.read()
        if self.instances:
            self.start_job()

    # -- state
    def read(self) -> None:
        """Takes over what is committed: instances, the highest number scanned, the last one given out."""
        with self._root.cursor() as connection:
            self.is_enabled = bool(connection.execute("from standin.cdc_databases").fetchall())
            self.max_lsn, last = connection.execute(
                """select max(start_lsn), greatest(max(start_lsn), (select max(lsn) from standin.cdc_log),
                (select max(start_lsn) from standin.cdc_change_tables)) from standin.cdc_lsn_time_mapping"""
            ).fetchall()[0]
            instances: dict[int, list[CaptureInstance]] = {}
            for name, object_id, source, start_lsn, role, net, index in connection.execute(
                """select capture_instance, object_id, source_object_id, start_lsn, role_name, supports_net_changes, index_name
                from standin.cdc_change_tables order by object_id"""
            ).fetchall():
                columns = tuple(
                    CapturedColumn(*row)
                    for row in connection.execute(
                        """select p.column_name, p.column_id, p.column_type, coalesce(c.length = -1, false), p.is_computed
                        from standin.cdc_captured_columns p left join standin.columns c on c.object_id = p.object_id
                        and c.name = p.column_name where p.object_id = ? order by p.column_ordinal""",
                        [object_id],
                    ).fetchall()
                )
                instances.setdefault(source, []).append(
                    CaptureInstance(
                        name, object_id, source, columns, start_lsn, role, index if net else None
                    )
                )
        with self._counting:
            if last is not None:
                self._last = max(self._last, lsns.number_of(last))
        self.instances = {source: tuple(captured) for source, captured in instances.items()}

    def instance(self, name: str) -> CaptureInstance | None:
        """The instance of that name, in any case."""
        folded = name.lower()
        captured = (instance for both in self.instances.values() for instance in both)
        return next((instance for instance in captured if instance.name.lower() == folded), None)

    def next_lsn(self) -> bytes:
        """The number of the next record of a commit in the log."""
        with self._counting:
            self._last += 1
            return lsns.of_commit(self._last)

    # -- the capture job
    def committed(self) -> None:
        """There is something to scan."""
        self._due.set()

    def start_job(self) -> None:
        """`sys.sp_cdc_start_job`, and what the first instance of a database does."""
        self.is_running = True
        if self._job is None:
            self._job = threading.Thread(target=self._run, name="cdc capture", daemon=True)
            self._job.start()
        self._due.set()

    def stop_job(self) -> None:
        """`sys.sp_cdc_stop_job`: from now on nothing is captured, as with an Agent that does not run; a scan that began ends first."""
        with self._scanning:
            self.is_running = False

    def _run(self) -> None:
        while True:
            self._due.wait()
            self._due.clear()
            if self._closing:
                return
            with self._scanning:
                if not self.is_running or self._closing:
                    continue
                try:
                    self._scan()
                except duckdb.Error:
                    # Somebody alters or drops a captured table just now.
                    self._closed.wait(_AGAIN_SECONDS)
                    self._due.set()

    def scan(self) -> None:
        """`sys.sp_cdc_scan`: reads the log to its end, once; where that has nothing new, writes down that it got there.

        The real job does the last only after minutes in which nothing changed.
        """
        with self._scanning:
            self._scan(is_quiet=True)

    def _scan(self, *, is_quiet: bool = False) -> None:
        with self._root.cursor() as connection:
            connection.execute("begin transaction")
            commits = connection.execute("select max(lsn) from standin.cdc_log").fetchall()
            reached: bytes | None = commits[0][0]
            if reached is not None:
                for both in self.instances.values():
                    for instance in both:
                        connection.execute(
                            f"insert into {instance.table} from {instance.log}; delete from {instance.log}"
                        )
                connection.execute(
                    "insert into standin.cdc_lsn_time_mapping select lsn, began, ended, lsn from standin.cdc_log; delete from standin.cdc_log"
                )
            elif is_quiet and self.is_enabled:
                reached, moment = self.next_lsn(), now()
                connection.execute(
                    "insert into standin.cdc_lsn_time_mapping values (?, ?, ?, ?)",
                    [reached, moment, moment, _NO_TRANSACTION],
                )
            connection.execute("commit")
        if reached is not None:
            self.max_lsn = reached

    def scanning(self) -> threading.Lock:
        """Held by who changes instances or their ends, so that no scan is under way meanwhile."""
        return self._scanning

    def close(self) -> None:
        """Ends the job."""
        self._closing = True
        self._closed.set()
        self._due.set()
        if self._job is not None:
            self._job.join()
