"""Which moment a read sees: one, where the database keeps row versions; said in the log where not."""

from enum import StrEnum

from tranship.sqlserver import catalogue_queries as queries
from tranship.sqlserver.statements import rows
from tranship.sqlserver.stopping import DriverConnection, stoppable_cursor
from tranship.tables import TableName

_ON = 1
"""Value of `snapshot_isolation_state`; 0 is off, 2 and 3 are on their way to the other."""


class Consistency(StrEnum):
    """What a SELECT sees while others write."""

    SNAPSHOT = "snapshot isolation"
    """One moment."""
    COMMITTED_SNAPSHOT = "read committed snapshot"
    """One moment, which is how the database is set for everybody."""
    COMMITTED = "read committed"
    """Committed rows as they come: one that changes meanwhile may be missed or come twice."""

    def note(self, table: TableName, parts: int) -> str | None:
        """What a user should know of a read of a table, in so many parts; `None` where all is well.

        Example:
            >>> Consistency.SNAPSHOT.note(TableName("dbo", "Fact"), parts=1) is None
            True
        """
        if self is Consistency.COMMITTED:
            return (
                f"{table} is read under read committed: rows that change meanwhile may be missed or "
                "come twice. To read one moment: alter database current set allow_snapshot_isolation on"
            )
        if parts > 1:
            return (
                f"{table} is read under {self} in {parts} parts: each part sees one moment, "
                "but they start one after another. To read one moment, set parts to 1."
            )
        return None


def begin_consistent_read(connection: DriverConnection) -> Consistency:
    """Make the connection's next SELECT see one moment, where the database keeps row versions.

    A statement sees one moment under snapshot isolation, and under read committed where
    READ_COMMITTED_SNAPSHOT is on. A snapshot cannot be shared between connections.
    https://learn.microsoft.com/sql/t-sql/statements/set-transaction-isolation-level-transact-sql

    Args:
        connection: A connection in which each statement is its own transaction.
    """
    allowed, versioned = _row_versions(connection)
    if versioned:
        return Consistency.COMMITTED_SNAPSHOT
    if not allowed:
        return Consistency.COMMITTED
    with stoppable_cursor(connection) as cursor:
        cursor.execute("set transaction isolation level snapshot")
    return Consistency.SNAPSHOT


def begin_consistent_transaction(connection: DriverConnection) -> Consistency:
    """Begin a transaction all of whose SELECTs see one moment, where the database allows that.

    READ_COMMITTED_SNAPSHOT, which is enough for one SELECT, gives each of them a moment of its own; no transaction is begun
    then.

    Args:
        connection: A connection in which each statement is its own transaction; what was begun ends with it.
    """
    allowed, versioned = _row_versions(connection)
    if not allowed:
        return Consistency.COMMITTED_SNAPSHOT if versioned else Consistency.COMMITTED
    with stoppable_cursor(connection) as cursor:
        cursor.execute("set transaction isolation level snapshot")
        cursor.execute("begin transaction")
    return Consistency.SNAPSHOT


def _row_versions(connection: DriverConnection) -> tuple[bool, bool]:
    """Whether a transaction may see one moment, and whether each statement does so by itself."""
    state = rows(connection, queries.SNAPSHOT_STATE)
    allowed, versioned = state[0] if state else (0, 0)
    return allowed == _ON, bool(versioned)
