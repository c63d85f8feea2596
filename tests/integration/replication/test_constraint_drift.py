"""Constraints of the source change: columns may be null or are gone, keys gain, change and lose columns."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from tests.integration.replication.conftest import Origin, Place, Replica, of

from tranship.errors import DuplicateRowsError, ValueDoesNotFitError
from tranship.replication.plan import Mode
from tranship.writes import OnSchemaChange

EVOLVE: dict[str, Any] = {"on_schema_change": OnSchemaChange.EVOLVE}
REPLACE: dict[str, Any] = {"mode": Mode.REPLACE}
MERGE: dict[str, Any] = {"mode": Mode.MERGE}
BY_TIME: dict[str, Any] = {"mode": Mode.MERGE, "cursor": "at"}
TABLE = (
    "create table {table} (a int not null primary key, b int not null, at datetime2(3) not null)"
)
FIRST = "insert into {table} values (1, 1, '2024-01-01')"

modes = pytest.mark.parametrize(
    "mode", [REPLACE, MERGE, BY_TIME], ids=["replace", "merge", "merge by cursor"]
)


def loaded(
    origin: Callable[..., Origin],
    place: Place,
    mode: dict[str, Any],
    *statements: str,
    **settings: Any,
) -> Replica:
    """A table that was loaded once."""
    copy = of(origin(*(statements or (TABLE,))), place, **mode, **{**EVOLVE, **settings})
    copy.origin.run(FIRST)
    copy.load()
    return copy


@pytest.fixture
def made(origin: Callable[..., Origin], postgres: Place) -> Callable[..., Replica]:
    """A table that was loaded once, into Postgres."""
    return partial(loaded, origin, postgres)


@pytest.fixture
def made_anywhere(origin: Callable[..., Origin], place: Place) -> Callable[..., Replica]:
    """A table that was loaded once, into each kind of target."""
    return partial(loaded, origin, place)


def anew(made: Replica) -> Replica:
    """The same replica, which looks its source up again."""
    return made.changed()


def remade(made: Replica, columns: str, rows: str) -> Replica:
    """The same with another table in the place of the source's."""
    made.origin.run("drop table {table}", f"create table {{table}} ({columns})")
    made.origin.run(f"insert into {{table}} values {rows}")
    return anew(made)


def key(made: Replica) -> list[str]:
    """The copy's primary key."""
    schema = made.place.target.schema_of(made.plan.target)
    assert schema is not None
    return list(schema.primary_key)


@modes
def test_a_column_that_becomes_nullable_is_followed(
    made_anywhere: Callable[..., Replica], mode: dict[str, Any]
) -> None:
    copy = made_anywhere(mode)
    copy.origin.run(
        "alter table {table} alter column b int null",
        "insert into {table} values (2, null, '2024-01-02')",
    )
    for _ in range(2):
        anew(copy).load()
        anew(copy).assert_equal("a, b, at")


@modes
def test_a_not_null_column_that_is_dropped_keeps_its_old_values(
    made_anywhere: Callable[..., Replica], mode: dict[str, Any]
) -> None:
    copy = made_anywhere(mode)
    copy.origin.run(
        "alter table {table} drop column b", "insert into {table} values (2, '2024-01-02')"
    )
    for _ in range(2):
        anew(copy).load()
    kept = None if mode is REPLACE else 1
    assert sorted(copy.copied("a, b")) == [(1, kept), (2, None)]


@pytest.mark.parametrize("full_reload", [False, True])
@modes
@pytest.mark.parametrize(
    ("columns", "rows", "expected"),
    [
        (
            "a int not null, b int not null, at datetime2(3) not null, primary key (a, b)",
            "(1, 1, '2024-01-01'), (1, 2, '2024-01-02')",
            ["a", "b"],
        ),
        (
            "a int not null, b int not null primary key, at datetime2(3) not null",
            "(1, 1, '2024-01-01'), (1, 2, '2024-01-02')",
            ["b"],
        ),
    ],
    ids=["gains a column", "is another column"],
)
def test_a_key_that_changes_is_followed(
    made: Callable[..., Replica],
    mode: dict[str, Any],
    columns: str,
    rows: str,
    expected: list[str],
    full_reload: bool,
) -> None:
    copy = remade(made(mode), columns, rows)
    for _ in range(2):
        copy.load(full_reload=full_reload)
        copy.assert_equal("a, b, at")
    assert key(copy) == expected


