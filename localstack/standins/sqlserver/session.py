"""One client's session: runs batches statement by statement and gives the bytes of the answer, piece by piece."""

import re
import threading
from collections.abc import Iterator

import duckdb
import pyarrow as pa
from sqlglot import exp

from standins.sqlserver import failures, settings, tokens
from standins.sqlserver.alterations import Alterations
from standins.sqlserver.batch import If, Statement, split
from standins.sqlserver.catalogue import Catalogue, TableDefinition
from standins.sqlserver.changes import Change, Changes
from standins.sqlserver.database import Database
from standins.sqlserver.dialect import parse
from standins.sqlserver.encoding import encode_rows
from standins.sqlserver.errors import SqlError, syntax_error, unsupported
from standins.sqlserver.expressions import Environment
from standins.sqlserver.results import (
    ROWS_AT_ONCE,
    Cancelled,
    ConnectionDropped,
    Done,
    result_columns,
    rows_at_once,
)
from standins.sqlserver.sources import Query
from standins.sqlserver.state import SessionState
from standins.sqlserver.transactions import Isolation, Transactions
from standins.sqlserver.type_info import ResultColumn, Value, column_metadata
from standins.sqlserver.types import INT, SqlType

CONTINUES_AFTER = {220, 512, 515, 547, 2627, 2628, 8115, 8134, 8152}
"""Errors that end their statement only; the rest of the batch still runs, as in SQL Server."""


