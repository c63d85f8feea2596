"""Several states of a key in one load, each with its own instant: what a source that records every change gives."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from tests.integration.replication.conftest import Place

from tranship.equality import Alphabet, TextEquality
from tranship.errors import DuplicateRowsError, WriteFailedError
from tranship.frames import Batches
from tranship.history import (
    HistoryNames,
    HistoryRequest,
    KeptHistory,
    Operation,
    Versions,
    state_schema,
)
from tranship.own_tables import states_table
from tranship.tables import Column, SourceType, TableName, TableSchema
from tranship.writes import Declared, OnSchemaChange, WriteRequest

T0 = datetime(2026, 1, 1, tzinfo=UTC)
DATA = TableSchema(
    (
        Column("id", pa.string(), source_type=SourceType.parse("varchar(20)")),
        Column("name", pa.string(), source_type=SourceType.parse("varchar(20)")),
    )
)
ANY_CASE = TextEquality(
    "Latin1_General_CI_AS", case=False, alphabets=(Alphabet.SIGNS, Alphabet.LETTERS)
)
UP, GONE = Operation.UPSERT, Operation.DELETE
State = tuple[str | None, str | None, Operation, int, int]
"""A key, a name, what happened, the second of its instant, and its sequence."""


class Told:
    """A history that is given states."""

    def __init__(self, place: Place, **settings: Any) -> None:
        self.place = place
        self.copy = place.table("told")
        self.names = HistoryNames(TableName(self.copy.schema, "told_history"))
        self.kept: KeptHistory = place.target.history(
            HistoryRequest(self.names, self.copy, ("id",), settings.get("rules", {}))
        )
        place.target.prepare(self.copy)

    def take(self, *states: State) -> Versions:
        """Give it states."""
        columns = list(zip(*states, strict=True))
        schema = state_schema(DATA).to_arrow()
        instants = [T0 + timedelta(seconds=second) for second in columns[3]]
        values: list[Sequence[Any]] = [
            columns[0],
            columns[1],
            list(map(str, columns[2])),
            instants,
            columns[4],
        ]
        arrays = [
            pa.array(list(one), field.type) for one, field in zip(values, schema, strict=True)
        ]
        rows = Batches.of(pa.Table.from_arrays(arrays, schema=schema))
        table = states_table(self.copy)
        request = WriteRequest(
            table, on_schema_change=OnSchemaChange.REBUILD, declared=Declared(key=("id",))
        )
        self.place.target.write(request, rows, logging.getLogger(__name__), lambda _: None)
        with self.place.target.transaction("taking states", self.copy) as transaction:
            self.place.target.lock(transaction, table)
            return self.kept.take(transaction, table)

    def versions(self) -> list[tuple[Any, ...]]:
        """Key, name, begin and end, in seconds and ticks since the first one's."""
        rows = self.place.rows(
            "select id, name, valid_from, valid_to, is_current from {} order by lower(id), valid_from",
            self.names.table,
        )
        assert all(current == (to is None) for *_, to, current in rows)
        return [(id_, name, _since(from_), _since(to)) for id_, name, from_, to, _ in rows]


def _since(time: datetime | None) -> float | None:
    return None if time is None else (time - T0).total_seconds()


def test_every_state_is_a_version_from_its_own_instant_on(place: Place) -> None:
    told = Told(place)
    versions = told.take(
        ("1", "a", UP, 1, 1), ("2", "x", UP, 1, 2), ("1", "b", UP, 3, 3), ("1", "c", UP, 4, 4),
        ("2", None, GONE, 5, 5), ("2", "y", UP, 7, 6),
    )  # fmt: skip
    assert (versions.opened, versions.closed, versions.is_new) == (5, 3, True)
    expected = [
        ("1", "a", 1, 3), ("1", "b", 3, 4), ("1", "c", 4, None), ("2", "x", 1, 5), ("2", "y", 7, None),
    ]  # fmt: skip
    assert told.versions() == expected
    more = told.take(("1", "c", UP, 8, 7), ("1", "d", UP, 9, 8), ("2", None, GONE, 9, 9))
    assert (more.opened, more.closed, more.is_new) == (1, 2, False)
    assert told.versions() == [
        ("1", "a", 1, 3), ("1", "b", 3, 4), ("1", "c", 4, 9), ("1", "d", 9, None),
        ("2", "x", 1, 5), ("2", "y", 7, 9),
    ]  # fmt: skip


