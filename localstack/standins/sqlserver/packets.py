"""TDS packets: cutting messages into packets and joining packets into messages (MS-TDS 2.2.3)."""

import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

HEADER_BYTES = 8
END_OF_MESSAGE = 0x01
RESET_CONNECTION = 0x08
RESET_BUT_KEEP_TRANSACTION = 0x10
DEFAULT_PACKET_BYTES = 4096
MAX_MESSAGE_BYTES = 256 * 1024 * 1024


class PacketType(IntEnum):
    """The message types a client sends, and the one a server answers with."""

    SQL_BATCH = 0x01
    RPC = 0x03
    RESPONSE = 0x04
    ATTENTION = 0x06
    BULK_LOAD = 0x07
    TRANSACTION = 0x0E
    LOGIN7 = 0x10
    PRELOGIN = 0x12


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message from the client; `status` holds the flags of its first packet."""

    kind: int
    body: bytes
    status: int = 0


async def read_message(read_exactly: Callable[[int], Awaitable[bytes]]) -> Message:
    """The next message, its packets joined.

    Raises:
        asyncio.IncompleteReadError: the client went away.
        ValueError: what came is no TDS packet.
    """
    parts: list[bytes] = []
    total = 0
    first_status: int | None = None
    while True:
        kind, status, length = struct.unpack(">BBH", (await read_exactly(HEADER_BYTES))[:4])
        first_status = status if first_status is None else first_status
        if length < HEADER_BYTES:
            raise ValueError(f"a TDS packet cannot have {length} bytes")
        parts.append(await read_exactly(length - HEADER_BYTES))
        total += length
        if total > MAX_MESSAGE_BYTES:
            raise ValueError("a TDS message is larger than the stand-in takes")
        if status & END_OF_MESSAGE:
            return Message(kind, b"".join(parts), first_status)


class PacketWriter:
    """Cuts one response into packets; call `add` as bytes come, then `finish`."""

    def __init__(self, packet_bytes: int, kind: int = PacketType.RESPONSE) -> None:
        self._payload_bytes = packet_bytes - HEADER_BYTES
        self._kind = kind
        self._number = 1
        self._rest = b""

    def add(self, data: bytes) -> bytes:
        """The packets that are full now; what is over waits for the next call."""
        pending = self._rest + data if self._rest else data
        size = self._payload_bytes
        # The last packet stays back: only `finish` knows that it is the last.
        count = (len(pending) - 1) // size if pending else 0
        if count <= 0:
            self._rest = pending
            return b""
        packets = np.empty((count, size + HEADER_BYTES), np.uint8)
        packets[:, 0] = self._kind
        packets[:, 1] = 0
        packets[:, 2:4] = np.frombuffer(struct.pack(">H", size + HEADER_BYTES), np.uint8)
        packets[:, 4:6] = 0
        packets[:, 6] = (np.arange(self._number, self._number + count) & 0xFF).astype(np.uint8)
        packets[:, 7] = 0
        packets[:, HEADER_BYTES:] = np.frombuffer(pending, np.uint8, count * size).reshape(
            count, size
        )
        self._number += count
        self._rest = bytes(pending[count * size :])
        return packets.tobytes()

    def finish(self) -> bytes:
        """The last packet, marked as the end of the message."""
        header = struct.pack(
            ">BBHHBB",
            self._kind,
            END_OF_MESSAGE,
            len(self._rest) + HEADER_BYTES,
            0,
            self._number & 0xFF,
            0,
        )
        packet, self._rest, self._number = header + self._rest, b"", 1
        return packet
