"""The gate's side of the engine's socket: bounded calls, bounded answers, no header passed on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

import aiohttp
from yarl import URL

from gate.refusals import RefusedError

MAX_ANSWER_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What the engine said.

    Args:
        status: HTTP status.
        content_type: Media type of the body.
        body: The body, at most `MAX_ANSWER_BYTES`.
    """

    status: int
    content_type: str
    body: bytes

    def json(self) -> object:
        """Parse the body as JSON.

        Raises:
            RefusedError: 502 when it is none.
        """
        try:
            return json.loads(self.body)
        except ValueError:
            raise RefusedError(502, "the engine's answer is not JSON") from None


class Engine:
    """Calls to the engine over its Unix socket, a new connection each.

    Args:
        socket_path: The engine's socket, usually /var/run/docker.sock.
    """

    def __init__(self, socket_path: str):
        self._socket_path = socket_path
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Engine":
        self._session = aiohttp.ClientSession(
            # A kept connection that the engine has just closed would fail a call that cannot be repeated.
            connector=aiohttp.UnixConnector(self._socket_path, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session:
            await self._session.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = 30.0,
        keep: int = MAX_ANSWER_BYTES,
        cut: bool = False,
    ) -> Answer:
        """Make one call.

        Args:
            method: HTTP method.
            path: Path built from checked parts.
            parameters: Query string.
            body: JSON body; serialised anew here.
            headers: Headers that the gate itself chose.
            timeout_seconds: Time until the whole answer is in.
            keep: How many bytes of the answer are read.
            cut: Whether a longer answer is cut to its last `keep` bytes; otherwise it is refused.

        Returns:
            The engine's answer, an error status included.

        Raises:
            RefusedError: 502 when the engine cannot be reached or says too much, 504 when it takes too long.
        """
        if self._session is None:
            raise RuntimeError("Enter the engine as a context manager before calling it.")
        data = None if body is None else json.dumps(body, ensure_ascii=True).encode("ascii")
        sent = dict(headers or {})
        if data is not None:
            sent["Content-Type"] = "application/json"
        try:
            async with self._session.request(
                method,
                URL("http://engine", encoded=True).with_path(path, encoded=True),
                params=dict(parameters or {}),
                data=data,
                headers=sent,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_seconds),
            ) as response:
                return Answer(
                    response.status,
                    response.content_type,
                    await _read(response.content, keep, cut=cut),
                )
        except TimeoutError:
            raise RefusedError(
                504, f"the engine took longer than {timeout_seconds:g} seconds"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise RefusedError(
                502, f"the engine cannot be reached: {type(error).__name__}"
            ) from error


async def _read(stream: aiohttp.StreamReader, keep: int, *, cut: bool) -> bytes:
    kept = bytearray()
    async for chunk in stream.iter_any():
        kept += chunk
        if len(kept) > keep:
            if not cut:
                raise RefusedError(502, f"the engine's answer is longer than {keep} bytes")
            del kept[:-keep]
    return bytes(kept)
