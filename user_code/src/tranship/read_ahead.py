"""Producers in threads run ahead of one consumer, within a limit; every wait ends, and every stop has a deadline.

Reading a source, encoding for COPY and shaping for S3 are the same thing: something slow gives items, something
else slow takes them, and either may die while the other waits. So all of them go through here.

A producer opens, reads and closes what it reads in its one thread, in the context variables of who asked: a cursor
that belongs to its thread, and a library that looks for its settings in the context, work.

Stopping is asked for, never forced, because a thread cannot be ended: whoever blocks in a call that another thread
can cut short says so with `on_cancel`. Those calls may block themselves, so they are made in threads of their own,
and the consumer waits for nothing but the deadline. What is still blocked then is left behind, and the log says so.
"""

import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, Self, TypeVar

Item = TypeVar("Item")

Producer = Callable[[Callable[[Item], None]], None]
"""Hands over its items with the function that it is given."""

STOP_SECONDS = 10.0
"""How long producers may take to notice that nobody wants their items before they are left behind."""
GRACE_SECONDS = 0.05
"""How long producers may take to end by themselves: most wait for room, and need no call to be cut short."""
ASK_AGAIN_SECONDS = 0.5
"""A cancel that comes just before a call starts is lost, so it is repeated."""
LOOK_SECONDS = 1.0
"""How often a waiting consumer looks whether waiting is still worth it."""
MOST_ITEMS = 1024
"""Items that wait at most, however small they are: an item costs memory beside its bytes."""

_log = logging.getLogger(__name__)


class Cancelled(BaseException):
    """Raised inside a producer whose items nobody wants any more: a request, like GeneratorExit. Let it pass."""


class _Cancellation:
    """The request to stop, and what must be called so that those who block notice it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[int, Callable[[], None]] = {}
        self._number = 0
        self.requested = False

    def request(self) -> None:
        with self._lock:
            self.requested = True

    def calls(self) -> dict[int, Callable[[], None]]:
        with self._lock:
            return dict(self._calls)

    def add(self, call: Callable[[], None]) -> int:
        with self._lock:
            if self.requested:
                raise Cancelled
            self._number += 1
            self._calls[self._number] = call
            return self._number

    def remove(self, number: int) -> None:
        with self._lock:
            self._calls.pop(number, None)


_current: contextvars.ContextVar[_Cancellation | None] = contextvars.ContextVar(
    "tranship_cancellation", default=None
)


@contextmanager
def on_cancel(call: Callable[[], None]) -> Generator[None]:
    """Say how the block is cut short when nobody wants the items of the producer it runs in.

    Outside of a producer nothing is registered: nobody would ask.

    Args:
        call: Makes what the block waits for end soon. It is called in another thread, may be called several
            times, may block, and may find that the block has just ended.

    Raises:
        Cancelled: It was asked for already.

    Example:
        >>> with on_cancel(lambda: print("stopping")):
        ...     pass
    """
    cancellation = _current.get()
    if cancellation is None:
        yield
        return
    number = cancellation.add(call)
    try:
        yield
    finally:
        cancellation.remove(number)


class ReadAhead(Generic[Item]):
    """Producers in threads and the items they have given so far.

    Threads start with the first `get`, which may be called from any one thread at a time. Whoever makes one
    closes it; a `with` block does.

    Args:
        producers: Each is called in a thread of its own with a function that hands over an item: it waits for
            room, and raises `Cancelled` where nobody wants the item. `items_of` makes one of an iterator.
        max_bytes: Bytes that wait for the consumer at most; a single item may be larger.
        size: The bytes of an item.
        max_items: Items that wait for the consumer at most.
        name: What the threads are called.
        stop_seconds: How long stopping may take; by default `STOP_SECONDS`.

    Example:
        >>> with ReadAhead([items_of(lambda: iter([b"a", b"b"]))], max_bytes=10, size=len) as ahead:
        ...     ahead.get(), ahead.get(), ahead.get()
        (b'a', b'b', None)
    """

    def __init__(
        self,
        producers: Sequence[Producer[Item]],
        *,
        max_bytes: int,
        size: Callable[[Item], int],
        max_items: int = MOST_ITEMS,
        name: str = "read-ahead",
        stop_seconds: float | None = None,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_items = max_items
        self._size = size
        self._stop_seconds = STOP_SECONDS if stop_seconds is None else stop_seconds
        self._running = len(producers)
        self._waiting: deque[tuple[Item, int]] = deque()
        self._bytes = 0
        self._started = False
        self._closed = False
        self._interrupted = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._cancellation = _Cancellation()
        # Daemons: a consumer that dies without closing must not keep the process alive. Each has a context of
        # its own, as one context cannot be entered twice at a time.
        self._threads = [
            threading.Thread(
                target=contextvars.copy_context().run,
                args=(self._produce, producer),
                name=f"{name}-{number}",
                daemon=True,
            )
            for number, producer in enumerate(producers, start=1)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, look: Callable[[float], None] | None = None) -> Item | None:
        """Wait for the next item; `None` after the last one.

        Args:
            look: Called about once a second while there is nothing, with the seconds waited so far. It ends the
                wait by raising: because the other side has died, or because it has been long enough.

        Raises:
            Exception: The first error of a producer, before what still waits; or what `look` raised.
            Cancelled: The consumer is itself part of a producer, whose items nobody wants any more.
        """
        began = time.monotonic()
        with on_cancel(self._interrupt):
            self._start()
            while True:
                with self._changed:
                    self._changed.wait_for(self._is_settled, LOOK_SECONDS if look else None)
                    if self._interrupted:
                        raise Cancelled
                    if self._error is not None:
                        raise self._error
                    if self._waiting:
                        return self._taken()
                    if self._running == 0 or self._closed:
                        return None
                if look is not None:
                    look(time.monotonic() - began)

    def close(self) -> None:
        """Drop what waits, refuse the rest, and stop the producers: by asking, until the deadline."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._bytes = 0
            self._changed.notify_all()
        self._cancellation.request()
        self._stop()

    def _is_settled(self) -> bool:
        return bool(
            self._error or self._waiting or self._interrupted or self._closed or not self._running
        )

    def _taken(self) -> Item:
        item, size = self._waiting.popleft()
        self._bytes -= size
        self._changed.notify_all()
        return item

    def _interrupt(self) -> None:
        with self._changed:
            self._interrupted = True
            self._changed.notify_all()

    def _start(self) -> None:
        if self._started or self._closed:
            return
        self._started = True
        for thread in self._threads:
            thread.start()

    def _produce(self, producer: Producer[Item]) -> None:
        """Runs in the thread; whatever ends it is carried to the consumer, who raises it."""
        _current.set(self._cancellation)
        error: BaseException | None = None
        try:
            producer(self._put)
        except Cancelled:
            pass
        except BaseException as raised:  # noqa: BLE001 - handed to the consumer, who raises it
            error = raised
        with self._changed:
            self._running -= 1
            if self._error is None and not self._closed:
                self._error = error
            self._changed.notify_all()

    def _put(self, item: Item) -> None:
        size = self._size(item)
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_room(size))
            if self._closed:
                raise Cancelled
            self._waiting.append((item, size))
            self._bytes += size
            self._changed.notify_all()

    def _has_room(self, size: int) -> bool:
        if not self._waiting:
            return True
        return self._bytes + size <= self._max_bytes and len(self._waiting) < self._max_items

    def _stop(self) -> None:
        deadline = time.monotonic() + self._stop_seconds
        asking: dict[int, threading.Thread] = {}
        patience = GRACE_SECONDS
        while alive := [
            thread
            for thread in self._threads
            if thread.is_alive() and thread is not threading.current_thread()
        ]:
            left = deadline - time.monotonic()
            if left <= 0:
                _log.warning(
                    "%s did not stop within %g s of being cancelled and is left behind.",
                    ", ".join(thread.name for thread in alive),
                    self._stop_seconds,
                )
                return
            alive[0].join(min(patience, left))
            patience = ASK_AGAIN_SECONDS
            for number, call in self._cancellation.calls().items():
                if number not in asking or not asking[number].is_alive():
                    asking[number] = threading.Thread(target=_ask, args=(call,), daemon=True)
                    asking[number].start()


