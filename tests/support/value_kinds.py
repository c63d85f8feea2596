"""Kinds of values, how each frame library holds them, and what becomes of them on each target.

The table in docs/types.md is made of this, and so are the tests that hold it to what happens.
"""

import enum
import ipaddress
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pandas as pd
import polars as pl
import pyarrow as pa
from hypothesis import strategies as st

Column = Callable[[list[Any]], Any]
Read = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Held:
    """How a library holds values.

    Args:
        shown: In words, for the table.
        column: Makes a column of a list of values.
    """

    shown: str
    column: Column


@dataclass(frozen=True, slots=True)
class Kind:
    """Values that arrive as they are.

    Args:
        name: What they are called in the table.
        edges: The smallest, the largest, the odd ones.
        values: Any of them.
        held: By library.
        postgres: The column's type there.
        redshift: The column's type there; `None` where it is refused.
        read_postgres: What our reader gives for a value.
        read_redshift: The same for Redshift.
    """

    name: str
    edges: list[Any]
    values: st.SearchStrategy[Any]
    held: dict[str, Held]
    postgres: str
    redshift: str | None
    read_postgres: Read = lambda value: value
    read_redshift: Read = lambda value: value


@dataclass(frozen=True, slots=True)
class Refused:
    """Values that no target takes, or that would change on the way.

    Args:
        name: What they are called in the table.
        held: By library; the column is made without being given values.
        why: Why, for the table.
    """

    name: str
    held: dict[str, Held]
    why: str


def objects(values: list[Any]) -> Any:
    return pd.Series(values, dtype=object)


def nullable(dtype: Any) -> Column:
    return lambda values: pd.Series(values, dtype=dtype)


def polars(dtype: Any) -> Column:
    return lambda values: pl.Series(values, dtype=dtype)


def arrow(type_: Any) -> Column:
    return lambda values: pa.array(values, type_)


def held(pandas: Any, polars_type: Any, arrow_type: Any) -> dict[str, Held]:
    """The three libraries' ways, each named by its type; `object` for Python's own values in pandas."""
    pandas_column = objects if pandas == "object" else nullable(pandas)
    return {
        "pandas": Held(f"`{pandas}`", pandas_column),
        "polars": Held(f"`{polars_type}`", polars(polars_type)),
        "pyarrow": Held(f"`{arrow_type}`", arrow(arrow_type)),
    }


def only_pandas(shown: str, column: Any) -> dict[str, Held]:
    return {"pandas": Held(shown, lambda _: column)}


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=10)
EAST = timezone(timedelta(hours=2))
NOON = datetime(2024, 1, 1, 12)
LATER = datetime(2024, 1, 1, 12, tzinfo=EAST)
FIRST, LAST = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)
INSTANTS = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.just(UTC))

