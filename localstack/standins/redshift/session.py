"""One client: startup and login, then its frames in order, with Postgres' answers relayed.

The client's frames wait in a bounded queue; a client that goes away cancels what it started.
"""

import asyncio
import contextlib
import ssl
import struct
from collections.abc import Awaitable, Callable

from standins.redshift import wire
from standins.redshift.auth import Login, authenticate
from standins.redshift.backend import Backend, Target
from standins.redshift.catalogue import Catalogue, session_statement
from standins.redshift.context import Context, Services
from standins.redshift.errors import BackendError, RedshiftError, from_backend
from standins.redshift.faults import ConnectionCutError
from standins.redshift.protocol import Protocol
from standins.redshift.statements import quote

#: Startup parameters that reach Postgres. Redshift's drivers send others, which Postgres refuses.
STARTUP_PARAMETERS = {"application_name", "client_encoding", "datestyle", "timezone", "options"}
#: As Redshift reports it; drivers choose their features by it.
SERVER_VERSION = "8.0.2"
_KEPT_FROM_CLIENTS = (b"server_version\0", b"standard_conforming_strings\0")
#: SUPER and VARBYTE have type oids of their own.
TYPE_OIDS = {3802: 4000, 17: 6551}
#: Redshift knows no standard_conforming_strings: drivers then double the backslashes of a literal.
_REPORTED = ("server_encoding", "client_encoding", "DateStyle", "TimeZone", "integer_datetimes",
             "is_superuser", "application_name")  # fmt: skip


