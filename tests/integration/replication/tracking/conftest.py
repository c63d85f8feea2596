"""Tables of a source that tracks its changes, and their copies."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.integration.replication.conftest import (
    EVENTS,
    Origin,
    Place,
    Replica,
    of,
    track_changes,
)

from tranship.replication.plan import FollowedChanges, Mode, OnDelete

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


@pytest.fixture
def snapshots_off(source_connection: Any) -> Iterator[None]:
    """The database allows no snapshot isolation for a while."""
    run = source_connection.cursor().execute
    run("alter database current set allow_snapshot_isolation off")
    yield
    run("alter database current set allow_snapshot_isolation on")
