"""The stand-in inside a Python process: starts the server in a thread, for tests and for the embedded demo."""

import asyncio
import contextlib
import ssl
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import pyarrow as pa

from standins.sqlserver import loading
from standins.sqlserver.certificate import self_signed, server_context
from standins.sqlserver.channel import Channel
from standins.sqlserver.database import Database, Faults
from standins.sqlserver.errors import SqlError
from standins.sqlserver.server import Account, Connection
from standins.sqlserver.session import Session


class HeldTransaction:
    """A transaction that a test holds open; see `SqlServerStandin.hold`.

    Args:
        session: a session of its own, closed when the transaction ends.
        sql: what it runs first.
    """

    def __init__(self, session: Session, sql: str) -> None:
        self._session = session
        try:
            loading.run(session, f"begin transaction; {sql}")
        except SqlError:
            session.close()
            raise

    def run(self, sql: str) -> None:
        """Runs another batch in it.

        Raises:
            SqlError: the first error of the batch.
        """
        loading.run(self._session, sql)

    def commit(self) -> None:
        """Ends it; what it did counts from now on."""
        try:
            loading.run(self._session, "commit transaction")
        finally:
            self._session.close()

    def rollback(self) -> None:
        """Ends it; what it did never was."""
        self._session.close()


class SqlServerStandin:
    """A running stand-in; a context manager.

    Args:
        password: the password of `user`.
        user: the one login.
        database: the database's name.
        host: address to listen on.
        port: 0 takes any free port; `.port` tells which.
        path: DuckDB file to keep the data in; None for memory.
        certificate: PEM file for TLS; made on the spot when missing.
        key: PEM file of its key.

    Example:
        >>> with SqlServerStandin(password="Secret123") as server:
        ...     server.execute("create table dbo.t (id int primary key)")
        ...     server.url()
    """

    def __init__(
        self,
        *,
        password: str,
        user: str = "sa",
        database: str = "AdventureWorksDW",
        host: str = "127.0.0.1",
        port: int = 0,
        path: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        self._account = Account(user, password)
        self.database = database
        self.host = host
        self.port = port
        self._store = Database(database, path)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if certificate is None or key is None:
            self._folder = tempfile.TemporaryDirectory(prefix="standin-sqlserver-")
            certificate, key = self_signed(Path(self._folder.name), host)
        self.certificate = certificate
        self._context: ssl.SSLContext = server_context(certificate, key)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._channels: dict[Channel, asyncio.Task[None] | None] = {}
        self._stopping: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # -- life
    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listens, in a thread of its own.

        Raises:
            OSError: the port is taken.
        """
        ready = threading.Event()
        problem: list[BaseException] = []

        def run() -> None:
            try:
                asyncio.run(self.serve(ready.set))
            except OSError as failure:
                problem.append(failure)
            finally:
                ready.set()

        self._thread = threading.Thread(target=run, name="sqlserver-standin", daemon=True)
        self._thread.start()
        ready.wait()
        if problem:
            raise problem[0]

    def stop(self) -> None:
        """Closes all connections and the database."""
        if self._loop is not None and self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self.request_stop)
            self._thread.join()
        self._close()

    def _close(self) -> None:
        self._store.close()
        if self._folder is not None:
            self._folder.cleanup()

    def request_stop(self) -> None:
        """Ends `serve`; called inside its event loop."""
        if self._stopping is not None:
            self._stopping.set()

    async def serve(self, listening: "threading.Event | object" = None) -> None:
        """Serves until `request_stop`; calls `listening` once the port is open."""
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        server = await asyncio.start_server(self._accept, self.host, self.port, limit=1 << 18)
        self.port = server.sockets[0].getsockname()[1]
        if callable(listening):
            listening()
        async with server:
            await self._stopping.wait()
            server.close()
            for channel in list(self._channels):
                channel.abort()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=10)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel = Channel(reader, writer)
        if self.faults.refuse_connections:
            channel.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._channels[channel] = task
        try:
            await Connection(channel, self._store, self._account, self._context).serve()
        finally:
            self._channels.pop(channel, None)
            self._tasks.discard(task)

    # -- for tests
    @property
    def faults(self) -> Faults:
        """What goes wrong from now on; set its fields."""
        return self._store.faults

    def become(self, **marks: object) -> None:
        """Let it be another server or database, or a restored one; see `Database.become`."""
        self._store.become(**marks)

    def restrict(self, **sights: Any) -> None:
        """Take something from the view of the login; see `Database.restrict`."""
        self._store.restrict(**sights)

    def clean_up_changes(self, version: int) -> None:
        """Let Change Tracking forget what it recorded up to `version`, as its cleanup does."""
        self._store.tracking.clean_up(version)

    def restore_changes(self, version: int) -> None:
        """Let Change Tracking be at `version` again, with a new recovery fork, as after a restore of an older backup.

        Rows stay as they are: change them first, so that they are as they were at that version.
        """
        self._store.tracking.restore(version)

    def hold(self, sql: str) -> "HeldTransaction":
        """Runs a batch in a transaction of its own, and leaves that open.

        Raises:
            SqlError: the first error of the batch.
        """
        return HeldTransaction(Session(self._store, self._account.user, self.database), sql)

    @property
    def waiting(self) -> int:
        """How many sessions wait for a lock now."""
        return self._store.locks.waiting

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return len(self._channels)

    def drop_connections(self) -> None:
        """Breaks all connections now, as a network does."""
        if self._loop is not None:
            done = threading.Event()

            def drop() -> None:
                for channel in list(self._channels):
                    channel.abort()
                done.set()

            self._loop.call_soon_threadsafe(drop)
            done.wait(5)

    def url(
        self,
        *,
        user: str | None = None,
        password: str | None = None,
        database: str | None = None,
        encrypt: str = "no",
    ) -> str:
        """A SQLAlchemy address, `mssql+mssqlpython://...`."""
        login = f"{quote(user or self._account.user, safe='')}:{quote(password or self._account.password, safe='')}"
        return f"mssql+mssqlpython://{login}@{self.host}:{self.port}/{database or self.database}?Encrypt={encrypt}"

    def odbc(
        self,
        *,
        encrypt: str = "no",
        trust: bool = False,
        password: str | None = None,
        user: str | None = None,
        database: str | None = None,
    ) -> str:
        """A connection string for `mssql_python.connect`."""
        return (
            f"Server={self.host},{self.port};Database={database or self.database};UID={user or self._account.user};"
            f"PWD={password or self._account.password};Encrypt={encrypt};TrustServerCertificate={'yes' if trust else 'no'}"
        )

    @contextlib.contextmanager
    def _session(self):
        session = Session(self._store, self._account.user, self.database)
        try:
            yield session
        finally:
            session.close()

    def execute(self, sql: str) -> None:
        """Runs a T-SQL batch without the wire.

        Raises:
            SqlError: the first error of the batch.
        """
        with self._session() as session:
            loading.run(session, sql)

    def load(self, table: str, batches: Iterable[pa.RecordBatch]) -> int:
        """Appends Arrow batches to a table, by column name; returns the number of rows.

        Raises:
            SqlError: 208 unknown table, 207 unknown column, or a value that does not fit.
        """
        with self._session() as session:
            return loading.load(session, table, batches)
