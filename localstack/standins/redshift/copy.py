"""Running a COPY: files are fetched and decoded in a thread, rows go into the client's transaction.

At most a few chunks wait between the thread and Postgres, so memory does not grow with the data.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from standins.redshift import wire
from standins.redshift.authorization import without_keys
from standins.redshift.backend import PrivateStatement
from standins.redshift.catalogue import load_error_statement
from standins.redshift.context import Context
from standins.redshift.copy_command import CopyCommand
from standins.redshift.errors import BackendError, LoadError, RedshiftError, from_backend, spectrum
from standins.redshift.faults import ConnectionCutError
from standins.redshift.parquet_files import arrow_type, read_batches
from standins.redshift.rows import chunks, new_encoder
from standins.redshift.statements import quote
from standins.redshift.storage import S3Object, Storage
from standins.redshift.text_files import TextLoad
from standins.redshift.types import TableColumn, columns_query

#: Encoded batches that may wait for Postgres.
WAITING_BATCHES = 3


@dataclass(frozen=True, slots=True)
class _Target:
    oid: int
    name: tuple[str, ...]
    columns: Sequence[TableColumn]


async def run_copy(context: Context, command: CopyCommand, text: str) -> str:
    """Run a COPY and return its command tag.

    Raises:
        RedshiftError: refused, as Redshift would.
        BackendError: Postgres refused the rows.
    """
    query_id = context.services.ids.next()
    target = await _target(context, command)
    storage = await context.storage(command.authorization)
    items = await asyncio.to_thread(_resolve, storage, command)
    await context.backend.run(context.lock_statement(str(target.oid)))
    context.last["last_copy_id"] = context.last["last_query_id"] = query_id
    catalogue, error = context.catalogue, None
    await asyncio.to_thread(
        catalogue.record_query,
        *(context.user, query_id, context.session_id, "COPY", without_keys(text)),
    )
    load = _Load(context, command, target, storage, items)
    try:
        await load.run()
    except RedshiftError as failure:
        error = failure.message
        await asyncio.to_thread(
            catalogue.record_load_errors,
            *(context.user, query_id, context.session_id, target.oid, failure.load_errors),
        )
        raise
    except BackendError as failure:
        error = str(failure)
        raise
    finally:
        await asyncio.to_thread(catalogue.record_end, query_id, load.rows, error)
    await asyncio.to_thread(catalogue.record_files, query_id, target.oid, load.files)
    for skipped in load.skipped:  # here, not apart: the client's snapshot would not show them
        await context.backend.run(
            load_error_statement(context.user, query_id, context.session_id, target.oid, skipped)
        )
    context.last["last_copy_count"] = load.rows
    name = command.table[-1]
    context.notice(
        f"Load into table '{name}' completed, {load.rows} record(s) loaded successfully."
    )
    return "COPY"


def _resolve(storage: Storage, command: CopyCommand) -> list[S3Object]:
    if command.flag("MANIFEST"):
        return storage.resolve_manifest(command.source, columnar=command.format == "parquet")
    return storage.resolve_prefix(command.source)


async def _target(context: Context, command: CopyCommand) -> _Target:
    rows = (await context.backend.run(columns_query(command.table))).rows
    name = ".".join(command.table)
    if not rows:
        raise RedshiftError(f"Cannot COPY into nonexistent table {name}", "42P01")
    oid, kind, allowed = rows[0][:3]
    if kind not in {"r", "p"}:
        raise RedshiftError(f'cannot copy to view "{name}"', "42809")
    if allowed != "t":
        raise RedshiftError(f"permission denied for relation {command.table[-1]}", "42501")
    columns = [
        TableColumn(str(r[3]), str(r[4]), int(r[5] or -1), r[6] == "t", r[7] or "", r[8] == "t")
        for r in rows
    ]
    chosen = _chosen(columns, command)
    return _Target(int(oid or 0), (str(rows[0][9]), command.table[-1]), chosen)


def _chosen(columns: list[TableColumn], command: CopyCommand) -> list[TableColumn]:
    explicit = command.flag("EXPLICIT_IDS")
    if command.columns is None:
        return [c for c in columns if explicit or not c.identity]
    known = {column.name: column for column in columns}
    for name in command.columns:
        if name not in known:
            text = f'column "{name}" of relation "{command.table[-1]}" does not exist'
            raise RedshiftError(text, "42703")
    if len(set(command.columns)) < len(command.columns):
        raise RedshiftError("a column is specified more than once in the column list", "42701")
    chosen = [known[name] for name in command.columns]
    if any(c.identity for c in chosen) and not explicit:
        text = "EXPLICIT_IDS must be specified to COPY into an IDENTITY column"
        raise RedshiftError(text, "42601")
    for column in columns:
        left_out = column.name not in command.columns
        if left_out and column.not_null and not column.has_default and not column.identity:
            text = f"NOT NULL column without DEFAULT must be included in column list: {column.name}"
            raise RedshiftError(text, "0A000")
    return chosen


class _Load:
    """The rows of one COPY on their way."""

    def __init__(
        self,
        context: Context,
        command: CopyCommand,
        target: _Target,
        storage: Storage,
        items: list[S3Object],
    ) -> None:
        self.context, self.command, self.target = context, command, target
        self.storage, self.items = storage, items
        self.rows = 0
        self.files: list[tuple[str, int, int]] = []
        self._text = None
        if command.format != "parquet":
            self._text = TextLoad(command, target.columns, storage)
        self._stop = threading.Event()

    @property
    def skipped(self) -> list[LoadError]:
        """Rows that MAXERROR let pass."""
        return self._text.skipped if self._text else []

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows of all files in the table's types; runs in a thread."""
        for item in self.items:
            before = self.rows
            with self.storage.download(item) as path:
                if self._text is not None:
                    found = self._text.batches(path, item)
                else:
                    found = read_batches(
                        path,
                        item,
                        self.target.columns,
                        serialize=self.command.flag("SERIALIZETOJSON"),
                        fill=self.command.flag("FILLRECORD"),
                    )
                for batch in found:
                    self.rows += batch.num_rows
                    yield batch
            self.files.append((item.url, self.rows - before, item.size))

    async def run(self) -> None:
        """Move everything."""
        columns = self.target.columns
        schema = pa.schema([pa.field(c.name, arrow_type(c)) for c in columns])
        encoder = new_encoder(schema, frozenset(c.name for c in columns if c.kind == "jsonb"))
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=WAITING_BATCHES)
        loop = asyncio.get_running_loop()

        def put(item: bytes | None) -> None:
            if self._stop.is_set():
                raise _StoppedError
            asyncio.run_coroutine_threadsafe(queue.put(item), loop).result()

        def produce() -> None:
            try:
                for batch in self.batches():
                    put(encoder.encode(batch))
                put(encoder.finish())
            except (_StoppedError, RedshiftError) as expected:
                if isinstance(expected, RedshiftError):
                    raise
            except BaseException as error:  # a panic of the encoder is no Exception
                text = f"A value cannot be read: {error}".splitlines()[0]
                raise spectrum(text) from error
            finally:
                if not self._stop.is_set():
                    asyncio.run_coroutine_threadsafe(queue.put(None), loop).result()

        names = ", ".join(quote(c.name) for c in columns)
        sql = f"copy {quote(*self.target.name)} ({names}) from stdin with ({encoder.options})"
        if self.command.flag("NOLOAD"):
            await self._discard(queue, produce)
            return
        try:
            async with self.context.backend.private(sql) as statement:
                await self._feed(statement, queue, produce)
        except BackendError as failure:
            self._translate(failure)

    async def _discard(self, queue: asyncio.Queue[bytes | None], produce: Callable) -> None:
        producer = asyncio.get_running_loop().run_in_executor(None, produce)
        while await queue.get() is not None:
            pass
        await producer
        self.rows = 0

    async def _feed(
        self, statement: PrivateStatement, queue: asyncio.Queue[bytes | None], produce: Callable
    ) -> None:
        backend = self.context.backend
        async for kind, _ in statement.frames():
            if kind == b"G":
                break
        else:
            return
        producer = asyncio.get_running_loop().run_in_executor(None, produce)
        refused = asyncio.ensure_future(self._interrupted(statement))
        try:
            sent = 0
            while (data := await _first(queue, refused)) is not None:
                for chunk in chunks(data):
                    await backend.send(wire.frame(b"d", chunk))
                sent += 1
                await self._fault(sent, refused)
            if refused.done():
                refused.result()
                return
            await producer
            await backend.send(wire.frame(b"c"))
        except RedshiftError:
            await backend.send(wire.frame(b"f", wire.cstring("refused by the gateway")))
            raise
        finally:
            refused.cancel()
            self._stop.set()
            while not queue.empty():
                queue.get_nowait()

    async def _interrupted(self, statement: PrivateStatement) -> None:
        """Return when Postgres refuses the rows; raise when the client cancels the COPY."""
        answered = asyncio.ensure_future(statement.answer())
        cancelled = asyncio.ensure_future(self.context.cancelled.wait())
        try:
            await asyncio.wait({answered, cancelled}, return_when=asyncio.FIRST_COMPLETED)
            if not answered.done():
                raise RedshiftError("Query cancelled on user's request", "57014")
        finally:
            answered.cancel()
            cancelled.cancel()

    async def _fault(self, sent: int, refused: asyncio.Future[None]) -> None:
        fault = self.context.services.faults.take("copy") if sent == 1 else None
        if fault is not None and fault.action == "cut":
            raise ConnectionCutError
        if fault is not None:
            await asyncio.wait({refused}, timeout=fault.seconds)

    def _translate(self, failure: BackendError) -> None:
        if self.command.format == "parquet" and failure.fields.get("C") in {
            "22003",
            "22008",
            "22P03",
        }:
            raise spectrum(from_backend(failure.fields)["M"]) from failure
        raise failure


async def _first(queue: asyncio.Queue[bytes | None], refused: asyncio.Future[None]) -> bytes | None:
    """The next encoded rows; None at their end, or as soon as Postgres refuses what it has."""
    getting = asyncio.ensure_future(queue.get())
    try:
        await asyncio.wait({getting, refused}, return_when=asyncio.FIRST_COMPLETED)
        return None if refused.done() else getting.result()
    finally:
        getting.cancel()


class _StoppedError(Exception):
    """The receiver does not want more rows."""
