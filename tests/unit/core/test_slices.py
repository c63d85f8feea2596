"""A slice's mask and its SQL predicate pick the same rows, whatever the column's type and name."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import mssql
from sqlalchemy.dialects.postgresql import psycopg2

from tranship.errors import ColumnNotFoundError, ConfigurationError
from tranship.slices import AllOf, AnyOf, KeyRange, Nothing, Slice, TimeWindow, Values, WholeTable
from tranship.tables import TableSchema

CENTRAL = ZoneInfo("US/Central")
_DATABASE = duckdb.connect(config={"threads": 1})
_DATABASE.execute("set timezone = 'UTC'")
_RENDERING = psycopg2.dialect(paramstyle="qmark")


def rows_by_sql(slice_: Slice, batch: pa.RecordBatch) -> list[int]:
    """The positions of the rows that a database finds with the slice's predicate."""
    predicate = slice_.predicate(TableSchema.from_arrow(batch.schema))
    if predicate is None:
        return list(range(batch.num_rows))
    compiled = predicate.compile(dialect=_RENDERING, compile_kwargs={"render_postcompile": True})
    parameters = compiled.construct_params(escape_names=False)
    values = [parameters[name] for name in compiled.positiontup or ()]
    rows = pa.Table.from_batches([batch]).append_column(
        "row number", pa.array(range(batch.num_rows), pa.int64())
    )
    cursor = _DATABASE.cursor()
    try:
        cursor.register("incoming", rows)
        found = cursor.execute(
            f'select "row number" from incoming where {compiled} order by all', values
        )
        return list(chain.from_iterable(found.fetchall()))
    finally:
        cursor.close()


def rows_by_mask(slice_: Slice, batch: pa.RecordBatch) -> list[int]:
    """The positions of the rows that the mask picks."""
    mask = slice_.mask(batch)
    if mask is None:
        return list(range(batch.num_rows))
    assert mask.null_count == 0
    assert len(mask) == batch.num_rows
    return [number for number, belongs in enumerate(mask.to_pylist()) if belongs]


def batch_of(name: str, values: list[Any], type_: pa.DataType) -> pa.RecordBatch:
    return pa.record_batch({name: pa.array(values, type_)})


NAIVE = st.datetimes(datetime(2023, 12, 1), datetime(2024, 12, 31))
AWARE = NAIVE.map(lambda moment: moment.replace(tzinfo=UTC))
CENTS = st.decimals(-99, 99, places=2)
TYPES: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.int8(), st.integers(-5, 5)),
    (pa.int64(), st.integers(-5, 5)),
    (pa.bool_(), st.booleans()),
    (pa.decimal128(9, 2), CENTS),
    (pa.float64(), st.floats(-2, 2, width=16).map(lambda number: number + 0.0)),
    (pa.date32(), st.dates(date(2024, 1, 1), date(2024, 1, 9))),
    (pa.timestamp("us"), NAIVE),
    (pa.timestamp("us", "UTC"), AWARE),
    (pa.timestamp("us", "US/Central"), AWARE),
    (pa.string(), st.text("ab'\"%:é表 ", max_size=2)),
    (pa.large_string(), st.text("ab", max_size=2)),
    (pa.string_view(), st.text("ab", max_size=2)),
    (pa.dictionary(pa.int32(), pa.string()), st.text("ab", max_size=2)),
]
NAMES = st.sampled_from(
    [
        "id",
        "Order Date",
        "select",
        'quo"ted',
        "per%cent",
        "%s",
        ":colon",
        "a.b",
        "[x]",
        "größe",
        "🚢",
    ]
)


@st.composite
def single_slices(draw: st.DrawFn, name: str, values: st.SearchStrategy[Any]) -> Slice:
    if draw(st.booleans()):
        return Values(name, tuple(draw(st.lists(values | st.none(), min_size=1, max_size=3))))
    low, high = draw(values | st.none()), draw(values | st.none())
    return KeyRange(name, draw(values) if low is None and high is None else low, high)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Slice, pa.RecordBatch]:
    name = draw(NAMES)
    type_, values = draw(st.sampled_from(TYPES))
    rows = draw(st.lists(values | st.none(), max_size=8))
    single = single_slices(name, values)
    slice_ = draw(
        st.recursive(
            single | st.just(WholeTable()) | st.just(Nothing()),
            lambda inner: st.builds(
                lambda kind, parts: kind(tuple(parts)),
                st.sampled_from([AllOf, AnyOf]),
                st.lists(inner, min_size=1, max_size=3),
            ),
            max_leaves=4,
        )
    )
    return slice_, batch_of(name, rows, type_)


