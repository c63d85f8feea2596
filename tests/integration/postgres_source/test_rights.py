"""What a role lacks is told by the statement that gives it."""

import pytest
from tests.integration.postgres_source.conftest import Make, Open, Role, Run, values

from tranship.errors import ConfigurationError, TranshipError


def test_a_column_that_may_not_be_selected_is_named_with_its_grant(
    make: Make, source: Open, role: Role, run: Run
) -> None:
    table = make('id int primary key, "S S N" text', "1, 'x'")
    name = f'{table.schema}."{table.name}"'
    reader = role(f"grant select (id) on {name} to <role>")
    found = source(table, reader)

    assert values(found, "id") == [(1,)]
    with pytest.raises(ConfigurationError) as caught:
        found.read(("id", "S S N"))

    assert f"{table} has columns that '{reader.user}' may not select: S S N." in str(caught.value)
    assert "exclude: [S S N]" in str(caught.value)
    grant = caught.value.remedy.partition("Its owner runs: ")[2].partition(";")[0]
    run(grant)
    assert values(source(table, reader)) == [(1, "x")]


def test_a_condition_on_a_hidden_column_tells_the_grant(
    make: Make, source: Open, role: Role
) -> None:
    table = make("id int, hidden int", "1, 2")
    reader = role(f'grant select (id) on {table.schema}."{table.name}" to <role>')
    with pytest.raises(TranshipError, match=r"grant select on table "):
        values(source(table, reader, where="hidden = 2"), "id")


def test_a_table_that_may_not_be_read_tells_the_grant(
    make: Make, source: Open, role: Role, run: Run
) -> None:
    table = make("id int", "1")
    reader = role()
    with pytest.raises(ConfigurationError) as caught:
        values(source(table, reader))
    run(caught.value.remedy.partition("Its owner runs: ")[2].partition(";")[0])
    assert values(source(table, reader)) == [(1,)]


def test_a_right_that_is_revoked_after_the_look_tells_the_grant(
    make: Make, source: Open, role: Role, run: Run
) -> None:
    table = make("id int", "1")
    reader = role(f'grant select on {table.schema}."{table.name}" to <role>')
    found = source(table, reader)
    run(f'revoke select on {{}} from "{reader.user}"', table)
    with pytest.raises(TranshipError, match=f'grant select on table .* to "{reader.user}"'):
        values(found)


def test_a_schema_that_may_not_be_used_tells_the_grant(
    make: Make, source: Open, role: Role, run: Run
) -> None:
    table = make("id int", "1")
    reader = role(f'grant select on {table.schema}."{table.name}" to <role>')
    run(f'revoke usage on schema {table.schema} from "{reader.user}"')
    with pytest.raises(TranshipError, match=f'grant usage on schema "{table.schema}" to'):
        values(source(table, reader))
