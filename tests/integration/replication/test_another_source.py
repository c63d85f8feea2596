"""A bookmark holds for the source that it was made of, and for no other that answers to the same names."""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import mssql_python
import pytest
from psycopg2 import sql
from tests.integration.replication.conftest import EVENTS, KEYLESS, Meanwhile, Origin, Place, of

from standins.sqlserver.remote import SqlServerProcess
from tranship.replication import load as loading
from tranship.replication.guard import NewSourceError, SourceChangedError
from tranship.replication.plan import Mode, OnDelete, OnNewSource
from tranship.sqlserver.settings import SqlServerSettings

MERGE = {"mode": Mode.MERGE, "cursor": "changed"}
OLDER, NEWER = "2024-01-01T00:00:00", "2024-06-01T00:00:00"


@pytest.fixture(scope="module")
def server() -> Iterator[SqlServerProcess]:
    """A source of the tests' own: what it is, they change."""
    with SqlServerProcess(password="Correct-Horse-1") as running:
        yield running


@pytest.fixture
def original(server: SqlServerProcess) -> Iterator[Callable[..., Origin]]:
    """Create a table in it."""
    connection: Any = mssql_python.connect(server.odbc(), autocommit=True)
    server.become(
        server_name="PROD",
        group_database_id=None,
        is_visible=True,
        database_guid=str(uuid.uuid4()),
        recovery_fork_guid=str(uuid.uuid4()),
    )

    def make(statement: str = EVENTS) -> Origin:
        origin = Origin(
            SqlServerSettings.from_url(server.url()), connection, f"t_{uuid.uuid4().hex[:12]}"
        )
        origin.run(statement)
        return origin

    yield make
    connection.close()


def other_rows(origin: Origin) -> None:
    """What another database has behind the same name: all of it older than the bookmark."""
    origin.run("delete from {table}")
    origin.add(1, 2, changed=OLDER, name="other")


def test_another_database_behind_the_same_name_is_loaded_whole(
    server: SqlServerProcess, original: Callable[..., Origin], place: Place
) -> None:
    origin = original()
    origin.add(1, 9, changed=NEWER)
    replica = of(origin, place, **MERGE)
    replica.load()
    other_rows(origin)
    server.become(database_guid=str(uuid.uuid4()))

    report = replica.load()

    assert "another one than AdventureWorksDW" in report.what
    replica.assert_equal()
    assert replica.load().what.startswith("rows from the bookmark")


@pytest.mark.parametrize(
    ("statement", "settings"),
    [(EVENTS, MERGE), (KEYLESS, {"mode": Mode.APPEND, "cursor": "id"})],
    ids=["merge", "append"],
)
def test_a_table_that_was_created_anew_is_loaded_whole(
    original: Callable[..., Origin], postgres: Place, statement: str, settings: dict[str, Any]
) -> None:
    origin = original(statement)
    origin.add(1, 2, 3, changed=NEWER)
    replica = of(origin, postgres, **settings)
    replica.load()
    origin.run("drop table {table}", statement)
    origin.add(1, 2, 4, changed=OLDER, name="anew")

    report = replica.load()

    assert "the table was created anew" in report.what
    replica.assert_equal()


@pytest.mark.parametrize("is_visible", [True, False])
def test_a_restored_backup_is_loaded_whole_where_the_login_sees_it(
    server: SqlServerProcess, original: Callable[..., Origin], postgres: Place, is_visible: bool
) -> None:
    origin = original()
    origin.add(1, 2, changed=NEWER)
    replica = of(origin, postgres, **MERGE)
    server.become(is_visible=is_visible)
    replica.load()
    other_rows(origin)
    server.become(recovery_fork_guid=str(uuid.uuid4()))

    report = replica.load()

    assert ("restored from a backup" in report.what) is is_visible


def test_a_failover_inside_an_availability_group_goes_on_from_the_bookmark(
    server: SqlServerProcess, original: Callable[..., Origin], postgres: Place
) -> None:
    origin = original()
    server.become(group_database_id=str(uuid.uuid4()))
    origin.add(1, 2)
    replica = of(origin, postgres, **MERGE)
    replica.load()
    server.become(server_name="REPLICA", database_guid=str(uuid.uuid4()))

    assert replica.load().what.startswith("rows from the bookmark")


