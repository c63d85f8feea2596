"""Text from CSV, delimited and JSON files as values of the table's types, or the reason why not.

Codes and reasons: https://docs.aws.amazon.com/redshift/latest/dg/r_Load_Error_Reference.html
"""

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

import pyarrow as pa

from standins.redshift.copy_command import CopyCommand
from standins.redshift.parquet_files import arrow_type, longest_bytes, too_large_for_super
from standins.redshift.types import TableColumn

_TRUE, _FALSE = {"t", "true", "y", "yes", "1"}, {"f", "false", "n", "no", "0"}
_INTEGER_BITS = {"smallint": 16, "integer": 32, "bigint": 64}
_INTEGER_NAMES = {"smallint": "Short", "integer": "Integer", "bigint": "Long"}
#: Redshift's format words in the order they are replaced, and strptime's.
_FORMAT_WORDS = (
    ("YYYY", "%Y"), ("MM", "%m"), ("DD", "%d"), ("HH24", "%H"), ("HH12", "%I"), ("HH", "%H"),
    ("MI", "%M"), ("SS", "%S"), ("US", "%f"), ("AM", "%p"), ("PM", "%p"), ("MON", "%b"),
)  # fmt: skip
_AUTO_DATES = ("%Y-%m-%d", "%m/%d/%Y", "%d.%m.%Y", "%Y%m%d", "%m-%d-%Y", "%b %d, %Y", "%Y/%m/%d")


