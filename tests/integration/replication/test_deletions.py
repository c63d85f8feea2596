"""Rows that are gone from the source: ignored, marked, unmarked when they return, or removed."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.replication.conftest import KEYLESS, Origin, Place, Replica, of

from tranship.errors import ConfigurationError
from tranship.replication.config import ColumnSettings
from tranship.replication.deletions import Gone, keys_beside
from tranship.replication.plan import Mode, OnDelete
from tranship.tables import TableName

BY_TIME = {"mode": Mode.MERGE, "cursor": "changed"}


def marks(made: Replica) -> dict[int, bool]:
    rows = made.place.rows("select id, _deleted_at is not null from {}", made.plan.target)
    return dict(rows)


def test_gone_rows_stay_where_deletions_are_ignored(replica: Callable[..., Replica]) -> None:
    made = replica(**BY_TIME)
    made.origin.add(1, 2, 3)
    assert made.load().gone is None
    made.origin.run("delete from {table} where id = 2")
    made.load()
    assert sorted(made.copied("id")) == [(1,), (2,), (3,)]


def test_gone_rows_are_removed(origin: Callable[..., Origin], place: Place) -> None:
    made = of(origin(), place, **BY_TIME, delete=OnDelete.REMOVE)
    made.origin.add(1, 2, 3)
    assert made.load().gone == Gone(keys=3, rows=0)
    made.origin.run("delete from {table} where id = 2")
    assert made.load().gone == Gone(keys=2, rows=1)
    made.assert_equal()


def test_gone_rows_are_marked_once_and_unmarked_when_they_return(
    origin: Callable[..., Origin], place: Place
) -> None:
    made = of(origin(), place, **BY_TIME, delete=OnDelete.MARK, lookback=0)
    made.origin.add(1, 2, 3, changed="2024-01-01")
    made.origin.add(4, changed="2024-01-02")
    made.load()
    made.origin.run("delete from {table} where id in (2, 3)")
    assert made.load().gone == Gone(keys=2, rows=2)
    assert marks(made) == {1: False, 2: True, 3: True, 4: False}
    when = made.place.rows("select _deleted_at from {} where id = 2", made.plan.target)
    assert made.load().gone == Gone(keys=2, rows=0)
    assert made.place.rows("select _deleted_at from {} where id = 2", made.plan.target) == when
    # One comes back as it was, which only the keys tell; one comes back with a new time.
    made.origin.add(2, changed="2024-01-01")
    made.origin.add(3, changed="2024-01-03", name="again")
    assert made.load().gone == Gone(keys=4, rows=0, returned=1)
    assert marks(made) == {1: False, 2: False, 3: False, 4: False}
    made.assert_equal()


def test_an_emptied_source_empties_the_copy(replica: Callable[..., Replica]) -> None:
    made = replica(**BY_TIME, delete=OnDelete.REMOVE)
    made.origin.add(1, 2, 3)
    made.load()
    made.origin.run("delete from {table}")
    made.load()
    assert made.copied() == []


COMPOSITE = """
    create table {table} (
        Region nvarchar(20) not null, No int not null, note nvarchar(20), changed datetime2(6) not null,
        primary key (Region, No)
    )
"""


@pytest.mark.parametrize(
    "columns",
    [
        ColumnSettings(),
        ColumnSettings(rename={"Region": "No", "No": "Region"}),
        ColumnSettings(mask={"Region": "hash"}, rename={"Region": "region_digest"}),
        ColumnSettings(mask={"No": "hash"}, cast={"Region": "nvarchar(max)"}),
    ],
    ids=["plain", "renamed crosswise", "hashed and renamed", "hashed and cast"],
)
def test_composite_keys_are_compared_as_they_arrive(
    origin: Callable[..., Origin], postgres: Place, columns: ColumnSettings
) -> None:
    made = of(origin(COMPOSITE), postgres, **BY_TIME, delete=OnDelete.REMOVE, columns=columns)
    insert = "insert into {table} values "
    made.origin.run(
        insert + "(N'north', 1, N'a', '2024-01-01'), (N'north', 2, N'b', '2024-01-01'), "
        "(N'süd', 1, N'c', '2024-01-01'), (N'süd', 2, N'd', '2024-01-01')"
    )
    made.load(mask_key="secret")
    made.origin.run(
        "delete from {table} where Region = N'north' and No = 2",
        insert + "(N'süd', 3, N'e', '2024-01-02')",
    )
    assert made.load(mask_key="secret").gone == Gone(keys=4, rows=1)
    assert sorted(made.copied("note")) == [("a",), ("c",), ("d",), ("e",)]


def test_rows_that_no_longer_meet_the_condition_count_as_gone(
    replica: Callable[..., Replica],
) -> None:
    made = replica(**BY_TIME, delete=OnDelete.REMOVE, where="amount < 1000")
    made.origin.add(1, 2, 3)
    made.load()
    made.origin.run("update {table} set amount = 5000 where id = 2")
    made.load()
    assert sorted(made.copied("id")) == [(1,), (3,)]


def test_rows_with_null_in_the_key_are_not_taken_for_gone(replica: Callable[..., Replica]) -> None:
    made = replica(KEYLESS, mode=Mode.MERGE, key=("name",), delete=OnDelete.REMOVE)
    made.origin.add(1, 2)
    made.origin.run("update {table} set name = null where id = 2")
    made.load()
    made.assert_equal()


def test_a_table_with_the_longest_name_has_room_for_its_keys(
    origin: Callable[..., Origin], postgres: Place
) -> None:
    made = of(origin(), postgres, **BY_TIME, delete=OnDelete.REMOVE)
    made = made.changed(target=postgres.table("ü" * 31))
    made.origin.add(1, 2)
    made.load()
    made.origin.run("delete from {table} where id = 1")
    made.load()
    made.assert_equal()


def test_names_of_tables_of_keys_differ_as_their_tables_do() -> None:
    long = [TableName("s", "n" * 60 + end) for end in ("a", "b")]
    assert keys_beside(TableName("s", "sales")) == TableName("s", "sales__keys")
    assert len({keys_beside(table) for table in long}) == 2
    assert all(len(keys_beside(table).name) <= 63 for table in long)


@pytest.mark.parametrize(
    "settings",
    [{"mode": Mode.MERGE}, {"mode": Mode.APPEND, "cursor": "id", "delete": OnDelete.MARK}],
)
def test_without_a_key_the_error_says_to_name_one(
    replica: Callable[..., Replica], settings: dict[str, Any]
) -> None:
    made = replica(KEYLESS, **settings)
    with pytest.raises(
        ConfigurationError, match=r"has no primary key, .* Name the key: key: \[id\]\."
    ):
        made.load()
