"""The one transaction that puts staged rows into a table, repeated as a whole while it fails for passing reasons.

Writers of a table queue on its journal, a small table beside it that the transaction locks before anything
else. Redshift takes a transaction's snapshot at its first query, which LOCK is not
(https://docs.aws.amazon.com/redshift/latest/dg/c_serial_isolation.html): a writer that waited sees what the one
before it committed. So two writers of one partition never mix their rows, under either isolation level,
1023 is rare, and readers never wait. The journal's row is also how the outcome is known when the answer to a
COMMIT is lost: it is there exactly if the transaction was committed, and the lock is free only once that
transaction is over.

A connection that breaks in the middle of the transaction leaves a session that Redshift may keep, with its
locks, until it notices: hours later, where a NAT gateway dropped it silently. The next attempt ends that session first.
https://docs.aws.amazon.com/redshift/latest/dg/PG_TERMINATE_BACKEND.html
"""

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg2
from psycopg2 import sql

from tranship.errors import TranshipError, WriteFailedError
from tranship.pgsql.driver import SqlConnection, SqlCursor, column_list, one_row, qualified
from tranship.redshift import load_errors
from tranship.redshift.connection import connected
from tranship.redshift.credentials import CredentialsSource
from tranship.redshift.ddl import create_temporary
from tranship.redshift.faults import message_of, translate
from tranship.redshift.merge import (
    check_declared_key,
    mark_absent,
    merge_staged,
    staged_values,
)
from tranship.redshift.plan import LoadPlan, exchange_refused
from tranship.redshift.settings import RedshiftSettings
from tranship.redshift.staging import Staged
from tranship.retry import retry_transient
from tranship.slices import WholeTable
from tranship.tables import TableName, TableSchema
from tranship.writes import Extra, WriteMode, WriteRequest

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Session:
    """A session of Redshift: its process, and when it started, as process numbers come again."""

    process: int
    started: datetime


@dataclass(frozen=True, slots=True)
class Committed:
    """A transaction that was committed.

    Args:
        attempts: How often it was run.
        query_id: Redshift's id of the COPY; `None` where nothing was copied or the answer was lost.
        confirmed_later: Whether the answer to COMMIT was lost and the journal told the outcome.
        rows_marked: Rows that were marked because their key did not come; `None` where none are marked, or the answer was lost.
    """

    attempts: int
    query_id: int | None = None
    confirmed_later: bool = False
    rows_marked: int | None = None


