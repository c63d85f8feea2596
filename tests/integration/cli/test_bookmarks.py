"""`tranship bookmarks` over bookmarks that real loads left: shown, moved, forgotten, and what the next load does."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from click.testing import Result

from tranship.bookmarks import Bookmark, BookmarkMovedError
from tranship.cli.kept_bookmarks import KeptBookmarks, move_to
from tranship.identity import SourceIdentity
from tranship.postgres.settings import PostgresSettings
from tranship.postgres.target import PostgresTarget
from tranship.redshift.settings import RedshiftSettings
from tranship.redshift.target import RedshiftTarget
from tranship.replication.load import LoadReport, LoadRequest, load
from tranship.replication.plan import Mode, TablePlan
from tranship.sqlserver.source import SqlServerSource
from tranship.systems import TargetSystem, system_as
from tranship.tables import TableName
from tranship.target import Target

OLD = Bookmark(
    TableName("staging", "Orders"),
    source="dbo.Orders",
    mode="merge",
    signature="s",
    write_id="w1",
    cursor_column="Id",
    cursor_value="100",
    facts={"rows": 7, "slice": "90 <= \"Id\" <= 100"},
    run_id="0f8fad5b-d9cb-469f-a165-70867728950e",
)  # fmt: skip


def keep(target: Target, bookmark: Bookmark) -> None:
    """Put a bookmark there as a load does."""
    target.prepare(bookmark.table)
    with target.transaction("keeping") as cursor:
        target.bookmarks(bookmark.table).move(cursor, bookmark, expected_write_id=None)


@pytest.fixture
def orders(postgres: PostgresTarget, postgres_schema: str) -> Bookmark:
    """The bookmark of a table in a schema of this test's own."""
    bookmark = replace(OLD, table=TableName(postgres_schema, "Orders"))
    keep(postgres, bookmark)
    return bookmark


@pytest.fixture
def bookmarks(run, postgres_url: str) -> Callable[..., Result]:
    """Run `tranship bookmarks ...` against Postgres."""
    return lambda *arguments, **options: run(
        "bookmarks", arguments[0], "--target-url", postgres_url, *arguments[1:], **options
    )


@pytest.fixture
def load_with(source, postgres: PostgresTarget) -> Callable[[TablePlan], LoadReport]:
    return lambda plan: load(
        plan, SqlServerSource.open(source, plan.source_request), postgres, LoadRequest()
    )


def test_all_bookmarks_are_listed(bookmarks, postgres, orders: Bookmark):
    schema = orders.table.schema
    unfinished = replace(
        orders,
        table=TableName(schema, "Big"),
        loading={"column": "Id", "next": "5000"},
        cursor_value="2024-01-31T10:00:00",
        run_id=None,
    )
    keep(postgres, unfinished)
    answer = bookmarks("list", "--schema", schema)
    assert answer.exit_code == 0, answer.output
    big, order = (" ".join(line.split()) for line in answer.output.splitlines() if schema in line)
    assert big.startswith(f"{schema}.Big dbo.Orders merge Id 2024-01-31T10:00:00 20")
    assert big.endswith("unfinished: goes on at Id 5000")
    assert order.startswith(f"{schema}.Orders dbo.Orders merge Id 100 20")
    assert order.endswith("0f8fad5b done")

    listed = json.loads(bookmarks("list", "--schema", schema, "--json").output)
    assert [(one["table"], one["value"], one["unfinished_first_load"]) for one in listed] == [
        (f"{schema}.Big", "2024-01-31T10:00:00", {"column": "Id", "next": "5000"}),
        (f"{schema}.Orders", "100", None),
    ]
    everywhere = json.loads(bookmarks("list", "--json").output)
    assert {f"{schema}.Big", f"{schema}.Orders"} <= {one["table"] for one in everywhere}


