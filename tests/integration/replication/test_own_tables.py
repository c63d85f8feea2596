"""A table of the source that is called as one of ours is told so; nothing of either is touched."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.replication.conftest import Origin, Place, Replica, of

from tranship.bookmarks import Bookmark
from tranship.errors import ConfigurationError
from tranship.own_tables import keys_table
from tranship.replication.plan import Mode, OnDelete, TablePlan
from tranship.tables import TableName

BY_TIME: dict[str, Any] = {"mode": Mode.MERGE, "cursor": "changed"}


def loaded_as(origin: Origin, place: Place, name: str, **settings: Any) -> Replica:
    return Replica(origin, place, TablePlan(origin.name, place.table(name), **settings))


@pytest.mark.parametrize(
    ("name", "kind", "what"),
    [
        ("tranship_bookmarks", "postgres", "where the bookmarks of the schema"),
        ("sales__keys", "postgres", "the keys of"),
        ("sales__keys", "redshift", "the keys of"),
        ("sales__bookmark", "redshift", "the bookmark of"),
        ("Sales__Writes", "redshift", "the journal of the writes of"),
    ],
)
def test_a_copy_that_would_be_one_of_ours_is_told_so(
    request: pytest.FixtureRequest, origin: Callable[..., Origin], name: str, kind: str, what: str
) -> None:
    place: Place = request.getfixturevalue(kind)
    source = origin()
    source.add(1)
    with pytest.raises(ConfigurationError) as caught:
        loaded_as(source, place, name).load()
    assert what in str(caught.value)
    assert "Give the copy another name (target:" in str(caught.value)
    assert place.rows(f"select count(*) from pg_tables where schemaname = '{place.schema}'") == [
        (0,)
    ]


@pytest.mark.parametrize(
    ("name", "kind"), [("sales__writes", "postgres"), ("__keys", "postgres"), ("keys", "redshift")]
)
def test_names_that_mean_nothing_there_are_free(
    request: pytest.FixtureRequest, origin: Callable[..., Origin], name: str, kind: str
) -> None:
    place: Place = request.getfixturevalue(kind)
    source = origin()
    source.add(1)
    made = loaded_as(source, place, name)
    for _ in range(2):
        made.load()
        assert made.copied("id") == [(1,)]


def test_a_table_of_somebody_elses_in_the_place_of_bookmarks_is_told_from_them(
    origin: Callable[..., Origin], place: Place
) -> None:
    source = origin()
    bookmarks = place.target.bookmarks(place.table(source.name.name)).name
    place.rows("create table {} (title varchar(10))", bookmarks)
    with pytest.raises(ConfigurationError) as caught:
        of(source, place).load()
    assert f"{bookmarks} should be a table of bookmarks" in str(caught.value)
    assert '"title"' in str(caught.value)
    assert place.rows("select count(*) from {}", bookmarks) == [(0,)]


def test_keys_are_never_written_over_a_copy(origin: Callable[..., Origin], place: Place) -> None:
    """It was loaded before its neighbour's deletions were looked for; its only column is the neighbour's key."""
    source = origin()
    source.add(1, 2, 3)
    made = of(source, place, **BY_TIME, delete=OnDelete.REMOVE)
    made.load()
    beside = keys_table(made.plan.target)
    bookmarks = place.target.bookmarks(beside)
    place.rows("delete from {}", beside)
    place.rows("insert into {} values (77)", beside)
    with place.target.transaction("pretending that it is a copy") as cursor:
        bookmarks.create(cursor)
        table = place.target.table_name(beside)
        copied = Bookmark(table, source="dbo.other", mode="replace", signature="s", write_id="w")
        bookmarks.move(cursor, copied, expected_write_id=None)
    with pytest.raises(ConfigurationError, match=r"is a copy of dbo\.other: it was not touched"):
        made.load()
    assert place.rows("select id from {}", beside) == [(77,)]


def test_a_journal_of_somebody_elses_columns_is_told_from_ours(
    origin: Callable[..., Origin], redshift: Place
) -> None:
    source = origin()
    journal = TableName(redshift.schema, f"{source.name.name}__writes")
    redshift.rows("create table {} (title varchar(10))", journal)
    with pytest.raises(ConfigurationError) as caught:
        of(source, redshift).load()
    assert f"{journal} should be the journal of the writes of" in str(caught.value)
