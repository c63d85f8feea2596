"""A source that is written to without a pause, and loads that are killed at random moments: in the end all rows are there once.

Several connections insert, update, delete, swap keys and truncate in transactions that stay open for a while, commit in another order
than they began, or roll back. A quiet table beside the busy one, which changes once in a while, is loaded now and then. First loads are
whole or in chunks. `TRANSHIP_TEST_SEEDS=200` tries as many seeds; the seed is in the test's name.
"""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import mssql_python
import pytest
from tests.integration.replication.conftest import (
    EVENTS,
    KEYLESS,
    VERSIONED,
    Origin,
    Place,
    Replica,
    of,
    track_changes,
)
from tests.integration.replication.killing import Job, Loaders

from tranship.replication.plan import FollowedChanges, Mode, OnDelete

SEEDS = int(os.environ.get("TRANSHIP_TEST_SEEDS", "20"))
SECONDS = 1.2
"""How long there are writes while tables are loaded."""
WRITERS = 3
FIRST_ROWS = 120
LONGEST_TRANSACTION_SECONDS = 0.4


@dataclass(frozen=True)
class Way:
    """A way of loading, and what may happen in a source that is loaded so."""

    ddl: str
    settings: dict[str, Any]
    changes: tuple[str, ...]
    snapshots: bool = True


EVERYTHING = ("insert", "insert", "update", "update", "delete", "swap", "again", "truncate")
TRACKING: dict[str, Any] = {
    "mode": Mode.MERGE,
    "changes": FollowedChanges.TRACKING,
    "delete": OnDelete.REMOVE,
}
WAYS = {
    "rowversion": Way(
        VERSIONED,
        {"mode": Mode.MERGE, "cursor": "version", "delete": OnDelete.REMOVE},
        EVERYTHING,
    ),
    "time": Way(
        EVENTS,
        {
            "mode": Mode.MERGE,
            "cursor": "changed",
            "lookback": "2 seconds",
            "delete": OnDelete.REMOVE,
        },
        EVERYTHING,
    ),
    "tracking": Way(EVENTS, TRACKING, EVERYTHING),
    "tracking without snapshots": Way(EVENTS, TRACKING, EVERYTHING, snapshots=False),
    "replace": Way(EVENTS, {"mode": Mode.REPLACE}, EVERYTHING),
    "append by number": Way(EVENTS, {"mode": Mode.APPEND, "cursor": "id"}, ("insert",)),
    "append by time": Way(KEYLESS, {"mode": Mode.APPEND, "cursor": "changed"}, ("insert",)),
}
TARGETS = ("postgres", "redshift")


@dataclass
class Writer:
    """One connection that changes a table until it is told to stop."""

    origin: Origin
    connection: mssql_python.Connection
    changes: tuple[str, ...]
    chance: random.Random
    ids: Callable[[], int]
    stop: threading.Event
    committed: int = 0
    errors: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Transactions, one after the other; one that meets another writer's rows is given up."""
        while not self.stop.is_set():
            try:
                for _ in range(self.chance.randint(1, 4)):
                    self.change()
                time.sleep(self.chance.uniform(0, LONGEST_TRANSACTION_SECONDS))
                if self.chance.random() < 0.15:
                    self.connection.rollback()
                else:
                    self.connection.commit()
                    self.committed += 1
            except mssql_python.Error as error:
                self.errors.append(str(error))
                self.connection.rollback()

    def change(self) -> None:
        """One statement, or two."""
        now = "changed = sysutcdatetime()"
        some = self.chance.randint(1, FIRST_ROWS)
        match self.chance.choice(self.changes):
            case "insert":
                self._insert(self.ids())
            case "again":
                self._run(f"delete from {{table}} where id = {some}")
                self._insert(some)
            case "update":
                self._run(
                    f"update {{table}} set name = N'{self.chance.random()}', {now} where id between {some} and {some + 3}"
                )
            case "delete":
                self._run(f"delete from {{table}} where id = {some}")
            case "truncate":
                # Seldom: what comes after it is the whole table.
                if self.chance.random() < 0.1:
                    self._run("truncate table {table}")
            case _:
                other = self.chance.randint(1, FIRST_ROWS)
                self._run(
                    f"update {{table}} set id = case id when {some} then {other} else {some} end, {now} "
                    f"where id in ({some}, {other})"
                )

    def _insert(self, id_: int) -> None:
        self._run(
            "insert into {table} (id, name, amount, changed) "
            f"values ({id_}, N'n{id_}', {self.chance.randint(0, 10_000) / 100}, sysutcdatetime())"
        )

    def _run(self, statement: str) -> None:
        self.connection.cursor().execute(self.origin.spelled(statement))


@dataclass
class Quiet:
    """A table beside the busy one, and its copy: changed and loaded now and then."""

    replica: Replica
    writer: Writer
    chance: random.Random

    def jobs(self) -> list[Job]:
        """A load of it, or none; it has changed before, or not."""
        if self.chance.random() < 0.3:
            self.writer.change()
        if self.chance.random() < 0.5:
            return []
        return [replace(self.replica.job(), seconds=self.chance.choice([None, 0.3]))]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_row_arrives_once_whenever_loads_are_killed(
    loaders: Loaders,
    origin: Callable[..., Origin],
    connect_to_source: Callable[..., mssql_python.Connection],
    request: pytest.FixtureRequest,
    seed: int,
) -> None:
    chance = random.Random(seed)
    way = WAYS[list(WAYS)[seed % len(WAYS)]]
    place: Place = request.getfixturevalue(TARGETS[seed // len(WAYS) % len(TARGETS)])
    if not way.snapshots:
        request.getfixturevalue("snapshots_off")
    columns = "id, name, amount, changed"
    new_ids, lock = iter(range(FIRST_ROWS + 1, 1_000_000)), threading.Lock()

    def next_id() -> int:
        with lock:
            return next(new_ids)

    def made_with(rows: int) -> Replica:
        chunk_rows = chance.choice([25, 1_000])
        replica = of(
            origin(way.ddl), place, **way.settings, delete_guard="100%", chunk_rows=chunk_rows
        )
        if replica.plan.changes is FollowedChanges.TRACKING:
            track_changes(replica.origin)
        replica.origin.add(*range(1, rows + 1))
        return replica

    made, beside = made_with(FIRST_ROWS), made_with(10)
    stop = threading.Event()
    writers = [
        Writer(
            made.origin,
            connect_to_source(autocommit=False),
            way.changes,
            random.Random(f"{seed} {number}"),
            next_id,
            stop,
        )
        for number in range(WRITERS)
    ]
    quiet = Quiet(
        beside,
        Writer(
            beside.origin,
            beside.origin.connection,
            way.changes,
            random.Random(f"{seed} quiet"),
            next_id,
            stop,
        ),
        random.Random(f"{seed} beside"),
    )
    threads = [threading.Thread(target=writer.run) for writer in writers]
    for thread in threads:
        thread.start()
    ends: Counter[int] = Counter()
    try:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            jobs = [
                replace(made.job(), seconds=chance.uniform(0.02, 0.8) if killed else None)
                for killed in chance.choice([(True,), (True,), (False,), (True, False)])
            ]
            ends.update(loaders.run(*jobs, *quiet.jobs()))
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert set(ends) <= {0, -signal.SIGALRM}, f"loads failed: {ends}"
    assert any(writer.committed for writer in writers), [writer.errors for writer in writers]
    for replica in (made, beside):
        replica.load()
        replica.assert_equal(columns)
        replica.load()
        replica.assert_equal(columns)
