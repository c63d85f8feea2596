"""Reading ahead in threads: bounded, in order, stopped by an error or by a consumer that leaves."""

import contextvars
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tranship.read_ahead import Producer, ReadAhead, items_of, on_cancel
from tranship.read_ahead import read_ahead as read_ahead_of

ROWS = 1000
BATCH = pa.record_batch({"n": pa.array(range(ROWS), pa.int64())})


class Numbers:
    """Gives numbered batches until it is told to stop; it sleeps in a call that can be cut short."""

    def __init__(self, name: int, count: int, *, fail_at: int | None = None, seconds: float = 0):
        self.name, self.count, self.fail_at, self.seconds = name, count, fail_at, seconds
        self.given = 0
        self.closed = False
        self.cancelled = threading.Event()

    def batches(self) -> Iterator[pa.RecordBatch]:
        try:
            for number in range(self.count):
                if number == self.fail_at:
                    raise ValueError(f"producer {self.name} failed")
                with on_cancel(self.cancelled.set):
                    if self.cancelled.wait(self.seconds):
                        raise ConnectionAbortedError("cancelled")
                self.given += 1
                yield pa.record_batch({"p": [self.name], "n": [number]})
        finally:
            self.closed = True


class Large(Numbers):
    def batches(self) -> Iterator[pa.RecordBatch]:
        for _ in super().batches():
            yield BATCH


def read_ahead(producers: list[Numbers], max_bytes: int):
    return read_ahead_of(
        [producer.batches for producer in producers],
        max_bytes=max_bytes,
        size=lambda batch: batch.nbytes,
    )


def seen(batches) -> list[tuple[int, int]]:
    return [(batch["p"][0].as_py(), batch["n"][0].as_py()) for batch in batches]


def threads_left() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_every_batch_arrives_once_and_those_of_one_producer_in_order():
    found = seen(read_ahead([Numbers(1, 50), Numbers(2, 70)], max_bytes=1000))
    assert [number for name, number in found if name == 1] == list(range(50))
    assert [number for name, number in found if name == 2] == list(range(70))
    assert threads_left() == []


def test_no_producers_batches_mean_an_empty_iterator():
    assert list(read_ahead([Numbers(1, 0)], max_bytes=1)) == []


def test_what_waits_is_limited_in_bytes():
    producer = Large(1, 100)
    batches = read_ahead([producer], max_bytes=3 * BATCH.nbytes)
    next(batches)
    deadline = time.monotonic() + 30
    while producer.given < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)  # it would give more now
    # One was taken, three wait, one is in the producer's hand.
    assert producer.given == 5
    assert len(list(batches)) == 99


def test_a_batch_larger_than_the_limit_passes_alone():
    assert len(list(read_ahead([Large(1, 3)], max_bytes=1))) == 3


def test_a_consumer_that_leaves_stops_every_producer():
    producers = [Numbers(1, 10_000), Numbers(2, 10_000)]
    batches = read_ahead(producers, max_bytes=100)
    next(batches)
    started = time.monotonic()
    batches.close()
    assert time.monotonic() - started < 30
    assert all(producer.closed for producer in producers)
    assert threads_left() == []


def test_an_error_is_raised_once_and_stops_the_others():
    other = Numbers(2, 100_000, seconds=0.001)
    with pytest.raises(ValueError, match="producer 1 failed"):
        list(read_ahead([Numbers(1, 10, fail_at=3), other], max_bytes=1000))
    assert other.closed
    assert other.given < 100_000
    assert threads_left() == []


def test_producers_run_while_the_consumer_works():
    producer = Numbers(1, 20)
    numbers = iter(read_ahead([producer], max_bytes=10_000))
    next(numbers)
    deadline = time.monotonic() + 30
    while producer.given < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    # All were made while the consumer held the first.
    assert producer.given == 20
    assert len(list(numbers)) == 19


def number_ahead(*producers: Producer[int], **options: Any) -> ReadAhead[int]:
    return ReadAhead(producers, **{"max_bytes": 8, "size": lambda _: 1, **options})


def test_a_producer_opens_reads_and_closes_in_one_thread_and_in_the_callers_context():
    tenant = contextvars.ContextVar[str]("tenant")
    tenant.set("north")
    seen_in: list[tuple[str, str, str]] = []

    def note(what: str) -> None:
        seen_in.append((what, threading.current_thread().name, tenant.get("nobody")))

    def opened() -> Iterator[int]:
        note("opened")
        try:
            for number in range(3):
                note("read")
                yield number
        finally:
            note("closed")

    with number_ahead(items_of(opened), name="rows") as ahead:
        assert ahead.get() == 0

    assert {what for what, _, _ in seen_in} == {"opened", "read", "closed"}
    assert {(thread, value) for _, thread, value in seen_in} == {("rows-1", "north")}


def test_a_cursor_that_belongs_to_its_thread_can_be_read_to_its_end():
    def opened() -> Iterator[int]:
        with closing(sqlite3.connect(":memory:")) as connection:
            yield from (number for (number,) in connection.execute("select 1 union all select 2"))

    with number_ahead(items_of(opened)) as ahead:
        assert (ahead.get(), ahead.get(), ahead.get()) == (1, 2, None)


