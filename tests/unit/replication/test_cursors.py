"""Where loads start and end, and bookmarks as text."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tranship.cursors import Cursor, Kind, fits, kind_of
from tranship.errors import ConfigurationError, TranshipError
from tranship.replication.config import parse_duration
from tranship.replication.cursors import cursor_of
from tranship.replication.plan import LateRows, Mode, TablePlan
from tranship.slices import Interval
from tranship.tables import Column, SourceType, TableName, TableSchema

TIMES = Cursor("at", Kind.TIME, False, timedelta(minutes=10), pa.timestamp("us"))
IDS = Cursor("id", Kind.NUMBER, False, 10, pa.int32())
VERSIONS = Cursor("v", Kind.ROWVERSION, False, 10, pa.large_binary())
NOON = datetime(2024, 1, 1, 12)

zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
VALUES = {
    Kind.NUMBER: st.integers(-(2**63), 2**63 - 1)
    | st.decimals(allow_nan=False, allow_infinity=False, places=4, max_value=10**15, min_value=-(10**15)),
    Kind.DATE: st.dates(),
    Kind.TIME: st.datetimes() | st.datetimes(timezones=zones),
    Kind.ROWVERSION: st.binary(min_size=8, max_size=8),
}  # fmt: skip


@pytest.mark.parametrize("kind", Kind)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_bookmark_is_read_as_it_was_written(kind: Kind, data: st.DataObject) -> None:
    value = data.draw(VALUES[kind])
    cursor = Cursor("c", kind, nullable=False, lookback=0)
    text = cursor.text(value)
    assert text is not None
    assert len(text) <= 300
    assert cursor.value(text) == value


def test_no_value_stays_none() -> None:
    assert IDS.text(None) is None
    assert IDS.value(None) is None


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (Kind.NUMBER, "ten", "'ten' is no value of the cursor \"c\", which is a number. Write it like 12345."),
        (Kind.DATE, "31.1.2024", "which is a date. Write it like 2024-01-31."),
        (Kind.TIME, "noon", "which is a time. Write it like 2024-01-31T09:30:00."),
        (Kind.ROWVERSION, "0xzz", "which is a rowversion. Write it like 0x00000000000007d1."),
        (Kind.ROWVERSION, "0x" + "f" * 17, "which is a rowversion"),
        (Kind.NUMBER, "nan", "which is a number"),
        (Kind.NUMBER, "infinity", "which is a number"),
    ],
)  # fmt: skip
def test_a_text_that_is_no_value_says_how_to_write_one(kind: Kind, text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Cursor("c", kind, nullable=False, lookback=0).value(text)


# ---- intervals ----


@pytest.mark.parametrize(
    ("cursor", "bookmark", "up_to", "after", "expected"),
    [
        (IDS, 100, 250, False, '90 <= "id" <= 250'),
        (IDS, 100, 250, True, '100 < "id" <= 250'),
        (IDS, None, 250, False, '"id" <= 250'),
        (IDS, 100, None, False, '90 <= "id"'),
        (IDS, -(2**31) + 5, 0, False, '"id" <= 0'),
        (TIMES, NOON, NOON, False, '2024-01-01T11:50:00 <= "at" <= 2024-01-01T12:00:00'),
        (TIMES, NOON, NOON, True, '2024-01-01T12:00:00 < "at" <= 2024-01-01T12:00:00'),
        (TIMES, datetime.min, datetime.max, False, '"at" <= 9999-12-31T23:59:59.999999'),
        (TIMES, datetime(1, 2, 3), datetime(1700, 1, 1), True, '0001-02-03T00:00:00 < "at" <= 1700-01-01T00:00:00'),
        (TIMES, datetime.max, None, True, '9999-12-31T23:59:59.999999 < "at"'),
        (VERSIONS, bytes(7) + b"\x05", bytes(7) + b"\xff", False, '0x0000000000000000 <= "v" <= 0x00000000000000ff'),
        (VERSIONS, bytes(6) + b"\x01\x05", None, False, '0x00000000000000fb <= "v"'),
    ],
)  # fmt: skip
def test_where_a_load_starts_and_ends(
    cursor: Cursor, bookmark: Any, up_to: Any, after: bool, expected: str
) -> None:
    assert str(cursor.from_bookmark(bookmark, up_to=up_to, after=after)) == expected


def test_rows_without_a_value_belong_to_loads() -> None:
    nullable = Cursor("id", Kind.NUMBER, nullable=True, lookback=0)
    assert str(nullable.from_bookmark(1, up_to=2)) == '1 <= "id" <= 2 or null'
    assert str(nullable.replaced(1, "key")) == '1 <= "key" or null'
    assert str(nullable.up_to(1)) == '"id" <= 1 or null'


def test_rows_beyond_a_clock_belong_to_every_load() -> None:
    part = TIMES.from_bookmark(NOON, up_to=NOON, after=True, beyond=NOON + timedelta(hours=1))
    assert str(part) == (
        '(2024-01-01T12:00:00 < "at" <= 2024-01-01T12:00:00) or (2024-01-01T13:00:00 < "at")'
    )


@pytest.mark.parametrize(
    ("cursor", "value"),
    [
        (IDS, 41), (IDS, Decimal("4.5")), (VERSIONS, bytes(8)), (TIMES, NOON), (IDS, None),
        (Cursor("d", Kind.DATE, False, timedelta()), date(2024, 1, 1)),
    ],
)  # fmt: skip
def test_a_value_of_the_cursors_kind_may_become_a_bookmark(cursor: Cursor, value: Any) -> None:
    assert cursor.checked(value) == value


@pytest.mark.parametrize(
    ("cursor", "value"),
    [
        (VERSIONS, 8161), (VERSIONS, 5), (VERSIONS, b"\x05"), (VERSIONS, bytes(16)), (IDS, 1.5), (IDS, True),
        (IDS, Decimal("NaN")), (IDS, "41"), (TIMES, date(2024, 1, 1)), (TIMES, NOON.replace(tzinfo=UTC)), (TIMES, 45292.5),
        (Cursor("d", Kind.DATE, False, timedelta()), NOON),
    ],
)  # fmt: skip
def test_no_bookmark_is_made_of_a_value_of_another_kind(cursor: Cursor, value: Any) -> None:
    with pytest.raises(TranshipError, match="No bookmark is made of it") as caught:
        cursor.checked(value)
    assert repr(value) in str(caught.value)


def test_what_is_replaced_begins_where_the_load_begins() -> None:
    for cursor, value in ((IDS, 100), (TIMES, NOON), (VERSIONS, bytes(8))):
        for after in (False, True):
            read = cursor.from_bookmark(value, up_to=value, after=after)
            replaced = cursor.replaced(value, cursor.column, after=after)
            assert isinstance(read, Interval)
            assert (read.low, read.includes_low) == (replaced.low, replaced.includes_low)
            assert replaced.high is None


def test_an_aware_time_goes_back_as_one() -> None:
    aware = NOON.replace(tzinfo=UTC)
    assert TIMES.window(aware).low == aware - timedelta(minutes=10)


def test_a_source_that_knows_of_no_late_rows_needs_no_lookback() -> None:
    assert str(VERSIONS.without_lookback().from_bookmark(b"\0" * 7 + b"\x20", up_to=None)) == (
        '0x0000000000000020 <= "v"'
    )


# ---- columns ----


def column(name: str, type_: pa.DataType, source: str | None = None) -> Column:
    return Column(name, type_, nullable=False, source_type=SourceType(source) if source else None)


SCHEMA = TableSchema(
    (
        column("id", pa.int32(), "int"),
        column("day", pa.date32(), "date"),
        column("at", pa.timestamp("us"), "datetime2"),
        column("instant", pa.timestamp("us", "UTC"), "datetimeoffset"),
        column("v", pa.large_binary(), "rowversion"),
        column("blob", pa.large_binary(), "varbinary"),
        column("name", pa.large_string(), "nvarchar"),
        column("ratio", pa.float64(), "float"),
        column("time", pa.time64("ns"), "time"),
    )
)


def plan(**settings: Any) -> TablePlan:
    settings = {"mode": Mode.MERGE} | settings
    return TablePlan(TableName("dbo", "A"), TableName("staging", "A"), **settings)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("id", Kind.NUMBER), ("day", Kind.DATE), ("at", Kind.TIME), ("instant", Kind.TIME), ("v", Kind.ROWVERSION),
        ("blob", None), ("name", None), ("ratio", None), ("time", None),
    ],
)  # fmt: skip
def test_which_columns_grow(name: str, kind: Kind | None) -> None:
    assert kind_of(SCHEMA.column(name)) is kind


@pytest.mark.parametrize(
    ("name", "lookback", "has_key", "expected"),
    [
        ("id", None, True, 1000),
        ("id", None, False, 1000),
        ("id", "5", True, 5),
        ("id", 0, True, 0),
        ("v", None, True, 1000),
        ("at", None, True, timedelta(minutes=70)),
        ("at", None, False, timedelta(minutes=70)),
        ("instant", None, False, timedelta(minutes=10)),
        ("at", "0", True, timedelta()),
        ("at", "1.5 hours", False, timedelta(hours=1.5)),
        ("day", None, True, timedelta(days=1)),
        ("day", "2 weeks", True, timedelta(days=14)),
    ],
)
def test_how_far_a_load_looks_back(
    name: str, lookback: int | str | None, has_key: bool, expected: int | timedelta
) -> None:
    made = cursor_of(plan(cursor=name, lookback=lookback), SCHEMA, has_key=has_key)
    assert made is not None
    assert made.lookback == expected


def test_late_rows_are_given_up_only_in_so_many_words() -> None:
    with pytest.raises(ConfigurationError, match="or write late_rows: ignore"):
        cursor_of(plan(cursor="at", mode=Mode.APPEND, lookback=0), SCHEMA, has_key=False)
    for lookback, expected in ((None, timedelta()), (0, timedelta()), ("1 day", timedelta(days=1))):
        wanted = plan(cursor="at", mode=Mode.APPEND, lookback=lookback, late_rows=LateRows.IGNORE)
        made = cursor_of(wanted, SCHEMA, has_key=False)
        assert made is not None
        assert made.lookback == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("at", "2024-01-31T09:30:00.1234567", datetime(2024, 1, 31, 9, 30, 0, 123456)),
        ("at", "2024-01-31", datetime(2024, 1, 31)),
        ("instant", "2024-01-31", datetime(2024, 1, 31, tzinfo=UTC)),
        ("at", "2024-01-31T09:30:00+02:00", None),
        ("id", "1.5", None),
        ("id", "3000000000", None),
    ],
)
def test_a_start_that_is_typed_is_held_against_the_column(
    name: str, text: str, expected: Any
) -> None:
    made = cursor_of(plan(cursor=name), SCHEMA, has_key=True)
    assert made is not None
    if expected is None:
        with pytest.raises(ConfigurationError, match="is no value of the cursor"):
            made.value(text)
    else:
        assert made.value(text) == expected


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cursor": "name"}, 'The cursor "name" of dbo.A is nvarchar.* Choose a column of whole numbers'),
        ({"cursor": "id", "lookback": "5 minutes"}, "is '5 minutes', but its cursor \"id\" is a number. Write a number: 1000"),
        ({"cursor": "at", "lookback": 5}, "The lookback of dbo.A is '5', which is no span of time"),
        ({"cursor": "day", "lookback": "5 hours"}, 'holds whole days. Write days or weeks: 7 days'),
        ({"cursor": "v", "mode": Mode.APPEND}, "also grows when a row is changed. Set mode to merge"),
    ],
)  # fmt: skip
def test_a_cursor_that_does_not_grow_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        cursor_of(plan(**settings), SCHEMA, has_key=True)


def test_times_with_a_zone_are_of_another_nature() -> None:
    natures = [
        cursor_of(plan(cursor=name), SCHEMA, has_key=True) for name in ("at", "instant", "id")
    ]
    assert [made.nature for made in natures if made] == ["time", "time with a zone", "number"]


@pytest.mark.parametrize(
    ("value", "type_", "expected"),
    [
        (-1, pa.uint8(), False),
        (2**31, pa.int32(), False),
        (Decimal("99.9"), pa.decimal128(3, 1), True),
        (Decimal("100.0"), pa.decimal128(3, 1), False),
        (-900, pa.decimal128(2, 0), False),
        (date.max, pa.date32(), True),
    ],
)
def test_what_fits_a_type(value: Any, type_: pa.DataType, expected: bool) -> None:
    assert fits(value, type_) is expected


# ---- spans of time ----


@given(
    st.integers(0, 10_000),
    st.sampled_from(["second", "minute", "hour", "day", "week"]),
    st.booleans(),
)
def test_spans_are_read_as_people_write_them(number: int, unit: str, many: bool) -> None:
    expected = timedelta(**{f"{unit}s": number})
    ending = "s" if many else ""
    for text in (f"{number} {unit}{ending}", f" {number}{unit.upper()}{ending} "):
        assert parse_duration(text, "lookback") == expected


@pytest.mark.parametrize(
    "text", ["", "soon", "5", "-5 minutes", "5 months", "1 h", "minutes", "1e3 days"]
)
def test_what_is_no_span_of_time_says_how_to_write_one(text: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"freshness is .*no span of time. Write a number and a unit"
    ):
        parse_duration(text, "freshness")
