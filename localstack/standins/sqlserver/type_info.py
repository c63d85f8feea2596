"""TYPE_INFO: how a T-SQL type is described on the wire, for result columns and for parameters (MS-TDS 2.2.5.6)."""

import datetime
import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal

from standins.sqlserver.errors import unsupported
from standins.sqlserver.tokens import COLLATION, long_text, short_text
from standins.sqlserver.types import FINEST_SCALE, MAX, SqlType, nvarchar

_NO_LENGTH = {"date": 0x28}
_INTEGER_BYTES = {"tinyint": 1, "smallint": 2, "int": 4, "bigint": 8}
_SIZED = {
    "bit": (0x68, 1),
    "real": (0x6D, 4),
    "float": (0x6D, 8),
    "smallmoney": (0x6E, 4),
    "money": (0x6E, 8),
    "smalldatetime": (0x6F, 4),
    "datetime": (0x6F, 8),
    "uniqueidentifier": (0x24, 16),
}
_SCALED = {"time": 0x29, "datetime2": 0x2A, "datetimeoffset": 0x2B}
_TEXT = {"varchar": 0xA7, "char": 0xAF, "nvarchar": 0xE7, "nchar": 0xEF, "sysname": 0xE7}
_BYTES = {"varbinary": 0xA5, "binary": 0xAD, "rowversion": 0xAD}
_LEGACY = {"text": 0x23, "ntext": 0x63, "image": 0x22}
_FIXED = {
    0x30: (0x26, 1), 0x34: (0x26, 2), 0x38: (0x26, 4), 0x7F: (0x26, 8), 0x32: (0x68, 1), 0x3B: (0x6D, 4), 0x3E: (0x6D, 8),
    0x7A: (0x6E, 4), 0x3C: (0x6E, 8), 0x3A: (0x6F, 4), 0x3D: (0x6F, 8),
}  # fmt: skip
"""Types of a fixed length, which have no null: the token of the same type with one, and how many bytes."""
EXACT = Context(prec=60)
YEAR_1 = datetime.date(1, 1, 1)
DAY_TICKS = 864_000_000_000
"""Of 100 ns."""
YEAR_1900 = datetime.datetime(1900, 1, 1)


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A column of a result: its name, type, and what COLMETADATA says of it."""

    name: str
    type: SqlType
    nullable: bool = True
    identity: bool = False


def type_info(kind: SqlType) -> bytes:
    """The bytes that describe `kind` in COLMETADATA."""
    name = kind.name
    if name in _NO_LENGTH:
        return bytes([_NO_LENGTH[name]])
    if name in _INTEGER_BYTES:
        return bytes([0x26, _INTEGER_BYTES[name]])
    if name in _SIZED:
        return bytes(_SIZED[name])
    if name in {"decimal", "numeric"}:
        return bytes(
            [0x6A if name == "decimal" else 0x6C, kind.max_bytes, kind.precision, kind.scale]
        )
    if name in _SCALED:
        return bytes([_SCALED[name], kind.scale])
    if name in _TEXT:
        length = 0xFFFF if kind.length == MAX else kind.max_bytes
        return struct.pack("<BH", _TEXT[name], length) + COLLATION
    if name in _BYTES:
        return struct.pack("<BH", _BYTES[name], 0xFFFF if kind.length == MAX else kind.length)
    if name == "xml":
        return b"\xf1\x00"
    if name in _LEGACY:
        head = struct.pack("<Bi", _LEGACY[name], 0x7FFFFFFF)
        return head + (b"" if name == "image" else COLLATION) + b"\x01" + long_text("t")
    raise unsupported(f"reading a column of type {kind}: CAST it to nvarchar(max)")


def column_metadata(columns: Sequence[ResultColumn]) -> bytes:
    """The COLMETADATA token of a result."""
    parts = [struct.pack("<BH", 0x81, len(columns))]
    for column in columns:
        flags = int(column.nullable) | 0x08 | (0x10 if column.identity else 0)
        user_type = 0x50 if column.type.name == "rowversion" else 0
        parts.append(
            struct.pack("<IH", user_type, flags) + type_info(column.type) + short_text(column.name)
        )
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Value:
    """A parameter: its T-SQL type and its value in Python's terms (bytes, str, int, Decimal, datetime, ...)."""

    type: SqlType
    value: object


