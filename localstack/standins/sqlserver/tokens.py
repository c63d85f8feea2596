"""The TDS tokens of a response (MS-TDS 2.2.7): login acknowledgement, changes of environment, errors, done."""

import struct

from standins.sqlserver.errors import SqlError

SERVER_NAME = "TRANSHIP-STANDIN"
COLLATION = bytes.fromhex("0904d00034")
"""SQL_Latin1_General_CP1_CI_AS: code page 1252, case-insensitive."""

DONE, DONE_PROC, DONE_IN_PROC = 0xFD, 0xFE, 0xFF
MORE, ERROR, IN_TRANSACTION, COUNT, ATTENTION = 0x01, 0x02, 0x04, 0x10, 0x20
TRANSACTION_BEGUN, TRANSACTION_COMMITTED, TRANSACTION_ROLLED_BACK = 8, 9, 10
CONNECTION_RESET = 18


def short_text(text: str) -> bytes:
    """B_VARCHAR: a byte with the length in characters, then UTF-16."""
    data = text.encode("utf-16-le")
    return bytes([len(data) // 2]) + data


def long_text(text: str) -> bytes:
    """US_VARCHAR: two bytes with the length in characters, then UTF-16."""
    data = text.encode("utf-16-le")
    return struct.pack("<H", len(data) // 2) + data


def _token(kind: int, body: bytes) -> bytes:
    return struct.pack("<BH", kind, len(body)) + body


def environment_text(kind: int, new: str, old: str = "") -> bytes:
    """ENVCHANGE with names: 1 database, 2 language, 4 packet size."""
    return _token(0xE3, bytes([kind]) + short_text(new) + short_text(old))


def environment_bytes(kind: int, new: bytes, old: bytes = b"") -> bytes:
    """ENVCHANGE with bytes: 7 collation, 8 to 10 transactions."""
    return _token(0xE3, bytes([kind, len(new)]) + new + bytes([len(old)]) + old)


def information(number: int, message: str, state: int = 1) -> bytes:
    """INFO: a message that is no error."""
    body = struct.pack("<iBB", number, state, 0) + long_text(message)
    return _token(0xAB, body + short_text(SERVER_NAME) + short_text("") + struct.pack("<I", 1))


def error(failure: SqlError) -> bytes:
    """ERROR, as the client sees it."""
    message = failure.message if len(failure.message) <= 4000 else failure.message[:3997] + "..."
    body = struct.pack("<iBB", failure.number, failure.state, failure.severity) + long_text(message)
    token = _token(0xAA, body + short_text(SERVER_NAME) + short_text("") + struct.pack("<I", 1))
    return token if failure.followed_by is None else token + error(failure.followed_by)


def login_acknowledged() -> bytes:
    """LOGINACK for TDS 7.4; the program name says that this is no SQL Server."""
    version = bytes.fromhex("0174000004")
    return _token(
        0xAD, version + short_text("Tranship stand-in for SQL Server") + bytes([16, 0, 0x03, 0xE8])
    )


def done(kind: int = DONE, status: int = 0, rows: int | None = None, command: int = 0) -> bytes:
    """DONE, DONEPROC or DONEINPROC; with `rows` the count is valid."""
    if rows is not None:
        status |= COUNT
    return struct.pack("<BHHQ", kind, status, command, rows or 0)


def return_status(value: int) -> bytes:
    """RETURNSTATUS of a procedure."""
    return struct.pack("<Bi", 0x79, value)


def return_integer(name: str, value: int, ordinal: int = 0) -> bytes:
    """RETURNVALUE of an int output parameter."""
    head = struct.pack("<BH", 0xAC, ordinal) + short_text(name) + b"\x01" + struct.pack("<IH", 0, 1)
    return head + bytes([0x26, 4, 4]) + struct.pack("<i", value)
