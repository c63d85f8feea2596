"""What a session runs on DuckDB: compiled queries, changes and definitions, with DuckDB's errors as SQL Server's."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import duckdb
import pyarrow as pa
from sqlglot import exp

from standins.sqlserver import bulk, failures, numbering
from standins.sqlserver.alterations import Alterations
from standins.sqlserver.batch import Statement
from standins.sqlserver.catalogue import TableDefinition
from standins.sqlserver.changes import Change, Changes
from standins.sqlserver.encoding import encode_rows
from standins.sqlserver.errors import SqlError, unsupported
from standins.sqlserver.expressions import Environment
from standins.sqlserver.locks.changing import ChangingLocks
from standins.sqlserver.locks.reads import Isolation
from standins.sqlserver.locks.statements import StatementLocks
from standins.sqlserver.locks.write_set import Written
from standins.sqlserver.merges import Merges
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
from standins.sqlserver.tracking.recording import TRACKED_KEYS
from standins.sqlserver.type_info import ResultColumn, column_metadata
from standins.sqlserver.types import INT

_ENDS_TRANSACTION = {1205, 3960}
_UPDATE = 0xC5

SILENT_SECONDS = 30.0
"""How long a server that was told to say nothing keeps a connection that nobody gives up."""


class Execution:
    """Runs statements on a session's connection, within its transaction."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        state: SessionState,
        cancelled: threading.Event,
    ) -> None:
        self._connection = connection
        self._state = state
        self._transactions = state.transactions
        self._cancelled = cancelled
        self._locks = StatementLocks(state, connection)

    def data(self, tree: exp.Expr, environment: Environment, done: int) -> Iterator["bytes | Done"]:
        """Runs a query or a change; gives its result and its count."""
        with self._statement():
            if isinstance(tree, (exp.Select, exp.SetOperation, exp.Subquery)):
                yield from self._query(tree, environment, done)
            else:
                yield from self._change(tree, environment, done)

    @contextmanager
    def _statement(self) -> Iterator[None]:
        """The locks of a statement end with it, and the victim of a deadlock loses its transaction."""
        try:
            yield
        except SqlError as failure:
            if failure.number in _ENDS_TRANSACTION and self._transactions.depth:
                self._transactions.failed(writing=True, conflict=True)
            raise
        finally:
            self._locks.end()

    def _query(
        self, tree: exp.Expr, environment: Environment, done: int
    ) -> Iterator["bytes | Done"]:
        query = self._locks.translated(lambda: Merges(environment).query(tree), environment)
        columns = result_columns(query)
        # Nothing is sent while the statement waits: a lock timeout is no result of no rows.
        self._enter_reading(environment)
        yield column_metadata(columns)
        rows = 0
        for count, data in self._rows(query, columns, environment):
            rows += count
            yield data
        self._state.row_count = rows
        yield Done(done, rows, 0xC1)

    def _enter_reading(self, environment: Environment) -> None:
        with self.guard(None, writing=False):
            self._locks.wait_for_rows(environment)
            self._transactions.enter(writes=False)

    def _change(
        self, tree: exp.Expr, environment: Environment, done: int
    ) -> Iterator["bytes | Done"]:
        compiler = Merges(environment)
        translate, command = _changing(compiler, tree)
        change = self._locks.translated(translate, environment)
        verb = "UPDATE" if command == _UPDATE else "INSERT"
        if isinstance(tree, exp.TruncateTable):
            rows, data = self._truncate(change), b""
        else:
            rows, data = self.change(change, environment, verb)
        if change.output:
            yield column_metadata(
                [
                    ResultColumn(column.name, column.type or INT, column.nullable)
                    for column in change.output
                ]
            )
            yield data
        self._state.row_count = rows
        yield Done(done, rows, command)

    def _rows(
        self, query: Query, columns: list[ResultColumn], environment: Environment
    ) -> Iterator[tuple[int, bytes]]:
        """Encoded rows, read from DuckDB as the client takes them."""
        kinds = [column.type for column in columns]
        faults = self._state.store.faults
        limit = (
            faults.drop_after_rows if faults.silent_after_rows is None else faults.silent_after_rows
        )
        sent = 0
        with self.guard(None, writing=False):
            relation = self._connection.sql(query.sql, params=environment.used(query.sql) or None)
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
                            if faults.silent_after_rows is not None:
                                self._cancelled.wait(SILENT_SECONDS)
                            raise ConnectionDropped
            finally:
                # An open result would block whatever the connection does next.
                reader.close()

    def change(self, change: Change, environment: Environment, verb: str) -> tuple[int, bytes]:
        """Runs a change; gives the number of rows, and those that OUTPUT asked for."""
        assert change.rows is not None
        store, table = self._state.store, change.table
        locks = ChangingLocks(change.rows, self._state, self._connection, self._locks, environment)
        if table.rowversion:
            store.version_writer_begins(self._state.spid)
        try:
            with self.guard(table, writing=True, verb=verb):
                self._state.locks.write(self._state, table.object_id)
                self._locks.wait_for_rows(environment)
                self._transactions.enter(writes=True)
                locks.take()
                old_keys = self._old_keys(change, environment)
                rows, result = self._run(change, environment)
                done = locks.done(rows, result)
                if change.tracked and result is not None:
                    self._state.recorder.record(change.tracked, old_keys, result)
                numbers = self._number(change, rows, verb)
                written = done.written and replace(done.written, numbers=numbers)
                self._transactions.wrote(written, done.changed)
        finally:
            locks.give_up()
            if not self._transactions.depth:
                store.version_writer_ends(self._state.spid)
        return rows, _encoded(result, change) if change.output and result is not None else b""

    def insert_bulk(self, announced: bulk.BulkInsert, body: bytes, environment: Environment) -> int:
        """Inserts the rows of a bulk load's message; gives their number."""
        with self._statement():
            compiler = Changes(environment)
            change = bulk.insertion(announced, body, compiler, self._connection)
            try:
                rows, _ = self.change(change, environment, "INSERT")
            finally:
                self._connection.unregister(bulk.ROWS)
        return rows

    def _run(self, change: Change, environment: Environment) -> tuple[int, pa.Table | None]:
        """The number of rows, and what the statement returns of them."""
        assert change.rows is not None
        if change.output or change.tracked or change.captured or change.rows.returns_keys:
            result = self._returned(change, environment)
            return result.num_rows, result
        parameters = environment.used(change.sql)
        return int(self._connection.execute(change.sql, parameters).fetchall()[0][0]), None

    def _number(self, change: Change, rows: int, verb: str) -> bool:
        """Takes over identities; tells whether they go on behind what was inserted."""
        table = change.table
        if change.makes_identity and rows:
            (self._state.last_identity,) = self._connection.execute(
                f"select currval('{table.sequence}')"
            ).fetchall()[0]
        given = self._state.identity_insert == table.object_id or change.gives_identity
        if verb != "INSERT" or not rows or not given:
            return False
        numbering.take_inserted(self._connection, table)
        return True

    def _truncate(self, change: Change) -> int:
        """Empties a table that nobody else uses."""
        table, transactions = change.table, self._transactions
        with self.guard(table, writing=True):
            self._state.locks.change_definition(self._state, table.object_id)
            transactions.enter(writes=True)
            transactions.freshen_statement()
            transactions.check_table(table.object_id)
            rows = int(self._connection.execute(change.sql).fetchall()[0][0])
            for statement in change.also:
                self._connection.execute(statement)
            if change.also:
                self._state.recorder.forget(table.object_id)
            if table.identity:
                numbering.begin(self._connection, table)
            again = None if change.also or table.identity else Written(table, None, emptied=True)
            transactions.wrote(again, {table.object_id: None})
        return rows

    def _returned(self, change: Change, environment: Environment) -> pa.Table:
        """Runs a change and gives what it returns; what is captured of it is recorded."""
        captured, recorder = change.captured, self._state.recorder.captured
        if captured is not None:
            recorder.prepare(self._connection, captured, environment.used(captured.images))
        try:
            parameters = environment.used(change.sql)
            result = self._connection.sql(change.sql, params=parameters or None).to_arrow_table()
            if captured is not None:
                recorder.record(self._connection, captured, result)
        finally:
            if captured is not None:
                recorder.release(self._connection, captured)
        return result

    def _old_keys(self, change: Change, environment: Environment) -> pa.ChunkedArray | None:
        if change.tracked is None or not change.tracked.old_keys:
            return None
        text = change.tracked.old_keys
        relation = self._connection.sql(text, params=environment.used(text) or None)
        return relation.to_arrow_table()[TRACKED_KEYS]

    def define(self, statement: Statement, environment: Environment) -> None:
        """Runs a statement that creates, alters or drops."""
        try:
            self.write(lambda: Alterations(environment, self._connection).run(statement))
        finally:
            environment.catalogue.forget()
            self._state.store.definitions_changed += 1

    def write(self, action: Callable[[], None]) -> None:
        """Runs what writes to the catalogue, in the open transaction or in one of its own."""
        with self._statement(), self.guard(None, writing=True):
            self._transactions.freshen()
            self._transactions.enter(writes=True)
            try:
                action()
            except SqlError as failure:
                # Some of its work may be done: undo it like any other failure.
                ends = failure.number in _ENDS_TRANSACTION
                self._transactions.failed(writing=True, conflict=ends)
                raise
            self._transactions.wrote(None)

    def value(self, translate: Callable[[Environment], Query], environment: Environment) -> object:
        """The first value of a query's first row; None without rows."""
        with self._statement():
            query = self._locks.translated(lambda: translate(environment), environment)
            self._enter_reading(environment)
            with self.guard(None, writing=False):
                rows = self._connection.execute(query.sql, environment.used(query.sql)).fetchall()
        return rows[0][0] if rows else None

    def guard(
        self, table: TableDefinition | None, *, writing: bool, verb: str = "INSERT"
    ) -> "_Guard":
        """What to run DuckDB in.

        Args:
            table: the table that is changed, if one is.
            writing: whether anything is changed.
            verb: INSERT or UPDATE, for messages.
        """
        return _Guard(self._state, self._cancelled, table, writing, verb)


