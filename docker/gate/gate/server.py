"""The two listeners: one Unix socket for each identity, each with limits of its own."""

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from gate.connections import BoundedServer, Bounds
from gate.engine import Answer, Engine
from gate.operations import Operations, Request
from gate.policy import Policy
from gate.refusals import RefusedError, malformed
from gate.routes import Call, Identity, match
from gate.strict_json import MAX_BODY_BYTES, parse_object

ACCESS_LOG = logging.getLogger("gate.access")

#: Headers that change how a body or a connection is read; none of the allowed calls needs one.
_TRICKS = ("Transfer-Encoding", "Content-Encoding", "Upgrade", "Expect", "Trailer", "TE")


class Listener:
    """The calls of one identity: matched, carried out, logged.

    Args:
        identity: Who connects to this listener's socket.
        engine: The engine.
        policy: What run containers may be.
        max_calls: How many calls are carried out at once; more wait, then get 503.
        max_waiting_seconds: How long a call waits for its turn.
        bounds: How many connections are open at once, and how long the parts of a request may take.
    """

    def __init__(
        self,
        identity: Identity,
        engine: Engine,
        policy: Policy,
        *,
        max_calls: int = 16,
        max_waiting_seconds: float = 30.0,
        bounds: Bounds = Bounds(),  # noqa: B008 - frozen
    ):
        self.identity = identity
        self._operations = Operations(engine, policy)
        self._slots = asyncio.Semaphore(max_calls)
        self._bounds = bounds
        self._max_waiting_seconds = max_waiting_seconds

    async def listen(self, socket_path: Path) -> asyncio.AbstractServer:
        """Listen on a Unix socket; a socket that an earlier process left behind is replaced.

        Whoever reaches the path has this identity: the directory is a volume that only one service mounts.
        """
        socket_path.unlink(missing_ok=True)
        server = BoundedServer(self.handle, self._bounds)
        listening = await asyncio.get_running_loop().create_unix_server(server, str(socket_path))
        socket_path.chmod(0o666)
        return listening

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer one request; whatever goes wrong, it is refused and leaves a line in the log."""
        began = time.monotonic()
        call: Call | None = None
        # What stands here if the gate itself fails: aiohttp then answers 500 and tells nothing.
        decision, reason, status = "failed", "an error in the gate", 500
        try:
            call = match(self.identity, request.method, request.raw_path)
            answer = await self._carry_out(call, request)
            decision, reason, status = "allowed", "", answer.status
        except RefusedError as refusal:
            answer = _told(refusal.status, f"gate: {refusal.reason}")
            decision, reason, status = "refused", refusal.reason, refusal.status
        finally:
            line = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "identity": self.identity,
                "method": request.method[:16],
                "path": request.raw_path.partition("?")[0][:200],
                "operation": call.route.operation if call else "",
                "name": call.parameters.get("name", "")[:128] if call else "",
                "decision": decision,
                "reason": reason[:500],
                "status": status,
                "milliseconds": round((time.monotonic() - began) * 1000),
            }
            level = logging.INFO if decision == "allowed" else logging.WARNING
            ACCESS_LOG.log(level, "%s", json.dumps(line))
        response = web.Response(
            status=answer.status,
            body=b"" if request.method == "HEAD" else answer.body,
            content_type=answer.content_type,
            headers={"Api-Version": call.version[2:]} if call and call.version else {},
        )
        if decision != "allowed":
            # Nothing that follows a refused request on the same connection is read.
            response.force_close()
        return response

    async def _carry_out(self, call: Call, request: web.BaseRequest) -> Answer:
        body = await _read_body(call, request, self._bounds.body_seconds)
        try:
            await asyncio.wait_for(self._slots.acquire(), self._max_waiting_seconds)
        except TimeoutError:
            raise RefusedError(503, "too many calls at once") from None
        try:
            asked = Request(call, body, request.headers.get("X-Registry-Auth", ""))
            return await self._operations.carry_out(asked)
        finally:
            self._slots.release()


async def _read_body(call: Call, request: web.BaseRequest, seconds: float) -> dict[str, object]:
    for name in _TRICKS:
        if name in request.headers:
            raise malformed(f"the header {name} is not allowed")
    if request.version != (1, 1):
        raise malformed("only HTTP/1.1 is spoken here")
    length = request.content_length or 0
    if length > MAX_BODY_BYTES:
        raise malformed(f"the body is longer than {MAX_BODY_BYTES} bytes")
    if not call.route.body:
        if length:
            raise malformed("this call has no body")
        return {}
    kinds = request.headers.getall("Content-Type", [])
    if [kind.lower().replace(" ", "") for kind in kinds] not in _JSON_KINDS:
        raise malformed("the body must be application/json")
    try:
        # One time for all of it: a byte every few seconds is late too.
        async with asyncio.timeout(seconds):
            raw = b""
            while not request.content.at_eof() and len(raw) <= MAX_BODY_BYTES:
                raw += await request.content.read(MAX_BODY_BYTES)
    except TimeoutError:
        raise malformed(f"the body took longer than {seconds:g} seconds") from None
    return parse_object(raw)


_JSON_KINDS: Sequence[list[str]] = (
    ["application/json"],
    ["application/json;charset=utf-8"],
)


def _told(status: int, message: str) -> Answer:
    return Answer(status, "application/json", json.dumps({"message": message}).encode())
