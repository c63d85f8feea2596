"""One client's session: runs batches statement by statement and gives the bytes of the answer, piece by piece."""

from collections.abc import Iterator

import duckdb
import pyarrow as pa

from standins.sqlserver import bulk, failures, numbering, settings, tokens
from standins.sqlserver.batch import If, Statement, split
from standins.sqlserver.catalogue import Catalogue
from standins.sqlserver.cdc.recording import CaptureRecorder
from standins.sqlserver.changes import Changes
from standins.sqlserver.database import Database
from standins.sqlserver.dialect import parse
from standins.sqlserver.encoding import encode_rows
from standins.sqlserver.errors import SqlError, syntax_error
from standins.sqlserver.execution import Execution
from standins.sqlserver.expressions import Environment, Scope
from standins.sqlserver.locks.reads import Isolation
from standins.sqlserver.results import Done, result_columns
from standins.sqlserver.state import SessionState
from standins.sqlserver.table_text import TokenReader
from standins.sqlserver.tracking import definitions as tracking_definitions
from standins.sqlserver.tracking import permissions
from standins.sqlserver.tracking.context import check_context, has_context, split_context
from standins.sqlserver.tracking.recording import Recorder
from standins.sqlserver.transactions import Transactions
from standins.sqlserver.type_info import ResultColumn, Value
from standins.sqlserver.types import SqlType

CONTINUES_AFTER = {220, 512, 515, 547, 1222, 2627, 2628, 8115, 8134, 8152}
"""Errors that end their statement only; the rest of the batch still runs, as in SQL Server."""


