"""The table of 26 types: what is in it, and what became of a value."""

import datetime as dt
import struct
import uuid
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

EXACT, RETYPED, CHANGED, REFUSED = "exact", "retyped", "changed", "refused"
LONGEST_SHOWN = 40


@dataclass(frozen=True, slots=True)
class TypeCase:
    """One column of the table of types.

    Args:
        type: Its T-SQL type.
        literals: T-SQL of a low and a high value.
        values: What they are in Python.
        kept_as: Postgres types that hold all values of the type and nothing else.
    """

    type: str
    literals: tuple[str, str]
    values: tuple[Any, Any]
    kept_as: tuple[str, ...]

    @property
    def column(self) -> str:
        """The column's name."""
        return "c_" + "".join(letter if letter.isalnum() else "_" for letter in self.type).rstrip(
            "_"
        )


_INTEGERS = ("smallint", "integer", "bigint")
_TEXT = ("text", "varchar", "char")
_UTC = dt.UTC


def _number(type_: str, low: str, high: str, *kept_as: str) -> TypeCase:
    return TypeCase(type_, (low, high), (Decimal(low), Decimal(high)), kept_as)


def _whole(type_: str, low: int, high: int, *kept_as: str) -> TypeCase:
    return TypeCase(type_, (str(low), str(high)), (low, high), kept_as)


def _text(type_: str, low: str, high: str, *, width: int = 0) -> TypeCase:
    mark = "N" if type_.startswith("n") or type_ == "xml" else ""
    kept_as = ("xml", *_TEXT) if type_ == "xml" else _TEXT
    return TypeCase(
        type_,
        (f"{mark}'{low}'", f"{mark}'{high}'"),
        (low.ljust(width), high.ljust(width)),
        kept_as,
    )


def _moment(type_: str, low: str, high: str, kept_as: str) -> TypeCase:
    read = {"date": dt.date, "time": dt.time}.get(kept_as, dt.datetime).fromisoformat
    spelled = (low.replace("T", " "), high.replace("T", " "))
    return TypeCase(
        type_, (f"'{spelled[0]}'", f"'{spelled[1]}'"), (read(low), read(high)), (kept_as,)
    )


CASES = (
    TypeCase("bit", ("0", "1"), (False, True), ("boolean",)),
    _whole("tinyint", 0, 255, *_INTEGERS),
    _whole("smallint", -(2**15), 2**15 - 1, *_INTEGERS),
    _whole("int", -(2**31), 2**31 - 1, *_INTEGERS),
    _whole("bigint", -(2**63), 2**63 - 1, "bigint"),
    _number("numeric(9,2)", "-9999999.99", "9999999.99", "numeric"),
    _number("money", "-922337203685477.5808", "922337203685477.5807", "numeric"),
    _number("smallmoney", "-214748.3648", "214748.3647", "numeric"),
    TypeCase(
        "float",
        ("-1.7976931348623157E308", "0.1"),
        (-1.7976931348623157e308, 0.1),
        ("double precision",),
    ),
    TypeCase("real", ("-3.4028235E38", "0.1"), (-3.4028235e38, 0.1), ("real", "double precision")),
    _moment("date", "0001-01-01", "9999-12-31", "date"),
    _moment("time(6)", "00:00:00.000001", "23:59:59.999999", "time"),
    _moment("datetime", "1753-01-01T00:00:00.003000", "9999-12-31T23:59:59.997000", "timestamp"),
    _moment("smalldatetime", "1900-01-01T00:00:00", "2079-06-06T23:59:00", "timestamp"),
    _moment(
        "datetime2(6)", "0001-01-01T00:00:00.000001", "9999-12-31T23:59:59.999999", "timestamp"
    ),
    TypeCase(
        "datetimeoffset(6)",
        ("'2024-03-31 23:59:59.123456 +05:30'", "'1900-01-01 00:00:00.000001 -08:00'"),
        (
            dt.datetime(2024, 3, 31, 18, 29, 59, 123456, _UTC),
            dt.datetime(1900, 1, 1, 8, 0, 0, 1, _UTC),
        ),
        ("timestamptz",),
    ),
    _text("char(10)", "a", "0123456789", width=10),
    _text("varchar(50)", "", "plain"),
    _text("varchar(max)", "x" * 9_000, "short"),
    _text("nvarchar(50)", "é ß π 漢 🚢", "trailing blanks  "),
    _text("nvarchar(max)", "🚢" * 5_000, ""),
    TypeCase(
        "uniqueidentifier",
        ("'00000000-0000-0000-0000-000000000000'", "'6F9619FF-8B86-D011-B42D-00C04FC964FF'"),
        (uuid.UUID(int=0), uuid.UUID("6F9619FF-8B86-D011-B42D-00C04FC964FF")),
        ("uuid",),
    ),
    # Last, side by side: what is refused most is found with the fewest halvings.
    _number(
        "decimal(38,10)", "-9999999999999999999999999999.9999999999", "0.0000000001", "numeric"
    ),
    TypeCase(
        "varbinary(max)",
        ("0x00FF00", "0x" + "AB" * 9_000),
        (b"\x00\xff\x00", b"\xab" * 9_000),
        ("bytea",),
    ),
    _text("xml", "<a>1</a>", '<b x="y">é</b>'),
    TypeCase("rowversion", ("", ""), (None, None), ("bytea",)),
)


