"""The TDS server: one task per connection; statements run in a thread of the connection's own."""

import asyncio
import contextlib
import hmac
import logging
import ssl
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
from sqlglot.errors import SqlglotError

from standins.sqlserver import login as logins
from standins.sqlserver import procedures, settings, tokens
from standins.sqlserver.channel import Channel
from standins.sqlserver.database import Database
from standins.sqlserver.errors import SqlError, login_failed, unknown_database, unsupported
from standins.sqlserver.locks.reads import Isolation
from standins.sqlserver.names import SYSTEM_DATABASES
from standins.sqlserver.packets import (
    DEFAULT_PACKET_BYTES,
    RESET_BUT_KEEP_TRANSACTION,
    RESET_CONNECTION,
    Message,
    PacketType,
    PacketWriter,
    read_message,
)
from standins.sqlserver.results import Cancelled, ConnectionDropped
from standins.sqlserver.session import Session

LOGGER = logging.getLogger(__name__)
MAX_PACKET_BYTES = 32_767
_LEVELS = {
    1: Isolation.READ_UNCOMMITTED,
    2: Isolation.READ_COMMITTED,
    3: Isolation.REPEATABLE_READ,
    4: Isolation.SERIALIZABLE,
    5: Isolation.SNAPSHOT,
}
_END = object()
_DEFECTS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, NameError, NotImplementedError, RecursionError, TypeError,
    ValueError, struct.error, pa.ArrowException, SqlglotError,
)  # fmt: skip
"""What a defect of the stand-in raises: the client gets an error instead of a hang, the log gets the trace."""


@dataclass(frozen=True, slots=True)
class Account:
    """The one login that is accepted."""

    user: str
    password: str


class Connection:
    """One client, from its first byte to its last."""

    def __init__(
        self, channel: Channel, store: Database, account: Account, tls: ssl.SSLContext | None
    ) -> None:
        self._channel = channel
        self._store = store
        self._account = account
        self._tls = tls
        self._packet_bytes = DEFAULT_PACKET_BYTES
        self._requests: asyncio.Queue[Message | None] = asyncio.Queue(maxsize=16)
        self._attention = False
        self._running = False
        self._gone = False
        self._session: Session | None = None
        self._prepared = procedures.PreparedStatements()

    async def serve(self) -> None:
        """Speaks with the client until one of the two hangs up."""
        try:
            if not await self._greet():
                return
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, ValueError) as failure:
            LOGGER.info("a client left before it was logged in: %s", failure)
            self._channel.close()
            return
        assert self._session is not None
        listener = asyncio.create_task(self._listen(self._session))
        worker = ThreadPoolExecutor(1, thread_name_prefix=f"sqlserver-{self._session.state.spid}")
        try:
            while (message := await self._requests.get()) is not None:
                await self._answer(self._session, message, worker)
        except (ConnectionError, ConnectionDropped, ssl.SSLError) as failure:
            LOGGER.info("connection %d broke: %s", self._session.state.spid, failure)
            self._channel.abort()
        finally:
            listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listener
            self._session.cancel()
            await asyncio.get_running_loop().run_in_executor(worker, self._session.close)
            worker.shutdown(wait=False)
            self._channel.close()

    # -- login
    async def _greet(self) -> bool:
        message = await read_message(self._channel.read_exactly)
        if message.kind == PacketType.PRELOGIN:
            wanted = logins.requested_encryption(message.body)
            encrypted = self._tls is not None and wanted in {
                logins.Encryption.ON,
                logins.Encryption.REQUIRED,
            }
            answer = logins.Encryption.ON if encrypted else logins.Encryption.NOT_SUPPORTED
            await self._send(logins.prelogin_reply(answer))
            if encrypted and self._tls is not None:
                await self._channel.start_tls(self._tls)
            message = await read_message(self._channel.read_exactly)
        if message.kind != PacketType.LOGIN7:
            raise ValueError(f"a LOGIN7 message was expected, not type 0x{message.kind:02X}")
        request = logins.parse_login(message.body)
        failure = self._check(request)
        if failure is not None:
            await self._send(tokens.error(failure) + tokens.done(status=tokens.ERROR))
            self._channel.close()
            return False
        home = self._store.name
        database = request.database if request.database.lower() in SYSTEM_DATABASES else home
        self._session = await asyncio.to_thread(
            Session, self._store, request.user, database, request.host, request.application
        )
        await self._send(self._welcome(request, database))
        return True

    def _check(self, request: logins.Login) -> SqlError | None:
        if request.integrated:
            return unsupported("Windows authentication")
        same_user = request.user.lower() == self._account.user.lower()
        same_password = hmac.compare_digest(
            request.password.encode(), self._account.password.encode()
        )
        if not (same_user and same_password):
            return login_failed(request.user)
        if request.database and request.database.lower() not in {
            self._store.name.lower(),
            *SYSTEM_DATABASES,
        }:
            return unknown_database(request.database)
        return None

    def _welcome(self, request: logins.Login, database: str) -> bytes:
        asked = request.packet_bytes or DEFAULT_PACKET_BYTES
        size = min(max(asked, 512), MAX_PACKET_BYTES)
        reply = (
            tokens.environment_text(1, database, "master")
            + tokens.information(5701, f"Changed database context to '{database}'.", 2)
            + tokens.environment_bytes(7, tokens.COLLATION)
            + tokens.environment_text(2, "us_english")
            + tokens.information(5703, "Changed language setting to us_english.")
            + tokens.login_acknowledged()
            + tokens.environment_text(4, str(size), str(DEFAULT_PACKET_BYTES))
            + tokens.done()
        )
        self._packet_bytes = size
        return reply

    async def _send(self, body: bytes) -> None:
        """A whole message at once, in packets of the size that holds before the login is through."""
        writer = PacketWriter(DEFAULT_PACKET_BYTES)
        await self._channel.write(writer.add(body) + writer.finish())

    # -- requests
    async def _listen(self, session: Session) -> None:
        """Takes messages off the wire even while a statement runs, to see ATTENTION and hang-ups at once."""
        try:
            while True:
                message = await read_message(self._channel.read_exactly)
                if message.kind == PacketType.ATTENTION and self._running:
                    self._attention = True
                    session.cancel()
                    continue
                await self._requests.put(message)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, ValueError) as failure:
            LOGGER.debug("connection %d: %s", session.state.spid, failure)
            self._gone = True
            session.cancel()
            await self._requests.put(None)

    async def _answer(self, session: Session, message: Message, worker: ThreadPoolExecutor) -> None:
        """Runs one request and streams its answer; waits while the client does not read."""
        self._running, self._attention = True, False
        session.accept_work()
        loop = asyncio.get_running_loop()
        writer = PacketWriter(self._packet_bytes)
        if self._store.faults.delay_seconds:
            await asyncio.sleep(self._store.faults.delay_seconds)
        pieces = respond(session, self._prepared, message)
        step = loop.run_in_executor(worker, _next, pieces)
        try:
            while (piece := await step) is not _END:
                # The next piece is made while this one is sent.
                step = loop.run_in_executor(worker, _next, pieces)
                packets = writer.add(piece) if isinstance(piece, bytes) else b""
                if packets and not self._gone:
                    await self._channel.write(packets)
        except Cancelled:
            self._attention = self._attention or not self._gone
        except ConnectionDropped:
            # What was made before the fault still leaves, so that a client sees rows and then the break.
            await self._channel.write(writer.add(b"") + writer.finish()[: -1 or None])
            raise
        finally:
            self._running = False
            await asyncio.wait([asyncio.ensure_future(step)])
        if self._attention:
            writer_bytes = writer.add(tokens.done(status=tokens.ATTENTION))
            await self._channel.write(writer_bytes + writer.finish())
            return
        await self._channel.write(writer.finish())


