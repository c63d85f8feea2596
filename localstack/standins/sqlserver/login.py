"""The start of a connection: PRELOGIN and LOGIN7 (MS-TDS 2.2.6.4, 2.2.6.5)."""

import struct
from dataclasses import dataclass
from enum import IntEnum


class Encryption(IntEnum):
    """The ENCRYPTION option of PRELOGIN."""

    OFF = 0
    ON = 1
    NOT_SUPPORTED = 2
    REQUIRED = 3


@dataclass(frozen=True, slots=True)
class Login:
    """What a client asks for in LOGIN7."""

    user: str
    password: str
    database: str
    application: str
    host: str
    packet_bytes: int
    integrated: bool


def requested_encryption(body: bytes) -> int:
    """The ENCRYPTION option of a client's PRELOGIN."""
    position = 0
    while position < len(body) and body[position] != 0xFF:
        option, offset, length = struct.unpack_from(">BHH", body, position)
        if option == 1 and length:
            return body[offset]
        position += 5
    return Encryption.NOT_SUPPORTED


def prelogin_reply(encryption: Encryption) -> bytes:
    """A PRELOGIN answer: SQL Server 2019's version, no instance, no MARS."""
    options = [
        (0, bytes.fromhex("0f0007d00000")),
        (1, bytes([encryption])),
        (2, b"\0"),
        (3, b""),
        (4, b"\0"),
    ]
    offset = 5 * len(options) + 1
    head = b""
    for option, data in options:
        head += struct.pack(">BHH", option, offset, len(data))
        offset += len(data)
    return head + b"\xff" + b"".join(data for _, data in options)


def parse_login(body: bytes) -> Login:
    """Reads LOGIN7.

    Raises:
        ValueError: the message is cut short.
    """
    if len(body) < 94:
        raise ValueError("a LOGIN7 message is too short")
    (packet_bytes,) = struct.unpack_from("<I", body, 8)

    def field(index: int) -> bytes:
        offset, characters = struct.unpack_from("<HH", body, 36 + 4 * index)
        return body[offset : offset + 2 * characters]

    # A database name follows the 6 bytes of the client's address: field 8 stands at 68.
    swapped = bytes(((byte ^ 0xA5) >> 4) | (((byte ^ 0xA5) & 0x0F) << 4) for byte in field(2))
    return Login(
        user=field(1).decode("utf-16-le"),
        password=swapped.decode("utf-16-le"),
        database=field(8).decode("utf-16-le"),
        application=field(3).decode("utf-16-le"),
        host=field(0).decode("utf-16-le"),
        packet_bytes=packet_bytes,
        integrated=bool(body[25] & 0x80),
    )