@dataclass(slots=True)
class Transaction:
    """Staged rows on their way into one table.

    Args:
        settings: The cluster.
        source: Credentials for each connection.
        request: Mode, slice and key.
        plan: The columns; the table is there and has them.
        schema: The incoming columns, for the slice.
        staged: The files.
        prefix_url: Address that the files of this write start with.
        journal: The journal's name; `None` where writers queue on the table itself.
        write_id: What identifies this write in the journal.
        log: Where waiting and repetitions are told.
        extra: Statements to commit together with the rows.
    """

    settings: RedshiftSettings
    source: CredentialsSource
    request: WriteRequest
    plan: LoadPlan
    schema: TableSchema
    staged: Staged
    prefix_url: str
    journal: TableName | None
    write_id: str
    log: logging.Logger
    extra: Extra | None = None
    _attempts: int = field(init=False, default=0)
    _previous: Session | None = field(init=False, default=None)
    _copying: bool = field(init=False, default=False)
    _marked: int | None = field(init=False, default=None)

    def run(self) -> Committed:
        """Commit the rows.

        Raises:
            TransientError: The last passing fault, after the last attempt.
            WriteFailedError: Redshift refused the rows, or an append's outcome cannot be known.
        """
        return retry_transient(
            self._once,
            what=f"the {self.request}",
            attempts=self.settings.attempts,
            first_pause_seconds=FIRST_PAUSE_SECONDS,
            longest_pause_seconds=LONGEST_PAUSE_SECONDS,
            log=self.log,
            is_cheap=True,  # the rows are staged, and stay so
        )

    def _once(self) -> Committed:
        self._attempts += 1
        with connected(self.settings, self.source) as connection:
            try:
                with connection.cursor() as cursor:
                    if self._previous is not None:
                        end_session(cursor, self._previous, self.log)
                    self._previous = current_session(cursor, self.log)
                # The first statement from here on is preceded by BEGIN.
                connection.autocommit = False
                with connection.cursor() as cursor:
                    if self._was_committed(cursor):
                        return Committed(self._attempts, confirmed_later=True)
                    query_id = self._write(cursor)
            except psycopg2.Error as error:
                raise self._explained(error, connection) from None
            self._commit(connection)
        return Committed(self._attempts, query_id, rows_marked=self._marked)

    def _was_committed(self, cursor: SqlCursor) -> bool:
        """Take the lock; then look whether an earlier attempt was committed after all."""
        queue = self.journal or self.plan.table
        self.log.debug("Waiting for other writers of %s.", self.plan.table)
        cursor.execute(sql.SQL("lock table {}").format(qualified(queue)))
        if self.journal is None or self._attempts == 1:
            return False
        # Composed, not bound: with values of its own the driver takes a percent sign in the name for a placeholder.
        cursor.execute(
            sql.SQL("select count(*) from {} where write_id = {}").format(
                qualified(self.journal), sql.Literal(self.write_id)
            )
        )
        return one_row(cursor)[0] > 0

    def _write(self, cursor: SqlCursor) -> int | None:
        alters = bool(self.plan.exchanges or self.plan.dropped)
        # A column is exchanged right before the rows go in: its lock, unlike that of a COPY, keeps readers out.
        checks_key = self.request.declared is not None and self.request.declared.may_be_double
        merges = self.request.mode is WriteMode.MERGE
        through_temporary = self.plan.converts or alters or checks_key or merges
        query_id = None
        if through_temporary and self.staged.manifest:
            temporary = sql.Identifier(f"tranship_{self.write_id}")
            cursor.execute(create_temporary(f"tranship_{self.write_id}", self.plan))
            query_id = self._copy(cursor, temporary)
            if self.request.mode is WriteMode.MERGE:
                self._alter(cursor)
                merge_staged(cursor, self.request, self.plan, self.schema, temporary)
                self._mark_absent(cursor, temporary)
            else:
                if checks_key:
                    check_declared_key(cursor, self.request, self.plan, self.schema, temporary)
                self._delete(cursor)
                self._alter(cursor)
                self._insert(cursor, temporary)
        else:
            self._delete(cursor)
            self._alter(cursor)
            if merges:
                self._mark_absent(cursor, None)
            elif self.staged.manifest:
                query_id = self._copy(cursor, qualified(self.plan.table))
        if self.extra is not None:
            self.extra(cursor)
        self._record(cursor)
        return query_id

    def _mark_absent(self, cursor: SqlCursor, temporary: sql.Identifier | None) -> None:
        if self.request.marks_absent is not None:
            marked = mark_absent(cursor, self.request, self.plan, self.schema, temporary)
            self._marked = marked

    def _alter(self, cursor: SqlCursor) -> None:
        """Exchange and drop columns, so that the table takes the rows."""
        statements = [
            statement
            for number, exchange in enumerate(self.plan.exchanges)
            for statement in exchange.statements(
                self.plan.table, f"tranship_{self.write_id[:16]}_{number}"
            )
        ]
        statements += [
            sql.SQL("alter table {} drop column {}").format(
                qualified(self.plan.table), sql.Identifier(name)
            )
            for name in self.plan.dropped
        ]
        try:
            for statement in statements:
                cursor.execute(statement)
        except psycopg2.Error as error:
            if (refused := exchange_refused(error, self.plan.table)) is not None:
                raise refused from None
            raise

    def _delete(self, cursor: SqlCursor) -> None:
        if self.request.mode is WriteMode.REPLACE:
            if isinstance(self.request.slice, WholeTable):
                cursor.execute(sql.SQL("delete from {}").format(qualified(self.plan.table)))
                return
            # SQLAlchemy takes longer to import than a small table to load; only conditions need it.
            from tranship.redshift.statements import delete_slice

            target = self.plan.target_schema(self.schema)
            cursor.execute(*delete_slice(self.plan.table, self.request.slice, target))

    def _copy(self, cursor: SqlCursor, into: sql.Composable) -> int:
        role = self.settings.s3_iam_role
        self._copying = True
        cursor.execute(
            sql.SQL("copy {} ({}) from {} iam_role {} format as parquet manifest{}").format(
                into,
                column_list(self.plan.names),
                sql.Literal(self.staged.manifest),
                sql.SQL("default") if role.lower() == "default" else sql.Literal(role),
                sql.SQL(" serializetojson" if self.plan.serializes else ""),
            )
        )
        self._copying = False
        cursor.execute("select pg_last_copy_count(), pg_last_copy_id()")
        loaded, query_id = one_row(cursor)
        if loaded != self.staged.rows:
            raise WriteFailedError(
                f"The {self.request} was rolled back: {self.staged.rows:,} rows were staged, and COPY "
                f"loaded {loaded:,}.",
                "Look at the load in sys_load_history; the old rows are untouched.",
                details={"copy_query_id": query_id},
            )
        return query_id

    def _insert(self, cursor: SqlCursor, temporary: sql.Composable) -> None:
        cursor.execute(
            sql.SQL("insert into {} ({}) select {} from {}").format(
                qualified(self.plan.table),
                column_list(self.plan.names),
                sql.SQL(", ").join(staged_values(self.plan)),
                temporary,
            )
        )

    def _record(self, cursor: SqlCursor) -> None:
        if self.journal is None:
            return
        values = (
            self.write_id,
            datetime.now(UTC).replace(tzinfo=None),
            str(self.request.mode),
            str(self.request.slice)[:250],
            self.staged.rows,
        )
        cursor.execute(
            sql.SQL(
                "insert into {} (write_id, written_at, mode, part, row_count) values ({})"
            ).format(qualified(self.journal), sql.SQL(", ").join(map(sql.Literal, values)))
        )

    def _commit(self, connection: SqlConnection) -> None:
        try:
            connection.commit()
        except psycopg2.Error as error:
            explained = translate(
                error, self.settings, f"commit of the {self.request}", lost=bool(connection.closed)
            )
            if not connection.closed or self.journal is not None:
                raise explained from None
            if self.request.mode is not WriteMode.APPEND:
                raise explained from None  # the same rows again make the same table
            raise WriteFailedError(
                f"The connection was lost during the commit of the {self.request}, so nobody knows "
                "whether it was committed.",
                f"Look whether the rows are in {self.plan.table} before running this again. With "
                "write_lock: journal the outcome is checked.",
            ) from None

    def _explained(self, error: psycopg2.Error, connection: SqlConnection) -> TranshipError:
        doing = str(self.request)
        explained = translate(
            error,
            self.settings,
            doing,
            lost=bool(connection.closed),
            schema=self.plan.table.schema,
        )
        if explained.transient or not self._copying or connection.closed:
            return explained
        self._copying = False
        connection.rollback()
        connection.autocommit = True
        with connection.cursor() as cursor:
            reason = load_errors.from_views(cursor, self.prefix_url, self.log)
        if reason is None and type(explained) is WriteFailedError:
            # Only where the words mean nothing more particular: no right to the bucket, no such table.
            reason = load_errors.from_text(error)
        if reason is None:
            return explained
        self.log.debug("Redshift said: %s", message_of(error, self.settings))
        sources = {column.name: column.source for column in self.plan.columns}
        return load_errors.as_error(reason, doing, sources)


def current_session(cursor: SqlCursor, log: logging.Logger) -> Session | None:
    """The session of a connection in autocommit mode; `None` where Redshift does not show it."""
    cursor.execute("select pg_backend_pid()")
    (process,) = one_row(cursor)
    started = _started(cursor, process, log)
    return Session(process, started) if started is not None else None


def end_session(cursor: SqlCursor, session: Session, log: logging.Logger) -> bool:
    """End a session if it is still there.

    Args:
        cursor: A cursor of another connection of the same user, in autocommit mode.
        session: The session.
        log: Where this is told.

    Returns:
        Whether it was still there.
    """
    if _started(cursor, session.process, log) != session.started:
        return False
    log.info("Ending session %d, whose connection was lost.", session.process)
    cursor.execute("select pg_terminate_backend(%s)", (session.process,))
    return True


def _started(cursor: SqlCursor, process: int, log: logging.Logger) -> datetime | None:
    try:
        cursor.execute("select starttime from stv_sessions where process = %s", (process,))
        row = cursor.fetchone()
    except psycopg2.ProgrammingError as error:
        # Not on every kind of Redshift, and not to every user.
        log.debug("stv_sessions cannot be read: %s", str(error).strip())
        return None
    return row[0] if row is not None else None