def test_a_target_without_bookmarks_says_so(bookmarks):
    answer = bookmarks("list", "--schema", "nobody")
    assert answer.exit_code == 0
    assert answer.output.startswith("No table was loaded yet into the schema nobody of ")
    assert json.loads(bookmarks("list", "--schema", "nobody", "--json").output) == []


def test_one_bookmark_is_shown_whole(bookmarks, orders: Bookmark):
    answer = bookmarks("show", str(orders.table))
    shown = {" ".join(line.split()) for line in answer.output.splitlines()}
    assert {
        f"table {orders.table}",
        "cursor Id",
        "value 100",
        "first load done",
        "rows of the last write 7",
        'what it wrote 90 <= "Id" <= 100',
        f"run {orders.run_id}",
    } <= shown
    as_json = json.loads(bookmarks("show", str(orders.table), "--json").output)
    assert as_json["facts"] == dict(orders.facts)
    assert as_json["updated_at"].endswith("+00:00")


def test_a_table_is_found_by_its_name_alone_and_in_any_case(bookmarks, orders: Bookmark):
    found = bookmarks("show", "orders", "--schema", orders.table.schema, "--json")
    assert json.loads(found.output)["table"] == str(orders.table)


def test_a_table_without_bookmark_is_refused_with_those_that_have_one(bookmarks, orders: Bookmark):
    answer = bookmarks("show", "Ordres", "--schema", orders.table.schema)
    assert answer.exit_code == 1
    assert "Error: Ordres has no bookmark in the schema " in answer.output
    assert f"There are those of {orders.table}." in answer.output


def test_a_name_that_may_mean_two_tables_is_refused(bookmarks, postgres, orders: Bookmark):
    keep(postgres, replace(orders, table=TableName(orders.table.schema, "ORDERS")))
    answer = bookmarks("show", "orders", "--schema", orders.table.schema)
    assert answer.exit_code == 1
    assert f"Error: orders may be {orders.table.schema}.ORDERS or {orders.table}." in answer.output
    assert bookmarks("show", "Orders", "--schema", orders.table.schema).exit_code == 0


def test_setting_asks_first_and_does_nothing_without_a_yes(bookmarks, postgres, orders: Bookmark):
    for answered in ("n\n", ""):
        answer = bookmarks("set", str(orders.table), "50", input=answered)
        assert answer.exit_code == 1
        assert f"{orders.table}, Id: 100 -> 50" in answer.output
        assert (
            'The next load reads the rows of dbo.Orders whose "Id" is 50 or higher' in answer.output
        )
        assert "Move the bookmark? [y/N]" in answer.output
    assert postgres.bookmark(orders.table).cursor_value == "100"

    answer = bookmarks("set", str(orders.table), "50", input="y\n")
    assert answer.exit_code == 0
    assert answer.output.endswith(f"The bookmark of {orders.table} is 50 now.\n")
    moved = postgres.bookmark(orders.table)
    assert moved.cursor_value == "50"
    # A load that is on its way starts again from the new value.
    assert moved.write_id != orders.write_id


def test_a_value_that_is_none_is_refused_and_a_negative_one_taken(
    bookmarks, postgres, orders: Bookmark
):
    answer = bookmarks("set", str(orders.table), "2024-01-01", "--yes")
    assert answer.exit_code == 1
    assert answer.output == (
        "Error: '2024-01-01' is no value of the cursor \"Id\", which is a number. Write it like 12345.\n"
    )
    assert bookmarks("set", str(orders.table), "-5", "--yes").exit_code == 0
    assert postgres.bookmark(orders.table).cursor_value == "-5"
    answer = bookmarks("set", str(orders.table), "-5", "--yes")
    assert answer.output == f"The bookmark of {orders.table} is -5 already.\n"