@given(case=cases())
def test_the_mask_and_the_database_pick_the_same_rows(case: tuple[Slice, pa.RecordBatch]):
    slice_, batch = case

    assert rows_by_mask(slice_, batch) == rows_by_sql(slice_, batch)


@given(rows=st.lists(st.floats(width=32) | st.none(), max_size=6), low=st.floats(-2, 2))
def test_not_a_number_belongs_where_postgres_finds_it(rows: list[float | None], low: float):
    batch = batch_of("x", rows, pa.float64())

    for slice_ in (KeyRange("x", low=low), KeyRange("x", high=low), KeyRange("x", low, low + 1)):
        assert rows_by_mask(slice_, batch) == rows_by_sql(slice_, batch)


@given(
    unit=st.sampled_from(["s", "ms", "us", "ns"]),
    zone=st.sampled_from([None, "UTC", "US/Central"]),
    column_zone=st.sampled_from(["UTC", "US/Central"]),
    start=NAIVE,
    span=st.timedeltas(timedelta(microseconds=1), timedelta(days=40)),
    partition_zone=st.sampled_from([UTC, CENTRAL, ZoneInfo("Asia/Kolkata")]),
    offsets=st.lists(st.timedeltas(timedelta(days=-3), timedelta(days=43)) | st.none(), max_size=6),
)
def test_a_time_window_picks_the_same_rows_as_the_database(
    unit, zone, column_zone, start, span, partition_zone, offsets
):
    begin = start.replace(tzinfo=partition_zone)
    window = TimeWindow("At", begin, begin + span, column_zone)
    digits = {"s": 1_000_000, "ms": 1_000}.get(unit, 1)
    rows = [
        None
        if offset is None
        else (start + offset).replace(
            microsecond=(start + offset).microsecond // digits * digits,
            tzinfo=UTC if zone else None,
        )
        for offset in offsets
    ]
    batch = batch_of("At", rows, pa.timestamp(unit, zone))

    # DuckDB compares zoned nanoseconds with nothing else.
    stored = batch.cast(pa.schema([("At", pa.timestamp("us", zone))]))
    assert rows_by_mask(window, batch) == rows_by_sql(window, stored)


def window_of_day(day: str, zone: ZoneInfo = CENTRAL, **settings: Any) -> TimeWindow:
    start = datetime.fromisoformat(day).replace(tzinfo=zone)
    return TimeWindow("At", start, start + timedelta(days=1), **settings)


@pytest.mark.parametrize(
    ("day", "first", "hours"),
    [
        ("2024-01-15", datetime(2024, 1, 15, 6), 24),
        ("2024-03-10", datetime(2024, 3, 10, 6), 23),  # clocks go forward
        ("2024-07-15", datetime(2024, 7, 15, 5), 24),
        ("2024-11-03", datetime(2024, 11, 3, 5), 25),  # clocks go back
    ],
)
@pytest.mark.parametrize(
    "type_", [pa.timestamp("us", "UTC"), pa.timestamp("us"), pa.timestamp("s")]
)
def test_a_central_day_is_its_own_hours_in_utc(day, first, hours, type_):
    moments = [first + timedelta(hours=number) for number in range(-3, 30)]
    zone = UTC if type_.tz else None
    batch = batch_of("At", [moment.replace(tzinfo=zone) for moment in moments], type_)

    assert rows_by_mask(window_of_day(day), batch) == list(range(3, 3 + hours))
    assert rows_by_sql(window_of_day(day), batch) == list(range(3, 3 + hours))


@pytest.mark.parametrize("day", ["2024-01-15", "2024-03-10", "2024-11-03"])
def test_a_central_wall_clock_meets_a_central_day_at_its_own_midnights(day):
    midnight = datetime.fromisoformat(day)
    rows = [
        midnight - timedelta(microseconds=1),
        midnight,
        midnight + timedelta(hours=23, minutes=59),
        midnight + timedelta(days=1),
    ]
    batch = batch_of("At", rows, pa.timestamp("us"))

    assert rows_by_mask(window_of_day(day, column_zone="US/Central"), batch) == [1, 2]
    assert rows_by_sql(window_of_day(day, column_zone="US/Central"), batch) == [1, 2]


@pytest.mark.parametrize("type_", [pa.date32(), pa.date64()])
@pytest.mark.parametrize("day", ["2024-03-10", "2024-11-03"])
def test_a_date_column_is_compared_with_the_windows_own_days(day, type_):
    first = date.fromisoformat(day)
    rows = [first - timedelta(days=1), first, first + timedelta(days=1), None]
    batch = batch_of("At", rows, type_)

    assert rows_by_mask(window_of_day(day), batch) == [1]
    assert rows_by_sql(window_of_day(day), batch) == [1]