class Session:
    """The life of one client connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        target: Target,
        services: Services,
        catalogue_of: Callable[[str], Awaitable[Catalogue]],
        tls: ssl.SSLContext | None,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._target, self._services, self._tls = target, services, tls
        self._catalogue_of = catalogue_of
        self._backend: Backend | None = None
        self._protocol: Protocol | None = None

    async def run(self) -> None:
        """Serve the client until it leaves."""
        try:
            parameters = await self._startup()
            if parameters is not None:
                await self._serve(parameters)
        except (RedshiftError, BackendError) as error:
            fields = error.fields("FATAL") if isinstance(error, RedshiftError) else error.fields
            self._writer.write(wire.error(fields))
        except ConnectionCutError:
            self._writer.transport.abort()
        except (ConnectionError, asyncio.IncompleteReadError, wire.ProtocolError):
            pass  # the peer left; there is nobody to tell
        finally:
            if self._backend:
                self._backend.close()
            with contextlib.suppress(ConnectionError):
                self._writer.close()
                await self._writer.wait_closed()

    async def _startup(self) -> dict[str, str] | None:
        while True:
            code, body = await wire.read_startup(self._reader)
            if code == wire.SSL_REQUEST and self._tls is not None:
                self._writer.write(b"S")
                await self._writer.drain()
                await self._writer.start_tls(self._tls)
            elif code in {wire.SSL_REQUEST, wire.GSS_REQUEST}:
                self._writer.write(b"N")
            elif code == wire.CANCEL_REQUEST:
                await self._pass_cancel(body)
                return None
            elif code >> 16 == 3:
                return wire.parse_startup(body)
            else:
                raise wire.ProtocolError(f"unknown startup code {code}")

    async def _pass_cancel(self, key: bytes) -> None:
        if key in self._services.running:  # Postgres hears nothing while it waits for COPY's rows
            self._services.running[key].cancelled.set()
        _, writer = await self._target.connect()
        writer.write(struct.pack("!II", 8 + len(key), wire.CANCEL_REQUEST) + key)
        await writer.drain()
        writer.close()

    async def _login(self, parameters: dict[str, str]) -> tuple[Login, Catalogue, str]:
        login = Login.parse(parameters.get("user", ""))
        self._writer.write(wire.frame(b"R", struct.pack("!I", 3)))
        kind, payload = await wire.read_frame(self._reader)
        if kind != b"p":
            raise wire.ProtocolError("a password was expected")
        default = await self._catalogue_of(self._target.database)
        password = payload.rstrip(b"\0").decode()
        await asyncio.to_thread(authenticate, default, login, password)
        database = parameters.get("database") or login.user
        if not await asyncio.to_thread(default.has_database, database):
            raise RedshiftError(f'database "{database}" does not exist', "3D000")
        return login, await self._catalogue_of(database), database

    async def _serve(self, parameters: dict[str, str]) -> None:
        login, catalogue, database = await self._login(parameters)
        accepted = {k: v for k, v in parameters.items() if k.lower() in STARTUP_PARAMETERS}
        backend = await Backend.open(self._target.with_database(database), accepted)
        self._backend = backend
        pump = asyncio.create_task(backend.pump())
        try:
            await backend.run(session_statement(login.user))
            await backend.run(f"set session authorization {quote(login.user)}")
            session_id = struct.unpack_from("!I", backend.key)[0]
            context = Context(
                backend, self._services, catalogue, login.user, session_id, self._notice
            )
            context.settings.case_sensitive_names = self._services.case_sensitive_names
            context.settings.case_sensitive_by_default = self._services.case_sensitive_names
            self._services.running[backend.key] = context
            self._protocol = Protocol(context, self._writer)
            self._greet(backend, login.user)
            backend.relay = self._relay
            await self._frames(self._protocol, pump)
        finally:
            self._services.running.pop(backend.key, None)
            pump.cancel()

    def _greet(self, backend: Backend, user: str) -> None:
        reported = {n: backend.parameters[n] for n in _REPORTED if n in backend.parameters}
        reported |= {"server_version": SERVER_VERSION, "session_authorization": user}
        frames = [wire.frame(b"R", struct.pack("!I", 0))]
        frames += [wire.parameter_status(name, value) for name, value in reported.items()]
        self._writer.write(b"".join([*frames, wire.frame(b"K", backend.key), wire.ready(b"I")]))

    async def _frames(self, protocol: Protocol, pump: asyncio.Task[None]) -> None:
        waiting: asyncio.Queue[tuple[bytes, bytes] | None] = asyncio.Queue(maxsize=64)

        async def receive() -> None:
            try:
                while True:
                    kind, payload = await wire.read_frame(self._reader)
                    if kind == b"X":
                        break
                    await waiting.put((kind, payload))
            except (ConnectionError, asyncio.IncompleteReadError):
                work.cancel()
            finally:
                await waiting.put(None)

        async def handle() -> None:
            while (item := await waiting.get()) is not None:
                await protocol.handle(*item)
                await self._writer.drain()

        work = asyncio.create_task(handle())
        receiver = asyncio.create_task(receive())
        try:
            await asyncio.wait({work, pump}, return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                pump.result()
            if work.done() and not work.cancelled():
                work.result()
            elif self._backend and self._backend.status != b"I":
                await self._backend.cancel()
        finally:
            for task in (work, receiver):
                task.cancel()
            await asyncio.gather(work, receiver, return_exceptions=True)

    def _notice(self, text: str) -> None:
        fields = {"S": "INFO", "C": "00000", "M": text}
        self._writer.write(wire.error(fields, b"N"))

    async def _relay(self, frames: list[tuple[bytes, bytes]]) -> None:
        hold = self._protocol is not None and self._protocol.hold_ready
        out = []
        for kind, payload in frames:
            if kind == wire.RAW_ROWS:
                out.append(payload)
            elif kind in b"D12CI":
                out.append(wire.frame(kind, payload))
            elif kind == b"E":
                out.append(wire.error(from_backend(wire.parse_error(payload))))
            elif kind == b"T":
                out.append(wire.frame(kind, wire.with_type_oids(payload, TYPE_OIDS)))
            elif (kind == b"Z" and hold) or (
                kind == b"S" and payload.startswith(_KEPT_FROM_CLIENTS)
            ):
                continue
            else:
                out.append(wire.frame(kind, payload))
        self._writer.write(b"".join(out))
        await self._writer.drain()
