"""Least privilege: who may only change rows can load, and a grant that an error prints runs as it is printed."""

import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace

import pyarrow as pa
import pytest
from tests.integration.replication.conftest import Origin, Place, of

from tranship.errors import TableNotFoundError, TranshipError, WriteFailedError
from tranship.frames import Batches
from tranship.postgres.reader import read as read_postgres
from tranship.postgres.target import PostgresTarget
from tranship.postgres.writer import write as write_postgres
from tranship.reads import ReadRequest
from tranship.redshift.reader import read as read_redshift
from tranship.redshift.target import RedshiftTarget
from tranship.redshift.writer import write as write_redshift
from tranship.replication.plan import Mode, OnDelete
from tranship.slices import Values
from tranship.tables import TableName
from tranship.target import Target
from tranship.writes import WriteMode, WriteRequest

PASSWORD = "Passw0rd1"
PRINTED = re.compile(r"to run: (.+;)$")


@pytest.fixture
def guest(place: Place) -> Iterator[Place]:
    """The same schema for a user who may do nothing there yet, and whose name has to be quoted."""
    user = f"Guest {secrets.token_hex(3)}%"
    place.rows(
        f"create user \"{user.replace('%', '%%')}\" password '{PASSWORD}'".replace("%%", "%")
    )
    assert isinstance(place.target, PostgresTarget | RedshiftTarget)
    settings = replace(place.target.settings, user=user, password=PASSWORD)  # pyright: ignore[reportArgumentType]
    yield replace(place, target=type(place.target)(settings))  # pyright: ignore[reportArgumentType]
    for (name,) in place.rows(
        f"select tablename from pg_tables where schemaname = '{place.schema}'"
    ):
        place.rows(f'revoke all on {{}} from "{user}"', place.table(name))
    place.rows(f'revoke all on schema "{place.schema}" from "{user}"')
    place.rows(f'drop user "{user}"')


def write(target: Target, request: WriteRequest, rows: pa.Table) -> None:
    if isinstance(target, PostgresTarget):
        write_postgres(target.settings, request, Batches.of(rows))
    elif isinstance(target, RedshiftTarget):
        write_redshift(target.settings, request, Batches.of(rows))


def read(target: Target, table: TableName) -> pa.Table:
    if isinstance(target, PostgresTarget):
        return read_postgres(target.settings, ReadRequest(table)).to_table()
    assert isinstance(target, RedshiftTarget)
    return read_redshift(target.settings, ReadRequest(table)).to_table()


def user_of(place: Place) -> str:
    assert isinstance(place.target, PostgresTarget | RedshiftTarget)
    return f'"{place.target.settings.user}"'


def with_printed_grants(place: Place, call: Callable[[], object]) -> list[str]:
    """Make a call until it succeeds, running what its error prints each time; gives what was run."""
    run: list[str] = []
    while error := failure_of(call):
        printed = PRINTED.search(error.remedy)
        assert printed is not None, str(error)
        assert printed[1] not in run, f"it did not help: {error}"
        place.rows(printed[1].replace("{", "{{").replace("}", "}}"))
        run.append(printed[1])
    return run


def failure_of(call: Callable[[], object]) -> TranshipError | None:
    try:
        call()
    except (WriteFailedError, TableNotFoundError) as error:
        return error
    return None


def may_change_rows(place: Place, guest: Place) -> None:
    """Give the guest what changing rows needs, of every table that is there, and nothing else."""
    user = user_of(guest)
    place.rows(f'grant usage on schema "{place.schema}" to {user}')
    for (name,) in place.rows(
        f"select tablename from pg_tables where schemaname = '{place.schema}'"
    ):
        place.rows(f"grant select, insert, update, delete on {{}} to {user}", place.table(name))


@pytest.mark.parametrize(
    "settings",
    [
        {"mode": Mode.REPLACE},
        {"mode": Mode.APPEND, "cursor": "changed"},
        {"mode": Mode.MERGE, "cursor": "changed", "delete": OnDelete.MARK},
    ],
    ids=["replace", "append", "merge"],
)
def test_who_may_only_change_rows_loads_what_an_owner_has_made(
    origin: Callable[..., Origin], place: Place, guest: Place, settings: dict
) -> None:
    source = origin()
    source.add(1, 2, 3)
    of(source, place, **settings).load()
    may_change_rows(place, guest)
    made = of(source, guest, **settings)
    for id_ in (4, 5):
        source.add(id_, changed=f"2024-02-0{id_}")
        made.load()
        assert sorted(made.copied("id")) == [(one,) for one in range(1, id_ + 1)]


def test_who_may_create_in_a_schema_loads_into_it_from_the_first_row_on(
    origin: Callable[..., Origin], place: Place, guest: Place
) -> None:
    place.rows(f'grant usage, create on schema "{place.schema}" to {user_of(guest)}')
    source = origin()
    source.add(1, 2)
    made = of(source, guest, mode=Mode.MERGE, cursor="changed", delete=OnDelete.REMOVE)
    for _ in range(2):
        made.load()
        assert sorted(made.copied("id")) == [(1,), (2,)]
    for (name,) in place.rows(
        f"select tablename from pg_tables where schemaname = '{place.schema}'"
    ):
        place.rows("drop table {}", place.table(name))


@pytest.mark.parametrize(
    ("name", "request_of"),
    [
        ("plain", WriteRequest),
        ('quo"te', WriteRequest),
        ("%s", lambda table: WriteRequest(table, slice=Values("part", ("a",)))),
        ("a % table", lambda table: WriteRequest(table, mode=WriteMode.APPEND)),
        ("a % table", lambda table: WriteRequest(table, mode=WriteMode.MERGE, key=("id",))),
    ],
    ids=["replace", "replace-quoted", "slice", "append", "merge"],
)
def test_the_grants_that_errors_print_are_all_that_a_write_needs(
    place: Place, guest: Place, name: str, request_of: Callable[[TableName], WriteRequest]
) -> None:
    table = place.table(name)
    rows = pa.table({"id": [1], "part": ["a"]})
    write(place.target, WriteRequest(table), rows)
    run = with_printed_grants(place, lambda: write(guest.target, request_of(table), rows))
    assert run
    assert not any("create" in statement for statement in run)


def test_the_grants_that_errors_print_are_all_that_a_read_needs(place: Place, guest: Place) -> None:
    table = place.table("a % table")
    write(place.target, WriteRequest(table), pa.table({"id": [1]}))
    run = with_printed_grants(place, lambda: read(guest.target, table))
    assert " ".join(run) == (
        f'grant usage on schema "{place.schema}" to {user_of(guest)}; '
        f'grant select on table "{place.schema}"."a % table" to {user_of(guest)};'
    )


def test_a_right_to_create_is_asked_for_only_where_something_is_missing(
    place: Place, guest: Place
) -> None:
    place.rows(f'grant usage on schema "{place.schema}" to {user_of(guest)}')
    with pytest.raises(TranshipError) as caught:
        write(guest.target, WriteRequest(place.table("new")), pa.table({"id": [1]}))
    assert f'grant usage, create on schema "{place.schema}" to {user_of(guest)};' in str(
        caught.value
    )