def test_the_next_load_starts_where_the_bookmark_was_set(
    bookmarks, table, postgres, postgres_schema: str, load_with
):
    source_name = table(
        "create table {table} (Id int not null primary key, At datetime2(3) not null)",
        "insert into {table} values (1, '2024-01-01'), (2, '2024-01-02'), (3, '2024-01-03')",
    )
    plan = TablePlan(
        source_name, TableName(postgres_schema, "T"), mode=Mode.MERGE, cursor="At", lookback=0
    )
    assert load_with(plan).rows == 3
    assert load_with(plan).rows == 1
    assert bookmarks("set", f"{postgres_schema}.T", "2024-01-02", "--yes").exit_code == 0
    report = load_with(plan)
    assert (report.rows, report.what) == (
        2,
        "rows from the bookmark 2024-01-02T00:00:00 on, by key",
    )

    answer = bookmarks("reset", f"{postgres_schema}.T", "--yes")
    assert answer.exit_code == 0
    assert "The next load of" in answer.output
    report = load_with(plan)
    assert (report.rows, report.what) == (3, "the whole table, because it was never loaded")


def test_a_first_load_that_found_no_rows_can_be_given_a_start(
    bookmarks, table, postgres_schema: str, load_with
):
    source_name = table("create table {table} (Id int not null primary key, V rowversion)")
    plan = TablePlan(source_name, TableName(postgres_schema, "T"), mode=Mode.MERGE, cursor="V")
    load_with(plan)
    answer = bookmarks("set", f"{postgres_schema}.T", "0x01", "--yes")
    assert answer.exit_code == 0, answer.output
    assert ".T, V: no value -> 0x0000000000000001" in answer.output
    assert load_with(plan).rows == 0


def test_a_reset_asks_first(bookmarks, postgres, orders: Bookmark):
    answer = bookmarks("reset", str(orders.table), input="n\n")
    assert answer.exit_code == 1
    assert f"The next load of {orders.table} is a full one" in answer.output
    assert postgres.bookmark(orders.table) is not None
    assert bookmarks("reset", str(orders.table), input="y\n").exit_code == 0
    assert postgres.bookmark(orders.table) is None


def test_a_load_that_was_faster_is_not_overwritten(postgres, orders: Bookmark):
    kept = KeptBookmarks(postgres)
    seen = kept.find(str(orders.table))
    with postgres.transaction("loading meanwhile") as cursor:
        loaded = replace(orders, write_id="w2", cursor_value="120")
        postgres.bookmarks(orders.table).move(cursor, loaded, expected_write_id="w1")
    for change in (lambda: kept.move(seen, move_to(seen, "50").new), lambda: kept.forget(seen)):
        with pytest.raises(BookmarkMovedError, match="was changed by a load meanwhile"):
            change()
    assert postgres.bookmark(orders.table).cursor_value == "120"


def test_a_load_that_is_writing_is_waited_for_and_then_named(
    postgres_url: str, postgres, orders: Bookmark
):
    hasty = PostgresTarget(PostgresSettings.from_url(postgres_url, lock_wait_seconds=0.2))
    with postgres.transaction("loading") as cursor:
        postgres.lock(cursor, orders.table)
        with pytest.raises(Exception, match="A lock could not be had in time"):
            KeptBookmarks(hasty).forget(orders)
    assert postgres.bookmark(orders.table) is not None


def test_somebody_elses_table_of_that_name_is_left_alone(bookmarks, postgres, postgres_schema: str):
    with postgres.transaction("creating") as cursor:
        cursor.execute(f"create table {postgres_schema}.tranship_bookmarks (page int)")
    assert json.loads(bookmarks("list", "--schema", postgres_schema, "--json").output) == []


def test_a_process_of_its_own_takes_the_variables_of_the_deployment(postgres, orders: Bookmark):
    settings = postgres.settings
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("TRANSHIP_")
    }
    environment |= {
        "TRANSHIP_POSTGRES_HOST": settings.host,
        "TRANSHIP_POSTGRES_PORT": str(settings.port),
        "TRANSHIP_POSTGRES_DATABASE": settings.database,
        "TRANSHIP_POSTGRES_USER": settings.user,
        "TRANSHIP_POSTGRES_PASSWORD": settings.password or "",
    }
    command = [sys.executable, "-m", "tranship", "bookmarks", "show", str(orders.table), "--json"]
    answer = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    assert json.loads(answer.stdout)["table"] == str(orders.table)


