"""What T-SQL can ask about its session: user, database, counters, transaction."""

import threading
from dataclasses import dataclass, field

from standins.sqlserver.database import Database
from standins.sqlserver.errors import SqlError
from standins.sqlserver.locks.reads import Isolation
from standins.sqlserver.locks.table_locks import TableLocks
from standins.sqlserver.results import Cancelled
from standins.sqlserver.tracking.recording import Recorder
from standins.sqlserver.transactions import Transactions


@dataclass(slots=True)
class SessionState:
    """What T-SQL can ask about the session."""

    store: Database
    spid: int
    user: str
    database: str
    host: str = ""
    application: str = ""
    row_count: int = 0
    last_error: int = 0
    last_identity: int | None = None
    identity_insert: int | None = None
    lock_timeout: int = -1
    deadlock_priority: int = 0
    cancelled: threading.Event = field(default_factory=threading.Event)
    transactions: Transactions = field(init=False)

    @property
    def home_database(self) -> str:
        """The database that holds the tables."""
        return self.store.name

    @property
    def recorder(self) -> Recorder:
        """What the open transaction changed in tracked tables."""
        return self.transactions.recorder

    @property
    def locks(self) -> TableLocks:
        """The locks on tables of all sessions."""
        return self.store.locks

    def stop_if_cancelled(self) -> None:
        """Called while the session waits.

        Raises:
            Cancelled: the client sent ATTENTION or went away.
        """
        if self.cancelled.is_set():
            raise Cancelled

    def check_snapshot(self, table: str) -> None:
        """Called for each table that a statement reads or changes, by schema and name.

        Raises:
            SqlError: 3952 or 3961, under SNAPSHOT.
        """
        if self.transactions.isolation != Isolation.SNAPSHOT:
            return
        if not self.store.allows_snapshots:
            raise SqlError(
                3952,
                f"Snapshot isolation transaction failed accessing database '{self.home_database}' because snapshot isolation is not allowed in this "
                "database. Use ALTER DATABASE to allow snapshot isolation.",
            )
        clock = self.transactions.snapshot_clock
        if clock is not None and self.store.altered.since(table, clock):
            raise SqlError(
                3961,
                f"Snapshot isolation transaction failed in database '{self.home_database}' because the object accessed by the statement has been "
                "modified by a DDL statement in another concurrent transaction since the start of this transaction.  It is disallowed because the "
                "metadata is not versioned. A concurrent update to metadata can lead to inconsistency if mixed with snapshot isolation.",
            )

    @property
    def transaction_depth(self) -> int:
        """`@@trancount`."""
        return self.transactions.depth

    @property
    def transaction_state(self) -> int:
        """`xact_state()`."""
        return self.transactions.state

    def min_active_rowversion(self) -> int:
        """`min_active_rowversion()` as a number."""
        return self.store.min_active_rowversion()

    def last_rowversion(self) -> int:
        """`@@dbts` as a number."""
        return self.store.last_rowversion()