class Session:
    """Runs T-SQL for one connection; used from one thread at a time, except `cancel`."""

    def __init__(
        self, store: Database, user: str, database: str, host: str = "", application: str = ""
    ) -> None:
        spid, self.connection = store.connect()
        self.state = SessionState(store, spid, user, database, host, application)
        self._login_database = database
        self.transactions = Transactions(
            self.connection,
            Recorder(store.tracking, CaptureRecorder(store.capture)),
            store.altered,
            store.commits,
            spid,
        )
        self.state.transactions = self.transactions
        self.catalogue = Catalogue(self.connection)
        self._definitions_seen = store.definitions_changed
        self._cancelled = self.state.cancelled
        self.bulk: bulk.BulkInsert | None = None
        """What INSERT BULK announced; its rows come in a message of their own."""
        self._passed_over: SqlError | None = None
        """The last error that ended a statement and not the batch."""
        self._execution = Execution(self.connection, self.state, self._cancelled)

    # -- life
    def cancel(self) -> None:
        """Stops what runs; may be called from another thread."""
        self._cancelled.set()
        self.connection.interrupt()

    def accept_work(self) -> None:
        """Forgets an earlier cancellation."""
        self._cancelled.clear()

    def reset(self, *, keep_transaction: bool) -> None:
        """Makes the session as new, for the next user of a pooled connection."""
        if not keep_transaction:
            self.rollback()
        self.transactions.isolation = Isolation.READ_COMMITTED
        self.state.database, self.state.identity_insert = self._login_database, None
        self.bulk = None
        self.state.lock_timeout, self.state.deadlock_priority = -1, 0
        self.state.row_count, self.state.last_error, self.state.last_identity = 0, 0, None

    def close(self) -> None:
        """Rolls back and lets go of the database."""
        self.transactions.rollback()
        self.state.store.version_writer_ends(self.state.spid)
        self.state.locks.release(self.state.spid)
        self.connection.close()

    # -- batches
    def batch(
        self, sql: str, variables: dict[str, Value] | None = None, *, done: int = tokens.DONE
    ) -> Iterator[bytes]:
        """The answer to a batch: results, counts and errors. `done` is the kind of DONE token to use."""
        pending: bytes | None = None
        last: Done | None = None
        try:
            if (table := bulk.described_table(sql)) is not None:
                yield from bulk.description(self, table)
                return
            for piece in self._statements(split(sql), dict(variables or {}), done):
                if isinstance(piece, bytes):
                    if pending is not None:
                        yield pending
                        pending = None
                    yield piece
                else:
                    if pending is not None:
                        yield pending
                    pending = piece.token(more=True)
                    last = piece
            if pending is not None and last is not None:
                yield last.token(more=done == tokens.DONE_IN_PROC)
            elif done == tokens.DONE:
                yield tokens.done(done)
        except SqlError as failure:
            if pending is not None:
                yield pending
            self.state.last_error = failure.number
            yield tokens.error(failure) + self.lost_transaction()
            yield tokens.done(
                done, tokens.ERROR | (tokens.MORE if done == tokens.DONE_IN_PROC else 0)
            )

    def _statements(
        self, statements: list[Statement | If], variables: dict[str, Value], done: int
    ) -> Iterator["bytes | Done"]:
        for statement in statements:
            if isinstance(statement, If):
                chosen = (
                    statement.then
                    if self._holds(statement.condition, variables)
                    else statement.otherwise
                )
                yield from self._statements(chosen, variables, done)
                continue
            try:
                yield from self._statement(statement, variables, done)
                self.state.last_error = 0
            except SqlError as failure:
                if failure.number not in CONTINUES_AFTER or len(statements) == 1:
                    raise
                self.state.last_error = failure.number
                self._passed_over = failure
                yield tokens.error(failure)
                yield Done(done, failed=True)

    def bulk_rows(self, body: bytes) -> Iterator[bytes]:
        """The rows of a bulk load, behind INSERT BULK."""
        announced, self.bulk = self.bulk, None
        if announced is None:
            raise syntax_error("BULK")
        rows = self._execution.insert_bulk(announced, body, self.environment())
        self.state.row_count = rows
        yield tokens.done(rows=rows, command=0xF0)

    def first_failure(self, sql: str) -> SqlError | None:
        """Runs a batch, drops its results, and tells its first error."""
        try:
            for piece in self._statements(split(sql), {}, tokens.DONE):
                if isinstance(piece, Done) and piece.failed:
                    failure = self._passed_over
                    return failure and SqlError(
                        failure.number,
                        f"a statement of the batch failed with error {failure.number}: {failure.message}",
                        failure.severity,
                        failure.state,
                    )
        except SqlError as failure:
            return failure
        return None

    def _holds(self, condition: str, variables: dict[str, Value]) -> bool:
        return bool(self.scalar(f"case when {condition} then 1 else 0 end", variables))

    def scalar(
        self,
        expression: str,
        variables: dict[str, Value] | None = None,
        kind: SqlType | None = None,
    ) -> object:
        """The value of one T-SQL expression."""
        text = f"select cast({expression} as {kind})" if kind else f"select {expression}"
        environment = self.environment(variables or {})
        tree = parse(text)
        return self._execution.value(lambda known: Changes(known).query(tree), environment)

    def environment(self, variables: dict[str, Value] | None = None) -> Environment:
        """What a statement can refer to."""
        if self._definitions_seen != self.state.store.definitions_changed:
            self.catalogue.forget()
            self._definitions_seen = self.state.store.definitions_changed
        return Environment(self.catalogue, self.state, variables if variables is not None else {})

    def _statement(
        self, statement: Statement, variables: dict[str, Value], done: int
    ) -> Iterator["bytes | Done"]:
        environment = self.environment(variables)
        match statement.verb:
            case "INSERT" if statement.words()[1:2] == ["BULK"]:
                self.bulk = bulk.read_insert_bulk(statement, self.state, self.catalogue)
                yield Done(done)
            case "WITH" if has_context(statement):
                yield from self._with_context(statement, environment, done)
            case "SELECT" | "WITH" | "(" | "INSERT" | "UPDATE" | "DELETE" | "TRUNCATE" | "MERGE":
                yield from self._execution.data(parse(statement.text), environment, done)
            case "ALTER" if statement.words()[1:2] == ["DATABASE"]:
                tracking_definitions.alter_database(
                    TokenReader(statement.text, statement.tokens), self.state, self.connection
                )
                yield Done(done)
            case "GRANT" | "DENY" | "REVOKE":
                reader = TokenReader(statement.text, statement.tokens)
                self._execution.write(
                    lambda: permissions.change(reader, self.state, self.catalogue, self.connection)
                )
                yield Done(done)
            case "CREATE" | "ALTER" | "DROP":
                self.define(statement, environment)
                yield Done(done)
            case "DBCC":
                self._execution.write(lambda: numbering.check_identity(self, statement))
                yield Done(done)
            case "DECLARE":
                settings.declare(self, statement, variables)
            case "EXEC" | "EXECUTE":
                from standins.sqlserver import procedures

                yield from procedures.execute_text(self, statement, variables)
            case _:
                yield settings.run(self, statement, variables)
                yield Done(done)

    def define(self, statement: Statement, environment: Environment | None = None) -> None:
        """Runs a statement that creates, alters or drops."""
        self._execution.define(statement, environment or self.environment())
        if self.state.store.capture.instances:
            self.state.store.capture.read()

    def _with_context(
        self, statement: Statement, environment: Environment, done: int
    ) -> Iterator["bytes | Done"]:
        expression, change = split_context(statement)
        value = Changes(environment).value(parse(f"select {expression}").expressions[0], Scope())
        check_context(value.type)
        context = self.scalar(expression, environment.variables)
        self.state.recorder.context = context if isinstance(context, bytes) else None
        try:
            yield from self._execution.data(parse(change), environment, done)
        finally:
            self.state.recorder.context = None

    # -- transactions
    def commit(self) -> None:
        """COMMIT, with DuckDB's conflicts as SQL Server's errors."""
        try:
            self.transactions.commit()
        except duckdb.Error as failure:
            snapshot = self.transactions.began_as == Isolation.SNAPSHOT
            raise failures.translate(failure, self.state.database, None, snapshot) from failure
        finally:
            self._transaction_ended()

    def lost_transaction(self) -> bytes:
        """Tells the client, once, that an error ended its transaction; drivers keep count of it."""
        if not self.transactions.lost:
            return b""
        self.transactions.lost = False
        self._transaction_ended()
        return tokens.environment_bytes(
            tokens.TRANSACTION_ROLLED_BACK, b"", self.state.spid.to_bytes(8, "little")
        )

    def rollback(self) -> None:
        """ROLLBACK."""
        self.transactions.rollback()
        self._transaction_ended()

    def _transaction_ended(self) -> None:
        if not self.transactions.depth:
            self.state.store.version_writer_ends(self.state.spid)
            self.state.locks.release(self.state.spid)
            self.catalogue.forget()
            self.state.store.definitions_changed += 1

    def set_property(
        self, procedure: str, kind: int, major: int, minor: int, name: str, value: object
    ) -> None:
        """Writes one extended property (a comment is the one called MS_Description)."""
        key = [kind, major, minor, name]
        where = "class = ? and major_id = ? and minor_id = ? and name = ?"
        exists = bool(self.catalogue.rows(f"select 1 from standin.properties where {where}", key))
        if exists == (procedure == "sp_addextendedproperty"):
            number, state = (15233, "already exists") if exists else (15217, "does not exist")
            raise SqlError(
                number,
                f"Property cannot be added, updated or deleted. Property '{name}' {state} for the object specified.",
            )
        with self._execution.guard(None, writing=True):
            self.transactions.enter(writes=True)
            self.connection.execute(f"delete from standin.properties where {where}", key)
            if procedure != "sp_dropextendedproperty":
                self.connection.execute(
                    "insert into standin.properties values (?, ?, ?, ?, ?)", [*key, value]
                )
            self.transactions.wrote(None)

    @staticmethod
    def encode(rows: list[tuple], kinds: list[SqlType]) -> bytes:
        """Rows of Python values as ROW tokens."""
        columns = [
            pa.array(list(values), _arrow(kind))
            for values, kind in zip(zip(*rows, strict=True), kinds, strict=True)
        ]
        return encode_rows(
            pa.RecordBatch.from_arrays(columns, [f"c{index}" for index in range(len(kinds))]), kinds
        )

    def result_of(self, sql: str, variables: dict[str, Value]) -> list[ResultColumn]:
        """The columns that the first result of a batch would have, without running it."""
        for statement in split(sql):
            if isinstance(statement, Statement) and statement.verb in {"SELECT", "WITH", "("}:
                return result_columns(
                    Changes(self.environment(variables)).query(parse(statement.text))
                )
        raise syntax_error(sql[:30])


def _arrow(kind: SqlType) -> pa.DataType | None:
    """The Arrow type of a column that may be all nulls; None where its values tell."""
    if kind.is_binary:
        return pa.binary()
    return pa.string() if kind.is_string else kind.arrow