@modes
def test_a_key_that_loses_a_column_is_followed(
    made_anywhere: Callable[..., Replica], mode: dict[str, Any]
) -> None:
    copy = made_anywhere(
        mode,
        "create table {table} (a int not null, b int not null, at datetime2(3) not null, primary key (a, b))",
    )
    copy = remade(
        copy,
        "a int not null primary key, at datetime2(3) not null",
        "(1, '2024-01-01'), (2, '2024-01-02')",
    )
    for _ in range(2):
        copy.load()
    assert sorted(copy.copied("a, b")) == [(1, None), (2, None)]
    assert copy.place.target.kind == "redshift" or key(copy) == ["a"]


def test_a_key_that_vanishes_from_the_source_vanishes_from_the_copy(
    made: Callable[..., Replica],
) -> None:
    copy = remade(
        made(REPLACE),
        "a int not null, b int not null, at datetime2(3) not null",
        "(1, 1, '2024-01-01'), (1, 1, '2024-01-01')",
    )
    copy.load()
    copy.assert_equal("a, b, at")
    assert key(copy) == []


def test_a_key_that_a_person_gave_the_copy_stays(
    made: Callable[..., Replica], origin: Callable[..., Origin]
) -> None:
    copy = made(REPLACE, TABLE.replace(" primary key", ""))
    copy.place.rows("alter table {} add primary key (b)", copy.plan.target)
    copy.load()
    assert key(copy) == ["b"]


def test_the_key_keeps_its_name_and_the_table_its_grants(made: Callable[..., Replica]) -> None:
    copy = made(REPLACE)
    copy.place.rows("grant select on {} to public", copy.plan.target)
    copy.place.rows("create index on {} (at)", copy.plan.target)
    remade(
        copy,
        "a int not null, b int not null, at datetime2(3) not null, primary key (a, b)",
        "(1, 1, '2024-01-01')",
    ).load()
    indexes = "select indexname from pg_indexes where schemaname = '{}' and tablename = '{}'"
    schema, name = copy.plan.target.schema, copy.plan.target.name
    names = {row[0] for row in copy.place.rows(indexes.format(schema, name))}
    assert names == {f"{name}_pkey", f"{name}_at_idx"}
    granted = copy.place.rows(
        "select grantee from information_schema.role_table_grants "
        f"where table_schema = '{schema}' and table_name = '{name}' and grantee = 'PUBLIC'"
    )
    assert granted == [("PUBLIC",)]


def test_a_table_that_cannot_be_swapped_follows_in_place(made: Callable[..., Replica]) -> None:
    copy = made(REPLACE)
    copy.place.rows("create statistics on a, b from {}", copy.plan.target)
    columns = (
        "a int not null, b int null, at datetime2(3) not null, c int not null, primary key (a, c)"
    )
    copy = remade(copy, columns, "(1, null, '2024-01-01', 1), (1, 2, '2024-01-01', 2)")
    report = copy.load()
    assert "extended statistics" in str(report.writes[0].details["in_place_because"])
    copy.assert_equal("a, b, at, c")
    assert key(copy) == ["a", "c"]


def test_without_evolve_a_null_says_which_statement_lets_it_in(
    made: Callable[..., Replica],
) -> None:
    copy = made(REPLACE, on_schema_change=OnSchemaChange.ERROR)
    copy.origin.run("alter table {table} alter column b int null", "update {table} set b = null")
    with pytest.raises(ValueDoesNotFitError) as caught:
        anew(copy).load()
    target = copy.plan.target
    statement = f'alter table "{target.schema}"."{target.name}" alter column "b" drop not null;'
    assert statement in str(caught.value)
    assert "on_schema_change: evolve" in str(caught.value)
    copy.place.rows(statement)
    anew(copy).load()
    anew(copy).assert_equal("a, b, at")


def test_rows_with_one_key_name_no_index_that_only_the_load_knows(
    made: Callable[..., Replica],
) -> None:
    copy = made(REPLACE, TABLE.replace(" primary key", ""))
    copy.place.rows("create unique index one on {} (b)", copy.plan.target)
    copy.origin.run("insert into {table} values (2, 1, '2024-01-02')")
    with pytest.raises(DuplicateRowsError) as caught:
        copy.load()
    assert "tranship_" not in str(caught.value)
    assert "(b)=(1)" in str(caught.value)
