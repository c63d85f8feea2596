"""Simple and extended query protocol: each statement goes to Postgres, or to a gateway command.

Order is kept by waiting until Postgres answered everything sent before, whenever the gateway has
something to say itself. After an error in the extended protocol everything up to Sync is ignored.
"""

import asyncio
import struct
from dataclasses import dataclass

from standins.redshift import wire
from standins.redshift.commands import Command, command_for, written_table
from standins.redshift.context import REFUSAL, Context, require_refusal
from standins.redshift.errors import BackendError, RedshiftError, from_backend, syntax
from standins.redshift.rewrite import rewrite
from standins.redshift.statements import Statement, split

_CONTROL = {"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "VACUUM"}
_ENDS_FAILED = {"ROLLBACK", "ABORT", "COMMIT", "END"}


@dataclass(frozen=True, slots=True)
class _Prepared:
    statement: Statement | None
    command: Command | None


class Protocol:
    """Handles the frames of one client.

    Attributes:
        hold_ready: while a simple query runs, its ReadyForQuery comes from here.
    """

    def __init__(self, context: Context, writer: asyncio.StreamWriter) -> None:
        self.hold_ready = False
        self._context, self._backend, self._writer = context, context.backend, writer
        self._prepared: dict[str, _Prepared] = {}
        self._portals: dict[str, _Prepared] = {}
        self._skipping = False
        self._has_cursor = False

    async def handle(self, kind: bytes, payload: bytes) -> None:
        """Handle one frame."""
        if kind == b"Q":
            await self._simple(payload.rstrip(b"\0").decode())
        elif kind == b"S":
            self._skipping = False
            await self._backend.forward(kind, payload)
        elif kind == b"H":
            await self._backend.forward(kind, payload)
        elif kind in b"PBDEC" and not self._skipping and not self._backend.skipping:
            try:
                await self._extended(kind, payload)
            except RedshiftError as error:
                await self._fail_extended(error.fields())
            except BackendError as error:
                await self._fail_extended(from_backend(error.fields))
        elif kind == b"F":
            error = RedshiftError("function calls are not supported", "0A000")
            self._writer.write(wire.error(error.fields()) + wire.ready(self._backend.status))

    # --- simple ---------------------------------------------------------------------------------
    async def _simple(self, sql: str) -> None:
        await self._backend.settled()
        self.hold_ready = True
        try:
            statements = split(sql)
            alone = len(statements) < 2 or any(s.words[0] in _CONTROL for s in statements)
            wrapped = not alone and not self._context.in_transaction
            if wrapped:
                await self._backend.run("begin")
            failed = False
            for statement in statements:
                failed = not await self._one(statement)
                if failed:
                    break
            if wrapped:
                await self._backend.run("rollback" if failed else "commit")
            if not statements:
                self._writer.write(wire.frame(b"I"))
        except RedshiftError as error:
            await self._context.fail_transaction()
            self._writer.write(wire.error(error.fields()))
        except BackendError as error:
            self._writer.write(wire.error(from_backend(error.fields)))
        finally:
            self.hold_ready = False
        self._writer.write(wire.ready(self._backend.status))

    async def _one(self, statement: Statement) -> bool:
        try:
            ended = self._backend.status == b"E" and statement.words[0] not in _ENDS_FAILED
            if ended:
                return await self._pass(statement.text)
            self._strike(statement)
            self._track_cursor(statement)
            command = command_for(statement, self._context)
            if command is not None:
                self._context.cancelled.clear()
                tag = await command(self._context)
                self._writer.write(wire.frame(b"C", wire.cstring(tag)))
                return True
            sql = rewrite(statement, self._context.settings)
            for preparation in self._preparations(statement):
                await self._backend.run(preparation)
            return await self._pass(sql)
        except RedshiftError as error:
            await self._context.fail_transaction()
            self._writer.write(wire.error(error.fields()))
        except BackendError as error:
            self._writer.write(wire.error(from_backend(error.fields)))
        return False

    async def _pass(self, sql: str) -> bool:
        self._backend.failed = False
        await self._backend.forward(b"Q", wire.cstring(sql))
        await self._backend.settled()
        return not self._backend.failed

    def _preparations(self, statement: Statement) -> list[str]:
        """What the gateway runs first: the writers' lock, the values of pg_last_copy_id()."""
        found = []
        if self._backend.status == b"T":
            table = written_table(statement, self._context)
            found += [self._context.lock_statement(table)] if table else []
        if any(word.startswith("PG_LAST_") for word in statement.words):
            found.append(self._context.last_values_statement())
        return found

    def _track_cursor(self, statement: Statement) -> None:
        """One cursor at a time: https://docs.aws.amazon.com/redshift/latest/dg/declare.html#declare-usage."""
        words = statement.words
        if words[0] == "DECLARE":
            head = words[: words.index("FOR")] if "FOR" in words else words
            without_hold = head[-2:] == ["WITHOUT", "HOLD"]
            for word in ("SCROLL", "BINARY", "INSENSITIVE", *(() if without_hold else ("HOLD",))):
                if word in head:
                    raise syntax(word.lower())
            if self._has_cursor:
                text = "Only one cursor at a time can be open in a session"
                raise RedshiftError(text, "42P03")
            self._has_cursor = True
        elif words[0] in {*_ENDS_FAILED, "CLOSE"}:
            self._has_cursor = False

    def _strike(self, statement: Statement) -> None:
        fault = self._context.services.faults.take("statement", statement.text)
        if fault is not None:
            raise RedshiftError(fault.message, fault.sqlstate, fault.detail)

    # --- extended -------------------------------------------------------------------------------
    async def _extended(self, kind: bytes, payload: bytes) -> None:
        if kind == b"P":
            await self._parse(payload)
        elif kind == b"B":
            await self._bind(payload)
        elif kind == b"E":
            await self._execute(payload)
        else:
            await self._describe_or_close(kind, payload)

    async def _parse(self, payload: bytes) -> None:
        name, text, rest = payload.split(b"\0", 2)
        statements = split(text.decode())
        key = name.decode()
        if len(statements) != 1 or self._backend.status == b"E":
            self._prepared[key] = _Prepared(None, None)
            await self._backend.forward(b"P", payload)
            return
        statement = statements[0]
        command = command_for(statement, self._context)
        self._prepared[key] = _Prepared(statement, command)
        if command is not None:
            await self._answer(wire.frame(b"1"))
            return
        sql = rewrite(statement, self._context.settings)
        await self._backend.forward(b"P", name + b"\0" + wire.cstring(sql) + rest)

    async def _bind(self, payload: bytes) -> None:
        portal, name, _ = payload.split(b"\0", 2)
        prepared = self._prepared.get(name.decode(), _Prepared(None, None))
        self._portals[portal.decode()] = prepared
        if prepared.command is not None:
            await self._answer(wire.frame(b"2"))
            return
        if prepared.statement is not None and self._backend.status != b"E":
            for preparation in self._preparations(prepared.statement):
                await self._backend.run_extended(preparation)
        await self._backend.forward(b"B", payload)

    async def _execute(self, payload: bytes) -> None:
        prepared = self._portals.get(payload.split(b"\0", 1)[0].decode(), _Prepared(None, None))
        if prepared.statement is not None and self._backend.status != b"E":
            self._strike(prepared.statement)
            self._track_cursor(prepared.statement)
        if prepared.command is None:
            await self._backend.forward(b"E", payload)
            return
        await self._backend.settled()
        self._context.cancelled.clear()
        tag = await prepared.command(self._context)
        self._writer.write(wire.frame(b"C", wire.cstring(tag)))

    async def _describe_or_close(self, kind: bytes, payload: bytes) -> None:
        name = payload[1:].rstrip(b"\0").decode()
        known = self._prepared if payload[:1] == b"S" else self._portals
        prepared = known.get(name)
        if kind == b"C":
            known.pop(name, None)
        if prepared is None or prepared.command is None:
            await self._backend.forward(kind, payload)
            return
        if kind == b"C":
            await self._answer(wire.frame(b"3"))
            return
        parameters = wire.frame(b"t", struct.pack("!H", 0)) if payload[:1] == b"S" else b""
        await self._answer(parameters + wire.frame(b"n"))

    async def _answer(self, data: bytes) -> None:
        await self._backend.settled()
        self._writer.write(data)

    async def _fail_extended(self, fields: dict[str, str]) -> None:
        """Tell the client, and let Postgres drop what this batch did, up to Sync."""
        self._skipping = True
        if not self._backend.skipping and self._backend.status != b"E":
            try:
                await self._backend.run_extended(REFUSAL)
            except BackendError as failure:
                require_refusal(failure)
        self._writer.write(wire.error(fields))