def outcome(case: TypeCase, type_name: str, sent: list[Any], found: list[Any]) -> tuple[str, str]:
    """What became of a column: `exact`, `retyped` or `changed`, and what a reader must know.

    Args:
        case: The column.
        type_name: The Postgres type it has now.
        sent: The source's values, nulls included.
        found: The target's.
    """
    for one, other in zip(sent, found, strict=True):
        if not same(one, other):
            return CHANGED, f"{shown(one)} became {shown(other)} ({type_name})"
    if type_name not in case.kept_as:
        return RETYPED, f"{type_name}"
    return EXACT, ""


def same(sent: Any, found: Any) -> bool:
    """Whether a value means what was sent, whatever type it has now."""
    if sent is None or found is None:
        return sent is found
    if isinstance(sent, bool):
        return found in (sent, str(sent).lower(), str(int(sent)))
    if isinstance(sent, float):
        return _same_float(sent, found)
    if isinstance(sent, int | Decimal):
        if isinstance(found, float):
            return Decimal(sent) == Decimal(repr(found))
        try:
            return Decimal(str(found)) == Decimal(sent)
        except InvalidOperation:
            return False
    if isinstance(sent, uuid.UUID):
        return str(found).lower() == str(sent)
    if isinstance(sent, dt.datetime) and isinstance(found, dt.datetime):
        return _in_utc(sent) == _in_utc(found)
    if isinstance(sent, dt.datetime) and isinstance(found, str):
        try:
            return _in_utc(dt.datetime.fromisoformat(found)) == _in_utc(sent)
        except ValueError:
            return False
    if isinstance(sent, dt.date | dt.time):
        return str(found) in {str(sent), f"{sent}T00:00:00", f"{sent} 00:00:00"}
    if isinstance(sent, bytes):
        return bytes(found) == sent if isinstance(found, bytes | memoryview) else False
    return found == sent


def shown(value: Any) -> str:
    """A value, short enough for a table."""
    text = repr(bytes(value)) if isinstance(value, memoryview) else str(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def _same_float(sent: float, found: Any) -> bool:
    try:
        number = float(found)
    except (TypeError, ValueError):
        return False
    if number == sent:
        return True
    # A real: the same 32 bits, however many digits they were written with.
    try:
        return struct.pack("f", sent) == struct.pack("f", number) and abs(sent) < 3.5e38
    except OverflowError:
        return False


def _in_utc(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(_UTC) if moment.tzinfo else moment.replace(tzinfo=_UTC)