@dataclass
class BadValueError(Exception):
    """A value that does not fit its column: the load error's code and reason."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Bad:
    """Where in a batch a value was refused, and why."""

    row: int
    column: TableColumn
    value: str
    code: int
    reason: str


class Converter:
    """Turns one column's bytes into its type; whole batches at once where nothing is wrong."""

    def __init__(self, column: TableColumn, command: CopyCommand) -> None:
        self.column, self._command = column, command
        self._type = arrow_type(column)
        self._is_text = column.kind in {"character varying", "character"}
        dates = command.text("DATEFORMAT", "YYYY-MM-DD")
        times = command.text("TIMEFORMAT", "YYYY-MM-DD HH:MI:SS")
        self._date_format, self._time_format = dates, times
        by_kind: dict[str, Callable[[str], Any]] = {
            "numeric": self._decimal, "boolean": _boolean, "date": self._date, "jsonb": _json,
            "timestamp without time zone": self._timestamp, "bytea": _hex, "real": _float,
            "timestamp with time zone": self._timestamp, "double precision": _float,
            "time without time zone": _time,
        }  # fmt: skip
        self._parse = self._integer if column.kind in _INTEGER_BITS else by_kind.get(column.kind)
        plain_times = {"DATEFORMAT", "TIMEFORMAT"}.isdisjoint(command.options)
        self._vectorised = (
            column.kind in _INTEGER_BITS
            or column.kind in {"numeric", "real", "double precision"}
            or (plain_times and column.kind in {"date", "timestamp without time zone"})
        )

    def convert(self, values: pa.Array) -> tuple[pa.Array, list[Bad]]:
        """The values in the column's type, with NULL in place of those that are refused."""
        if self._vectorised or self._is_text:
            found = self._all_at_once(values)
            if found is not None:
                return found, []
        return self._one_by_one(values)

    def _all_at_once(self, values: pa.Array) -> pa.Array | None:
        command = self._command
        changing = ("EMPTYASNULL", "BLANKSASNULL", "TRIMBLANKS")
        if self.column.not_null and values.null_count:
            return None
        if self._is_text and any(command.flag(name) for name in changing):
            return None
        try:
            texts = values.cast(pa.string())
            found = texts if self._is_text else texts.cast(self._type)
        except pa.ArrowInvalid:
            return None
        limit = self.column.max_bytes
        return None if limit is not None and longest_bytes(values) > limit else found

    def _one_by_one(self, values: pa.Array) -> tuple[pa.Array, list[Bad]]:
        found: list[Any] = []
        bad: list[Bad] = []
        for row, value in enumerate(values.to_pylist()):
            try:
                found.append(self._one(value))
            except BadValueError as error:
                shown = (value or b"").decode(errors="replace")
                bad.append(Bad(row, self.column, shown, error.code, error.reason))
                found.append(None)
        return pa.array(found, self._type), bad

    def _one(self, value: bytes | None) -> Any:
        if value is not None:
            text = self._decode(value)
            converted = self._text(text) if self._is_text else self._other(text)
            if converted is not None:
                return converted
        if self.column.not_null:
            raise BadValueError(1213, "Missing data for not-null field")
        return None

    def _decode(self, value: bytes) -> str:
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            if self._command.flag("ACCEPTINVCHARS"):
                mark = self._command.text("ACCEPTINVCHARS", "?")
                return value.decode(errors="replace").replace("\ufffd", mark)
            shown = value[error.start : error.start + 1].hex()
            reason = f"String contains invalid or unsupported UTF8 codepoints. Bad UTF8 hex sequence: {shown} (error 2)"
            raise BadValueError(1220, reason) from error

    def _text(self, text: str) -> str | None:
        if self._command.flag("TRIMBLANKS"):
            text = text.rstrip(" ")
        if self._command.flag("EMPTYASNULL") and not text:
            return None
        if self._command.flag("BLANKSASNULL") and text and not text.strip(" "):
            return None
        limit = self.column.max_bytes
        if limit is not None and len(text.encode()) > limit:
            if not self._command.flag("TRUNCATECOLUMNS"):
                raise BadValueError(1204, "String length exceeds DDL length")
            return text.encode()[:limit].decode(errors="ignore")
        return text

    def _other(self, text: str) -> Any:
        text = text.strip()
        assert self._parse is not None
        return self._parse(text) if text else None

    def _integer(self, text: str) -> int:
        try:
            number = int(text)
        except ValueError as error:
            digits = text.lstrip("+-")
            position = next((i for i, c in enumerate(digits) if not c.isdigit()), 0)
            position += len(text) - len(digits)
            kind = _INTEGER_NAMES[self.column.kind]
            reason = f"Invalid digit, Value '{text[position : position + 1]}', Pos {position}, Type: {kind}"
            raise BadValueError(1207, reason) from error
        if (
            not -(2 ** (_INTEGER_BITS[self.column.kind] - 1))
            <= number
            < 2 ** (_INTEGER_BITS[self.column.kind] - 1)
        ):
            raise BadValueError(1204, f"Overflow, Column type: {_INTEGER_NAMES[self.column.kind]}")
        return number

    def _decimal(self, text: str) -> Decimal:
        try:
            number = Decimal(text)
        except InvalidOperation as error:
            reason = f"Invalid digit, Value '{text[:1]}', Pos 0, Type: Decimal"
            raise BadValueError(1207, reason) from error
        rounding = ROUND_HALF_UP if self._command.flag("ROUNDEC") else ROUND_DOWN
        scaled = number.quantize(Decimal(1).scaleb(-self.column.scale), rounding=rounding)
        if len(scaled.as_tuple().digits) > self.column.precision:
            raise BadValueError(1209, "Numeric Overflow. Column type: Decimal")
        return scaled

    def _date(self, text: str) -> dt.date | None:
        try:
            if self._date_format.lower() == "auto":
                return _first(text, _AUTO_DATES).date()
            return dt.datetime.strptime(text, _strptime(self._date_format)).date()
        except ValueError as error:
            if self._command.flag("ACCEPTANYDATE"):
                return None
            reason = "Invalid Date Format - length must be 10 or more"
            if len(text) >= 10:
                reason = f"Invalid date format or value [{self._date_format}]"
            raise BadValueError(1205, reason) from error

    def _timestamp(self, text: str) -> dt.datetime:
        form = self._time_format
        try:
            if form.lower() in {"epochsecs", "epochmillisecs"}:
                scale = 1 if form.lower() == "epochsecs" else 1000
                value = dt.datetime.fromtimestamp(float(text) / scale, dt.UTC)
            elif "TIMEFORMAT" in self._command.options and form.lower() != "auto":
                value = dt.datetime.strptime(text, _strptime(form))
            else:
                value = dt.datetime.fromisoformat(text)
        except (ValueError, OverflowError, OSError) as error:
            reason = f"Invalid timestamp format or value [{form}]"
            raise BadValueError(1206, reason) from error
        zoned = self.column.kind == "timestamp with time zone"
        value = value.astimezone(dt.UTC) if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return value if zoned else value.replace(tzinfo=None)


def _strptime(form: str) -> str:
    for word, replacement in _FORMAT_WORDS:
        form = form.replace(word, replacement)
    return form


def _first(text: str, forms: tuple[str, ...]) -> dt.datetime:
    for form in forms:
        try:
            return dt.datetime.strptime(text, form)
        except ValueError:
            continue
    raise ValueError(text)


def _boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered not in _TRUE | _FALSE:
        raise BadValueError(1210, "Unknown boolean format")
    return lowered in _TRUE


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise BadValueError(1208, "Invalid floating point format") from error


def _time(text: str) -> dt.time:
    try:
        return dt.time.fromisoformat(text)
    except ValueError as error:
        raise BadValueError(1206, "Invalid time format or value [HH24:MI:SS]") from error


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise BadValueError(1214, "Invalid hexadecimal digit") from error


def _json(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadValueError(1224, "Invalid JSON format for SUPER") from error
    if reason := too_large_for_super(value):
        raise BadValueError(1224, reason)
    return text
