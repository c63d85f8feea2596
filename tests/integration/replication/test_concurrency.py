"""Two loads of one table at once, and answers that get lost: never a row twice, never one missing."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from redshift_places import settings_of
from tests.integration.postgres.test_faults_and_concurrency import cutting_proxy
from tests.integration.replication.conftest import (
    KEYLESS,
    Meanwhile,
    Origin,
    Place,
    Replica,
    of,
    redshift_place,
)
from tests.integration.replication.killing import Loaders

from standins.redshift.faults import Faults
from standins.redshift.server import RedshiftStandIn
from tranship.bookmarks import BookmarkMovedError
from tranship.frames import Batches
from tranship.pgsql.bookmarks import BookmarkTable
from tranship.postgres import transaction as postgres_transaction
from tranship.postgres.target import PostgresTarget
from tranship.replication.deletions import DeleteDetection
from tranship.replication.plan import Mode, OnDelete
from tranship.slices import WholeTable
from tranship.sqlserver.source import SqlServerSource

BY_TIME = {"mode": Mode.MERGE, "cursor": "changed"}
KEYLESS_BY_TIME = {"mode": Mode.APPEND, "cursor": "changed"}
WAYS = {"merge": (None, BY_TIME), "append without key": (KEYLESS, KEYLESS_BY_TIME)}


def made_as(way: str, replica: Callable[..., Replica]) -> Replica:
    ddl, settings = WAYS[way]
    return replica(*filter(None, [ddl]), **settings)


@pytest.mark.parametrize("way", WAYS)
def test_loads_of_one_table_at_once_double_nothing(
    loaders: Loaders, replica: Callable[..., Replica], way: str
) -> None:
    made = made_as(way, replica)
    for round_ in range(2):
        made.origin.add(*range(100 * round_, 100 * round_ + 40), changed=f"2024-01-0{round_ + 1}")
        assert loaders.run(made.job(), made.job(), made.job()) == [0, 0, 0]
        made.assert_equal()


def test_the_bookmark_of_a_first_load_into_redshift_may_be_made_by_another_meanwhile(
    origin: Callable[..., Origin], redshift: Place, meanwhile: Meanwhile
) -> None:
    made = of(origin(), redshift, **BY_TIME)
    made.origin.add(1, 2)
    meanwhile.before(BookmarkTable, "create", lambda: replace(made).load())
    made.load()
    made.assert_equal()


def test_many_first_loads_into_redshift_at_once_all_end_well(
    loaders: Loaders, origin: Callable[..., Origin], redshift: Place
) -> None:
    for _ in range(2):
        made = of(origin(), redshift, **BY_TIME)
        made.origin.add(*range(1, 11))
        assert loaders.run(*[made.job()] * 3) == [0] * 3
        made.assert_equal()


def test_chunked_first_loads_at_once_double_nothing(
    loaders: Loaders, replica: Callable[..., Replica]
) -> None:
    made = replica(**BY_TIME, chunk_rows=9)
    made.origin.add(*range(1, 41))
    assert 0 in loaders.run(made.job(), made.job())
    made.assert_equal()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("is_first", [True, False], ids=["first load", "next load"])
def test_a_load_that_another_one_overtook_starts_again_from_the_new_bookmark(
    replica: Callable[..., Replica],
    meanwhile: Meanwhile,
    caplog: pytest.LogCaptureFixture,
    way: str,
    is_first: bool,
) -> None:
    made = made_as(way, replica)
    made.origin.add(1, 2)
    if not is_first:
        made.load()
        made.origin.add(3, 4, changed="2024-01-02")

    def other() -> None:
        made.load(run_id="the other run")
        made.origin.add(5, changed="2024-01-03")

    meanwhile.before(SqlServerSource, "read", other)
    with caplog.at_level(logging.WARNING):
        made.load()
    assert (
        f"{made.plan.target} was loaded by run the other run while this load was on its way; nothing of it "
        "was written. It is loaded again from there."
    ) in caplog.text
    made.assert_equal()


def test_a_load_that_is_overtaken_again_and_again_gives_up_and_says_so(
    replica: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = replica(**BY_TIME)
    made.origin.add(1, 2)
    made.load()
    original = SqlServerSource.highest
    overtaking = replace(made)

    def overtaken(source: SqlServerSource, cursor: Any) -> Any:
        reached = original(source, cursor)
        if source is made.source:
            overtaking.load(run_id="faster")
        return reached

    monkeypatch.setattr(SqlServerSource, "highest", overtaken)
    with pytest.raises(
        BookmarkMovedError, match=r"was loaded by run faster.*a pool with one slot"
    ) as caught:
        made.load()
    assert not caught.value.transient
    made.assert_equal()


@pytest.mark.parametrize("policy", [OnDelete.REMOVE, OnDelete.MARK])
def test_rows_that_another_load_brings_are_not_taken_for_gone(
    replica: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch, policy: OnDelete
) -> None:
    made = replica(**BY_TIME, delete=policy)
    made.origin.add(1, 2, 3)
    made.load()
    made.origin.run("delete from {table} where id = 2")
    keys_read: list[int] = []

    def overtaken(comparison: DeleteDetection) -> Any:
        held = Batches.of(comparison.keys_of(WholeTable()).to_table())
        comparison.keys_of, comparison.lookups = lambda _: held, None
        keys_read.append(held.to_table().num_rows)
        if len(keys_read) == 1:
            # Twice, and late enough that the lookback does not bring the first row again.
            for id_ in (50, 51):
                made.origin.add(id_, changed=f"2024-01-0{id_ - 48}")
                replace(made).load()
        return run(comparison)

    run = DeleteDetection.run
    monkeypatch.setattr(DeleteDetection, "run", overtaken)
    made.load()
    assert keys_read[0] == 2
    assert keys_read[-1] == 4
    there = (
        made.copied()
        if policy is OnDelete.REMOVE
        else made.place.rows(
            "select id, name, amount, changed from {} where _deleted_at is null", made.plan.target
        )
    )
    assert sorted(there) == sorted(made.origin.rows())


# ---- answers that get lost ----


@pytest.mark.parametrize("can_be_asked", [True, False], ids=["", "nobody knows"])
@pytest.mark.parametrize("is_committed", [True, False], ids=["committed", "not committed"])
@pytest.mark.parametrize("way", WAYS)
def test_a_commit_whose_answer_was_lost_is_never_made_twice(
    replica: Callable[..., Replica],
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    is_committed: bool,
    can_be_asked: bool,
) -> None:
    made = made_as(way, replica)
    made.origin.add(1, 2)
    made.load()
    made.origin.add(3, 4, changed="2024-01-02")
    if not can_be_asked:
        monkeypatch.setattr(postgres_transaction, "_status", lambda *_: None)
    target = made.place.target
    assert isinstance(target, PostgresTarget)
    with cutting_proxy(target.settings, forward_commit=is_committed) as cut:
        report = made.load(PostgresTarget(cut))
    made.assert_equal()
    (write,) = report.writes
    assert ("commit" in write.details) is is_committed
    assert write.rows == report.bookmark.facts["rows"]


@pytest.fixture
def faulty_redshift(
    standin: RedshiftStandIn, bucket: str, iam_role: str, s3_endpoint: str
) -> Iterator[Place]:
    """A schema behind the stand-in whose connections a test can cut."""
    settings = replace(settings_of(standin.url, bucket, iam_role, s3_endpoint), attempts=3)
    with redshift_place(settings) as place:
        yield place


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_commit_to_redshift_whose_answer_was_lost_is_never_made_twice(
    origin: Callable[..., Origin],
    faulty_redshift: Place,
    faults: Faults,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    monkeypatch.setattr("tranship.redshift.transaction.FIRST_PAUSE_SECONDS", 0.01)
    made = of(origin(KEYLESS), faulty_redshift, **KEYLESS_BY_TIME)
    made.origin.add(1, 2)
    made.load()
    made.origin.add(3, 4, changed="2024-01-02")
    with cut_commit_of_the_write(monkeypatch, faults, moment):
        made.load()
    assert len(faults.struck) == 1
    made.assert_equal()


@contextmanager
def cut_commit_of_the_write(
    monkeypatch: pytest.MonkeyPatch, faults: Faults, moment: str
) -> Iterator[None]:
    """Cut the first commit after a bookmark was moved; questions are transactions too."""
    from tranship.pgsql.bookmarks import BookmarkTable

    original, armed = BookmarkTable.move, Counter[str]()

    def move(bookmarks: BookmarkTable, *arguments: Any, **settings: Any) -> None:
        original(bookmarks, *arguments, **settings)
        armed["moves"] += 1
        if armed["moves"] == 1:
            faults.cut_before_commit() if moment == "before" else faults.cut_after_commit()

    with monkeypatch.context() as patch:
        patch.setattr(BookmarkTable, "move", move)
        yield