def test_a_window_that_cuts_through_a_day_is_refused_for_a_date_column():
    window = TimeWindow(
        "At", datetime(2024, 1, 1, 5, tzinfo=UTC), datetime(2024, 1, 1, 6, tzinfo=UTC)
    )

    with pytest.raises(ConfigurationError) as refused:
        window.bounds(pa.date32())

    assert str(refused.value) == (
        'The time window 2024-01-01T05:00:00+00:00 <= "At" < 2024-01-01T06:00:00+00:00 cuts '
        'through a day, but "At" holds dates. Use daily or coarser partitions for a date column.'
    )


def test_a_window_over_a_column_of_texts_says_what_to_set():
    with pytest.raises(ConfigurationError) as refused:
        window_of_day("2024-01-01").mask(batch_of("At", ["2024-01-01"], pa.string()))

    assert str(refused.value) == (
        '"At" is string, which cannot be compared with a time window. Set partition_expr to a '
        "date or timestamp column, or use key-range or static partitions."
    )


@pytest.mark.parametrize(
    ("key", "type_", "value"),
    [
        ("7", pa.int8(), 7),
        ("-7", pa.int64(), -7),
        ("7", pa.uint8(), 7),
        ("2024-02-29", pa.date32(), date(2024, 2, 29)),
        ("2024-02-29", pa.timestamp("us"), datetime(2024, 2, 29)),
        ("2024-02-29 10:30:00", pa.timestamp("us"), datetime(2024, 2, 29, 10, 30)),
        (
            "2024-02-29T10:30:00-06:00",
            pa.timestamp("us", "UTC"),
            datetime(2024, 2, 29, 16, 30, tzinfo=UTC),
        ),
        ("true", pa.bool_(), True),
        ("False", pa.bool_(), False),
        ("1", pa.bool_(), True),
        ("1.50", pa.decimal128(9, 2), Decimal("1.50")),
        ("7", pa.decimal128(9, 2), Decimal(7)),
        ("0.5", pa.float64(), 0.5),
        ("7", pa.string(), "7"),
        ("7", pa.dictionary(pa.int8(), pa.int32()), 7),
        ("7", pa.string_view(), "7"),
    ],
)
def test_a_partition_key_finds_the_value_it_spells(key: str, type_: pa.DataType, value: Any):
    batch = batch_of("k", [value, None], type_)

    assert rows_by_mask(Values("k", (key,)), batch) == [0]
    assert rows_by_sql(Values("k", (key,)), batch) == [0]


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        ("north", pa.int32()),
        ("300", pa.int8()),
        ("7.5", pa.int32()),
        ("maybe", pa.bool_()),
        ("1.555", pa.decimal128(9, 2)),
        ("2024-02-30", pa.date32()),
        ("A", pa.binary()),
        ("0x4", pa.large_binary()),
        ("0x4142", pa.binary(1)),
        (7, pa.string()),
        (1.5, pa.int32()),
        (datetime(2024, 1, 1, 12), pa.date32()),
        (datetime(2024, 1, 1, 0, 0, 0, 5), pa.timestamp("s")),
    ],
)
@pytest.mark.parametrize(
    "slice_of", [lambda value: Values("k", (value,)), lambda value: KeyRange("k", low=value)]
)
def test_a_value_that_the_column_cannot_hold_is_refused_not_cut(
    value: Any, type_: pa.DataType, slice_of: Callable[[Any], Slice]
):
    batch = batch_of("k", [None], type_)
    expected = (
        f'The slice value {value!r} is not a value of "k", which is {type_}. '
        "Set partition_expr to the column that holds the partition keys."
    )

    with pytest.raises(ConfigurationError) as by_mask:
        slice_of(value).mask(batch)
    with pytest.raises(ConfigurationError) as by_sql:
        slice_of(value).predicate(TableSchema.from_arrow(batch.schema))

    assert str(by_mask.value) == str(by_sql.value) == expected


def test_nulls_belong_to_no_value_and_no_range():
    batch = batch_of("k", [None, 1], pa.int32())

    for slice_ in (Values("k", (None, 1)), KeyRange("k", low=0), KeyRange("k", high=9)):
        assert rows_by_mask(slice_, batch) == [1]
        assert rows_by_sql(slice_, batch) == [1]


def test_the_whole_table_needs_no_predicate_and_no_mask():
    batch = batch_of("k", [None, 1], pa.int32())

    assert WholeTable().predicate(TableSchema.from_arrow(batch.schema)) is None
    assert WholeTable().mask(batch) is None
    assert AnyOf((WholeTable(), Values("k", (1,)))).mask(batch) is None
    assert rows_by_mask(AllOf((WholeTable(), Values("k", (1,)))), batch) == [1]


