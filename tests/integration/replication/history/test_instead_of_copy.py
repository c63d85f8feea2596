"""A history in the place of the copy: the copy's name is a view of the versions that hold."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.integration.replication.conftest import EVENTS, Origin, Place
from tests.integration.replication.history.conftest import Kept
from tests.integration.replication.killing import COMPARING, LOADING, Loaders, Stage

from tranship.errors import ConfigurationError, SchemaDriftError
from tranship.replication.config import PartitionSettings
from tranship.replication.plan import Mode, OnDelete
from tranship.slices import Values
from tranship.writes import OnSchemaChange

BY_TIME: dict[str, Any] = {"mode": Mode.MERGE, "cursor": "changed", "delete": OnDelete.REMOVE}


@pytest.fixture
def kept(origin: Callable[..., Origin], place: Place) -> Callable[..., Kept]:
    """A table whose history stands alone, not loaded yet."""

    def make(*statements: str, **settings: Any) -> Kept:
        return Kept.of(origin(*(statements or (EVENTS,))), place, alone=True, **settings)

    return make


def test_columns_that_are_new_or_wider_come_into_the_history_and_its_view(
    kept: Callable[..., Kept],
) -> None:
    made = kept(
        "create table {table} (id int not null primary key, code varchar(4))",
        mode=Mode.REPLACE,
        on_schema_change=OnSchemaChange.REBUILD,
    )
    made.origin.run("insert into {table} values (1, 'abcd'), (2, 'x')")
    made.load()
    made.origin.run(
        "alter table {table} alter column code varchar(40)", "alter table {table} add note int"
    )
    made.origin.run("update {table} set code = 'a much longer one', note = 7 where id = 1")
    strict = made.changed(on_schema_change=OnSchemaChange.ERROR)
    with pytest.raises(SchemaDriftError, match="note"):
        strict.load()
    versions = made.changed().load()
    assert (versions.opened, versions.closed) == (1, 1)
    view = made.replica.plan.target
    assert sorted(made.place.all(view, "id, code, note")) == [
        (1, "a much longer one", 7),
        (2, "x", None),
    ]
    assert made.states("id, code, note") == [
        (1, "abcd", None), (1, "a much longer one", 7), (2, "x", None),
    ]  # fmt: skip


def test_a_partition_ends_its_own_versions_only(kept: Callable[..., Kept]) -> None:
    made = kept(
        mode=Mode.PARTITION, partitions=PartitionSettings(column="name", values=["n1", "n2"])
    )
    made.origin.add(1, 2)
    made.load(partitions=lambda name: Values(name, ("n1", "n2")))
    made.origin.run("delete from {table}")
    gone = made.load(partitions=lambda name: Values(name, ("n1",)))
    assert (gone.opened, gone.closed) == (0, 1)
    assert made.place.all(made.replica.plan.target, "id") == [(2,)]


@pytest.mark.parametrize("stages", [(LOADING[2], LOADING[4]), (LOADING[5], COMPARING[1])])
def test_a_load_killed_at_any_stage_is_made_good_by_the_next(
    loaders: Loaders, kept: Callable[..., Kept], stages: tuple[Stage, ...]
) -> None:
    made = kept(**BY_TIME)
    made.origin.add(*range(1, 21))
    made.load()
    expected = {(id_, f"n{id_}") for id_ in range(1, 21)}
    for number, stage in enumerate(stages, start=1):
        made.origin.run(
            f"update {{table}} set name = N'at {number}', changed = '2024-01-02T00:00:{number:02d}' where id = 1",
            f"delete from {{table}} where id = {number + 1}",
        )
        loaders.kill_at(made.replica.job(), stage)
        assert loaders.run(made.replica.job(), made.replica.job()) == [0, 0]
        expected.add((1, f"at {number}"))
        made.assert_as_the_copy()
        assert sorted(made.states()) == sorted(expected), "a state is missing, or there twice"


def test_a_large_first_load_comes_in_chunks(kept: Callable[..., Kept]) -> None:
    made = kept(**{**BY_TIME, "chunk_rows": 8})
    made.origin.add(*range(1, 21))
    assert made.load().opened == 20
    made.assert_as_the_copy()


def test_a_copy_that_is_there_is_not_touched(kept: Callable[..., Kept]) -> None:
    made = kept(mode=Mode.REPLACE)
    made.origin.add(1)
    beside = made.changed(history=replace(made.names, instead_of_copy=False))
    beside.load()
    with pytest.raises(ConfigurationError) as caught:
        made.load()
    view = made.replica.plan.target
    assert str(caught.value) == (
        f"{view} is a table, and its history is to stand in its place, with a view by that name. Nothing was written. Rename the "
        f"table, or drop it: drop table {view}; or leave instead_of_copy out."
    )
    made.place.rows("drop table {}", view)
    made.load()
    made.assert_as_the_copy()
    assert len(made.versions()) == 1