def test_another_source_may_be_forbidden(
    server: SqlServerProcess, original: Callable[..., Origin], place: Place
) -> None:
    origin = original()
    origin.add(1, 2, changed=NEWER)
    replica = of(origin, place, **MERGE, on_new_source=OnNewSource.FAIL)
    replica.load()
    before = replica.copied()
    other_rows(origin)
    server.become(server_name="TEST")

    with pytest.raises(NewSourceError, match="on the server TEST, no longer on PROD") as refused:
        replica.load()

    assert replica.copied() == before
    assert f"tranship bookmarks adopt {replica.plan.target}" in str(refused.value)
    replica.load(full_reload=True)
    replica.assert_equal()


def test_a_bookmark_of_old_is_taken_to_be_of_the_source_of_today(
    original: Callable[..., Origin], place: Place
) -> None:
    origin = original()
    origin.add(1, 2)
    replica = of(origin, place, **MERGE)
    replica.load()
    forget_the_source(replica.place, replica.plan.target)

    assert replica.load().what.startswith("rows from the bookmark")
    assert replica.bookmark is not None
    assert replica.bookmark.identity is not None


def forget_the_source(place: Place, table: Any) -> None:
    """As bookmarks were before they named their source."""
    bookmark = place.target.bookmark(table)
    assert bookmark is not None
    kept = place.target.bookmarks(table).name
    with place.target.transaction("changing a bookmark") as cursor:
        cursor.execute(
            sql.SQL("update {} set facts = %s where table_name = %s").format(
                sql.Identifier(kept.schema, kept.name)
            ),
            (json.dumps(dict(bookmark.facts)), str(bookmark.table)),
        )


def test_a_source_that_becomes_another_one_while_it_is_read_leaves_no_mixture(
    server: SqlServerProcess,
    original: Callable[..., Origin],
    postgres: Place,
    meanwhile: Meanwhile,
) -> None:
    origin = original()
    origin.add(*range(1, 60), changed=NEWER)
    replica = of(origin, postgres, **MERGE)
    replica.load()
    origin.add(60, changed="2024-07-01T00:00:00")

    def fails_over() -> None:
        other_rows(origin)
        server.become(database_guid=str(uuid.uuid4()))

    meanwhile.in_the_stream(fails_over)
    report = replica.load()

    assert "another one than AdventureWorksDW" in report.what
    replica.assert_equal()


def test_keys_of_another_source_delete_nothing(
    server: SqlServerProcess, original: Callable[..., Origin], postgres: Place, meanwhile: Meanwhile
) -> None:
    origin = original()
    origin.add(1, 2, 3)
    replica = of(origin, postgres, **MERGE, delete=OnDelete.REMOVE)
    replica.load()

    def fails_over() -> None:
        origin.run("delete from {table} where id > 1")
        server.become(database_guid=str(uuid.uuid4()))

    meanwhile.before(loading, "detect_deletes", fails_over)
    with pytest.raises(SourceChangedError, match="became another one while it was read"):
        replica.load()

    assert [row[0] for row in sorted(replica.copied("id"))] == [1, 2, 3]
    replica.load()
    replica.assert_equal()


NUMBERED = """
    create table {table} (id int identity primary key, name nvarchar(40), amount decimal(10, 2), changed datetime2(6))
"""


def test_rows_that_are_numbered_behind_the_bookmark_are_not_lost(
    original: Callable[..., Origin], postgres: Place
) -> None:
    origin = original(NUMBERED)
    origin.run("insert into {table} (name) values (N'a'), (N'b'), (N'c')")
    replica = of(origin, postgres, mode=Mode.APPEND, cursor="id")
    replica.load()
    origin.run(
        "delete from {table} where id = 2",
        f"dbcc checkident ('dbo.{origin.name.name}', reseed, 1)",
        "insert into {table} (name) values (N'behind')",
    )

    report = replica.load()

    assert "below the bookmark 3: it was reseeded" in report.what
    replica.assert_equal()