def _next(pieces: Iterator[bytes]) -> object:
    return next(pieces, _END)


def respond(
    session: Session, prepared: procedures.PreparedStatements, message: Message
) -> Iterator[bytes]:
    """The answer to one request, piece by piece; runs in the connection's thread."""
    try:
        if message.status & (RESET_CONNECTION | RESET_BUT_KEEP_TRANSACTION):
            # A pool hands the connection to its next user.
            prepared.texts.clear()
            session.reset(keep_transaction=bool(message.status & RESET_BUT_KEEP_TRANSACTION))
            yield tokens.environment_bytes(tokens.CONNECTION_RESET, b"")
        match message.kind:
            case PacketType.SQL_BATCH:
                (headers,) = struct.unpack_from("<I", message.body)
                yield from session.batch(
                    message.body[headers:].decode("utf-16-le", "surrogatepass")
                )
            case PacketType.RPC:
                calls = procedures.parse_calls(message.body)
                for index, call in enumerate(calls):
                    last: bytes | None = None
                    for piece in procedures.run_call(session, prepared, call):
                        if last:
                            yield last
                        last = piece
                    if last and index + 1 < len(calls):
                        # The last token of a call is DONEPROC; MORE tells that another call's answer follows.
                        last = last[:1] + bytes([last[1] | tokens.MORE]) + last[2:]
                    yield last or b""
            case PacketType.TRANSACTION:
                yield from _transaction(session, message.body)
            case PacketType.ATTENTION:
                yield tokens.done(status=tokens.ATTENTION)
            case PacketType.BULK_LOAD:
                yield from session.bulk_rows(message.body)
            case kind:
                raise unsupported(f"TDS messages of type 0x{kind:02X}")
    except SqlError as failure:
        yield tokens.error(failure) + session.lost_transaction()
        yield tokens.done(status=tokens.ERROR)
    except _DEFECTS as defect:
        LOGGER.exception("the stand-in failed at a request")
        yield tokens.error(
            unsupported(f"this request: it failed inside ({type(defect).__name__}: {defect})")
        )
        yield tokens.done(status=tokens.ERROR)


def _transaction(session: Session, body: bytes) -> Iterator[bytes]:
    """A transaction manager request (MS-TDS 2.2.6.9)."""
    (headers,) = struct.unpack_from("<I", body)
    (kind,) = struct.unpack_from("<H", body, headers)
    rest = body[headers + 2 :]
    if kind == 5:
        yield _begin(session, rest)
    elif kind in {7, 8}:
        if kind == 7:
            yield settings.commit(session)
        elif session.transactions.depth:
            yield settings.rollback(session)
        name_bytes = rest[0]
        if rest[1 + name_bytes] & 1:
            yield _begin(session, rest[2 + name_bytes :])
    else:
        raise unsupported(
            f"transaction requests of type {kind} (distributed transactions, savepoints)"
        )
    yield tokens.done()


def _begin(session: Session, rest: bytes) -> bytes:
    if rest and rest[0] in _LEVELS:
        session.transactions.isolation = _LEVELS[rest[0]]
    return settings.begin(session)
