"""Frames of the Postgres wire protocol 3.0: building them and cutting them out of a byte stream.

Follows https://www.postgresql.org/docs/current/protocol-message-formats.html. A frame is one type
byte, an int32 length that counts itself, and the payload. Nothing here knows about Redshift.
"""

import asyncio
import struct
from collections.abc import Iterator, Mapping, Sequence

PROTOCOL_3_0 = 196608
SSL_REQUEST = 80877103
GSS_REQUEST = 80877104
CANCEL_REQUEST = 80877102
READ_BYTES = 262_144
#: Redshift refuses statements above 16 MB; the margin covers bound values around them.
MAX_FRAME_BYTES = 64 * 1024 * 1024

_HEADER = struct.Struct("!cI")


class ProtocolError(Exception):
    """The peer sent bytes that are no Postgres protocol frame."""


def frame(kind: bytes, payload: bytes | memoryview = b"") -> bytes:
    """One frame; `kind` is its type byte."""
    return b"".join((_HEADER.pack(kind, len(payload) + 4), payload))


def cstring(text: str) -> bytes:
    """A zero-terminated UTF-8 string."""
    return text.encode() + b"\0"


def startup(parameters: Mapping[str, str]) -> bytes:
    """The first packet of a client: it has no type byte."""
    body = b"".join(cstring(name) + cstring(value) for name, value in parameters.items()) + b"\0"
    return struct.pack("!II", len(body) + 8, PROTOCOL_3_0) + body


def parse_startup(body: bytes) -> dict[str, str]:
    """The parameters of a startup packet, without its length and version."""
    words = body.rstrip(b"\0").decode().split("\0")
    return dict(zip(words[::2], words[1::2], strict=False))


def query(sql: str) -> bytes:
    """A simple query."""
    return frame(b"Q", cstring(sql))


def execute_once(name: str, sql: str) -> bytes:
    """Parse, bind and run `sql` through the extended protocol without a Sync, then forget it."""
    named = cstring(name)
    return (
        frame(b"P", named + cstring(sql) + struct.pack("!H", 0))
        + frame(b"B", named + named + struct.pack("!HHH", 0, 0, 0))
        + frame(b"E", named + struct.pack("!I", 0))
        + frame(b"C", b"P" + named)
        + frame(b"C", b"S" + named)
        + frame(b"H")
    )


def error(fields: Mapping[str, str], kind: bytes = b"E") -> bytes:
    """An error (`E`) or notice (`N`) from its one-letter fields (S severity, C code, M message)."""
    body = b"".join(name.encode() + cstring(value) for name, value in fields.items())
    return frame(kind, body + b"\0")


def parse_error(payload: bytes) -> dict[str, str]:
    """The fields of an error or notice."""
    parts = payload.rstrip(b"\0").split(b"\0")
    return {part[:1].decode(): part[1:].decode(errors="replace") for part in parts if part}


def ready(status: bytes) -> bytes:
    """ReadyForQuery; `status` is I (idle), T (in a transaction) or E (failed transaction)."""
    return frame(b"Z", status)


def parameter_status(name: str, value: str) -> bytes:
    """A reported session parameter."""
    return frame(b"S", cstring(name) + cstring(value))


def data_row(payload: bytes) -> list[str | None]:
    """The text values of a DataRow."""
    (count,) = struct.unpack_from("!H", payload)
    position, values = 2, []
    for _ in range(count):
        (length,) = struct.unpack_from("!i", payload, position)
        position += 4
        if length < 0:
            values.append(None)
            continue
        values.append(payload[position : position + length].decode())
        position += length
    return values


class Field:
    """One column of a RowDescription: its name, type oid and type modifier."""

    __slots__ = ("name", "type_modifier", "type_oid")

    def __init__(self, name: str, type_oid: int, type_modifier: int) -> None:
        self.name, self.type_oid, self.type_modifier = name, type_oid, type_modifier


def row_description(payload: bytes) -> list[Field]:
    """The columns a statement will return."""
    (count,) = struct.unpack_from("!H", payload)
    position, fields = 2, []
    for _ in range(count):
        end = payload.index(b"\0", position)
        _, _, oid, _, modifier, _ = struct.unpack_from("!IHIhiH", payload, end + 1)
        fields.append(Field(payload[position:end].decode(), oid, modifier))
        position = end + 19
    return fields


def with_type_oids(payload: bytes, oids: Mapping[int, int]) -> bytes:
    """The same RowDescription with type oids exchanged."""
    changed, position = bytearray(payload), 2
    (count,) = struct.unpack_from("!H", payload)
    for _ in range(count):
        end = payload.index(b"\0", position)
        (oid,) = struct.unpack_from("!I", payload, end + 7)
        if oid in oids:
            struct.pack_into("!I", changed, end + 7, oids[oid])
        position = end + 19
    return bytes(changed)


def text_columns(names: Sequence[str]) -> bytes:
    """A RowDescription of unbounded varchar columns in text format."""
    body = b"".join(cstring(name) + struct.pack("!IHIhiH", 0, 0, 1043, -1, -1, 0) for name in names)
    return frame(b"T", struct.pack("!H", len(names)) + body)


class Rows(bytes):
    """Many row frames as one piece: payloads joined (CopyData) or frames as they came (DataRow)."""

    frames: int


def rows_of(pieces: Sequence[bytes], frames: int) -> Rows:
    """One piece of several."""
    rows = Rows(b"".join(pieces))
    rows.frames = frames
    return rows


#: The type of a run of DataRow frames that is passed on untouched.
RAW_ROWS = b"D*"


class FrameSplitter:
    """Cuts frames out of chunks of a byte stream, keeping an incomplete tail for the next chunk.

    Rows come in runs, because a Python object for each would cost more than moving it.
    """

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, chunk: bytes, *, relay: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Every complete (type, payload) so far; CopyData, and DataRow if relayed, as `Rows`."""
        buffer = self._tail + chunk if self._tail else chunk
        position, size = 0, len(buffer)
        unpack = _HEADER.unpack_from
        run: list[bytes] = []
        begin = count = 0
        while size - position >= 5:
            kind, length = unpack(buffer, position)
            end = position + 1 + length
            if end > size:
                break
            if run and kind != b"d":
                yield b"d", rows_of(run, len(run))
                run = []
            if count and kind != b"D":
                yield RAW_ROWS, rows_of([buffer[begin:position]], count)
                count = 0
            if kind == b"d":
                run.append(buffer[position + 5 : end])
            elif relay and kind == b"D":
                begin = begin if count else position
                count += 1
            else:
                yield kind, buffer[position + 5 : end]
            position = end
        if run:
            yield b"d", rows_of(run, len(run))
        if count:
            yield RAW_ROWS, rows_of([buffer[begin:position]], count)
        self._tail = buffer[position:]


async def read_frame(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The next frame.

    Raises:
        asyncio.IncompleteReadError: the peer closed the connection.
        ProtocolError: the length is impossible.
    """
    kind, length = _HEADER.unpack(await reader.readexactly(5))
    if not 4 <= length <= MAX_FRAME_BYTES:
        raise ProtocolError(f"a frame of type {kind!r} claims {length} bytes")
    return kind, await reader.readexactly(length - 4)


async def read_startup(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The code (protocol version or request) and body of a packet without a type byte."""
    (length,) = struct.unpack("!I", await reader.readexactly(4))
    if not 8 <= length <= 65_536:
        raise ProtocolError(f"a startup packet claims {length} bytes")
    body = await reader.readexactly(length - 4)
    return struct.unpack_from("!I", body)[0], body[4:]
