"""How far a cursor is, what lies beyond the server's clock, and what the server numbers itself."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.integration.postgres_source.conftest import Make, Open, Role, Run

from tranship.cursors import Cursor, kind_of
from tranship.errors import TranshipError
from tranship.postgres.source import PostgresSource
from tranship.slices import Interval, KeyRange, WholeTable


def cursor(source: PostgresSource, column: str) -> Cursor:
    described = source.schema.column(column)
    kind = kind_of(described)
    assert kind is not None
    return Cursor(column, kind, described.nullable, 0, described.type)


@pytest.mark.parametrize(
    ("declared", "literals", "expected"),
    [
        ("int", ["3", "7", "null"], 7),
        ("bigint", ["-9223372036854775808"], -9223372036854775808),
        ("numeric(30,0)", ["1" * 30], Decimal("1" * 30)),
        ("numeric(9,3)", ["1.25", "1.5"], Decimal("1.500")),
        ("date", ["'2024-02-29'", "null"], date(2024, 2, 29)),
        ("timestamp", ["'2024-02-29 12:00:00.000001'"], datetime(2024, 2, 29, 12, 0, 0, 1)),
        ("timestamptz", ["'2024-02-29 01:00+02'"], datetime(2024, 2, 28, 23, tzinfo=UTC)),
        ("int", [], None),
        ("timestamptz", ["null"], None),
    ],
)  # fmt: skip
def test_the_highest_value_is_that_of_the_rows_that_the_condition_lets_through(
    make: Make, source: Open, declared: str, literals: list[str], expected: Any
) -> None:
    rows = [f"{literal}, true" for literal in literals]
    later = {"date": "'2024-03-01'", "int": "99", "bigint": "99", "numeric(9,3)": "99"}
    hidden = later.get(declared, "null")
    table = make(f"c {declared}, kept boolean", *rows, f"{hidden}, false")
    found = source(table, where="kept")
    reached = found.highest(cursor(found, "c"))
    assert (reached.value, reached.server_clock, reached.furthest) == (expected, None, None)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
@pytest.mark.parametrize("declared", ["timestamptz", "timestamp", "date"])
def test_values_beyond_the_clock_are_no_bookmark(
    make: Make, source: Open, role: Role, declared: str, zone: str
) -> None:
    table = make(f"c {declared}", "'2024-02-29'", "'2999-01-01'", "'infinity'", "'-infinity'")
    reader = role(
        f"grant select on all tables in schema {table.schema} to <role>",
        f"alter role <role> set timezone = '{zone}'",
    )
    found = source(table, reader)
    reached: Any = found.highest(cursor(found, "c"))
    assert str(reached.value).startswith("2024-02-29")
    assert str(reached.furthest).startswith("9999-12-30")
    now = datetime.now(UTC)
    shown = reached.server_clock
    if declared == "date":
        assert now.date() <= shown <= (now + timedelta(hours=14)).date()
    else:
        shown = shown if shown.tzinfo else shown.replace(tzinfo=UTC)
        most = timedelta(0) if declared == "timestamptz" else timedelta(hours=14)
        assert now - timedelta(minutes=5) <= shown <= now + most + timedelta(minutes=5)
    assert found.count_newer(cursor(found, "c"), reached.value) == 0


def test_a_clock_of_another_zone_does_not_keep_rows_of_now_out(
    make: Make, source: Open, role: Role, run: Run
) -> None:
    table = make("id int, c timestamp default now()")
    reader = role(
        f"grant select, insert on all tables in schema {table.schema} to <role>",
        "alter role <role> set timezone = 'Asia/Tokyo'",
    )
    run("set timezone = 'Asia/Tokyo'; insert into {} values (1)", table)
    found = source(table, reader)
    reached = found.highest(cursor(found, "c"))
    assert reached.server_clock is None
    assert reached.value == run("select c from {}", table)[0][0]


def test_values_that_python_has_none_for_do_not_break_a_question(make: Make, source: Open) -> None:
    table = make("c date", "'0044-03-15 BC'", "'5874897-12-31'", "'2020-01-01'")
    found = source(table)
    of = cursor(found, "c")
    assert found.lowest(of, WholeTable()) == date(1, 1, 2)
    assert found.highest(of).value == date(2020, 1, 1)
    assert found.lowest(of, KeyRange("c", "2021-01-01", "2022-01-01")) is None


def test_not_a_number_is_no_bookmark(make: Make, source: Open) -> None:
    found = source(make("c numeric(9,2)", "1", "'NaN'"))
    with pytest.raises(TranshipError, match=r"gave Decimal\('NaN'\)"):
        found.highest(cursor(found, "c"))


def test_newer_rows_are_counted(make: Make, source: Open) -> None:
    found = source(make("c int", "1", "2", "2", "3", "null"))
    assert found.count_newer(cursor(found, "c"), 1) == 3
    assert found.count_newer(cursor(found, "c"), 3) == 0


def test_the_lowest_of_a_part_is_told(make: Make, source: Open) -> None:
    found = source(make("c int, at timestamptz", "4, '2024-01-02'", "7, '2024-01-01'"))
    assert found.lowest(cursor(found, "c"), KeyRange("c", 5)) == 7
    assert found.lowest(cursor(found, "c"), KeyRange("c", 8)) is None
    low: Any = found.lowest(cursor(found, "at"), WholeTable())
    assert low.tzinfo is UTC


def test_a_cut_is_the_last_of_so_many_values(make: Make, source: Open, run: Run) -> None:
    table = make("id int primary key, at timestamptz")
    run("insert into {} select i, timestamptz '2024-01-01 00:00+00' + i / 2 * interval '1 h' from generate_series(1, 9) i", table)  # fmt: skip
    found = source(table, where="id <> 4")
    assert found.chunk_end("id", WholeTable(), 3) == 3
    assert found.chunk_end("id", KeyRange("id", 4), 3) == 7
    assert found.chunk_end("id", WholeTable(), 8) is None
    assert found.chunk_end("at", WholeTable(), 2) == datetime(2024, 1, 1, 1, tzinfo=UTC)
    assert found.chunk_end("id", Interval("id", 9, includes_low=False), 1) is None


NUMBERED = {
    "serial": "int",
    "bigserial": "bigint",
    "int generated always as identity": "int",
    "int generated by default as identity (start with 100 increment by 5)": "int",
}


@pytest.mark.parametrize("declared", NUMBERED)
def test_what_the_server_has_numbered_last_is_told(
    make: Make, source: Open, run: Run, declared: str
) -> None:
    table = make(f'"I D" {declared}, v int')
    found = source(table)
    assert found.identity_counter("I D") is None
    run("insert into {} (v) values (1), (2), (3)", table)
    (highest,) = run('select max("I D") from {}', table)[0]
    assert found.identity_counter("I D") == highest
    assert found.identity_counter("v") is None


def test_a_sequence_that_counts_down_or_is_hidden_tells_nothing(
    make: Make, source: Open, role: Role, run: Run
) -> None:
    table = make("up serial, down int generated always as identity (increment by -1), v int")
    run("insert into {} (v) values (1)", table)
    reader = role(f"grant select on all tables in schema {table.schema} to <role>")
    assert source(table).identity_counter("down") is None
    assert source(table).identity_counter("up") == 1
    assert source(table, reader).identity_counter("up") is None


@pytest.mark.parametrize(
    ("declared", "default", "is_local"),
    [
        ("timestamp", "now()", True),
        ("timestamp", "current_timestamp", True),
        ("timestamp(0)", "localtimestamp", True),
        ("timestamp", "clock_timestamp() + interval '1 h'", True),
        ("timestamp", "(now() at time zone 'Europe/Berlin')", True),
        ("timestamp", "(now() at time zone 'UTC')", False),
        ("timestamp", "timezone('Etc/UTC', clock_timestamp())", False),
        ("timestamp", "timestamp '2024-01-01'", False),
        ("timestamptz", "now()", False),
        ("date", "current_date", False),
    ],
)
def test_defaults_of_a_wall_clock_are_known(
    make: Make, source: Open, declared: str, default: str, is_local: bool
) -> None:
    found = source(make(f"c {declared} default {default}, d timestamp"))
    assert (found.local_clock_of("c") is not None) is is_local
    assert found.local_clock_of("d") is None
