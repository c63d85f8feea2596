"""What a session runs on DuckDB: compiled queries, changes and definitions, with DuckDB's errors as SQL Server's."""

import re
import threading
from collections.abc import Callable, Iterator

import duckdb
import pyarrow as pa
from sqlglot import exp

from standins.sqlserver import failures, numbering
from standins.sqlserver.alterations import Alterations
from standins.sqlserver.batch import Statement
from standins.sqlserver.catalogue import TableDefinition
from standins.sqlserver.changes import Change
from standins.sqlserver.encoding import encode_rows
from standins.sqlserver.errors import SqlError, unsupported
from standins.sqlserver.expressions import Environment
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
from standins.sqlserver.transactions import Isolation
from standins.sqlserver.type_info import ResultColumn, column_metadata
from standins.sqlserver.types import INT

DEADLOCK = 1205


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

    def data(self, tree: exp.Expr, environment: Environment, done: int) -> Iterator["bytes | Done"]:
        """Runs a query or a change; gives its result and its count."""
        try:
            yield from self._data(tree, environment, done)
        except SqlError as failure:
            if failure.number == DEADLOCK and self._transactions.depth:
                self._transactions.failed(writing=True, conflict=True)
            raise
        finally:
            if not self._transactions.depth:
                self._state.locks.release(self._state.spid)

    def _data(
        self, tree: exp.Expr, environment: Environment, done: int
    ) -> Iterator["bytes | Done"]:
        compiler = Merges(environment)
        if isinstance(tree, (exp.Select, exp.SetOperation, exp.Subquery)):
            query = compiler.query(tree)
            columns = result_columns(query)
            yield column_metadata(columns)
            rows = 0
            for count, data in self._rows(query, columns, environment):
                rows += count
                yield data
            self._state.row_count = rows
            yield Done(done, rows, 0xC1)
            return
        if isinstance(tree, exp.Insert):
            change, command = compiler.insert(tree), 0xC3
        elif isinstance(tree, exp.Update):
            change, command = compiler.update(tree), 0xC5
        elif isinstance(tree, exp.Delete):
            change, command = compiler.delete(tree), 0xC4
        elif isinstance(tree, exp.Merge):
            change, command = compiler.merge(tree), 0x117
        elif isinstance(tree, exp.TruncateTable):
            change, command = compiler.truncate(tree), 0xC4
        else:
            raise unsupported(type(tree).__name__)
        verb = "UPDATE" if command == 0xC5 else "INSERT"
        rows, data = self.change(change, environment, verb)
        if isinstance(tree, exp.TruncateTable) and change.table.identity:
            with self.guard(change.table, writing=True):
                self._transactions.enter(writes=True)
                numbering.begin(self._connection, change.table)
                self._transactions.wrote("", {}, 0, repeatable=False)
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
            self._transactions.enter(writes=False)
            relation = self._connection.sql(
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
                            if faults.silent_after_rows is not None:
                                self._cancelled.wait(SILENT_SECONDS)
                            raise ConnectionDropped
            finally:
                # An open result would block whatever the connection does next.
                reader.close()

    def change(self, change: Change, environment: Environment, verb: str) -> tuple[int, bytes]:
        """Runs a change; gives the number of rows, and those that OUTPUT asked for."""
        store, parameters = self._state.store, _used(change.sql, environment.bound)
        if change.table.rowversion:
            store.version_writer_begins(self._state.spid)
        try:
            with self.guard(change.table, writing=True, verb=verb):
                self._transactions.enter(writes=True)
                data, rows = b"", 0
                if change.output or change.tracked or change.captured:
                    old_keys = self._old_keys(change, environment)
                    result = self._returned(change, environment)
                    rows = result.num_rows
                    if change.output:
                        data = _encoded(result, change)
                    if change.tracked:
                        self._state.recorder.record(change.tracked, old_keys, result)
                else:
                    rows = int(self._connection.execute(change.sql, parameters).fetchall()[0][0])
                if change.makes_identity and rows:
                    (self._state.last_identity,) = self._connection.execute(
                        f"select currval('{change.table.sequence}')"
                    ).fetchall()[0]
                table = change.table
                given = self._state.identity_insert == table.object_id or change.gives_identity
                if verb == "INSERT" and rows and given:
                    numbering.take_inserted(self._connection, table)
                repeatable = (
                    environment.deterministic
                    and not change.makes_identity
                    and not change.output
                    and not (change.captured and change.captured.images)
                )
                for statement in change.also:
                    self._connection.execute(statement)
                if change.also:
                    self._state.recorder.forget(table.object_id)
                self._transactions.wrote(
                    change.repeated,
                    parameters,
                    rows,
                    repeatable=repeatable and not change.also,
                )
        finally:
            if not self._transactions.depth:
                store.version_writer_ends(self._state.spid)
        return rows, data

    def _returned(self, change: Change, environment: Environment) -> pa.Table:
        """Runs a change and gives what it returns; what is captured of it is recorded."""
        captured, recorder = change.captured, self._state.recorder.captured
        if captured is not None:
            recorder.prepare(self._connection, captured, _used(captured.images, environment.bound))
        try:
            parameters = _used(change.sql, environment.bound)
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
        relation = self._connection.sql(text, params=_used(text, environment.bound) or None)
        return relation.to_arrow_table()[TRACKED_KEYS]

    def define(self, statement: Statement, environment: Environment) -> None:
        """Runs a statement that creates, alters or drops."""
        try:
            self.write(lambda: Alterations(environment, self._connection).run(statement))
        finally:
            environment.catalogue.forget()
            self._state.store.definitions_changed += 1
            if not self._transactions.depth:
                self._state.locks.release(self._state.spid)

    def write(self, action: Callable[[], None]) -> None:
        """Runs what writes to the catalogue, in the open transaction or in one of its own."""
        with self.guard(None, writing=True):
            self._transactions.enter(writes=True)
            try:
                action()
            except SqlError as failure:
                # Some of its work may be done: undo it like any other failure.
                self._transactions.failed(writing=True, conflict=failure.number == DEADLOCK)
                raise
            self._transactions.wrote("", {}, 0, repeatable=False)

    def value(self, query: Query, environment: Environment) -> object:
        """The first value of a query's first row; None without rows."""
        with self.guard(None, writing=False):
            self._transactions.enter(writes=False)
            rows = self._connection.execute(
                query.sql, _used(query.sql, environment.bound)
            ).fetchall()
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


def _used(sql: str, bound: dict[str, object]) -> dict[str, object]:
    """Of the bound values those that the text still mentions; DuckDB refuses others."""
    names = set(re.findall(r"\$(v_\w+)", sql))
    return {name: value for name, value in bound.items() if name in names}


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
            if failure is not None and self._writing and not isinstance(failure, SqlError):
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