class Session:
    """Runs T-SQL for one connection; used from one thread at a time, except `cancel`."""

    def __init__(
        self, store: Database, user: str, database: str, host: str = "", application: str = ""
    ) -> None:
        spid, self.connection = store.connect()
        self.state = SessionState(store, spid, user, database, host, application)
        self._login_database = database
        self.transactions = Transactions(self.connection)
        self.state.transactions = self.transactions
        self.catalogue = Catalogue(self.connection)
        self._definitions_seen = store.definitions_changed
        self._cancelled = threading.Event()

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
        self.state.row_count, self.state.last_error, self.state.last_identity = 0, 0, None

    def close(self) -> None:
        """Rolls back and lets go of the database."""
        self.transactions.rollback()
        self.state.store.version_writer_ends(self.state.spid)
        self.connection.close()

    # -- batches
    def batch(
        self, sql: str, variables: dict[str, Value] | None = None, *, done: int = tokens.DONE
    ) -> Iterator[bytes]:
        """The answer to a batch: results, counts and errors. `done` is the kind of DONE token to use."""
        pending: bytes | None = None
        last: Done | None = None
        try:
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
                yield tokens.error(failure)
                yield Done(done, failed=True)

    def first_failure(self, sql: str) -> SqlError | None:
        """Runs a batch, drops its results, and tells its first error."""
        try:
            for piece in self._statements(split(sql), {}, tokens.DONE):
                if isinstance(piece, Done) and piece.failed:
                    return SqlError(
                        self.state.last_error,
                        f"a statement of the batch failed with error {self.state.last_error}",
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
        query = Changes(environment).query(parse(text))
        with self._guard(None, writing=False):
            self.transactions.enter(writes=False)
            rows = self.connection.execute(
                query.sql, _used(query.sql, environment.bound)
            ).fetchall()
        return rows[0][0] if rows else None

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
            case "SELECT" | "WITH" | "(" | "INSERT" | "UPDATE" | "DELETE" | "TRUNCATE":
                yield from self._data(parse(statement.text), environment, done)
            case "CREATE" | "ALTER" | "DROP":
                self._define(statement, environment)
                yield Done(done)
            case "DECLARE":
                settings.declare(self, statement, variables)
            case "EXEC" | "EXECUTE":
                from standins.sqlserver import procedures

                yield from procedures.execute_text(self, statement, variables)
            case _:
                yield settings.run(self, statement, variables)
                yield Done(done)

    def _data(
        self, tree: exp.Expr, environment: Environment, done: int
    ) -> Iterator["bytes | Done"]:
        compiler = Changes(environment)
        if isinstance(tree, (exp.Select, exp.SetOperation, exp.Subquery)):
            query = compiler.query(tree)
            columns = result_columns(query)
            yield column_metadata(columns)
            rows = 0
            for count, data in self._rows(query, columns, environment):
                rows += count
                yield data
            self.state.row_count = rows
            yield Done(done, rows, 0xC1)
            return
        if isinstance(tree, exp.Insert):
            change, command = compiler.insert(tree), 0xC3
        elif isinstance(tree, exp.Update):
            change, command = compiler.update(tree), 0xC5
        elif isinstance(tree, exp.Delete):
            change, command = compiler.delete(tree), 0xC4
        elif isinstance(tree, exp.TruncateTable):
            change, command = compiler.truncate(tree), 0xC4
        else:
            raise unsupported(type(tree).__name__)
        rows, data = self._change(change, environment, "UPDATE" if command == 0xC5 else "INSERT")
        if change.output:
            yield column_metadata(
                [
                    ResultColumn(column.name, column.type or INT, column.nullable)
                    for column in change.output
                ]
            )
            yield data
        self.state.row_count = rows
        yield Done(done, rows, command)

    def _rows(
        self, query: Query, columns: list[ResultColumn], environment: Environment
    ) -> Iterator[tuple[int, bytes]]:
        """Encoded rows, read from DuckDB as the client takes them."""
        kinds = [column.type for column in columns]
        limit = self.state.store.faults.drop_after_rows
        sent = 0
        with self._guard(None, writing=False):
            self.transactions.enter(writes=False)
            relation = self.connection.sql(
                query.sql, params=_used(query.sql, environment.bound) or None
            )
            reader = relation.to_arrow_reader(ROWS_AT_ONCE)
            del relation
            try:
                for batch in reader:
                    start = 0
                    while start < batch.num_rows:
                        part = batch.slice(start, rows_at_once(batch, first=not sent))
                        start += part.num_rows
                        if self._cancelled.is_set():
                            raise Cancelled
                        broken = limit is not None and sent + part.num_rows >= limit
                        if limit is not None and broken:
                            part = part.slice(0, limit - sent)
                        yield part.num_rows, encode_rows(part, kinds)
                        sent += part.num_rows
                        if broken:
                            raise ConnectionDropped
            finally:
                # An open result would block whatever the connection does next.
                reader.close()

    def _change(self, change: Change, environment: Environment, verb: str) -> tuple[int, bytes]:
        """Runs a change; gives the number of rows, and those that OUTPUT asked for."""
        store, parameters = self.state.store, _used(change.sql, environment.bound)
        if change.table.rowversion:
            store.version_writer_begins(self.state.spid)
        try:
            with self._guard(change.table, writing=True, verb=verb):
                self.transactions.enter(writes=True)
                data, rows = b"", 0
                if change.output:
                    kinds = [column.type or INT for column in change.output]
                    result = self.connection.sql(
                        change.sql, params=parameters or None
                    ).to_arrow_table()
                    rows, data = (
                        result.num_rows,
                        b"".join(encode_rows(batch, kinds) for batch in result.to_batches()),
                    )
                else:
                    rows = int(self.connection.execute(change.sql, parameters).fetchall()[0][0])
                if change.makes_identity and rows:
                    (self.state.last_identity,) = self.connection.execute(
                        f"select currval('{change.table.sequence}')"
                    ).fetchall()[0]
                repeatable = (
                    environment.deterministic and not change.makes_identity and not change.output
                )
                self.transactions.wrote(change.sql, parameters, rows, repeatable=repeatable)
        finally:
            if not self.transactions.depth:
                store.version_writer_ends(self.state.spid)
        return rows, data

    def _define(self, statement: Statement, environment: Environment) -> None:
        try:
            with self._guard(None, writing=True):
                self.transactions.enter(writes=True)
                try:
                    Alterations(environment, self.connection).run(statement)
                except SqlError:
                    # Some of its work may be done: undo it like any other failure.
                    self.transactions.failed(writing=True, conflict=False)
                    raise
                self.transactions.wrote("", {}, 0, repeatable=False)
        finally:
            self.catalogue.forget()
            self.state.store.definitions_changed += 1

    def _guard(
        self, table: TableDefinition | None, *, writing: bool, verb: str = "INSERT"
    ) -> "_Guard":
        return _Guard(self, table, writing, verb)

    @property
    def cancelled(self) -> bool:
        """Whether the client gave up on what runs."""
        return self._cancelled.is_set()

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
        with self._guard(None, writing=True):
            self.transactions.enter(writes=True)
            self.connection.execute(f"delete from standin.properties where {where}", key)
            if procedure != "sp_dropextendedproperty":
                self.connection.execute(
                    "insert into standin.properties values (?, ?, ?, ?, ?)", [*key, value]
                )
            self.transactions.wrote("", {}, 0, repeatable=False)

    @staticmethod
    def encode(rows: list[tuple], kinds: list[SqlType]) -> bytes:
        """Rows of Python values as ROW tokens."""
        columns = [
            pa.array(list(values), kind.arrow)
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


def _used(sql: str, bound: dict[str, object]) -> dict[str, object]:
    """Of the bound values those that the text still mentions; DuckDB refuses others."""
    names = set(re.findall(r"\$(v_\w+)", sql))
    return {name: value for name, value in bound.items() if name in names}


class _Guard:
    """Turns what DuckDB raises into SQL Server's errors and mends the transaction."""

    def __init__(
        self, session: Session, table: TableDefinition | None, writing: bool, verb: str
    ) -> None:
        self._session = session
        self._table = table
        self._writing = writing
        self._verb = verb

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, failure: BaseException | None, trace: object) -> None:
        if not isinstance(failure, (duckdb.Error, RuntimeError, OSError)):
            if failure is not None and self._writing and not isinstance(failure, SqlError):
                self._session.transactions.failed(writing=True, conflict=False)
            return
        if not isinstance(failure, duckdb.Error):
            # The Arrow stream reports DuckDB's errors as plain OSError and RuntimeError.
            failure = duckdb.Error(str(failure))
        session = self._session
        if session.cancelled:
            session.transactions.failed(writing=self._writing, conflict=False)
            raise Cancelled from failure
        snapshot = (
            bool(session.transactions.depth) and session.transactions.began_as == Isolation.SNAPSHOT
        )
        translated = failures.translate(
            failure, session.state.database, self._table, snapshot, self._verb
        )
        session.transactions.failed(
            writing=self._writing, conflict=translated.number in {1205, 3960}
        )
        raise translated from failure
