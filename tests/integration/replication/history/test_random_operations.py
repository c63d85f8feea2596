"""Whatever happens in a source, its history has every state that a load saw, at the instant of that load, and no other."""

import os
import random
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from statements import Rows
from tests.integration.replication.conftest import EVENTS, Origin, Place, track_changes
from tests.integration.replication.history.conftest import Kept, Version
from tests.integration.replication.history.test_versions import WAYS

SEEDS = range(int(os.environ.get("TRANSHIP_TEST_SEEDS", "2")))
LOADS = 4
KEYS = range(1, 9)


class Source:
    """A table that changes at random, and what it has."""

    def __init__(self, origin: Origin, seed: int) -> None:
        self.origin = origin
        self.random = random.Random(seed)
        self.names: dict[int, str] = {}
        self.second = 0

    def change(self) -> None:
        """Some rows come, change, go, come back, and are written as they were."""
        for key in self.random.sample(KEYS, self.random.randint(0, 5)):
            self.second += 1
            changed = f"2024-01-01T00:{self.second // 60:02d}:{self.second % 60:02d}"
            if key not in self.names:
                self.names[key] = self.random.choice("ab")
                self.origin.run(
                    f"insert into {{table}} (id, name, amount, changed) values ({key}, N'{self.names[key]}', 1, '{changed}')"
                )
            elif self.random.random() < 0.4:
                del self.names[key]
                self.origin.run(f"delete from {{table}} where id = {key}")
            else:
                self.names[key] = self.random.choice("abc")
                self.origin.run(
                    f"update {{table}} set name = N'{self.names[key]}', changed = '{changed}' where id = {key}"
                )


def at(versions: list[Version], instant: datetime) -> Rows:
    """The rows that held at an instant."""
    return [
        version.row
        for version in versions
        if version.valid_from <= instant
        and (version.valid_to is None or version.valid_to > instant)
    ]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("way", WAYS)
def test_a_history_is_the_copy_at_every_load(
    origin: Callable[..., Origin], place: Place, way: str, seed: int
) -> None:
    made = origin(EVENTS)
    if way.startswith("tracking"):
        track_changes(made)
    settings: dict[str, Any] = dict(WAYS[way])
    if "delete" in settings:
        settings["delete_guard"] = "100%"
    kept = Kept.of(made, place, **settings)
    source = Source(made, seed)
    seen: list[tuple[datetime, Rows]] = []
    for _ in range(LOADS):
        source.change()
        versions = kept.load(allow_deletes=True)
        assert versions.instant is not None
        seen.append((versions.instant, made.rows()))
        kept.assert_as_the_copy()
    versions = kept.versions()
    for instant, rows in seen:
        assert sorted(at(versions, instant)) == sorted(rows)
    # No version is of anything but a load: each begins and ends with one, and differs from the one before it.
    for version in versions:
        states = [row for instant, rows in seen for row in rows if row == version.row]
        assert states, f"no load saw {version}"
    for one, other in pairwise(versions):
        if one.row[0] == other.row[0] and one.valid_to == other.valid_from:
            assert one.row != other.row