def test_a_state_that_changes_nothing_makes_no_version(place: Place) -> None:
    told = Told(place)
    told.take(("1", None, UP, 1, 1), ("1", None, UP, 2, 2), ("9", None, GONE, 2, 3))
    assert told.versions() == [("1", None, 1, None)]
    again = told.take(("1", None, UP, 5, 1), ("8", None, GONE, 6, 2))
    assert (again.opened, again.closed) == (0, 0)
    # There and back within one load are two versions, as both were seen.
    told.take(("1", "a", UP, 7, 1), ("1", None, UP, 8, 2))
    assert told.versions() == [("1", None, 1, 7), ("1", "a", 7, 8), ("1", None, 8, None)]
    assert told.take(("1", None, GONE, 9, 1), ("1", None, GONE, 10, 2)).closed == 1


def test_of_several_states_at_one_instant_the_last_counts(place: Place) -> None:
    told = Told(place)
    told.take(
        ("1", "a", UP, 1, 1), ("1", "b", UP, 1, 2), ("1", None, GONE, 2, 3), ("1", "c", UP, 2, 4)
    )
    assert told.versions() == [("1", "b", 1, 2), ("1", "c", 2, None)]
    # A row that came and went within one instant was never seen.
    told.take(("2", "a", UP, 3, 1), ("2", None, GONE, 3, 2))
    assert told.versions() == [("1", "b", 1, 2), ("1", "c", 2, None)]


def test_instants_that_go_back_make_no_version_that_ends_before_it_begins(place: Place) -> None:
    told = Told(place)
    told.take(("1", "a", UP, 100, 1), ("1", "b", UP, 50, 2), ("1", "c", UP, 100, 3))
    tick = 1e-6
    assert told.versions() == [
        ("1", "a", 100, 100 + tick), ("1", "b", 100 + tick, 100 + 2 * tick), ("1", "c", 100 + 2 * tick, None),
    ]  # fmt: skip
    told.take(("1", "d", UP, 7, 4), ("1", None, GONE, 8, 5), ("1", "e", UP, 200, 6))
    assert told.versions()[2:] == [
        ("1", "c", 100 + 2 * tick, 100 + 3 * tick), ("1", "d", 100 + 3 * tick, 100 + 4 * tick), ("1", "e", 200, None),
    ]  # fmt: skip


def test_keys_are_one_where_their_source_takes_them_for_one(place: Place) -> None:
    told = Told(place, rules={"id": ANY_CASE})
    told.take(("key", "a", UP, 1, 1), ("KEY", "a", UP, 2, 2), ("Key ", None, GONE, 3, 3))
    assert told.versions() == [("key", "a", 1, 2), ("KEY", "a", 2, 3)]
    by_bytes = Told(place)
    by_bytes.place.rows("drop table {}", by_bytes.names.table)
    by_bytes.take(("key", "a", UP, 1, 1), ("key ", "b", UP, 2, 2), ("key ", None, GONE, 3, 3))
    assert sorted(by_bytes.versions()) == [("key", "a", 1, None), ("key ", "b", 2, 3)]


def test_states_that_no_version_can_be_made_of_are_refused(place: Place) -> None:
    told = Told(place)
    told.take(("1", "a", UP, 1, 1))
    with pytest.raises(WriteFailedError) as no_key:
        told.take((None, "a", UP, 2, 1))
    assert str(no_key.value).startswith(f"1 rows of {told.copy} have null in the key (id)")
    with pytest.raises(DuplicateRowsError) as twice:
        told.take(("1", "b", UP, 2, 1), ("1", "c", UP, 3, 1))
    assert str(twice.value).startswith(f"2 rows of {told.copy} have the key id '1'")
    assert told.versions() == [("1", "a", 1, None)]
