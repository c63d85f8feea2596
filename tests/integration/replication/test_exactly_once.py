"""A load that is killed at any stage loses nothing and doubles nothing once it is run again."""

from collections.abc import Callable

import pytest
from tests.integration.replication.conftest import (
    EVENTS,
    KEYLESS,
    VERSIONED,
    Origin,
    Place,
    Replica,
    of,
)
from tests.integration.replication.killing import COMPARING, LOADING, Loaders, Stage

from tranship.replication.plan import Mode, OnDelete

FIRST = range(1, 41)
WAYS = {
    "merge by time": (EVENTS, {"mode": Mode.MERGE, "cursor": "changed"}),
    "merge by rowversion": (VERSIONED, {"mode": Mode.MERGE, "cursor": "version"}),
    "merge without cursor": (EVENTS, {"mode": Mode.MERGE}),
    "append with key": (EVENTS, {"mode": Mode.APPEND, "cursor": "id"}),
    "append without key": (KEYLESS, {"mode": Mode.APPEND, "cursor": "changed"}),
    "replace": (EVENTS, {"mode": Mode.REPLACE}),
}


def stages_of(settings: dict[str, object]) -> tuple[Stage, ...]:
    """The stages that a load reaches: without a cursor nothing is asked about it."""
    return tuple(
        stage for stage in LOADING if "cursor" in settings or stage.name != "highest value asked"
    )


def change(origin: Origin, way: str, start: int) -> None:
    """What happens in a source between two loads, as far as the way of loading allows it."""
    at = f"2024-01-02T00:00:00.{start:03d}"
    origin.add(*range(start, start + 20), changed=at)
    if not way.startswith("append"):
        origin.run(
            f"update {{table}} set name = N'at {start}', changed = '{at}' "
            f"where id in (1, 2, {start})"
        )


@pytest.mark.parametrize("way", WAYS)
def test_a_load_killed_at_any_stage_is_made_good_by_the_next(
    loaders: Loaders, replica: Callable[..., Replica], way: str
) -> None:
    ddl, settings = WAYS[way]
    made = replica(ddl, **settings)
    made.origin.add(*FIRST)
    made.load()
    for number, stage in enumerate(stages_of(settings), start=1):
        change(made.origin, way, 100 * number)
        loaders.kill_at(made.job(), stage)
        change(made.origin, way, 100 * number + 50)
        made.load()
        made.assert_equal()
    made.load()
    made.assert_equal()


@pytest.mark.parametrize("way", ["append without key", "merge by rowversion"])
def test_a_first_load_killed_at_any_stage_is_made_good_by_the_next(
    loaders: Loaders, replica: Callable[..., Replica], way: str
) -> None:
    ddl, settings = WAYS[way]
    made = replica(ddl, **settings)
    made.origin.add(*FIRST)
    for number, stage in enumerate(LOADING, start=1):
        loaders.kill_at(made.job(), stage)
        change(made.origin, way, 100 * number)
        made.load()
        made.assert_equal()
        made.place.rows("drop table {}", made.plan.target)


@pytest.mark.parametrize("policy", [OnDelete.REMOVE, OnDelete.MARK])
def test_a_load_killed_around_the_comparison_of_keys_is_made_good_by_the_next(
    loaders: Loaders, replica: Callable[..., Replica], policy: OnDelete
) -> None:
    made = replica(mode=Mode.MERGE, cursor="changed", delete=policy)
    made.origin.add(*FIRST)
    made.load()
    for number, stage in enumerate((LOADING[-1], *COMPARING), start=1):
        change(made.origin, "merge", 100 * number)
        made.origin.run(f"delete from {{table}} where id in ({number + 5}, {100 * number + 1})")
        loaders.kill_at(made.job(), stage)
        made.origin.run(f"delete from {{table}} where id in ({number + 20}, {100 * number + 2})")
        made.load()
        there = made.copied() if policy is OnDelete.REMOVE else unmarked(made)
        assert sorted(there) == sorted(made.origin.rows())
    if policy is OnDelete.MARK:
        # Rows that came and went between two loads that succeeded may never have been copied.
        marked = {
            id_
            for (id_,) in made.place.rows(
                "select id from {} where _deleted_at is not null", made.plan.target
            )
        }
        assert marked >= {*range(6, 10), *range(21, 25)}


def unmarked(made: Replica) -> list[tuple[object, ...]]:
    return made.place.rows(
        "select id, name, amount, changed from {} where _deleted_at is null", made.plan.target
    )


# ---- a large first load, in chunks ----

CHUNKED = {"mode": Mode.MERGE, "cursor": "changed", "chunk_rows": 10}
BETWEEN_CHUNKS = tuple(stage for stage in LOADING if stage.name != "highest value asked")


@pytest.mark.parametrize(
    ("stage", "number"),
    [(stage, 3) for stage in LOADING[2:]] + [(LOADING[3], 1), (LOADING[5], 1)],
    ids=str,
)
def test_a_chunked_first_load_killed_in_any_chunk_goes_on(
    loaders: Loaders, replica: Callable[..., Replica], stage: Stage, number: int
) -> None:
    made = replica(**CHUNKED)
    made.origin.add(*FIRST)
    loaders.kill_at(made.job(), stage, number)
    committed = number if stage.name == "committed, not told" else number - 1
    assert len(made.copied() if committed else []) == committed * 10
    change(made.origin, "merge", 100)
    # What was committed is not read again: rows that were changed in it are the next load's.
    assert made.load().rows == 40 + 20 - committed * 10
    made.load()
    made.assert_equal()


def test_a_chunked_first_load_killed_in_every_chunk_arrives(
    loaders: Loaders, replica: Callable[..., Replica]
) -> None:
    made = replica(**CHUNKED)
    made.origin.add(*FIRST)
    for chunk in range(3):
        loaders.kill_at(made.job(), BETWEEN_CHUNKS[-1])
        assert len(made.copied()) == 10 * (chunk + 1)
    assert made.load().rows == 10
    made.assert_equal()


# ---- Redshift ----


@pytest.mark.parametrize("way", ["merge by time", "append without key"])
def test_a_load_into_redshift_killed_at_any_stage_is_made_good_by_the_next(
    loaders: Loaders, origin: Callable[..., Origin], redshift: Place, way: str
) -> None:
    ddl, settings = WAYS[way]
    made = of(origin(ddl), redshift, **settings)
    made.origin.add(*FIRST)
    made.load()
    for number, stage in enumerate((LOADING[2], *LOADING[4:]), start=1):
        change(made.origin, way, 100 * number)
        loaders.kill_at(made.job(), stage)
        change(made.origin, way, 100 * number + 50)
        made.load()
        made.assert_equal()


def test_a_chunked_first_load_into_redshift_is_chunked_also_after_a_kill_in_its_first_chunk(
    loaders: Loaders, origin: Callable[..., Origin], redshift: Place
) -> None:
    made = of(origin(), redshift, **CHUNKED)
    made.origin.add(*FIRST)
    loaders.kill_at(made.job(), LOADING[3])
    loaders.kill_at(made.job(), LOADING[5])
    assert len(made.copied()) == 10
    assert made.load().rows == 30
    made.assert_equal()