class ParameterReader:
    """Reads TYPE_INFO and values out of an RPC message."""

    def __init__(self, body: bytes, position: int = 0) -> None:
        self.body = body
        self.position = position

    def take(self, count: int) -> bytes:
        """The next `count` bytes.

        Raises:
            ValueError: the message ends before.
        """
        data = self.body[self.position : self.position + count]
        if len(data) != count:
            raise ValueError("an RPC message is cut short")
        self.position += count
        return data

    def unpack(self, form: str) -> int:
        """One little-endian integer of this `struct` form."""
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]

    def type_info(self) -> int:
        """Passes over a TYPE_INFO; gives where it stands.

        Raises:
            SqlError: a type that has more behind it.
        """
        start = self.position
        token = self.unpack("B")
        if token in (0x23, 0x63, 0x22):
            raise unsupported("bulk loads of text, ntext and image")
        if token in (0xA7, 0xAF, 0xE7, 0xEF):
            self.take(7)
        elif token in (0xA5, 0xAD):
            self.take(2)
        elif token in (0x6A, 0x6C):
            self.take(3)
        elif token not in _FIXED and token != 0x28:
            self.take(1)
        return start

    def short_text(self) -> str:
        """A B_VARCHAR."""
        return self.take(2 * self.unpack("B")).decode("utf-16-le")

    def value(self, info: "ParameterReader | None" = None) -> Value:
        """A value, with its TYPE_INFO before it; or with that at `info`, as in the rows of a bulk load."""
        info = info or self
        token = info.unpack("B")
        if token in _FIXED:
            token, size = _FIXED[token]
            return _sized(token, size, self.take(size))
        if token in (0x26, 0x68, 0x6D, 0x6E, 0x6F, 0x24):
            size = info.unpack("B")
            return _sized(token, size, self.take(self.unpack("B")))
        if token in (0x6A, 0x6C):
            _, precision, scale = info.take(3)
            kind = SqlType(
                "decimal" if token == 0x6A else "numeric", precision=precision, scale=scale
            )
            data = self.take(self.unpack("B"))
            if not data:
                return Value(kind, None)
            number = int.from_bytes(data[1:], "little") * (1 if data[0] else -1)
            return Value(kind, Decimal(number).scaleb(-scale, EXACT))
        if token == 0x28:
            data = self.take(self.unpack("B"))
            return Value(SqlType("date"), _date(data) if data else None)
        if token in (0x29, 0x2A, 0x2B):
            return self._scaled(token, info.unpack("B"))
        if token in (0xA7, 0xAF, 0xE7, 0xEF, 0xA5, 0xAD, 0x27, 0x2F):
            return self._variable(token, info)
        if token == 0xF1:
            if info.unpack("B"):
                raise unsupported("xml parameters with a schema")
            data = self._chunks()
            return Value(
                SqlType("xml"), None if data is None else data.decode("utf-16-le", "surrogatepass")
            )
        if token == 0x1F:
            return Value(SqlType("int"), None)
        if token in (0x23, 0x63, 0x22):
            return self._legacy(token)
        raise unsupported(
            f"parameters of the wire type 0x{token:02X} (table-valued, sql_variant or CLR)"
        )

    def _scaled(self, token: int, scale: int) -> Value:
        kind = SqlType(
            {0x29: "time", 0x2A: "datetime2", 0x2B: "datetimeoffset"}[token], scale=scale
        )
        data = self.take(self.unpack("B"))
        if not data:
            return Value(kind, None)
        width = 3 if scale <= 2 else 4 if scale <= 4 else 5
        ticks = int.from_bytes(data[:width], "little") * 10 ** (FINEST_SCALE - scale)
        microseconds = min((ticks + 5) // 10, 86_399_999_999)
        if token == 0x29:
            return Value(
                kind, (datetime.datetime.min + datetime.timedelta(microseconds=microseconds)).time()
            )
        date = _date(data[width : width + 3])
        moment: object = datetime.datetime.combine(date, datetime.time()) + datetime.timedelta(
            microseconds=microseconds
        )
        if kind.is_fine:
            moment = (date - YEAR_1).days * DAY_TICKS + ticks
        if token == 0x2A:
            return Value(kind, moment)
        return Value(
            kind, {"t": moment, "o": int.from_bytes(data[width + 3 :], "little", signed=True)}
        )

    def _variable(self, token: int, info: "ParameterReader") -> Value:
        length = info.unpack("H")
        text = token in (0xA7, 0xAF, 0xE7, 0xEF)
        if text:
            info.take(5)
        if length == 0xFFFF:
            data = self._chunks()
        else:
            size = self.unpack("H")
            data = None if size == 0xFFFF else self.take(size)
        if token in (0xE7, 0xEF):
            kind = SqlType("nvarchar", MAX if length == 0xFFFF else max(length // 2, 1))
            return Value(kind, None if data is None else data.decode("utf-16-le", "surrogatepass"))
        if text:
            kind = SqlType("varchar", MAX if length == 0xFFFF else max(length, 1))
            return Value(kind, None if data is None else data.decode("cp1252", "replace"))
        return Value(SqlType("varbinary", MAX if length == 0xFFFF else max(length, 1)), data)

    def _chunks(self) -> bytes | None:
        total = self.unpack("Q")
        if total == 0xFFFFFFFFFFFFFFFF:
            return None
        parts = []
        while size := self.unpack("I"):
            parts.append(self.take(size))
        return b"".join(parts)

    def _legacy(self, token: int) -> Value:
        self.take(4)
        if token != 0x22:
            self.take(5)
        size = self.unpack("i")
        data = None if size < 0 else self.take(size)
        if token == 0x22:
            return Value(SqlType("varbinary", MAX), data)
        if token == 0x63:
            return Value(
                nvarchar(0), None if data is None else data.decode("utf-16-le", "surrogatepass")
            )
        return Value(
            SqlType("varchar", MAX), None if data is None else data.decode("cp1252", "replace")
        )


def _date(data: bytes) -> datetime.date:
    return YEAR_1 + datetime.timedelta(days=int.from_bytes(data, "little"))


def _sized(token: int, size: int, data: bytes) -> Value:
    """Types whose TYPE_INFO is one length byte; `data` is empty for NULL."""
    if token == 0x24:
        return Value(SqlType("uniqueidentifier"), uuid.UUID(bytes_le=data) if data else None)
    if token == 0x68:
        return Value(SqlType("bit"), bool(data[0]) if data else None)
    if token == 0x26:
        kind = SqlType({1: "tinyint", 2: "smallint", 4: "int", 8: "bigint"}[size])
        return Value(kind, int.from_bytes(data, "little", signed=size > 1) if data else None)
    if token == 0x6D:
        kind = SqlType("real" if size == 4 else "float")
        return Value(kind, struct.unpack("<f" if size == 4 else "<d", data)[0] if data else None)
    if token == 0x6E:
        kind = SqlType("smallmoney" if size == 4 else "money")
        if not data:
            return Value(kind, None)
        swapped = data if size == 4 else data[4:] + data[:4]
        return Value(
            kind, Decimal(int.from_bytes(swapped, "little", signed=True)).scaleb(-4, EXACT)
        )
    kind = SqlType("smalldatetime" if size == 4 else "datetime")
    if not data:
        return Value(kind, None)
    if size == 4:
        days, minutes = struct.unpack("<HH", data)
        return Value(kind, YEAR_1900 + datetime.timedelta(days=days, minutes=minutes))
    days, ticks = struct.unpack("<iI", data)
    return Value(
        kind, YEAR_1900 + datetime.timedelta(days=days, microseconds=round(ticks * 10000 / 3))
    )
