"""Which rows a read gives, that they are those of one moment, and that it ends."""

import logging
import threading
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cable import Cable
from tests.integration.postgres_source.conftest import Make, Open, Run, values

from tranship.errors import ColumnNotFoundError, ConfigurationError, TransientError
from tranship.postgres import copy_out
from tranship.postgres.extraction import Extraction
from tranship.postgres.settings import PostgresSettings
from tranship.slices import AllOf, AnyOf, Interval, KeyRange, Nothing, TimeWindow, Values
from tranship.tables import TableSchema

PEOPLE = ("1, 'Ann', '2024-03-31'", "2, 'Zoë', null", "3, 'ann', '2024-04-01'", "4, '100%', null")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_out, "BLOCK_BYTES", 2_000)


@pytest.mark.parametrize(
    ("part", "ids"),
    [
        (Values("Na%me", ("Ann", "100%")), [1, 4]),
        (KeyRange("id", 2, 4), [2, 3]),
        (KeyRange("Na%me", "a"), [3]),
        (Interval("born", None, "2024-03-31", includes_null=True), [1, 2, 4]),
        (AnyOf((Values("id", (1,)), AllOf((KeyRange("id", 3), Interval("born"))))), [1, 3]),
        (Nothing(), []),
        (None, [1, 2, 3, 4]),
    ],
    ids=str,
)
def test_a_slice_is_read_and_no_other_row(
    make: Make, source: Open, part: Any, ids: list[int]
) -> None:
    table = make('id int primary key, "Na%me" text, born date', *PEOPLE)
    found = source(table)
    assert sorted(values(found, "id", part=part)) == [(one,) for one in ids]
    if part is not None:
        assert found.count(part) == len(ids)


def test_a_local_day_of_a_zone_is_read_whole(make: Make, source: Open) -> None:
    table = make("id int, at timestamptz", "1, '2024-03-31 00:00+01'", "2, '2024-03-31 23:59+02'", "3, '2024-04-01 00:00+02'")  # fmt: skip
    berlin = ZoneInfo("Europe/Berlin")
    day = TimeWindow(
        "at", datetime(2024, 3, 31, tzinfo=berlin), datetime(2024, 4, 1, tzinfo=berlin)
    )
    assert sorted(values(source(table), "id", part=day)) == [(1,), (2,)]


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("\"Na%me\" like '%n' -- all of them", [1, 3]),
        ("born::text = '2024-03-31' or id = 4", [1, 4]),
        ("id % 2 = 0", [2, 4]),
        ("\"Na%me\" ~ ':?^z' or exists (select 1 where id = 2)", [2]),
    ],
)
def test_a_condition_is_in_the_words_of_postgres_and_holds_for_rows_and_counts(
    make: Make, source: Open, where: str, ids: list[int]
) -> None:
    table = make('id int primary key, "Na%me" text, born date', *PEOPLE)
    found = source(table, where=where)
    assert sorted(values(found, "id")) == [(one,) for one in ids]
    assert found.count(KeyRange("id", 2)) == len([one for one in ids if one >= 2])


@pytest.mark.parametrize(
    ("where", "error", "says"),
    [
        ("nosuch = 1", ColumnNotFoundError, 'column "nosuch" does not exist'),
        ("id = 'x'", Exception, "invalid input syntax for type integer"),
        ("id ===", ConfigurationError, "a syntax error"),
        ("nofunction(id)", ConfigurationError, "a function or an operator that does not exist"),
        ("pg_sleep(0) is null or id / 0 = 1", Exception, "division by zero"),
    ],
)
def test_a_condition_that_the_server_refuses_is_told_with_its_table(
    make: Make, source: Open, where: str, error: type[Exception], says: str
) -> None:
    table = make("id int", "1")
    with pytest.raises(error, match=says) as caught:
        values(source(table, where=where))
    assert str(table) in str(caught.value)


def test_a_condition_changes_nothing_at_the_source(make: Make, source: Open, run: Run) -> None:
    table = make("id int", "1")
    run(f"create function {table.schema}.wipe() returns boolean language sql as 'delete from {table.schema}.\"{table.name}\" returning true'")  # fmt: skip
    with pytest.raises(Exception, match="read-only transaction"):
        values(source(table, where=f"{table.schema}.wipe()"))
    assert run("select * from {}", table) == [(1,)]


