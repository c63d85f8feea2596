"""Whether what arrived is what was sent: row counts, nulls, sums, and what became of the types.

A fingerprint is made of the Arrow rows that the source was filled with, and of the table a tool left behind; names are
compared without case and underscores, because tools spell them their own way.
"""

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg2
import pyarrow as pa
import pyarrow.compute
from psycopg2 import sql

from bench.figures import RIGHT

pc: Any = pyarrow.compute

NUMBER, FLOAT, FLAG, TEXT, BYTES, MOMENT = "number", "float", "flag", "text", "bytes", "moment"
_RELATIVE_ERROR = 1e-9
"""Sums of floats depend on the order of their rows."""

_KINDS = {
    16: FLAG,
    17: BYTES,
    **dict.fromkeys((20, 21, 23, 1700), NUMBER),
    **dict.fromkeys((700, 701), FLOAT),
    **dict.fromkeys((25, 1042, 1043), TEXT),
    **dict.fromkeys((1082, 1114, 1184), MOMENT),
}
"""By the number Postgres gives a type; Redshift has the same."""
_NAMES = {
    16: "boolean", 17: "bytea", 20: "bigint", 21: "smallint", 23: "integer", 25: "text", 700: "real",
    701: "double precision", 1042: "char", 1043: "varchar", 1082: "date", 1083: "time", 1114: "timestamp",
    1184: "timestamptz", 1700: "numeric",
}  # fmt: skip

_KIND_OF_NAME = {name: _KINDS[code] for code, name in _NAMES.items() if code in _KINDS}


@dataclass(frozen=True, slots=True)
class ColumnSum:
    """What one column adds up to.

    Args:
        name: The column.
        kind: What kind of values it has.
        filled: How many are not null.
        total: Their sum; of texts and bytes the sum of lengths in bytes; of moments the smallest and largest.
        type: The database's name of its type, where it is a table's.
    """

    name: str
    kind: str
    filled: int
    total: Any
    type: str = ""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A table's rows, reduced to what can be compared."""

    rows: int
    columns: tuple[ColumnSum, ...]