@given(
    sizes=st.lists(st.integers(0, 20), max_size=40),
    most_bytes=st.integers(1, 40),
    most_items=st.integers(1, 5),
)
@settings(max_examples=30, deadline=None)
def test_what_waits_stays_within_bytes_and_items_and_nothing_is_lost(sizes, most_bytes, most_items):
    waiting: list[int] = []
    most: list[tuple[int, int]] = []

    def produce(put: Callable[[int], None]) -> None:
        for size in sizes:
            put(size)
            waiting.append(size)
            most.append((sum(waiting), len(waiting)))

    taken: list[int] = []
    with ReadAhead(
        [produce], max_bytes=most_bytes, size=lambda size: size, max_items=most_items
    ) as ahead:
        while (size := ahead.get()) is not None:
            taken.append(size)
            if waiting:
                waiting.pop(0)

    assert taken == sizes
    # The consumer counts what it took a moment later than the producer counts what it gave.
    slack = max(sizes, default=0)
    assert all(size <= max(most_bytes, slack) + 2 * slack for size, _ in most)
    assert all(items <= most_items + 2 for _, items in most)


def test_the_first_error_wins_and_is_raised_before_what_still_waits():
    go_on = threading.Event()

    def fails(put: Callable[[int], None]) -> None:
        go_on.wait()
        put(2)
        raise ValueError("the first")

    with number_ahead(lambda put: put(1), fails) as ahead:
        assert ahead.get() == 1
        go_on.set()
        while threads_left():
            time.sleep(0.01)
        with pytest.raises(ValueError, match="the first"):
            ahead.get()


def test_a_look_that_raises_ends_the_wait_for_a_silent_producer():
    silence = threading.Event()
    waits: list[float] = []

    def look(waited: float) -> None:
        waits.append(waited)
        raise ConnectionAbortedError("the other side is gone")

    def silent(_put: Callable[[int], None]) -> None:
        with on_cancel(silence.set):
            silence.wait()

    with (
        pytest.raises(ConnectionAbortedError, match="the other side is gone"),
        number_ahead(silent) as ahead,
    ):
        ahead.get(look)

    assert silence.is_set()
    assert 0.5 < waits[0] < 5
    assert threads_left() == []


def test_a_cancel_reaches_through_producers_that_wait_for_producers():
    silence = threading.Event()
    closed: list[str] = []

    def innermost() -> Iterator[int]:
        try:
            yield 1
            with on_cancel(silence.set):
                silence.wait()
        finally:
            closed.append("innermost")

    def middle() -> Iterator[int]:
        try:
            yield from read_ahead_of([innermost], max_bytes=1, size=lambda _: 1)
        finally:
            closed.append("middle")

    outer = read_ahead_of([middle], max_bytes=1, size=lambda _: 1)
    assert next(outer) == 1
    started = time.monotonic()
    outer.close()

    assert time.monotonic() - started < 30
    assert closed == ["innermost", "middle"]
    assert threads_left() == []


def test_nothing_that_blocks_in_its_own_cancel_keeps_the_consumer_past_the_deadline(caplog):
    never = threading.Event()
    free = threading.Event()

    def blocks() -> None:
        never.wait()

    def stuck(put: Callable[[int], None]) -> None:
        put(1)
        with on_cancel(blocks):
            free.wait()

    ahead = number_ahead(stuck, stop_seconds=0.3, name="stuck")
    assert ahead.get() == 1
    started = time.monotonic()
    ahead.close()

    assert 0.3 <= time.monotonic() - started < 30
    assert "stuck-1 did not stop within 0.3 s of being cancelled and is left behind." in caplog.text
    never.set()
    free.set()


def test_a_cancel_that_came_too_early_is_repeated():
    calls: list[float] = []
    silence = threading.Event()

    def cancel() -> None:
        calls.append(time.monotonic())
        if len(calls) == 2:  # the first one was lost: the call had not begun yet
            silence.set()

    def silent(put: Callable[[int], None]) -> None:
        put(1)
        with on_cancel(cancel):
            silence.wait()

    with number_ahead(silent) as ahead:
        assert ahead.get() == 1

    assert len(calls) == 2
    assert threads_left() == []


def test_who_comes_to_wait_after_the_cancel_does_not_begin():
    reached: list[str] = []
    cancelled = threading.Event()

    def early(put: Callable[[int], None]) -> None:
        put(1)
        with on_cancel(cancelled.set):
            cancelled.wait()

    def late(_put: Callable[[int], None]) -> None:
        cancelled.wait()
        with on_cancel(lambda: None):
            reached.append("waited")

    with number_ahead(early, late) as ahead:
        assert ahead.get() == 1

    assert reached == []
    assert threads_left() == []


def test_outside_of_a_producer_nobody_asks_to_stop():
    with on_cancel(lambda: pytest.fail("nobody asked")):
        pass


def test_after_it_is_closed_there_is_nothing_to_get():
    ahead = number_ahead(items_of(lambda: iter([1, 2, 3])))
    assert ahead.get() == 1
    ahead.close()
    ahead.close()
    assert ahead.get() is None