@pytest.mark.parametrize("parallel", [2, 5])
@pytest.mark.parametrize(
    ("declared", "expression"),
    [
        ("int", "i"),
        ("bigint", "i * 1000000007::bigint"),
        ("text", "chr(33 + i % 90) || i"),
        ("uuid", "md5(i::text)::uuid"),
        ("numeric(12,3)", "i / 7.0"),
        ("timestamptz", "case when i = 3 then 'infinity' else now() + i * interval '1 h' end"),
        ("date", "date '0044-03-15 BC' + i"),
        ("char(6)", "i::text"),
    ],
)
def test_ranges_of_any_key_give_every_row_once(
    make: Make, source: Open, run: Run, declared: str, expression: str, parallel: int
) -> None:
    table = make(f"k {declared} primary key, i int")
    run(f"insert into {{}} select {expression}, i from generate_series(1, 500) i", table)
    found = source(table, parallel=parallel)
    assert sorted(values(found, "i")) == [(i,) for i in range(1, 501)]
    assert sorted(values(found, "i", part=KeyRange("i", 100, 103))) == [(100,), (101,), (102,)]


def test_rows_without_a_key_come_in_one_of_the_ranges(make: Make, source: Open) -> None:
    table = make("k int", "1", "null", "900", "null")
    found = source(table, key=("k",), parallel=3)
    assert sorted(values(found), key=str) == [(1,), (900,), (None,), (None,)]


def test_a_table_without_key_is_not_read_over_several_connections(make: Make, source: Open) -> None:
    with pytest.raises(ConfigurationError, match="has no primary key to cut it into ranges by"):
        source(make("v int"), parallel=2).read(("v",))


def test_a_key_without_an_order_is_told(make: Make, source: Open) -> None:
    table = make("v json", "'1'")
    with pytest.raises(ConfigurationError, match="could not identify an ordering operator"):
        values(source(table, key=("v",), parallel=2))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("parallel", [1, 4])
def test_a_read_sees_one_moment_however_much_is_written_meanwhile(
    make: Make,
    source: Open,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    parallel: int,
) -> None:
    table = make("id int primary key, total int")
    run("insert into {} select i, 10 from generate_series(1, 4000) i", table)
    original, changed = Extraction._receive, threading.Event()

    def receive(extraction: Extraction, *arguments: Any) -> None:
        # The ranges are cut, or the first row has come: from now on somebody moves amounts between rows.
        if parallel > 1 and not changed.is_set():
            changed.set()
            run("update {} set total = total + case when id <= 2000 then 5 else -5 end", table)
            run("delete from {} where id % 2 = 0; insert into {} values (9000, 1)", table, table)
        original(extraction, *arguments)

    monkeypatch.setattr(Extraction, "_receive", receive)
    found = source(table, parallel=parallel)
    assert found.sees_one_moment()

    rows = []
    for batch in found.read(("id", "total")).open():
        rows += batch.to_pylist()
        if not changed.is_set():
            changed.set()
            run("update {} set total = -1", table)

    assert sorted((row["id"], row["total"]) for row in rows) == [(i, 10) for i in range(1, 4001)]


def test_in_order_is_over_one_connection_by_key(make: Make, source: Open, run: Run) -> None:
    table = make("a text, b int, primary key (b, a)")
    run("insert into {} select chr(97 + i % 5), i / 5 from generate_series(0, 499) i", table)
    rows = values(source(table, parallel=4), "b", "a", in_order=True)
    assert rows == sorted(rows)
    assert len(rows) == 500


def sessions(run: Run, name: str) -> list[Any]:
    return run(f"select count(*) from pg_stat_activity where application_name = '{name}'")


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("parallel", [1, 3])
def test_a_consumer_that_stops_leaves_no_thread_and_no_session(
    make: Make, source: Open, run: Run, settings: PostgresSettings, parallel: int
) -> None:
    table = make("id int primary key, v text")
    run("insert into {} select i, repeat('x', 100) from generate_series(1, 20000) i", table)
    before = threading.active_count()
    named = replace(settings, application_name=f"stops {parallel}")
    batches: Any = source(table, named, parallel=parallel).read(("id", "v")).open()
    next(batches)
    batches.close()
    assert threading.active_count() <= before
    for _ in range(200):
        if sessions(run, f"stops {parallel}") == [(0,)]:
            return
    pytest.fail("a session is still there")


def test_a_read_waits_for_a_locked_table_only_so_long(
    make: Make, source: Open, postgres_connection: Any, settings: PostgresSettings
) -> None:
    table = make("id int", "1")
    found = source(table, replace(settings, lock_wait_seconds=0.2))
    postgres_connection.autocommit = False
    with postgres_connection.cursor() as cursor:
        cursor.execute(f'lock table {table.schema}."{table.name}" in access exclusive mode')
    try:
        with pytest.raises(TransientError, match="A lock could not be had in time"):
            values(found, "id")
    finally:
        postgres_connection.rollback()


