"""The connections of one listener: few, and each with a time for every part of a request.

aiohttp bounds the time between two requests and none else, so that a client which sends half of a request, or does not read
its answer, would hold a connection for good; a hundred of them would keep everybody else out.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.web_protocol import RequestHandler


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many connections there may be, and how long the parts of a request may take.

    Args:
        connections: Connections that are open at once. One more takes the place of the one that idles longest; where none
            idles, it is closed.
        head_seconds: From the first byte of a request, or from the connection, to the end of the request's head.
        body_seconds: From there to the end of its body.
        answer_seconds: Until the client has taken the answer.
        idle_seconds: Between two requests.
    """

    connections: int = 128
    head_seconds: float = 10.0
    body_seconds: float = 10.0
    answer_seconds: float = 30.0
    idle_seconds: float = 3600.0


class Connection(RequestHandler):
    """One connection, closed where a request's head or the taking of its answer is late."""

    def __init__(self, server: "BoundedServer", bounds: Bounds, **kwargs: object):
        super().__init__(server, **kwargs)  # pyright: ignore[reportArgumentType]
        self._bounds = bounds
        self._late: asyncio.TimerHandle | None = None
        self._ahead = False
        self.busy = False
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there: from now on its first request is expected."""
        super().connection_made(transport)
        self._expect_a_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone."""
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request: of the one that is read, or of the next."""
        # Before the base class, which begins the request where its head is whole.
        if self.busy:
            self._ahead = True
        elif self._late is None:
            self._expect_a_head()
        super().data_received(data)

    def begin(self) -> None:
        """A request's head is there."""
        self._expect_nothing()
        self.busy, self._ahead = True, False

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer; a client that does not take it in time loses the connection."""
        try:
            async with asyncio.timeout(self._bounds.answer_seconds):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:
            self.abort()
            return resp, True
        finally:
            self.busy = False
            self.idle_since = asyncio.get_running_loop().time()
            # What came meanwhile may be half of the next request. What came together with this one cannot be told from
            # nothing: such a connection idles, and makes room as one that does.
            if self._ahead:
                self._expect_a_head()

    def abort(self) -> None:
        """Close it at once, with whatever was on its way."""
        self._expect_nothing()
        if self.transport is not None:
            self.transport.abort()

    def _expect_a_head(self) -> None:
        loop = asyncio.get_running_loop()
        self.idle_since = self.idle_since or loop.time()
        self._expect_nothing()
        self._late = loop.call_later(self._bounds.head_seconds, self.abort)

    def _expect_nothing(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class BoundedServer(web.Server):
    """aiohttp's server with bounds for its connections.

    Args:
        handler: Answers one request.
        bounds: What holds for its connections.
    """

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], bounds: Bounds
    ):
        super().__init__(handler, request_factory=self._request)
        self._bounds = bounds

    def _request(
        self,
        message: object,
        payload: object,
        protocol: RequestHandler,
        writer: object,
        task: object,
    ) -> web.BaseRequest:
        assert isinstance(protocol, Connection)
        protocol.begin()
        return self._make_request(message, payload, protocol, writer, task)  # pyright: ignore[reportArgumentType]

    def __call__(self) -> RequestHandler:
        """What speaks with the next client."""
        return Connection(
            self,
            self._bounds,
            loop=self._loop,
            keepalive_timeout=self._bounds.idle_seconds,
            lingering_time=2.0,
            access_log=None,
            max_line_size=8190,
            max_field_size=8190,
        )

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Take one more connection, or the place of the one that idles longest."""
        super().connection_made(handler, transport)
        if len(self.connections) <= self._bounds.connections:
            return
        idle = [
            connection
            for connection in self.connections
            if isinstance(connection, Connection)
            and connection is not handler
            and not connection.busy
        ]
        if idle:
            min(idle, key=lambda connection: connection.idle_since).abort()
        else:
            transport.abort()
