"""A history follows the columns of its copy: what is new is added, what is wider is widened, and nothing is rounded."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.replication.conftest import EVENTS, Origin, Place
from tests.integration.replication.history.conftest import Kept

from tranship.errors import ConfigurationError, DuplicateRowsError, SchemaDriftError
from tranship.history import HistoryNames
from tranship.replication.config import ColumnSettings, PartitionSettings
from tranship.replication.plan import Mode, OnDelete
from tranship.slices import Values
from tranship.tables import TableName
from tranship.writes import OnSchemaChange

BY_TIME = {"mode": Mode.MERGE, "cursor": "changed"}


@pytest.fixture
def kept(origin: Callable[..., Origin], place: Place) -> Callable[..., Kept]:
    """A table with a history, not loaded yet."""

    def make(*statements: str, **settings: Any) -> Kept:
        return Kept.of(origin(*(statements or (EVENTS,))), place, **settings)

    return make


def test_a_new_column_makes_versions_only_of_rows_that_have_something_in_it(
    kept: Callable[..., Kept],
) -> None:
    made = kept(**BY_TIME, on_schema_change=OnSchemaChange.EVOLVE)
    made.origin.add(1, 2)
    made.load()
    made.origin.run("alter table {table} add note nvarchar(10) null")
    made.origin.run("update {table} set note = N'new' where id = 2")
    versions = made.changed().load()
    assert (versions.opened, versions.closed) == (1, 1)
    assert made.states("id, note") == [(1, None), (2, None), (2, "new")]
    made.assert_as_the_copy()


def test_a_wider_type_makes_no_version_and_keeps_what_was(kept: Callable[..., Kept]) -> None:
    made = kept(
        "create table {table} (id int not null primary key, code varchar(4), price decimal(6, 2))",
        mode=Mode.REPLACE,
        on_schema_change=OnSchemaChange.REBUILD,
    )
    made.origin.run("insert into {table} values (1, 'abcd', 1.25), (2, 'x', 9999.99)")
    made.load()
    made.origin.run("alter table {table} alter column code varchar(40)")
    made.origin.run("alter table {table} alter column price decimal(12, 4)")
    made.origin.run("update {table} set code = 'a much longer one', price = 1.2345 where id = 1")
    versions = made.changed().load()
    assert (versions.opened, versions.closed) == (1, 1)
    shown = [(id_, code, str(float(price))) for id_, code, price in made.states("id, code, price")]
    assert shown == [(1, "abcd", "1.25"), (1, "a much longer one", "1.2345"), (2, "x", "9999.99")]


def test_a_type_that_holds_not_both_fails_the_load_and_changes_nothing(
    kept: Callable[..., Kept],
) -> None:
    made = kept(
        "create table {table} (id int not null primary key, code varchar(10))",
        mode=Mode.REPLACE,
        on_schema_change=OnSchemaChange.REBUILD,
    )
    made.origin.run("insert into {table} values (1, 'abc')")
    made.load()
    made.origin.run(
        "drop table {table}",
        "create table {table} (id int not null primary key, code datetime2(3))",
    )
    made.origin.run("insert into {table} values (1, '2024-01-01')")
    with pytest.raises(SchemaDriftError) as caught:
        made.changed().load()
    assert "No type holds both. Rename the column of" in str(caught.value)
    assert made.states("id, code") == [(1, "abc")]
    table = made.names.table
    made.place.rows("alter table {} rename column code to old_code", table)
    made.changed().load()
    assert len(made.versions("id, old_code, code")) == 2
    assert made.states("id, old_code") == [(1, "abc"), (1, None)]


def test_values_are_compared_as_they_are_written(kept: Callable[..., Kept]) -> None:
    columns = ColumnSettings(
        rename={"name": "label"}, mask={"amount": "redact"}, exclude=["changed"]
    )
    made = kept(mode=Mode.REPLACE, columns=columns)
    made.origin.add(1)
    made.load()
    made.origin.run("update {table} set amount = 77, changed = '2025-01-01' where id = 1")
    assert made.load().opened == 0
    made.origin.run("update {table} set name = N'N1' where id = 1")
    assert made.load().opened == 1
    assert made.states("id, label, amount") == [(1, "n1", None), (1, "N1", None)]


def test_blanks_cases_and_nulls_are_changes_of_a_value(kept: Callable[..., Kept]) -> None:
    made = kept(
        "create table {table} (id int not null primary key, code nvarchar(10))", mode=Mode.REPLACE
    )
    made.origin.run("insert into {table} values (1, N'a'), (2, null)")
    made.load()
    for value in ("N'A'", "N'A '", "N''", "null"):
        made.origin.run(f"update {{table}} set code = {value} where id = 1")
        assert made.load().opened == 1
        assert made.load().opened == 0
    assert made.states("id, code") == [(1, "a"), (1, "A"), (1, "A "), (1, ""), (1, None), (2, None)]


def test_a_key_in_another_spelling_is_a_version_of_the_same_row(kept: Callable[..., Kept]) -> None:
    made = kept(
        "create table {table} (id nvarchar(10) collate Latin1_General_CI_AS not null primary key, "
        "name nvarchar(10) not null, changed datetime2(3) not null)",
        **BY_TIME,
        delete=OnDelete.REMOVE,
    )
    made.origin.run(
        "insert into {table} values (N'ab', N'x', '2024-01-01'), (N'c', N'y', '2024-01-01')"
    )
    made.load()
    made.origin.run("update {table} set id = N'AB', changed = '2024-01-02' where id = N'ab'")
    versions = made.load()
    assert (versions.opened, versions.closed) == (1, 1)
    assert sorted(made.states("id, name")) == [("AB", "x"), ("ab", "x"), ("c", "y")]
    assert made.load().opened == 0


def test_a_row_that_moves_to_another_partition_ends_in_the_one_that_it_left(
    kept: Callable[..., Kept],
) -> None:
    made = kept(
        mode=Mode.PARTITION, partitions=PartitionSettings(column="name", values=["n1", "n2", "m"])
    )
    made.origin.add(1, 2)
    made.load(partitions=lambda name: Values(name, ("n1", "n2")))
    made.origin.run("update {table} set name = N'm' where id = 1")
    moved = made.load(partitions=lambda name: Values(name, ("m",)))
    assert (moved.opened, moved.closed) == (1, 0)
    left = made.load(partitions=lambda name: Values(name, ("n1",)))
    assert (left.opened, left.closed) == (0, 1)
    ends = {version.row: version.is_current for version in made.versions("id, name")}
    assert ends == {(1, "m"): True, (1, "n1"): False, (2, "n2"): True}


# ---- what no history can be kept of ----


def test_a_table_without_a_key_has_no_history(kept: Callable[..., Kept]) -> None:
    made = kept("create table {table} (id int, name nvarchar(10))", mode=Mode.REPLACE)
    with pytest.raises(ConfigurationError) as caught:
        made.load()
    assert str(caught.value) == (
        f"{made.origin.name} is to have a history, and has no key, so the states of one row cannot be told from those of "
        "another. Name the key: key: [id]; or leave history out."
    )


def test_two_rows_of_one_key_write_nothing(kept: Callable[..., Kept]) -> None:
    made = kept(
        "create table {table} (id int not null, name nvarchar(10))", mode=Mode.REPLACE, key=("id",)
    )
    made.origin.run("insert into {table} values (1, N'a')")
    made.load()
    made.origin.run("insert into {table} values (1, N'b')")
    with pytest.raises(DuplicateRowsError):
        made.load()
    assert made.states() == [(1, "a")]
    assert made.place.all(made.replica.plan.target, "id, name") == [(1, "a")]


def test_another_key_writes_nothing_until_the_history_is_renamed(kept: Callable[..., Kept]) -> None:
    made = kept(mode=Mode.REPLACE)
    made.origin.add(1)
    made.load()
    other = made.changed(key=("name",))
    with pytest.raises(
        ConfigurationError, match=r"has the history by \(id\), and the key is \(name\) now"
    ):
        other.load()
    made.place.rows("alter table {} rename to old_history", made.names.table)
    assert other.load().is_new


def test_a_column_that_is_called_as_one_of_the_history_is_told(kept: Callable[..., Kept]) -> None:
    made = kept(
        "create table {table} (id int not null primary key, valid_to date)", mode=Mode.REPLACE
    )
    made.origin.run("insert into {table} values (1, null)")
    with pytest.raises(
        ConfigurationError, match=r"has a column valid_to, and its history has one of that name"
    ):
        made.load()
    names = HistoryNames(made.names.table, valid_to="known_to")
    made.changed(history=names).load()
    rows = made.place.rows("select id, valid_to, known_to, is_current from {}", made.names.table)
    assert rows == [(1, None, None, True)]


def test_a_history_never_takes_the_place_of_a_copy_or_of_a_table_of_others(
    kept: Callable[..., Kept],
) -> None:
    copied, made = kept(mode=Mode.REPLACE), kept(mode=Mode.REPLACE)
    copied.origin.add(1)
    made.origin.add(1)
    copied.load()
    there = copied.replica.plan.target
    with pytest.raises(ConfigurationError, match=r"which is a copy of .*: it was not touched"):
        made.changed(history=HistoryNames(there)).load()
    made.place.rows(f"create table {made.place.schema}.others (id int)")
    with pytest.raises(ConfigurationError, match="a table of other columns has that name"):
        made.changed(history=HistoryNames(TableName(there.schema, "others"))).load()