def of_batches(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Fingerprint:
    """The fingerprint of the rows that were sent."""
    rows = 0
    filled = dict.fromkeys(schema.names, 0)
    totals: dict[str, Any] = dict.fromkeys(schema.names)
    for batch in batches:
        rows += batch.num_rows
        for field, column in zip(schema, batch.columns, strict=True):
            filled[field.name] += len(column) - column.null_count
            totals[field.name] = _together(totals[field.name], _total(column), _kind(field.type))
    return Fingerprint(
        rows,
        tuple(
            ColumnSum(field.name, _kind(field.type), filled[field.name], totals[field.name])
            for field in schema
        ),
    )


def of_table(url: str, schema: str, table: str, sent: Fingerprint) -> Fingerprint:
    """The fingerprint of a table in Postgres or Redshift.

    Args:
        url: The database.
        schema: The table's schema.
        table: Its name.
        sent: What should be in it: numbers and moments that were kept as text are added up as what they were.

    Raises:
        psycopg2.Error: There is no such table, or a text is not the number it was.
    """
    name = sql.Identifier(schema, table)
    meant = {_bare(column.name): column.kind for column in sent.columns}
    connection = psycopg2.connect(plain(url))
    try:
        with connection.cursor() as cursor:
            cursor.execute("set timezone to 'UTC'")
            cursor.execute(sql.SQL("select * from {} limit 0").format(name))
            columns = [
                (column.name, column.type_code, _as_meant(column, meant))
                for column in cursor.description or ()
            ]
            parts = [sql.SQL("count(*)")]
            for column, code, kind in columns:
                parts += _sums(column, kind, code)
            cursor.execute(sql.SQL("select {} from {}").format(sql.SQL(", ").join(parts), name))
            found = iter(cursor.fetchone() or ())
    finally:
        connection.close()
    rows = next(found)
    sums: list[ColumnSum] = []
    for column, code, kind in columns:
        count, total = next(found), next(found)
        if kind == MOMENT:
            total = (total, next(found))
        elif kind in {TEXT, BYTES, FLAG}:
            total = None if total is None else int(total)
        sums.append(ColumnSum(column, kind, count, total, _NAMES.get(code, f"type {code}")))
    return Fingerprint(rows, tuple(sums))


def plain(url: str) -> str:
    """A URL as libpq takes it."""
    return re.sub(r"^(postgresql(\+psycopg2)?|redshift)://", "postgresql://", url)


def verdict(sent: Fingerprint, arrived: Fingerprint) -> str:
    """`right`, `right, but ...` for other types, or `wrong: ...` with the first differences."""
    if arrived.rows != sent.rows:
        return f"wrong: {arrived.rows:,} rows instead of {sent.rows:,}"
    by_name = {_bare(column.name): column for column in arrived.columns}
    wrong: list[str] = []
    retyped: list[str] = []
    for column in sent.columns:
        found = by_name.get(_bare(column.name))
        if found is None:
            wrong.append(f"{column.name} is missing")
        elif found.filled != column.filled:
            wrong.append(f"{column.name} has {found.filled:,} values instead of {column.filled:,}")
        elif not _same(column, found):
            wrong.append(f"{column.name} adds up to {found.total} instead of {column.total}")
        elif _KIND_OF_NAME.get(found.type) != column.kind or found.type == "timestamptz":
            retyped.append(f"{column.name} is {found.type}")
    if wrong:
        return f"wrong: {_some(wrong)}"
    return f"{RIGHT}, but {_some(retyped)}" if retyped else RIGHT


def _same(sent: ColumnSum, found: ColumnSum) -> bool:
    if sent.filled == 0:
        return True
    if sent.kind != found.kind and not {sent.kind, found.kind} <= {NUMBER, FLOAT, FLAG}:
        return False
    if sent.kind == NUMBER and found.kind != FLOAT:
        return Decimal(sent.total) == Decimal(found.total)
    if FLOAT in {sent.kind, found.kind}:
        difference = abs(float(sent.total) - float(found.total))
        return difference <= _RELATIVE_ERROR * max(abs(float(sent.total)), 1.0)
    if sent.kind == FLAG:
        return int(sent.total) == int(found.total)
    return sent.total == found.total


def _sums(column: str, kind: str, code: int) -> list[sql.Composable]:
    name = sql.Identifier(column)
    expressions = {
        NUMBER: ["sum({}::numeric)" if _KINDS.get(code) == TEXT else "sum({})"],
        FLOAT: ["sum({}::double precision)"],
        FLAG: ["sum(case when {} then 1 else 0 end)"],
        TEXT: ["sum(octet_length({}::text)::bigint)"],
        BYTES: ["sum(octet_length({})::bigint)"],
        MOMENT: ["min({}::timestamp)", "max({}::timestamp)"],
    }[kind]
    if code == 1042:  # a cast to text would cut what char(n) is padded with
        expressions = ["sum(octet_length({})::bigint)"]
    return [sql.SQL("count({})").format(name), *(sql.SQL(one).format(name) for one in expressions)]


def _as_meant(column: Any, meant: dict[str, str]) -> str:
    kind = _KINDS.get(column.type_code, TEXT)
    wanted = meant.get(_bare(column.name), kind)
    return wanted if kind == TEXT and wanted in {NUMBER, FLOAT, MOMENT} else kind


def _kind(type_: pa.DataType) -> str:
    if pa.types.is_boolean(type_):
        return FLAG
    if pa.types.is_integer(type_) or pa.types.is_decimal(type_):
        return NUMBER
    if pa.types.is_floating(type_):
        return FLOAT
    if pa.types.is_timestamp(type_) or pa.types.is_date(type_):
        return MOMENT
    if pa.types.is_binary(type_) or pa.types.is_large_binary(type_):
        return BYTES
    return TEXT


def _total(column: pa.Array) -> Any:
    kind = _kind(column.type)
    if kind in {TEXT, BYTES}:
        return pc.sum(pc.binary_length(column)).as_py()
    if kind == MOMENT:
        ends = pc.min_max(column.cast(pa.timestamp("us"))).as_py()
        return None if ends["min"] is None else (ends["min"], ends["max"])
    if kind == NUMBER:
        return pc.sum(column.cast(pa.decimal128(38, _scale(column.type)))).as_py()
    return pc.sum(column).as_py()


def _scale(type_: pa.DataType) -> int:
    return type_.scale if pa.types.is_decimal(type_) else 0


def _together(one: Any, other: Any, kind: str) -> Any:
    if one is None or other is None:
        return other if one is None else one
    if kind == MOMENT:
        low: datetime.datetime = min(one[0], other[0])
        return (low, max(one[1], other[1]))
    return one + other


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _some(texts: list[str], most: int = 3) -> str:
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return "; ".join(texts[:most]) + more
