"""The locks of one statement: on definitions while it is translated and runs, and on the rows that it reads."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from standins.sqlserver.locks import seeks
from standins.sqlserver.locks.reads import Access, Isolation, passed_rows, resource, waits
from standins.sqlserver.locks.row_keys import LOCKED_KEYS, RowKey, key_text, keys_of
from standins.sqlserver.locks.table_locks import CATALOGUE, ESCALATES_AT, Shared
from standins.sqlserver.typed import identifier

if TYPE_CHECKING:
    import duckdb

    from standins.sqlserver.expressions import Environment
    from standins.sqlserver.state import SessionState

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class _Impatient:
    """A session that does not wait (NOWAIT)."""

    session: "SessionState"
    lock_timeout: int = 0

    @property
    def spid(self) -> int:
        return self.session.spid

    @property
    def deadlock_priority(self) -> int:
        return self.session.deadlock_priority

    def stop_if_cancelled(self) -> None:
        self.session.stop_if_cancelled()


class StatementLocks:
    """Takes and waits for the locks of a session's statements."""

    def __init__(self, session: "SessionState", connection: "duckdb.DuckDBPyConnection") -> None:
        self._session = session
        self._connection = connection

    def translated(self, translate: Callable[[], Made], environment: "Environment") -> Made:
        """Translate a statement, once nobody changes the definitions of its tables.

        Args:
            translate: Does so; again where a definition changed meanwhile.
            environment: What it refers to; holds its tables afterwards.

        Raises:
            SqlError: 1222, 1205, and whatever `translate` raises.
        """
        session = self._session
        session.transactions.freshen()
        while True:
            definitions = session.locks.definitions
            environment.accesses.clear()
            environment.bound.clear()
            made = translate()
            tables = {number for read in environment.accesses if (number := resource(read.table))}
            waited = session.locks.use(session, tables)
            if not waited and session.locks.definitions == definitions:
                return made
            environment.catalogue.forget()
            session.transactions.freshen()

    def wait_for_rows(self, environment: "Environment") -> None:
        """Wait until the statement meets no row that another has changed and not committed.

        Raises:
            SqlError: 1222 when it waited for as long as the session wants to, 1205 when it is the victim of a deadlock.
        """
        waited = False
        for read in environment.accesses:
            number, level = resource(read.table), waits(read, self._session)
            if number is None or level is None:
                continue
            waited |= self._wait(read, number, level, environment)
        if waited:
            self._session.transactions.freshen()

    def _wait(
        self, read: Access, number: int, level: Isolation, environment: "Environment"
    ) -> bool:
        session, locks = self._session, self._session.locks
        waiting = _Impatient(session) if "NOWAIT" in read.hints else session
        if "READPAST" in read.hints and number == CATALOGUE:
            # Who reads the system's own tables so passes over what is being defined.
            return False
        if "READPAST" in read.hints:
            # Rows are passed, a locked table is not.
            waited = locks.read(waiting, number, lambda _: False)
            keys = [list(key) for key in locks.of_others(session.spid, number)]
            listed = pa.table({"k": pa.array(keys, pa.list_(pa.string()))})
            self._connection.register(passed_rows(read.table), listed)
            return waited
        waited = locks.read(waiting, number, lambda rows: self.meets(read, rows, environment))
        updating = "UPDLOCK" in read.hints
        if number != CATALOGUE and (updating or level != Isolation.READ_COMMITTED):
            if waited:
                session.transactions.freshen()
            rows = None
            inserts = level == Isolation.SERIALIZABLE
            if read.seek and not inserts:
                rows = self._read_rows(read, environment)
            locks.share(waiting, number, Shared(rows, inserts, updating))
        return waited

    def _read_rows(self, read: Access, environment: "Environment") -> frozenset[RowKey] | None:
        """The keys of the rows that are there; None where they are so many that the whole table is locked."""
        assert read.source is not None
        text = f"select {key_text(read.table)} as {LOCKED_KEYS} from {read.table.sql} as {identifier(read.source.alias)} where {read.seek}"
        found = self._connection.sql(text, params=environment.used(text) or None).to_arrow_table()
        keys = keys_of(found[LOCKED_KEYS])
        return frozenset(keys) if len(keys) < ESCALATES_AT else None

    def meets(self, read: Access, rows: set[RowKey], environment: "Environment") -> bool:
        """Whether the statement meets one of these rows where it reads a table."""
        return seeks.meets(read, rows, self._connection, environment.used(read.seek))

    def end(self) -> None:
        """The statement is over."""
        session = self._session
        if session.transactions.depth:
            session.locks.end_statement(session.spid)
        else:
            session.locks.release(session.spid)
