"""Reading ahead in threads: bounded, in order, stopped by an error or by a consumer that leaves."""

import threading
import time
from collections.abc import Iterator

import pyarrow as pa
import pytest

from tranship.sqlserver.read_ahead import read_ahead

ROWS = 1000
BATCH = pa.record_batch({"n": pa.array(range(ROWS), pa.int64())})


class Numbers:
    """Gives numbered batches until it is told to stop."""

    def __init__(self, name: int, count: int, *, fail_at: int | None = None, seconds: float = 0):
        self.name, self.count, self.fail_at, self.seconds = name, count, fail_at, seconds
        self.given = 0
        self.closed = False
        self.cancelled = threading.Event()

    def batches(self) -> Iterator[pa.RecordBatch]:
        try:
            for number in range(self.count):
                if self.cancelled.is_set():
                    return
                if number == self.fail_at:
                    raise ValueError(f"producer {self.name} failed")
                time.sleep(self.seconds)
                self.given += 1
                yield pa.record_batch({"p": [self.name], "n": [number]})
        finally:
            self.closed = True

    def cancel(self) -> None:
        self.cancelled.set()


class Large(Numbers):
    def batches(self) -> Iterator[pa.RecordBatch]:
        for _ in super().batches():
            yield BATCH


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
    time.sleep(0.3)
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
    assert time.monotonic() - started < 1
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
    started = time.monotonic()
    for _ in read_ahead([Numbers(1, 20, seconds=0.02)], max_bytes=10_000):
        time.sleep(0.02)
    # One after the other would be 0.8 s.
    assert time.monotonic() - started < 0.7
