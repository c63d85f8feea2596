"""Which server, database and table it is, and when that is another one."""

from dataclasses import replace

import pytest
from tests.integration.postgres_source.conftest import Make, Open, Role, Run

from tranship.identity import SourceIdentity
from tranship.postgres.settings import PostgresSettings
from tranship.tables import TableName


def test_the_same_table_is_the_same_source_whatever_is_written_to_it(
    make: Make, source: Open, run: Run
) -> None:
    table = make("id int primary key, v text", "1, 'a'")
    found = source(table)
    before = found.identity()
    for statement in (
        "truncate {}",
        "insert into {} values (2, 'b')",
        "alter table {} add column n int default 5",
        "alter table {} alter v type varchar(20)",
    ):
        run(statement, table)
    run("vacuum full {}", table)
    now = source(table).identity()
    assert [name for name, _ in now.parts] == [
        "system_identifier", "timeline", "database", "database_oid", "table_oid"
    ]  # fmt: skip
    assert found.difference(before, now) is None
    assert found.identity_gaps(now) is None


def test_a_table_that_was_made_anew_is_another_one(make: Make, source: Open, run: Run) -> None:
    table = make("id int")
    found = source(table)
    before = found.identity()
    run("drop table {}", table)
    make("id int")
    now = found.identity()
    assert found.difference(before, now) == (
        f"the table was created anew: its oid is {now.part('table_oid')}, and was {before.part('table_oid')}"
    )


def test_a_table_that_took_the_place_of_another_is_another_one(
    make: Make, source: Open, run: Run
) -> None:
    table, other = make("id int"), make("id int", name="next")
    found = source(table)
    before = found.identity()
    run("drop table {}", table)
    run(f'alter table {{}} rename to "{table.name}"', other)
    assert "created anew" in str(found.difference(before, found.identity()))


def test_the_same_names_in_another_database_are_another_source(
    make: Make, source: Open, run: Run, settings: PostgresSettings
) -> None:
    table = make("id int")
    found = source(table)
    copy = f"{table.schema}_copy"
    run(f"create database {copy}")
    try:
        elsewhere = source(TableName("pg_catalog", "pg_class"), replace(settings, database=copy))
        told = elsewhere.identity()
        why = found.difference(found.identity(), told)
    finally:
        run(f"drop database {copy} with (force)")
    assert f"it is in the database {copy} of oid" in str(why)


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ("system_identifier", "it is on another server: its system_identifier is 1, and was "),
        ("timeline", "restored from a backup, or a standby was promoted: its timeline is 1"),
        ("database_oid", "which is another one than"),
    ],
)
def test_each_part_that_both_tell_says_which_change_it_was(
    make: Make, source: Open, part: str, says: str
) -> None:
    found = source(make("id int"))
    told = found.identity()
    before = SourceIdentity.of({**told.as_json(), "timeline": "7"})
    now = SourceIdentity.of({**before.as_json(), part: "1"})
    assert says in str(found.difference(before, now))


def test_a_renamed_database_is_the_same_one(make: Make, source: Open) -> None:
    found = source(make("id int"))
    told = found.identity()
    assert found.difference(told, SourceIdentity.of({**told.as_json(), "database": "new"})) is None


def test_what_a_role_may_not_see_is_granted_by_the_statements_it_is_told(
    make: Make, source: Open, role: Role, run: Run
) -> None:
    table = make("id int")
    functions = ("pg_control_system()", "pg_control_checkpoint()", "pg_current_wal_lsn()")
    reader = role(f"grant select on all tables in schema {table.schema} to <role>")
    try:
        for function in functions:
            run(f"revoke execute on function {function} from public")
        found = source(table, reader)
        hidden = found.identity()
        untold = found.identity_gaps(hidden)
        assert hidden.part("system_identifier") is None
        assert hidden.part("table_oid") is not None
        assert untold is not None
        assert "may pass for the source that it was" in untold
        run(untold.partition("To show it: ")[2])
        assert found.identity_gaps(found.identity()) is None
        assert found.difference(hidden, found.identity()) is None
    finally:
        for function in functions:
            run(f"grant execute on function {function} to public")
