"""Tables of a source that tracks its changes, and their copies."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import mssql_python
import pytest
from tests.integration.replication.conftest import (
    EVENTS,
    Origin,
    Place,
    Replica,
    of,
    track_changes,
)

from standins.sqlserver.remote import SqlServerProcess
from tranship.replication.plan import FollowedChanges, Mode, OnDelete
from tranship.sqlserver.settings import SqlServerSettings

TRACKED: dict[str, Any] = {
    "mode": Mode.MERGE,
    "changes": FollowedChanges.TRACKING,
    "delete": OnDelete.REMOVE,
    "delete_guard": "100%",
}


@pytest.fixture
def tracked(origin: Callable[..., Origin]) -> Callable[..., Origin]:
    """Create a table whose changes are tracked."""

    def make(*statements: str) -> Origin:
        made = origin(*(statements or (EVENTS,)))
        track_changes(made)
        return made

    return make


@pytest.fixture
def copy(tracked: Callable[..., Origin], place: Place) -> Callable[..., Replica]:
    """A tracked table and its copy in each kind of target, not loaded yet."""

    def make(*statements: str, **settings: Any) -> Replica:
        return of(tracked(*statements), place, **{**TRACKED, **settings})

    return make


@pytest.fixture(scope="module")
def server() -> Iterator[SqlServerProcess]:
    """A source of the tests' own, whose history they cut off."""
    with SqlServerProcess(password="Correct-Horse-1") as running:
        running.execute("alter database current set change_tracking = on")
        yield running


@pytest.fixture
def replica_of(server: SqlServerProcess, postgres: Place) -> Iterator[Callable[..., Replica]]:
    """A tracked table with ten rows, and its copy, loaded."""
    connection: Any = mssql_python.connect(server.odbc(), autocommit=True)
    server.become(is_visible=True)

    def make(**settings: Any) -> Replica:
        settings_of_source = SqlServerSettings.from_url(server.url())
        source = Origin(settings_of_source, connection, f"t_{uuid.uuid4().hex[:12]}")
        source.run(EVENTS, "alter table {table} enable change_tracking")
        made = of(source, postgres, **{**TRACKED, **settings})
        source.add(*range(1, 11))
        made.load()
        return made

    yield make
    connection.close()


def current_version(made: Replica) -> int:
    cursor = made.origin.connection.cursor()
    return cursor.execute("select change_tracking_current_version()").fetchval()