def test_nothing_holds_no_row():
    batch = batch_of("k", [None, 1], pa.int32())

    assert rows_by_mask(Nothing(), batch) == rows_by_sql(Nothing(), batch) == []


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        (psycopg2.dialect(paramstyle="format"), '"100%% Größe\'" IN (%s)'),
        (mssql.dialect(paramstyle="qmark"), "[100% Größe'] IN (?)"),
    ],
)
def test_a_value_is_bound_and_a_name_is_quoted_by_the_dialect(dialect, expected: str):
    name = "100% Größe'"
    schema = TableSchema.from_arrow(pa.schema([(name, pa.string())]))
    evil = "x'); drop table a; --"
    predicate = Values(name, (evil,)).predicate(schema)
    assert predicate is not None

    compiled = predicate.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})

    assert str(compiled) == expected
    assert list(compiled.params.values()) == [evil]


def test_a_slice_names_each_column_it_looks_at_once():
    slice_ = AllOf((Values("a", (1,)), AnyOf((KeyRange("b", 1), Values("a", (2,)))), Nothing()))

    assert slice_.columns == ("a", "b")


@pytest.mark.parametrize(
    "slice_",
    [Values("K", (1,)), KeyRange("K", 1), AllOf((Nothing(), Values("K", (1,))))],
)
def test_a_column_that_is_not_there_is_named_with_those_that_are(slice_: Slice):
    batch = pa.record_batch({"k": pa.array([1]), "n": pa.array([1])})
    expected = 'No such column: "K". The columns are "k", "n".'

    with pytest.raises(ColumnNotFoundError) as by_mask:
        slice_.mask(batch)
    with pytest.raises(ColumnNotFoundError) as by_sql:
        slice_.predicate(TableSchema.from_arrow(batch.schema))

    assert str(by_mask.value) == str(by_sql.value) == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Values("k", ()), 'The slice on "k" has no values. Name at least one.'),
        (
            lambda: KeyRange("k"),
            'The key range on "k" has no bounds. Give low, high, or both; or use WholeTable.',
        ),
        (lambda: AllOf(()), "AllOf was given no slices. Use WholeTable for every row."),
        (lambda: AnyOf(()), "AnyOf was given no slices. Name at least one."),
        (
            lambda: TimeWindow("k", datetime(2024, 1, 1), datetime(2024, 1, 2)),
            'The time window on "k" has no time zone. '
            "Give start and end a tzinfo; a wall clock alone names no instant.",
        ),
        (
            lambda: window_of_day("2024-01-01", column_zone="Central"),
            "'Central' is not a time zone. Use a name such as US/Central.",
        ),
    ],
)
def test_a_slice_that_means_nothing_is_refused(make: Callable[[], Slice], message: str):
    with pytest.raises(ConfigurationError) as refused:
        make()

    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("slice_", "shown"),
    [
        (WholeTable(), "the whole table"),
        (Nothing(), "no rows"),
        (Values("k", ("a", 1)), "\"k\" in ('a', 1)"),
        (KeyRange("k", 1), '1 <= "k"'),
        (KeyRange("k", high=9), '"k" < 9'),
        (AllOf((KeyRange("k", 1, 9), Values("n", (2,)))), '(1 <= "k" < 9) and ("n" in (2))'),
        (AnyOf((KeyRange("k", 1, 2), Nothing())), '(1 <= "k" < 2) or (no rows)'),
    ],
)
def test_a_slice_reads_as_a_condition(slice_: Slice, shown: str):
    assert str(slice_) == shown


def test_a_predicate_can_be_used_in_any_sqlalchemy_statement():
    schema = TableSchema.from_arrow(pa.schema([("id", pa.int32())]))
    predicate = KeyRange("id", 2, 4).predicate(schema)
    assert predicate is not None
    engine = sa.create_engine("sqlite://")

    with engine.begin() as connection:
        connection.exec_driver_sql("create table t (id integer)")
        connection.exec_driver_sql("insert into t values (1), (2), (3), (4), (null)")
        connection.execute(sa.delete(sa.table("t")).where(predicate))
        left = connection.execute(sa.text("select id from t")).scalars().all()

    assert left == [1, 4, None]


@pytest.mark.parametrize("type_", [pa.binary(), pa.large_binary(), pa.binary(2)])
def test_bytes_are_found_by_how_sql_server_writes_them(type_: pa.DataType):
    mask = Values("k", ("0x4100",)).mask(batch_of("k", [b"A\x00", b"0x", None], type_))
    assert mask is not None
    assert mask.to_pylist() == [True, False, False]