EXACT = [
    Kind("truth values", [True, False], st.booleans(), held("boolean", pl.Boolean, pa.bool_()), "boolean", "boolean"),
    Kind("whole numbers of 64 bits", [-(2**63), 2**63 - 1], st.integers(-(2**63), 2**63 - 1), held("Int64", pl.Int64, pa.int64()), "bigint", "bigint"),
    Kind("unsigned ones of 64 bits", [0, 2**64 - 1], st.integers(0, 2**64 - 1), held("UInt64", pl.UInt64, pa.uint64()), "numeric(20,0)", "decimal(20,0)"),
    Kind("whole numbers of up to 38 digits", [2**64, -(10**38) + 1], st.integers(-(10**38) + 1, 10**38 - 1), held("object", pl.Int128, pa.decimal128(38, 0)), "numeric(38,0)", "decimal(38,0)"),
    Kind("floats", [0.1, -0.0, 1e308, float("inf")], st.floats(allow_nan=False), held("Float64", pl.Float64, pa.float64()), "double precision", "double precision"),
    Kind("floats of 4 bytes", [0.5, -3.4028234663852886e38], st.floats(width=32, allow_nan=False), held("Float32", pl.Float32, pa.float32()), "real", "real"),
    Kind("decimals", [Decimal("922337203685477.5807"), Decimal("-0.0001")], st.decimals(-(10**14), 10**14, places=4), held("object", pl.Decimal(19, 4), pa.decimal128(19, 4)), "numeric(19,4)", "decimal(19,4)"),
    Kind("texts", ["", " ", "NULL", "Größe 🚢"], TEXT, held("object", pl.String, pa.string()), "text", "varchar"),
    Kind("bytes", [b"", b"\x00\xff"], st.binary(max_size=5), held("object", pl.Binary, pa.binary()), "bytea", "varbyte"),
    Kind("days", [date.min, date.max], st.dates(), held("object", pl.Date, pa.date32()), "date", "date"),
    Kind("moments without a zone", [FIRST, LAST], st.datetimes(), held("object", pl.Datetime("us"), pa.timestamp("us")), "timestamp", "timestamp"),
    Kind("moments with a zone: the instant", [datetime(2024, 11, 3, 6, 30, tzinfo=UTC)], INSTANTS, held("object", pl.Datetime("us", "UTC"), pa.timestamp("us", "UTC")), "timestamptz", "timestamptz"),
    Kind("times of day", [time.min, time.max], st.times(), held("object", pl.Time, pa.time64("us")), "time", "time"),
    Kind("spans of time", [timedelta(microseconds=1)], st.timedeltas(timedelta(0), timedelta(days=999)), held("object", pl.Duration("us"), pa.duration("us")), "interval", None),
    Kind(
        "UUIDs", [UUID(int=0)], st.uuids(),
        {"pandas": Held("`object`", objects), "pyarrow": Held("`uuid`", lambda values: pa.array([one and one.bytes for one in values], pa.uuid()))},
        "uuid", "varchar(36)", str, str,
    ),
    Kind(
        "JSON", ['{"b": 1, "a": [1.50]}'], st.builds(json.dumps, st.lists(st.integers())),
        {"pyarrow": Held("`json`", lambda values: pa.ExtensionArray.from_storage(pa.json_(), pa.array(values, pa.string())))},
        "json", "varchar",
    ),
    Kind(
        "truth values in a byte", [True], st.booleans(),
        {"pyarrow": Held("`bool8`", lambda values: pa.ExtensionArray.from_storage(pa.bool8(), pa.array([one if one is None else int(one) for one in values], pa.int8())))},
        "boolean", "boolean",
    ),
    Kind("categories of texts", ["a", ""], TEXT, held("category", pl.Categorical, pa.dictionary(pa.int16(), pa.string())), "text", "varchar"),
    Kind("lists", [[], [1, None]], st.lists(st.integers(-9, 9), max_size=3), held("object", pl.List(pl.Int64), pa.list_(pa.int64())), "jsonb", "super", json.dumps, json.dumps),
    Kind(
        "dicts with the same keys", [{"a": 1, "b": "x"}], st.fixed_dictionaries({"a": st.integers(-9, 9), "b": st.sampled_from(["", "y"])}),
        held("object", pl.Struct({"a": pl.Int64, "b": pl.String}), pa.struct([("a", pa.int64()), ("b", pa.string())])), "jsonb", "super", json.dumps, json.dumps,
    ),
]  # fmt: skip
"""Rows are compared as JSON where our reader gives a text of it."""


def arrow_takes_uuid_objects() -> bool:
    """Whether the pyarrow that is installed makes a column of Python's UUIDs: from 24 on."""
    values: Any = [UUID(int=0)]
    try:
        return pa.array(values).type == pa.uuid()
    except pa.ArrowInvalid:
        return False


class Colour(enum.Enum):
    RED = 1


def _one(shown: str, value: Any) -> Held:
    return Held(shown, lambda _: value)


def _arrow_backed(array: Any) -> Any:
    return pd.Series(pd.array(array, dtype=pd.ArrowDtype(array.type)))


_FINE_TIME = pa.array([1], pa.time64("ns"))
_FAR_DAY = pa.array([2_932_897], pa.int32()).cast(pa.date32())
_FAR_MOMENT = pa.array([253_402_300_800_000_000], pa.int64()).cast(pa.timestamp("us"))
_FINE_MOMENT = pa.array([1], pa.timestamp("ns"))

