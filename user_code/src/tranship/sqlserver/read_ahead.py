"""Several producers of record batches run ahead of one consumer, in threads, within a limit of bytes.

The driver lets go of the interpreter while it fetches, so extraction overlaps with whatever the
consumer does. A consumer that stops early, and a producer that fails, stop all producers.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self

import pyarrow as pa

_STOP_SECONDS = 10.0
"""How long a producer may take to notice that it was cancelled before it is left behind."""

_ASK_AGAIN_SECONDS = 0.5
"""A cancel that comes just before a statement starts is lost, so it is repeated."""

_log = logging.getLogger(__name__)


class Producer(Protocol):
    """Something that gives batches and can be told to stop from another thread."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The batches; runs in a thread of its own."""
        ...

    def cancel(self) -> None:
        """Make `batches` end soon, by an error if need be. May be called several times."""
        ...


def read_ahead(
    producers: Sequence[Producer], *, max_bytes: int
) -> Generator[pa.RecordBatch, None, None]:
    """The batches of all producers, as they come.

    Args:
        producers: Each runs in a thread of its own. Batches of one stay in order.
        max_bytes: Bytes that wait for the consumer at most; a single batch may be larger.

    Yields:
        Each batch once.

    Raises:
        Exception: The first error of a producer; the others have been stopped then.
    """
    queue = _Queue(max_bytes, len(producers))
    # Daemons: a consumer that dies without closing the iterator must not keep the process alive.
    threads = [
        threading.Thread(
            target=_produce, args=(producer, queue), name=f"read-ahead-{number}", daemon=True
        )
        for number, producer in enumerate(producers, start=1)
    ]
    try:
        for thread in threads:
            thread.start()
        while (batch := queue.get()) is not None:
            yield batch
    finally:
        queue.close()
        _stop(producers, threads)


def _produce(producer: Producer, queue: "_Queue") -> None:
    with queue.producing():
        batches = producer.batches()
        for batch in batches:
            if not queue.put(batch):
                producer.cancel()
                break
        # Ends the producer's own `with` blocks here, not when the garbage is collected.
        close = getattr(batches, "close", None)
        if close is not None:
            close()


def _stop(producers: Sequence[Producer], threads: Sequence[threading.Thread]) -> None:
    deadline = time.monotonic() + _STOP_SECONDS
    for producer, thread in zip(producers, threads, strict=True):
        if thread.is_alive():
            producer.cancel()
    for producer, thread in zip(producers, threads, strict=True):
        while thread.is_alive() and time.monotonic() < deadline:
            thread.join(_ASK_AGAIN_SECONDS)
            if thread.is_alive():
                producer.cancel()
        if thread.is_alive():
            _log.warning(
                "%s did not stop within %.0f s of being cancelled and is left behind.",
                thread.name,
                _STOP_SECONDS,
            )


class _Queue:
    """Batches on their way, bounded by bytes; knows when the last producer is done."""

    def __init__(self, max_bytes: int, producers: int) -> None:
        self._max_bytes = max_bytes
        self._running = producers
        self._waiting: deque[tuple[pa.RecordBatch, int]] = deque()
        self._bytes = 0
        self._closed = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def put(self, batch: pa.RecordBatch) -> bool:
        """Wait for room and add a batch; False where nobody wants it any more."""
        size = batch.nbytes
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or not self._waiting or self._bytes + size <= self._max_bytes
            )
            if self._closed:
                return False
            self._waiting.append((batch, size))
            self._bytes += size
            self._changed.notify_all()
            return True

    def get(self) -> pa.RecordBatch | None:
        """Wait for the next batch; `None` after the last one.

        Raises:
            Exception: The first error of a producer, before what still waits.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._error or self._waiting or not self._running)
            if self._error is not None:
                raise self._error
            if not self._waiting:
                return None
            batch, size = self._waiting.popleft()
            self._bytes -= size
            self._changed.notify_all()
            return batch

    def close(self) -> None:
        """Drop what waits and refuse the rest."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._bytes = 0
            self._changed.notify_all()

    def producing(self) -> "_Producing":
        """The time in which one producer runs."""
        return _Producing(self)

    def finished(self, error: BaseException | None) -> None:
        """One producer has ended, by an error or not."""
        with self._changed:
            self._running -= 1
            if error is not None and self._error is None and not self._closed:
                self._error = error
            self._changed.notify_all()


class _Producing:
    """Carries whatever ends a producer's thread to the consumer, who raises it."""

    def __init__(self, queue: _Queue) -> None:
        self._queue = queue

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self._queue.finished(error)
        return True