def _ask(call: Callable[[], None]) -> None:
    try:
        call()
    except Exception:  # noqa: BLE001 - the producer is told apart by whether it ends
        _log.debug("A call that should end a wait failed.", exc_info=True)


class InThisThread(Generic[Item]):
    """One iterator, taken like a `ReadAhead` but opened, read and closed by whoever takes its items.

    A user's generator may use what lives in the thread that made it, such as a cursor of sqlite3, or the rows of
    `pandas.read_sql` with a `chunksize`. Nothing is read ahead of the consumer then, and nobody can look after
    the other side while the generator thinks.

    Args:
        opened: Opens the iterator, at the first `get`.

    Example:
        >>> with InThisThread(lambda: iter([1])) as items:
        ...     items.get(), items.get()
        (1, None)
    """

    def __init__(self, opened: Callable[[], Iterator[Item]]) -> None:
        self._opened = opened
        self._items: Iterator[Item] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, look: Callable[[float], None] | None = None) -> Item | None:
        """The next item; `None` after the last one.

        Args:
            look: Called once before the item is asked for; it may raise.

        Raises:
            Exception: Whatever the iterator raised.
        """
        if look is not None:
            look(0.0)
        if self._items is None:
            self._items = self._opened()
        return next(self._items, None)

    def close(self) -> None:
        """End the iterator, with its own `with` blocks."""
        close: Any = getattr(self._items, "close", None)
        if close is not None:
            close()


def items_of(opened: Callable[[], Iterator[Item]]) -> Producer[Item]:
    """A producer that opens an iterator, hands over its items, and closes it, all in its one thread."""

    def produce(put: Callable[[Item], None]) -> None:
        items = opened()
        try:
            for item in items:
                put(item)
        finally:
            # Ends the iterator's own `with` blocks here, not when the garbage is collected.
            close: Any = getattr(items, "close", None)
            if close is not None:
                close()

    return produce


def read_ahead(
    producers: Sequence[Callable[[], Iterator[Item]]],
    *,
    max_bytes: int,
    size: Callable[[Item], int],
    look: Callable[[float], None] | None = None,
    name: str = "read-ahead",
) -> Generator[Item, None, None]:
    """The items of all producers, as they come.

    Args:
        producers: Each opens an iterator in a thread of its own. Items of one stay in order.
        max_bytes: Bytes that wait for the consumer at most; a single item may be larger.
        size: The bytes of an item.
        look: Called about once a second while there is nothing; see `ReadAhead.get`.
        name: What the threads are called.

    Yields:
        Each item once.

    Raises:
        Exception: The first error of a producer; the others have been stopped then.

    Example:
        >>> list(read_ahead([lambda: iter([1, 2])], max_bytes=8, size=lambda _: 1))
        [1, 2]
    """
    opened = [items_of(producer) for producer in producers]
    with ReadAhead(opened, max_bytes=max_bytes, size=size, name=name) as ahead:
        while (item := ahead.get(look)) is not None:
            yield item
