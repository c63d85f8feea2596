"""What code in a run can do with the passwords that a run has, tried where runs run: each of these once succeeded."""

import json

import pytest
from compose_stack import ComposeStack

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900), pytest.mark.xdist_group("stack")]

PLACES = {
    "storage": "host='postgres' port=5432 dbname='dagster' user='dagster'",
    "warehouse": "host='warehouse' port=5432 dbname='warehouse' user='warehouse'",
    "redshift": "host='redshift' port=5439 dbname='dev' user='awsuser'",
}
PASSWORDS = {
    "storage": "dagster/DAGSTER_POSTGRES_PASSWORD",
    "warehouse": "data/TRANSHIP_POSTGRES_PASSWORD",
    "redshift": "data/TRANSHIP_REDSHIFT_PASSWORD",
}
ON_ANY_SERVER = (
    "copy (select 1) to program 'id'",
    "select pg_read_file('/etc/passwd')",
    "alter system set work_mem = '1MB'",
    "create role mine superuser",
)


def tried(
    stack: ComposeStack,
    place: str,
    statements: tuple[str, ...],
    *,
    as_owner: str = "",
    password: str = "",
) -> list[str]:
    """The classes of the errors that statements end with, in the code server, which has a run's passwords."""
    code = f"""
import json, psycopg2
password = {password!r} or open('/run/secrets/{PASSWORDS[place]}').read()
told = []
for statement in {statements!r}:
    try:
        connection = psycopg2.connect({as_owner or PLACES[place]!r}, password=password, sslmode='prefer')
        connection.autocommit = True
        connection.cursor().execute(statement)
        told.append('it was done')
        connection.close()
    except psycopg2.Error as error:
        told.append(type(error).__name__)
print(json.dumps(told))
"""
    exit_code, output = stack.python("user-code", code)
    assert exit_code == 0, output
    return json.loads(output)


@pytest.mark.parametrize("place", ["storage", "warehouse"])
def test_no_password_of_a_run_is_a_superusers(stack: ComposeStack, place: str):
    assert tried(stack, place, ON_ANY_SERVER) == ["InsufficientPrivilege"] * len(ON_ANY_SERVER)


def test_what_stands_behind_the_redshift_stand_in_is_not_a_runs_either(stack: ComposeStack):
    assert "it was done" not in tried(stack, "redshift", ON_ANY_SERVER[:3])