def test_a_statement_ends_when_its_time_is_over(
    make: Make, source: Open, settings: PostgresSettings
) -> None:
    table = make("id int", "1")
    found = source(table, replace(settings, statement_timeout_seconds=0.3), where="pg_sleep(60) is not null")  # fmt: skip
    with pytest.raises(Exception, match="statement_timeout_seconds"):
        values(found)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("parallel", [1, 2])
def test_a_server_that_falls_silent_ends_the_read(
    make: Make, source: Open, run: Run, settings: PostgresSettings, parallel: int
) -> None:
    if settings.host.startswith("/"):
        pytest.skip("this server listens on a socket in the file system, which has no cable")
    table = make("id int primary key, v text")
    run("insert into {} select i, repeat('x', 1000) from generate_series(1, 30000) i", table)
    cable = Cable(settings.host, settings.port)
    impatient = replace(settings, host="127.0.0.1", port=cable.port, answer_timeout_seconds=2)
    try:
        batches = source(table, impatient, parallel=parallel).read(("id", "v")).open()
        next(batches)
        cable.fall_silent()
        with pytest.raises(TransientError, match="the server said nothing for 2 s"):
            list(batches)
    finally:
        cable.close()


def test_casts_are_read_counted_and_named(make: Make, source: Open) -> None:
    table = make("id int primary key, at timestamptz, v numeric", "1, '2024-01-01 00:00+00', 1.5")
    found = source(table, cast={"at": "date", "v": "numeric(10,2)", "id": "text"})
    rows = found.read(("v", "at", "id")).to_table()
    assert rows.to_pylist() == [
        {"v": Decimal("1.50"), "at": datetime(2024, 1, 1, tzinfo=UTC).date(), "id": "1"}
    ]
    assert str(TableSchema.from_arrow(rows.schema).column("v").source_type) == "numeric(10,2)"


def test_views_partitions_and_foreign_names_are_read_like_tables(
    make: Make, source: Open, run: Run
) -> None:
    table = make("id int, day date", name="plain")
    run("drop table {}", table)
    run("create table {} (id int primary key) partition by range (id)", table)
    schema = table.schema
    run(f"create table {schema}.low partition of {{}} for values from (0) to (100)", table)
    run(f"create table {schema}.high partition of {{}} default", table)
    run("insert into {} select generate_series(1, 300)", table)
    run(f"create view {schema}.shown as select id, id * 2 as twice from {{}}", table)
    run(f"create materialized view {schema}.kept as select * from {schema}.shown")

    assert len(values(source(table, parallel=3))) == 300
    for name in ("shown", "kept"):
        view = replace(table, name=name)
        assert sorted(values(source(view, key=("id",), parallel=2)))[-1] == (300, 600)
    assert len(values(source(replace(table, name="low")))) == 99


def test_generated_columns_are_read(make: Make, source: Open) -> None:
    table = make("id int, twice int generated always as (id * 2) stored", name="g")
    found = source(table)
    assert values(found) == []
    assert found.relation.computed == ("twice",)


def test_a_column_that_is_dropped_after_the_look_is_named(
    make: Make, source: Open, run: Run
) -> None:
    table = make('id int, "Old one" text', "1, 'x'")
    found = source(table)
    batches = found.read(("id", "Old one"))
    run('alter table {} drop column "Old one"', table)
    with pytest.raises(ColumnNotFoundError, match=r'column "Old one" does not exist') as caught:
        batches.to_table()
    assert "run the load again" in str(caught.value)


def test_what_row_level_security_hides_is_said(
    make: Make, source: Open, role: Any, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    table = make("id int, owner text", "1, 'a'", "2, 'b'")
    run("alter table {} enable row level security", table)
    run("create policy \"only a's\" on {} for select using (owner = 'a')", table)
    reader = role(f'grant select on {table.schema}."{table.name}" to <role>')
    caplog.set_level(logging.INFO)

    assert values(source(table, reader), "id", log=logging.getLogger("load")) == [(1,)]
    assert "filtered for this role by row-level security (only a's)" in caplog.text
    assert source(table).schema.visibility.filtered_by == ()

    run('drop policy "only a\'s" on {}', table)
    assert source(table, reader).schema.visibility.filtered_by == ("no policy lets it see any",)
