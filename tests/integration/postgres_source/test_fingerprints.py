"""A table's text changes when its rows do, and only then."""

from dataclasses import replace
from typing import Any

import pytest
from tests.integration.postgres_source.conftest import Make, Role, Run

from tranship.errors import ConnectionFailedError
from tranship.postgres.identity import fingerprints
from tranship.postgres.settings import PostgresSettings
from tranship.tables import TableName

CHANGES = {
    "a row more": "insert into {} values (9, 'x', null)",
    "a row less": "delete from {} where id = 1",
    "one bit of two rows": "update {} set id = id # 1 where id in (1, 2)",
    "two values that change places": "update {} set v = case id when 1 then 'b' else 'a' end where id in (1, 2)",
    "null for an empty text": "update {} set v = null where v = ''",
    "a value that moves a column on": "update {} set v = null, w = v where id = 1",
    "a column with a default": "alter table {} add column n int default 7",
    "no row any more": "truncate {}",
    "a blank at an end": "update {} set v = v || ' ' where id = 1",
}


@pytest.mark.parametrize("change", CHANGES)
def test_it_changes_with_the_rows(
    make: Make, run: Run, settings: PostgresSettings, change: str
) -> None:
    table = make("id int, v text, w text", "1, 'a', null", "2, 'b', null", "3, '', 'x'")
    before, _ = fingerprints(settings, [table])
    assert fingerprints(settings, [table]) == (before, {})
    run(CHANGES[change], table)
    after, _ = fingerprints(settings, [table])
    assert after[table] != before[table]


def test_it_stays_where_no_row_changes(
    make: Make, run: Run, settings: PostgresSettings, role: Role
) -> None:
    table = make("id int, at timestamptz, f float8", "1, now(), 0.1", "2, null, 'NaN'")
    before, _ = fingerprints(settings, [table])
    run("update {} set id = id", table)
    run("vacuum (full, freeze) {}", table)
    run("delete from {} where id = 1; insert into {} select 1, '2024-01-01', 0.1", table, table)
    run("update {} set at = null where id = 1", table)
    changed, _ = fingerprints(settings, [table])
    run("update {} set at = null where id = 1", table)
    reader = role(
        f"grant select on all tables in schema {table.schema} to <role>",
        "alter role <role> set timezone = 'Asia/Tokyo'",
        "alter role <role> set extra_float_digits = -3",
    )
    assert fingerprints(reader, [table])[0] == fingerprints(settings, [table])[0] == changed
    assert changed != before


def test_labels_and_views_change_it_too(make: Make, run: Run, settings: PostgresSettings, postgres_schema: str) -> None:  # fmt: skip
    run(f"create type {postgres_schema}.mood as enum ('ok')")
    table = make(f"v {postgres_schema}.mood", "'ok'")
    run(f"create view {postgres_schema}.shown as select v::text from {{}}", table)
    both = [table, TableName(postgres_schema, "shown")]
    before, _ = fingerprints(settings, both)
    run(f"alter type {postgres_schema}.mood rename value 'ok' to 'fine'")
    after, _ = fingerprints(settings, both)
    assert all(before[one] != after[one] for one in both)


def test_a_table_that_is_gone_or_closed_does_not_stand_in_the_way_of_others(
    make: Make, settings: PostgresSettings, role: Role
) -> None:
    table, closed = make("id int", "1"), make("id int", name="closed")
    gone = TableName(table.schema, "gone")
    reader = role(f'grant select on {table.schema}."{table.name}" to <role>')
    marks, refused = fingerprints(reader, [gone, closed, table])
    assert list(marks) == [table]
    assert "There is no table" in str(refused[gone])
    assert "may not select" in str(refused[closed])


def test_a_column_that_may_not_be_selected_is_left_out(make: Make, settings: PostgresSettings, role: Role, run: Run) -> None:  # fmt: skip
    table = make("id int, hidden int", "1, 2")
    reader = role(f'grant select (id) on {table.schema}."{table.name}" to <role>')
    before, _ = fingerprints(reader, [table])
    run("update {} set hidden = 3", table)
    assert fingerprints(reader, [table])[0] == before


def test_another_table_of_the_same_rows_has_another_one(
    make: Make, run: Run, settings: PostgresSettings
) -> None:
    table = make("id int", "1")
    before, _ = fingerprints(settings, [table])
    run("drop table {}", table)
    make("id int", "1")
    assert fingerprints(settings, [table])[0][table] != before[table]


def test_no_tables_need_no_server(settings: PostgresSettings) -> None:
    nowhere: Any = replace(settings, password="wrong", user="nobody")
    assert fingerprints(nowhere, []) == ({}, {})
    with pytest.raises(ConnectionFailedError):
        fingerprints(nowhere, [TableName("a", "b")])
