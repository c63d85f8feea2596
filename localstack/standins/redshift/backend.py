"""The gateway's connection to Postgres: log in, pass frames on, run statements of its own between.

One task (`pump`) reads everything Postgres sends. A frame goes to the client, or to whoever opened
a private statement. Both directions are bounded: a slow reader makes the pump stop reading.
"""

import asyncio
import contextlib
import ssl
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qsl, unquote, urlsplit

from standins.redshift import wire
from standins.redshift.errors import BackendError, RedshiftError
from standins.redshift.scram import ScramClient, md5_password

#: Parameters every session of a stand-in gets. Snapshot isolation is Redshift's default and is
#: Postgres' repeatable read; a backslash in a string literal escapes, as in Postgres 8.
SESSION_DEFAULTS = {
    "default_transaction_isolation": "repeatable read",
    "standard_conforming_strings": "off",
    "escape_string_warning": "off",
    "backslash_quote": "on",
    "timezone": "UTC",
    "client_encoding": "UTF8",
    "datestyle": "ISO, MDY",
    "jit": "off",
    # Postgres writes a statement that failed to its log: a CREATE USER with its password, a COPY with its keys.
    "log_min_error_statement": "panic",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
}
_ENDS = {
    b"1": b"P", b"2": b"B", b"3": b"C", b"n": b"D", b"T": b"D", b"C": b"E", b"s": b"E", b"I": b"E",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """Where Postgres is and how the gateway logs in."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    sslmode: str = "disable"

    @classmethod
    def from_url(cls, url: str, *, default_password: str = "") -> "Target":
        """Read `postgresql[+driver]://user:password@host:port/database[?host=/socket/folder]`."""
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        return cls(
            host=options.get("host") or parts.hostname or "127.0.0.1",
            port=parts.port or int(options.get("port", 5432)),
            user=unquote(parts.username or "postgres"),
            password=unquote(parts.password or default_password),
            database=unquote(parts.path.lstrip("/")) or "postgres",
            sslmode=options.get("sslmode", "disable"),
        )

    def with_database(self, database: str) -> "Target":
        """The same server and user, another database."""
        return replace(self, database=database)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open the socket, over TLS where `sslmode` asks for it."""
        if self.host.startswith("/"):
            path = str(Path(self.host) / f".s.PGSQL.{self.port}")
            return await asyncio.open_unix_connection(path, limit=wire.READ_BYTES)
        reader, writer = await asyncio.open_connection(self.host, self.port, limit=wire.READ_BYTES)
        if self.sslmode in {"require", "verify-ca", "verify-full"}:
            writer.write(struct.pack("!II", 8, wire.SSL_REQUEST))
            if await reader.readexactly(1) != b"S":
                raise ConnectionError(f"Postgres at {self.host}:{self.port} offers no TLS")
            context = ssl.create_default_context()
            if self.sslmode == "require":
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            await writer.start_tls(context, server_hostname=self.host)
        return reader, writer


@dataclass(frozen=True, slots=True)
class Result:
    """What a private statement returned."""

    rows: Sequence[list[str | None]]
    tag: str


class PrivateStatement:
    """Frames of one statement the gateway runs for itself; ends at ReadyForQuery."""

    def __init__(self, backend: "Backend", sql: str) -> None:
        self._backend, self._sql = backend, sql
        self._queue: asyncio.Queue[list[tuple[bytes, bytes]]] = asyncio.Queue(maxsize=4)
        self._spoke = asyncio.Event()
        self._failure: dict[str, str] | None = None
        self._ended = False

    @property
    def answered(self) -> bool:
        """Whether Postgres said something that was not read yet."""
        return not self._queue.empty()

    async def answer(self) -> None:
        """Wait until Postgres says something."""
        self._spoke.clear()
        if not self.answered:
            await self._spoke.wait()

    async def _take(self, frames: list[tuple[bytes, bytes]]) -> None:
        await self._queue.put(frames)
        self._spoke.set()

    async def __aenter__(self) -> "PrivateStatement":
        await self._backend.settled()
        self._backend.capture = self._take
        await self._backend.send(wire.query(self._sql))
        return self

    async def frames(self) -> AsyncIterator[tuple[bytes, bytes]]:
        """Every frame up to ReadyForQuery; an error is kept and raised at the end of the block."""
        while not self._ended:
            for kind, payload in await self._next():
                if kind == b"E":
                    self._failure = self._failure or wire.parse_error(payload)
                elif kind == b"Z":
                    self._ended = True
                else:
                    yield kind, payload

    async def _next(self) -> list[tuple[bytes, bytes]]:
        batch = await self._queue.get()
        if not batch:
            raise ConnectionResetError("Postgres closed the connection")
        return batch

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None and not isinstance(error, (RedshiftError, BackendError)):
            return  # the session ends, and with it this connection
        async for _ in self.frames():
            pass
        self._backend.capture = None
        if self._failure and error is None:
            raise BackendError(self._failure)


class Backend:
    """One session of Postgres, shared by the client's frames and the gateway's own statements."""

    def __init__(
        self, target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.target = target
        self.status = b"I"
        self.parameters: dict[str, str] = {}
        self.key = b""
        self.capture: Callable[[list[tuple[bytes, bytes]]], Awaitable[None]] | None = None
        self.relay: Callable[[list[tuple[bytes, bytes]]], Awaitable[None]] | None = None
        self.skipping = False
        self.failed = False
        self._named = 0
        self._reader, self._writer = reader, writer
        self._outstanding: deque[bytes] = deque()
        self._settled = asyncio.Event()
        self._settled.set()

    @classmethod
    async def open(cls, target: Target, parameters: dict[str, str]) -> "Backend":
        """Log in.

        Raises:
            BackendError: Postgres refused.
        """
        backend = cls(target, *await target.connect())
        await backend.send(
            wire.startup(
                {"user": target.user, "database": target.database} | SESSION_DEFAULTS | parameters
            )
        )
        try:
            await backend._authenticate()
        except BaseException:
            backend.close()
            raise
        return backend

    async def _authenticate(self) -> None:
        scram = ScramClient(self.target.password)
        while True:
            kind, payload = await wire.read_frame(self._reader)
            if kind == b"E":
                raise BackendError(wire.parse_error(payload))
            if kind == b"S":
                name, value, _ = payload.decode().split("\0")
                self.parameters[name] = value
            elif kind == b"K":
                self.key = payload
            elif kind == b"Z":
                self.status = payload
                return
            elif kind == b"R":
                (method,) = struct.unpack_from("!I", payload)
                await self._answer(method, payload[4:], scram)

    async def _answer(self, method: int, payload: bytes, scram: ScramClient) -> None:
        if method == 3:
            await self.send(wire.frame(b"p", wire.cstring(self.target.password)))
        elif method == 5:
            answer = md5_password(self.target.user, self.target.password, payload)
            await self.send(wire.frame(b"p", wire.cstring(answer)))
        elif method == 10:
            first = scram.first().encode()
            name = wire.cstring("SCRAM-SHA-256")
            await self.send(wire.frame(b"p", name + struct.pack("!I", len(first)) + first))
        elif method == 11:
            await self.send(wire.frame(b"p", scram.final(payload.decode()).encode()))
        elif method not in {0, 12}:
            raise ConnectionError(f"Postgres asks for authentication method {method}")

    async def send(self, data: bytes) -> None:
        """Write to Postgres and wait while its buffer is full."""
        self._writer.write(data)
        await self._writer.drain()

    async def forward(self, kind: bytes, payload: bytes) -> None:
        """Pass a client's frame on and remember that it will be answered."""
        if kind in b"QS":
            self.skipping = False
        if not self.skipping and kind in b"QSPBDEC":
            self._outstanding.append(kind)
            self._settled.clear()
        await self.send(wire.frame(kind, payload))

    async def settled(self) -> None:
        """Wait until every forwarded frame was answered."""
        if not self._settled.is_set():
            await self.send(wire.frame(b"H"))
            await self._settled.wait()

    async def pump(self) -> None:
        """Read Postgres until it closes the connection; cancelled with the session."""
        splitter = wire.FrameSplitter()
        while chunk := await self._reader.read(wire.READ_BYTES):
            captured, relayed = [], []
            for kind, payload in splitter.feed(chunk, relay=self.capture is None):
                private = self.capture is not None and kind not in b"SNA"
                self._observe(kind, payload, private=private)
                (captured if private else relayed).append((kind, payload))
            if relayed and self.relay:
                await self.relay(relayed)
            if not self._outstanding:
                self._settled.set()
            if captured and self.capture:
                await self.capture(captured)
        self._outstanding.clear()
        self._settled.set()
        if self.capture:
            await self.capture([])

    def _observe(self, kind: bytes, payload: bytes, *, private: bool) -> None:
        if kind == b"Z":
            self.status = payload
        elif kind == b"S":
            name, value, _ = payload.decode().split("\0")
            self.parameters[name] = value
        if private:
            return
        waiting = self._outstanding
        if kind == b"E":
            self.failed = True
            while waiting and waiting[0] not in b"SQ":
                waiting.popleft()
            self.skipping = not waiting
        elif waiting and (kind == b"Z" or _ENDS.get(kind) == waiting[0]):
            waiting.popleft()

    async def run(self, sql: str) -> Result:
        """Run statements of the gateway in the client's session and transaction.

        Raises:
            BackendError: Postgres refused; the transaction, if any, is now a failed one.
        """
        rows, tag = [], ""
        async with PrivateStatement(self, sql) as statement:
            async for kind, payload in statement.frames():
                if kind == b"D":
                    rows.append(wire.data_row(payload))
                elif kind == b"C":
                    tag = payload.rstrip(b"\0").decode()
        return Result(rows, tag)

    async def run_extended(self, sql: str) -> None:
        """Run one statement inside the client's extended-protocol batch: no Sync, no answer kept.

        Raises:
            BackendError: Postgres refused; it now ignores everything up to the client's Sync.
        """
        await self.settled()
        queue: asyncio.Queue[list[tuple[bytes, bytes]]] = asyncio.Queue()
        self.capture = queue.put
        self._named += 1  # after an error the Close is skipped: a name is never used twice
        await self.send(wire.execute_once(f"standin_{self._named}", sql))
        closes = 0
        while closes < 2:
            for kind, payload in await queue.get():
                closes += kind == b"3"
                if kind == b"E":
                    self.capture, self.skipping = None, True
                    raise BackendError(wire.parse_error(payload))
        self.capture = None

    def private(self, sql: str) -> PrivateStatement:
        """Open a statement whose frames the caller reads itself (COPY)."""
        return PrivateStatement(self, sql)

    async def cancel(self) -> None:
        """Ask Postgres to stop what this session runs."""
        with contextlib.suppress(OSError):
            _, writer = await self.target.connect()
            writer.write(struct.pack("!II", 8 + len(self.key), wire.CANCEL_REQUEST) + self.key)
            await writer.drain()
            writer.close()

    def close(self) -> None:
        """Drop the connection; an open transaction is rolled back by Postgres."""
        self._writer.close()
