"""What a wall clock shows: every row that is written during a span lies in the range that is worked out for it."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tranship.clock_changes import is_shown_elsewhere, shown_range
from tranship.errors import ConfigurationError
from tranship.partitions import slice_of_partitions
from tranship.replication.config import PartitionSettings
from tranship.replication.replicated_tables import partitions_definition, slices_of
from tranship.slices import AnyOf, Slice, TimeWindow
from tranship.tables import TableName

ZONES = (
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "America/Sao_Paulo",
    "Pacific/Apia", "Asia/Kathmandu", "Africa/Casablanca", "UTC",
)  # fmt: skip
minutes = st.integers(0, 20 * 525_600).map(
    lambda minute: datetime(2008, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
)
changes = st.sampled_from(
    [
        datetime(2024, 10, 27, 1, tzinfo=UTC), datetime(2024, 3, 31, 1, tzinfo=UTC), datetime(2024, 4, 6, 15, tzinfo=UTC),
        datetime(2023, 11, 5, 5, tzinfo=UTC), datetime(2011, 12, 30, 10, tzinfo=UTC), datetime(2018, 2, 18, 2, tzinfo=UTC),
    ]
).flatmap(lambda change: st.integers(-180, 180).map(lambda late: change + timedelta(minutes=late)))  # fmt: skip


def shown(instant: datetime, zone: str) -> datetime:
    return instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


@settings(max_examples=300, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    start=minutes | changes,
    length=st.integers(1, 3 * 1440),
    within=st.floats(0, 0.999),
)
def test_what_a_clock_shows_in_a_span_lies_in_its_range(
    zone: str, start: datetime, length: int, within: float
) -> None:
    span = timedelta(minutes=length)
    low, high = shown_range(start, start + span, ZoneInfo(zone))
    assert low <= shown(start + within * span, zone) < high


@settings(max_examples=200, deadline=None)
@given(zone=st.sampled_from(ZONES), start=minutes | changes, length=st.integers(1, 300))
def test_what_is_shown_nowhere_else_is_in_no_other_span(
    zone: str, start: datetime, length: int
) -> None:
    end = start + timedelta(minutes=length)
    low, high = shown_range(start, end, ZoneInfo(zone))
    outside = [start - timedelta(minutes=one) for one in range(1, 300, 7)]
    outside += [end + timedelta(minutes=one) for one in range(0, 300, 7)]
    again = any(low <= shown(one, zone) < high for one in outside)
    if not is_shown_elsewhere(start, end, ZoneInfo(zone)):
        assert not again


SETTINGS = PartitionSettings(
    column="At", every="hour", start="2024-01-01", timezone="Europe/Berlin", column_timezone="Europe/Berlin"
)  # fmt: skip
TABLE = TableName("dbo", "T")
TWICE = ("2024-10-27-02:00", "2024-10-27-02:00+0100")


def rows_of(*keys: str) -> Slice:
    definition = partitions_definition(SETTINGS, TABLE)
    return slices_of(SETTINGS, definition, keys, TABLE)("At")


@pytest.mark.parametrize("key", TWICE)
def test_both_partitions_of_an_hour_that_comes_twice_have_its_rows(key: str) -> None:
    part = rows_of(key)
    assert isinstance(part, TimeWindow)
    expected = datetime(2024, 10, 27, 2), datetime(2024, 10, 27, 3)
    assert part.bounds(pa.timestamp("us")) == expected


def test_instants_of_an_hour_that_comes_twice_are_told_apart() -> None:
    first, second = (rows_of(key) for key in TWICE)
    assert isinstance(first, TimeWindow)
    assert isinstance(second, TimeWindow)
    instants = pa.timestamp("us", "UTC")
    assert first.bounds(instants)[1] == second.bounds(instants)[0]


@pytest.mark.parametrize("day", ["2024-10-27", "2024-03-31", "2024-06-01"])
def test_the_hours_of_a_day_have_all_that_its_clock_shows(day: str) -> None:
    definition = partitions_definition(SETTINGS, TABLE)
    keys = [key for key in definition.get_partition_keys() if key.startswith(day)]
    hours = [rows_of(key) for key in keys]
    at = datetime.fromisoformat(day)
    times = pa.array([at + timedelta(minutes=one) for one in range(1440)], pa.timestamp("us"))
    mask = AnyOf(tuple(hours)).mask(pa.record_batch({"At": times}))
    assert mask is not None
    assert mask.false_count == 0


def test_an_output_of_one_of_two_such_hours_is_refused() -> None:
    hours = dg.HourlyPartitionsDefinition("2024-01-01-00:00", timezone="Europe/Berlin")
    for key in TWICE:
        part = slice_of_partitions(
            hours, [key], owner="asset a", partition_expr="At", column_zone="Europe/Berlin"
        )
        assert isinstance(part, TimeWindow)
        with pytest.raises(ConfigurationError, match="Europe/Berlin show twice") as caught:
            part.bounds(pa.timestamp("us"))
        assert "Use a column with a time zone" in str(caught.value)
    both = slice_of_partitions(
        hours, TWICE, owner="asset a", partition_expr="At", column_zone="Europe/Berlin"
    )
    assert isinstance(both, TimeWindow)
    assert both.bounds(pa.timestamp("us"))[0] == datetime(2024, 10, 27, 2)
