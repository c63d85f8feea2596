"""Cursors of every type and precision: rows one tick apart, ties, and any order of inserts and loads leave a true copy."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.replication.conftest import Replica

from tranship.replication.plan import LateRows, Mode
from tranship.slices import Interval


@dataclass(frozen=True)
class Ladder:
    """The values of a type that lie next to each other, and literals of them.

    Args:
        literals: By rising value.
        fine: Whether several of them may be shown alike.
    """

    literals: tuple[str, ...]
    fine: bool = False


def seconds(digits: int, zone: str = "") -> Ladder:
    """Neighbours at the end of a second, and over it, of a type with so many digits."""
    unit = 10 ** (7 - digits)
    start = datetime(2024, 3, 30, 23, 59, 58, 999999)
    fractions = [10_000_000 + step * unit for step in range(-9, 9)]
    texts: list[str] = []
    for fraction in fractions:
        moment = start.replace(microsecond=0) + timedelta(seconds=fraction // 10_000_000)
        rest = f".{fraction % 10_000_000:07d}"[: digits + 1] if digits else ""
        texts.append(f"'{moment.isoformat()}{rest}{zone}'")
    return Ladder(tuple(texts), fine=digits == 7)


TYPES = {
    "tinyint": Ladder(tuple(str(one) for one in range(238, 256))),
    "bigint": Ladder(tuple(str(2**63 - 18 + one) for one in range(18))),
    "decimal(38, 10)": Ladder(tuple(str(Decimal(f"{10**27 + 1}.{one:010d}")) for one in range(18))),
    "money": Ladder(tuple(f"922337203685477.{5790 + one}" for one in range(18))),
    "date": Ladder(tuple(f"'{date(2024, 2, 20) + timedelta(one)}'" for one in range(18))),
    "smalldatetime": Ladder(tuple(f"'2024-02-28T23:{42 + one}:00'" for one in range(18))),
    # Every third of these ticks is shown with the digits that it has, the others with rounded ones.
    "datetime": Ladder(
        tuple(
            f"'2024-09-25T13:39:{40 + tick // 300}.{round(tick % 300 * 10 / 3):03d}'"
            for tick in range(288, 306)
        )
    ),
    **{f"datetime2({digits})": seconds(digits) for digits in (0, 3, 6, 7)},
    **{f"datetimeoffset({digits})": seconds(digits, "+02:00") for digits in (1, 7)},
}
WAYS = {
    "append in chunks": {
        "mode": Mode.APPEND,
        "cursor": "at",
        "chunk_column": "at",
        "chunk_rows": 2,
    },
    "merge": {"mode": Mode.MERGE, "cursor": "at", "key": ("id",)},
}


def table_of(type_: str) -> str:
    return f"create table {{table}} (id int not null, at {type_} not null)"


def fill(made: Replica, first: int, values: list[str]) -> None:
    rows = ", ".join(f"({first + number}, {value})" for number, value in enumerate(values))
    made.origin.run(f"insert into {{table}} (id, at) values {rows}")


def loaded(made: Replica, ladder: Ladder, batches: list[list[int]]) -> None:
    """Insert rows with these steps of the ladder, batch by batch, and load after each."""
    first = 0
    for batch in batches:
        if batch:
            fill(made, first, [ladder.literals[step] for step in batch])
        first += len(batch)
        made.load()
        made.assert_equal("id, at")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("type_", TYPES)
def test_ties_and_neighbours_at_the_end_of_a_load_are_copied(
    replica: Callable[..., Replica], type_: str, way: str
) -> None:
    made = replica(table_of(type_), **WAYS[way])
    batches = [[0, 0, 0, 1], [1, 1, 2], [5, 4, 3, 3, 3], [], [5, 6, 5, 17, 16, 16]]
    loaded(made, TYPES[type_], batches)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("type_", ["datetime", "datetime2(7)"])
@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batches=st.lists(st.lists(st.integers(0, 17), max_size=5), min_size=2, max_size=4))
def test_any_order_of_inserts_and_loads_leaves_a_true_copy(
    replica: Callable[..., Replica], type_: str, way: str, batches: list[list[int]]
) -> None:
    loaded(replica(table_of(type_), **WAYS[way]), TYPES[type_], batches)


@pytest.mark.parametrize("type_", TYPES)
def test_a_mask_lets_through_what_sqlserver_finds(
    replica: Callable[..., Replica], type_: str
) -> None:
    made = replica(table_of(type_))
    fill(made, 0, list(TYPES[type_].literals))
    rows = made.source.read(("id", "at")).to_table()
    values: list[Any] = rows["at"].to_pylist()
    shown = sorted(set(values))

    @settings(max_examples=12, deadline=None)
    @given(data=st.data())
    def compare(data: st.DataObject) -> None:
        ends = st.none() | st.sampled_from(shown) | between(shown)
        part = Interval(
            "at",
            data.draw(ends),
            data.draw(ends),
            data.draw(st.booleans()),
            data.draw(st.booleans()),
        )
        mask = part.mask(rows.combine_chunks().to_batches()[0])
        expected = rows.num_rows if mask is None else mask.true_count
        assert made.source.count(part) == expected

    compare()


def between(shown: list[Any]) -> st.SearchStrategy[Any]:
    """Times that no row is shown with: a microsecond beside one that is."""
    if not isinstance(shown[0], datetime):
        return st.sampled_from(shown)
    return st.sampled_from(
        [one + timedelta(microseconds=off) for one in shown for off in (-1, 1, 201)]
    )


@pytest.mark.parametrize("type_", [name for name, ladder in TYPES.items() if ladder.fine])
def test_rows_that_are_shown_alike_are_cut_together(
    replica: Callable[..., Replica], type_: str
) -> None:
    made = replica(table_of(type_), mode=Mode.APPEND, cursor="at", chunk_column="at", chunk_rows=1)
    fill(made, 0, list(TYPES[type_].literals))
    report = made.load()
    assert len(report.writes) > 1
    shown = {value for (value,) in made.copied("at")}
    assert len(report.writes) <= len(shown) + 1
    made.assert_equal("id, at")


def test_a_time_before_1753_and_the_last_there_is_are_bounds_too(
    replica: Callable[..., Replica],
) -> None:
    made = replica(
        table_of("datetime2(7)"), mode=Mode.APPEND, cursor="at", late_rows=LateRows.IGNORE
    )
    fill(made, 0, ["'0001-01-01T00:00:00.0000000'", "'0001-01-01T00:00:00.0000001'"])
    made.load()
    assert made.bookmark is not None
    assert made.bookmark.cursor_value == "0001-01-01T00:00:00"
    fill(made, 2, ["'0001-01-01T00:00:00.0000009'", "'1752-12-31T23:59:59.9999999'"])
    made.load()
    made.assert_equal("id, at")
    last = Interval("at", None, datetime.max)
    fill(made, 4, ["'9999-12-31T23:59:59.9999999'"])
    assert made.source.count(last) == 5


def test_instants_are_compared_whatever_their_offset(replica: Callable[..., Replica]) -> None:
    made = replica(table_of("datetimeoffset(7)"), mode=Mode.APPEND, cursor="at")
    fill(made, 0, ["'2024-01-01T00:00:00.1234569+14:00'", "'2023-12-31T10:00:00.1234560+00:00'"])
    made.load()
    instant = datetime(2023, 12, 31, 10, 0, 0, 123456, UTC)
    assert made.source.count(Interval("at", instant, instant)) == 2
    made.assert_equal("id, at")


def test_a_first_load_of_equal_values_ends(replica: Callable[..., Replica]) -> None:
    for type_ in ("datetime", "datetime2(7)", "bigint"):
        value = TYPES[type_].literals[1]
        made = replica(
            table_of(type_), mode=Mode.APPEND, cursor="at", chunk_column="at", chunk_rows=3
        )
        fill(made, 0, [value] * 10)
        report = made.load()
        assert report.rows == 10
        made.assert_equal("id, at")


def test_the_driver_cuts_the_seventh_digit(replica: Callable[..., Replica]) -> None:
    made = replica(table_of("datetime2(7)"))
    fill(made, 0, ["'2024-01-01T00:00:00.1234569'"])
    assert made.source.read(("at",)).to_table()["at"].to_pylist() == [
        datetime(2024, 1, 1, 0, 0, 0, 123456)
    ]
    assert pa.types.is_timestamp(made.source.schema.column("at").type)