def _encoded(result: pa.Table, change: Change) -> bytes:
    """The columns that OUTPUT asked for."""
    kinds = [column.type or INT for column in change.output]
    shown = result.select(range(len(kinds)))
    return b"".join(encode_rows(batch, kinds) for batch in shown.to_batches())


def _changing(compiler: Merges, tree: exp.Expr) -> tuple[Callable[[], Change], int]:
    """How a statement that changes rows is translated, and its number in DONE."""
    match tree:
        case exp.Insert():
            return lambda: compiler.insert(tree), 0xC3
        case exp.Update():
            return lambda: compiler.update(tree), _UPDATE
        case exp.Delete():
            return lambda: compiler.delete(tree), 0xC4
        case exp.Merge():
            return lambda: compiler.merge(tree), 0x117
        case exp.TruncateTable():
            return lambda: compiler.truncate(tree), 0xC4
        case _:
            raise unsupported(type(tree).__name__)


class _Guard:
    """Turns what DuckDB raises into SQL Server's errors and mends the transaction."""

    def __init__(
        self,
        state: SessionState,
        cancelled: threading.Event,
        table: TableDefinition | None,
        writing: bool,
        verb: str,
    ) -> None:
        self._state = state
        self._cancelled = cancelled
        self._table = table
        self._writing = writing
        self._verb = verb

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, failure: BaseException | None, trace: object) -> None:
        transactions = self._state.transactions
        if not isinstance(failure, (duckdb.Error, RuntimeError, OSError)):
            # An error of our own left DuckDB's transaction as it was: only a statement that has one to itself must end it.
            spoiled = not isinstance(failure, SqlError) or not transactions.depth
            if failure is not None and self._writing and spoiled:
                transactions.failed(writing=True, conflict=False)
            return
        if not isinstance(failure, duckdb.Error):
            # The Arrow stream reports DuckDB's errors as plain OSError and RuntimeError.
            failure = duckdb.Error(str(failure))
        if self._cancelled.is_set():
            transactions.failed(writing=self._writing, conflict=False)
            raise Cancelled from failure
        snapshot = bool(transactions.depth) and transactions.began_as == Isolation.SNAPSHOT
        translated = failures.translate(
            failure, self._state.database, self._table, snapshot, self._verb
        )
        transactions.failed(writing=self._writing, conflict=translated.number in {1205, 3960})
        raise translated from failure
