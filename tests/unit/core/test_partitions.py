"""A set of partition keys stands for exactly the rows of those partitions."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranship.errors import ConfigurationError
from tranship.partitions import slice_of_partitions
from tranship.slices import AllOf, AnyOf, KeyRange, Nothing, Slice, TimeWindow, Values

CENTRAL = ZoneInfo("US/Central")
DAYS = dg.DailyPartitionsDefinition("2024-01-01", end_date="2025-01-01", timezone="US/Central")
HOURS = dg.HourlyPartitionsDefinition("2024-11-02-00:00", timezone="US/Central")
REGIONS = dg.StaticPartitionsDefinition(["north", "south", "west"])
GRID = dg.MultiPartitionsDefinition({"day": DAYS, "region": REGIONS})
GRID_COLUMNS = {"day": "OrderDate", "region": "Region"}


def slice_of(
    partitions_def: dg.PartitionsDefinition[Any], keys: Sequence[str], **settings: Any
) -> Slice:
    settings.setdefault("partition_expr", "At")
    return slice_of_partitions(partitions_def, keys, owner="asset sales", **settings)


def central(year: int, month: int, day: int, hour: int = 0) -> datetime:
    return datetime(year, month, day, hour, tzinfo=CENTRAL)


def day_window(first: datetime, after_last: datetime, column: str = "At") -> TimeWindow:
    return TimeWindow(column, first, after_last)


def test_a_day_starts_and_ends_at_the_midnights_of_its_zone():
    assert slice_of(DAYS, ["2024-07-04"]) == day_window(central(2024, 7, 4), central(2024, 7, 5))


def test_the_columns_own_zone_travels_with_the_window():
    found = slice_of(DAYS, ["2024-07-04"], column_zone="Asia/Tokyo")

    assert isinstance(found, TimeWindow)
    assert found.column_zone == "Asia/Tokyo"


@pytest.mark.parametrize("keys", [["2024-01-01", "2024-01-02", "2024-01-03"]])
@pytest.mark.parametrize("turn", [list, reversed])
def test_neighbouring_days_in_any_order_are_one_window(keys, turn):
    found = slice_of(DAYS, list(turn(keys)))

    assert found == day_window(central(2024, 1, 1), central(2024, 1, 4))


def test_days_with_a_gap_are_the_windows_around_it():
    found = slice_of(DAYS, ["2024-01-05", "2024-01-01", "2024-01-02"])

    assert found == AnyOf(
        (
            day_window(central(2024, 1, 1), central(2024, 1, 3)),
            day_window(central(2024, 1, 5), central(2024, 1, 6)),
        )
    )


def test_a_key_named_twice_counts_once():
    assert slice_of(DAYS, ["2024-01-01", "2024-01-01"]) == slice_of(DAYS, ["2024-01-01"])


@pytest.mark.parametrize(
    ("month", "days", "hours_off"), [("2024-03-01", 31, -1), ("2024-11-01", 30, 1)]
)
def test_a_month_in_which_the_clocks_change_is_an_hour_shorter_or_longer(month, days, hours_off):
    months = dg.MonthlyPartitionsDefinition("2024-01-01", timezone="US/Central")

    found = slice_of(months, [month])

    assert isinstance(found, TimeWindow)
    span = found.end.astimezone(UTC) - found.start.astimezone(UTC)
    assert span == timedelta(days=days, hours=hours_off)


def test_the_months_of_a_year_are_one_window_over_both_clock_changes():
    months = dg.MonthlyPartitionsDefinition("2024-01-01", timezone="US/Central")

    found = slice_of(months, [f"2024-{month:02}-01" for month in range(1, 13)])

    assert found == day_window(central(2024, 1, 1), central(2025, 1, 1))


CLOCKS_GO_BACK = [
    "2024-11-03-00:00",
    "2024-11-03-01:00",  # 06:00 UTC
    "2024-11-03-01:00-0600",  # 07:00 UTC: the same wall clock again
    "2024-11-03-02:00",
]
INSTANTS = pa.record_batch(
    {
        "At": pa.array(
            [datetime(2024, 11, 3, 5, tzinfo=UTC) + timedelta(hours=n) for n in range(4)],
            pa.timestamp("us", "UTC"),
        )
    }
)


@given(chosen=st.sets(st.integers(0, 3), min_size=1))
def test_each_hour_is_itself_while_the_clocks_go_back(chosen: set[int]):
    mask = slice_of(HOURS, [CLOCKS_GO_BACK[number] for number in chosen]).mask(INSTANTS)

    assert mask is not None
    assert {number for number, belongs in enumerate(mask.to_pylist()) if belongs} == chosen


def test_the_hours_through_which_the_clocks_go_back_are_one_window():
    assert str(slice_of(HOURS, CLOCKS_GO_BACK)) == (
        '2024-11-03T00:00:00-05:00 <= "At" < 2024-11-03T03:00:00-06:00'
    )


@given(picks=st.sets(st.integers(0, 400), min_size=1, max_size=20))
def test_any_set_of_hours_holds_its_own_instants_and_no_other(picks: set[int]):
    hours = dg.HourlyPartitionsDefinition("2024-03-09-00:00", timezone="US/Central")
    start = datetime(2024, 3, 9, 6, tzinfo=UTC)
    moments = [start + timedelta(hours=number, minutes=30) for number in range(-1, 402)]
    keys = [
        (start + timedelta(hours=number)).astimezone(CENTRAL).strftime("%Y-%m-%d-%H:%M")
        for number in picks
    ]

    mask = slice_of(hours, keys).mask(
        pa.record_batch({"At": pa.array(moments, pa.timestamp("us", "UTC"))})
    )

    assert mask is not None
    assert {number - 1 for number, belongs in enumerate(mask.to_pylist()) if belongs} == picks


def test_static_and_dynamic_keys_are_values_of_the_column():
    shops = dg.DynamicPartitionsDefinition(name="shops")

    assert slice_of(REGIONS, ["north", "west"]) == Values("At", ("north", "west"))
    assert slice_of(shops, ["7"], partition_expr="ShopKey") == Values("ShopKey", ("7",))


@pytest.mark.parametrize("partitions_def", [DAYS, REGIONS, GRID])
def test_no_keys_stand_for_no_rows(partitions_def):
    assert slice_of(partitions_def, []) == Nothing()


def test_a_full_grid_is_one_condition_per_dimension():
    keys = [
        dg.MultiPartitionKey({"day": day, "region": region})
        for day in ("2024-01-01", "2024-01-02")
        for region in ("north", "west")
    ]

    assert slice_of(GRID, keys, partition_expr=GRID_COLUMNS) == AllOf(
        (
            day_window(central(2024, 1, 1), central(2024, 1, 3), "OrderDate"),
            Values("Region", ("north", "west")),
        )
    )


def test_a_grid_with_gaps_takes_in_no_cell_that_was_not_chosen():
    keys = ["2024-01-01|north", "2024-01-02|west"]

    found = slice_of(GRID, keys, partition_expr=GRID_COLUMNS)

    rows = pa.record_batch(
        {
            "OrderDate": pa.array([central(2024, 1, 1, 9)] * 2 + [central(2024, 1, 2, 9)] * 2),
            "Region": pa.array(["north", "west"] * 2),
        }
    )
    mask = found.mask(rows)
    assert isinstance(found, AnyOf)
    assert mask is not None
    assert mask.to_pylist() == [True, False, False, True]


@pytest.mark.parametrize("partition_expr", [None, "", {}, {"day": "OrderDate"}])
def test_a_partition_without_a_column_says_which_metadata_to_add(partition_expr):
    with pytest.raises(ConfigurationError) as refused:
        slice_of(DAYS, ["2024-01-01"], partition_expr=partition_expr)

    assert str(refused.value) == (
        "The asset sales is partitioned, but nothing says which column holds the partition. "
        'Add it to the metadata: metadata={"partition_expr": "OrderDate"}.'
    )


@pytest.mark.parametrize(
    ("partition_expr", "missing", "example"),
    [
        ("OrderDate", "day, region", '{"day": "column", "region": "column"}'),
        (None, "day, region", '{"day": "column", "region": "column"}'),
        ({"day": "OrderDate"}, "region", '{"day": "OrderDate", "region": "column"}'),
        ({"day": "D", "region": ""}, "region", '{"day": "D", "region": "column"}'),
    ],
)
def test_a_missing_dimension_is_named_with_the_metadata_to_add(partition_expr, missing, example):
    with pytest.raises(ConfigurationError) as refused:
        slice_of(GRID, ["2024-01-01|north"], partition_expr=partition_expr)

    assert str(refused.value) == (
        f"The asset sales is partitioned by day, region, but no column is given for {missing}. "
        f'Name a column for each: metadata={{"partition_expr": {example}}}.'
    )


RANGES = {"north": [0, 1000], "south": [1000, None], "west": [None, 0]}


def test_a_partition_can_be_a_range_of_keys():
    assert slice_of(REGIONS, ["north"], key_ranges=RANGES) == KeyRange("At", 0, 1000)
    assert slice_of(REGIONS, ["south", "west"], key_ranges=RANGES) == AnyOf(
        (KeyRange("At", 1000, None), KeyRange("At", None, 0))
    )


@pytest.mark.parametrize("bounds", [None, [0], [0, 1, 2]])
def test_a_partition_without_its_range_says_which_metadata_to_add(bounds):
    ranges = {} if bounds is None else {"north": bounds}

    with pytest.raises(ConfigurationError) as refused:
        slice_of(REGIONS, ["north"], key_ranges=ranges, partition_expr="Key")

    assert str(refused.value) == (
        "The partition 'north' has no key range for \"Key\". Give it one: "
        "metadata={\"partition_key_ranges\": {'north': [0, 1000000]}}."
    )
