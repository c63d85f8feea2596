"""A load that is killed, repeated, or run twice at once leaves a history as one load does; so does a clock that goes back."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from tests.integration.replication.conftest import EVENTS, Origin, Place, of
from tests.integration.replication.history.conftest import Kept
from tests.integration.replication.killing import COMPARING, LOADING, Loaders, Stage

from tranship.replication import history as following
from tranship.replication.plan import Mode, OnDelete

SETTINGS = {"mode": Mode.MERGE, "cursor": "changed", "delete": OnDelete.REMOVE}
FIRST = range(1, 21)


@pytest.fixture
def kept(origin: Callable[..., Origin], place: Place) -> Kept:
    """A table with a history, loaded once."""
    made = Kept.of(origin(EVENTS), place, **SETTINGS)
    made.origin.add(*FIRST)
    made.load()
    return made


@pytest.mark.parametrize(
    "stages", [(LOADING[2], LOADING[4]), (LOADING[5], COMPARING[0]), COMPARING[1:]]
)
def test_a_load_killed_at_any_stage_is_made_good_by_the_next(
    loaders: Loaders, kept: Kept, stages: tuple[Stage, ...]
) -> None:
    expected = {(id_, f"n{id_}") for id_ in FIRST}
    for number, stage in enumerate(stages, start=1):
        kept.origin.run(
            f"update {{table}} set name = N'at {number}', changed = '2024-01-02T00:00:{number:02d}' where id = 1",
            f"delete from {{table}} where id = {number + 1}",
        )
        loaders.kill_at(kept.replica.job(), stage)
        kept.load()
        expected.add((1, f"at {number}"))
        kept.assert_as_the_copy()
        assert sorted(kept.states()) == sorted(expected), "a state is missing, or there twice"
    assert (kept.load().opened, kept.load().closed) == (0, 0)


def test_a_first_load_in_chunks_that_is_killed_enters_the_history_once(
    loaders: Loaders, origin: Callable[..., Origin], place: Place
) -> None:
    made = Kept.of(origin(EVENTS), place, mode=Mode.MERGE, cursor="changed", chunk_rows=8)
    made.origin.add(*FIRST)
    loaders.kill_at(made.replica.job(), LOADING[5], 2)
    versions = made.load()
    assert (versions.opened, versions.is_new) == (20, True)
    made.assert_as_the_copy()
    assert len({version.valid_from for version in made.versions()}) == 1


def test_loads_at_once_make_the_versions_of_one(loaders: Loaders, kept: Kept) -> None:
    for number in (1, 2):
        kept.origin.run(
            f"update {{table}} set name = N'at {number}', changed = '2024-01-02T00:00:{number:02d}' where id < 5",
            f"delete from {{table}} where id = {number + 10}",
        )
        assert loaders.run(kept.replica.job(), kept.replica.job()) == [0, 0]
        kept.assert_as_the_copy()
    assert len(kept.versions()) == 20 + 2 * 4


def test_a_clock_that_goes_back_makes_no_version_that_ends_before_it_begins(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, now = max(version.valid_from for version in kept.versions()), datetime.now(UTC)
    monkeypatch.setattr(following, "_clock", lambda: datetime.now(UTC) - timedelta(days=400))
    kept.origin.run("update {table} set name = N'x', changed = '2024-01-02' where id = 1")
    kept.origin.run("delete from {table} where id = 2")
    first = kept.load()
    kept.origin.run("update {table} set name = N'y', changed = '2024-01-03' where id = 1")
    second = kept.load()
    kept.assert_as_the_copy()
    assert first.instant is not None
    assert second.instant is not None
    # A tick after the load before each, not by the clock that went back.
    assert before < first.instant < second.instant < now + timedelta(seconds=1)
    # Also where nobody remembers the last instant: what the keys have in the history does.
    with kept.place.target.transaction("forgetting", kept.replica.plan.target) as transaction:
        kept.place.target.bookmarks(kept.replica.plan.target).remove(
            transaction, kept.place.target.table_name(kept.replica.plan.target)
        )
    kept.origin.run("update {table} set name = N'z', changed = '2024-01-04' where id = 1")
    kept.load()
    kept.assert_as_the_copy()
    assert [row for row in kept.states() if row[0] == 1] == [
        (1, "n1"),
        (1, "x"),
        (1, "y"),
        (1, "z"),
    ]


def test_a_history_that_is_switched_on_later_begins_with_the_whole_copy(
    origin: Callable[..., Origin], place: Place
) -> None:
    plain = of(origin(EVENTS), place, **SETTINGS)
    plain.origin.add(*FIRST)
    plain.load()
    made = Kept.of(plain.origin, place, **SETTINGS)
    plain.origin.add(30, changed="2024-01-02")
    assert made.load().opened == 21
    # What happened while it was off is seen by the first load that keeps it again, whatever that reads.
    plain.origin.run("update {table} set name = N'x', changed = '2024-01-03' where id = 1")
    plain.load()
    assert made.load().opened == 1
    made.assert_as_the_copy()