REFUSED = [
    Refused("a date beside a datetime", only_pandas("`object`", objects([date(2024, 1, 1), NOON])), "one of them would change"),
    Refused("moments with and without a zone", only_pandas("`object`", objects([LATER, NOON])), "a wall clock is no instant"),
    Refused("a time of day with a zone", only_pandas("`object`", objects([time(1, tzinfo=EAST)])), "the zone would be lost"),
    Refused("`Decimal` that is no number, or infinite", only_pandas("`object`", objects([Decimal(1), Decimal("NaN")])), "it would become null"),
    Refused("dicts with other keys in other rows", only_pandas("`object`", objects([{"a": 1}, {"b": 1}])), "missing keys would become null"),
    Refused("several types in a column", only_pandas("`object`", objects([1, "a"])), "no type holds them"),
    Refused("sets", only_pandas("`object`", objects([{1, 2}])), "they have no order"),
    Refused("other Python objects", {"pandas": _one("`object`", objects([Colour.RED, ipaddress.ip_address("10.0.0.1")])), "polars": _one("`Object`", pl.Series([object()], dtype=pl.Object))}, "no type holds them"),
    Refused("half of a UTF-16 pair", only_pandas("`object`", objects(["a\ud800"])), "it is no character"),
    Refused("intervals, open or closed", only_pandas("`interval`", pd.Series(pd.interval_range(0, 1, closed="left"))), "whether the ends belong would be lost"),
    Refused("periods", only_pandas("`period`", pd.Series(pd.period_range("2024-01", periods=1, freq="M"))), "only a number is stored"),
    Refused("sparse columns, complex numbers", only_pandas("`Sparse`, `complex128`", pd.Series([1j])), "no type holds them"),
    Refused("extension types not known by name", {"pyarrow": _one("such as `opaque`", pa.ExtensionArray.from_storage(pa.opaque(pa.string(), "money", "elsewhere"), pa.array(["x"])))}, "only their storage is known"),
    Refused("spans of months", {"pyarrow": _one("`month_day_nano_interval`", pa.array([pa.scalar((1, 0, 0), pa.month_day_nano_interval()).as_py()]))}, "no type holds them"),
    Refused(
        "years before 1 or after 9999",
        {"pandas": _one("Arrow's `date32`, `timestamp`", _arrow_backed(_FAR_DAY)), "polars": _one("`Date`, `Datetime`", pl.Series(_FAR_DAY)), "pyarrow": _one("`date32`, `timestamp`", _FAR_MOMENT)},
        "no reader could give them back",
    ),
    Refused(
        "moments finer than a microsecond",
        {"pandas": _one("`datetime64[ns]`", pd.Series([pd.Timestamp(1)], dtype="datetime64[ns]")), "polars": _one("`Datetime('ns')`", pl.Series([1], dtype=pl.Int64).cast(pl.Datetime("ns"))), "pyarrow": _one("`timestamp[ns]`", _FINE_MOMENT)},
        "digits would be cut; Redshift's `truncate_timestamps` cuts them",
    ),
    Refused(
        "times of day finer than a microsecond",
        {"pandas": _one("Arrow's `time64[ns]`", _arrow_backed(_FINE_TIME)), "polars": _one("`Time`", pl.Series([1], dtype=pl.Int64).cast(pl.Time)), "pyarrow": _one("`time64[ns]`", _FINE_TIME)},
        "digits would be cut",
    ),
    Refused(
        "such moments and times in lists and structs",
        {"pandas": _one("`object`", objects([[pd.Timestamp(1)]])), "polars": _one("`List(Time)`", pl.Series([[1]], dtype=pl.List(pl.Int64)).cast(pl.List(pl.Time))), "pyarrow": _one("`list<timestamp[ns]>`", pa.ListArray.from_arrays([0, 1], _FINE_MOMENT))},
        "digits would be cut",
    ),
    Refused(
        "numbers of more than 38 digits",
        {"pandas": _one("`object`", objects([10**38])), "polars": _one("`Int128`", pl.Series([10**38], dtype=pl.Int128)), "pyarrow": _one("`decimal256`", pa.array([Decimal(10**38)], pa.decimal256(39, 0)))},
        "no reader could give them back",
    ),
]  # fmt: skip


def frame(library: str, columns: dict[str, Any]) -> Any:
    """A frame of a library with these columns."""
    if library == "pandas":
        return pd.DataFrame(columns)
    return pl.DataFrame(columns) if library == "polars" else pa.table(columns)


def documented() -> str:
    """The table of docs/types.md."""
    lines = [
        "| Values | pandas | polars | pyarrow | Postgres | Redshift |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        _row(kind.name, kind.held, f"`{kind.postgres}`", _type(kind.redshift)) for kind in EXACT
    ]
    lines += [_row(one.name, one.held, f"refused: {one.why}", "refused") for one in REFUSED]
    return "\n".join(lines) + "\n"


def _row(name: str, ways: dict[str, Held], *targets: str) -> str:
    shown = [
        ways[library].shown if library in ways else "-"
        for library in ("pandas", "polars", "pyarrow")
    ]
    return "| " + " | ".join([name, *shown, *targets]) + " |"


def _type(name: str | None) -> str:
    return "refused" if name is None else f"`{name}`"