def test_a_redshifts_bookmarks_are_listed_moved_and_forgotten(
    run, redshift_url: str, redshift_schema: str
):
    target = RedshiftTarget(redshift_settings(redshift_url))
    bookmark = replace(OLD, table=target.table_name(TableName(redshift_schema, "Orders")))
    keep(target, bookmark)
    keep(target, replace(bookmark, table=TableName(redshift_schema, "dates")))
    of_redshift = ("--target-url", redshift_url, "--schema", redshift_schema)

    listed: list[dict[str, Any]] = json.loads(
        run("bookmarks", "list", *of_redshift, "--json").output
    )
    assert [one["table"] for one in listed] == [
        f"{redshift_schema}.dates",
        f"{redshift_schema}.orders",
    ]
    answer = run("bookmarks", "set", "Orders", "50", *of_redshift, "--yes")
    assert answer.exit_code == 0, answer.output
    moved = target.bookmark(bookmark.table)
    assert moved is not None
    assert moved.cursor_value == "50"
    assert run("bookmarks", "reset", "Orders", *of_redshift, "--yes").exit_code == 0
    assert target.bookmark(bookmark.table) is None


def redshift_settings(url: str) -> RedshiftSettings:
    return system_as("redshift", TargetSystem).settings(url, {})


@pytest.fixture
def redshift_schema(redshift_url: str):
    """The name of a schema in Redshift; dropped after the test with all that is in it."""
    import secrets

    name = f"test_{secrets.token_hex(6)}"
    yield name
    with RedshiftTarget(redshift_settings(redshift_url)).transaction("dropping") as cursor:
        cursor.execute(f"drop schema if exists {name} cascade")


def test_a_bookmark_is_kept_for_a_source_that_was_moved(bookmarks, postgres, orders: Bookmark):
    moved = replace(
        orders,
        table=TableName(orders.table.schema, "Moved"),
        identity=SourceIdentity.of({"server": "OLD", "database": "Sales"}),
    )
    keep(postgres, moved)
    assert "where that is server OLD, database Sales" in " ".join(
        bookmarks("show", str(moved.table)).output.split()
    )
    answer = bookmarks("adopt", str(moved.table), "--yes")
    assert answer.exit_code == 0, answer.output
    assert "was loaded from server OLD, database Sales" in answer.output
    kept = postgres.bookmark(moved.table)
    assert kept is not None
    assert (kept.identity, kept.cursor_value, dict(kept.facts)) == (None, "100", dict(moved.facts))
    assert "names no source" in bookmarks("adopt", str(moved.table), "--yes").output


def test_a_bookmark_beside_names_with_percent_signs_is_kept_too(
    postgres, redshift_url: str, redshift_schema: str
):
    for target, schema in (
        (postgres, "100%s sure"),
        (RedshiftTarget(redshift_settings(redshift_url)), redshift_schema),
    ):
        table = TableName(schema, "20%s off")
        keep(target, replace(OLD, table=table, identity=SourceIdentity.of({"server": "OLD"})))
        kept = target.bookmark(table)
        assert kept is not None
        with target.transaction("adopting", table) as cursor:
            places = target.bookmarks(table)
            places.forget_source(cursor, kept, "w2")
            assert places.set_cursor(cursor, target.table_name(table), "200", "w3")
        moved = target.bookmark(table)
        assert moved is not None
        assert (moved.identity, moved.cursor_value, moved.write_id) == (None, "200", "w3")
    with postgres.transaction("dropping") as cursor:
        cursor.execute('drop schema "100%s sure" cascade')
