"""A driver that blocks in any one of its calls keeps nobody past the deadline."""

import threading
import time
from collections.abc import Generator, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest

from tranship.errors import TransientError
from tranship.reads import ReadRequest
from tranship.sqlserver import connection as connections
from tranship.sqlserver import reader, stopping
from tranship.sqlserver.options import ReadOptions
from tranship.sqlserver.settings import SqlServerSettings
from tranship.tables import Column, SourceType, TableName, TableSchema

SETTINGS = SqlServerSettings(host="db", database="dw", user="etl", password="hunter2")
SCHEMA = TableSchema((Column("Id", pa.int32(), False, SourceType("int")),), ("Id",))
ROWS = pa.record_batch({"Id": pa.array(range(1000), pa.int32())})
CALLS = ("connect", "execute", "fetch", "cancel", "free", "disconnect")


class StuckDriver:
    """The driver's calls over a table without end; one of them does not return before `released` is set.

    Args:
        stuck_in: The call that blocks.
        after: How many of these calls go well before.
    """

    def __init__(self, stuck_in: str, after: int = 0) -> None:
        self.released = threading.Event()
        self.reached = threading.Event()
        self.freed_while_cancelling = False
        self._stuck_in, self._left = stuck_in, after
        self._cancelling = 0
        self._lock = threading.Lock()
        self.exceptions = SimpleNamespace(Exception=OSError, ConnectionStringParseError=KeyError)

    def call(self, name: str) -> None:
        with self._lock:
            if name != self._stuck_in:
                return
            self._left -= 1
            if self._left >= 0:
                return
        self.reached.set()
        self.released.wait()

    def pooling(self, *, enabled: bool) -> None:
        pass

    def connect(self, _text: str, **_options: Any) -> "StuckConnection":
        self.call("connect")
        return StuckConnection(self)

    def cancel(self) -> None:
        with self._lock:
            self._cancelling += 1
        self.call("cancel")
        with self._lock:
            self._cancelling -= 1

    def free(self) -> None:
        with self._lock:
            self.freed_while_cancelling |= self._cancelling > 0
        self.call("free")


class StuckConnection:
    def __init__(self, driver: StuckDriver) -> None:
        self._driver = driver
        self.timeout = 0

    def cursor(self) -> "StuckCursor":
        return StuckCursor(self._driver)

    def close(self) -> None:
        self._driver.call("disconnect")


class StuckCursor:
    def __init__(self, driver: StuckDriver) -> None:
        self._driver = driver
        self.hstmt = SimpleNamespace(_cancel=driver.cancel)

    def execute(self, _statement: str, *_values: Any) -> "StuckCursor":
        self._driver.call("execute")
        return self

    def fetchall(self) -> list[tuple[Any, ...]]:
        return [(0, 1)]  # row versions are kept

    def arrow_batch(self, rows: int) -> pa.RecordBatch:
        if rows:
            self._driver.call("fetch")
        return ROWS.slice(0, min(rows, len(ROWS)))

    def close(self) -> None:
        self._driver.free()


@pytest.fixture(autouse=True)
def short_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tranship.read_ahead.STOP_SECONDS", 0.6)
    monkeypatch.setattr("tranship.read_ahead.ASK_AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(stopping, "FREE_SECONDS", 0.1)
    monkeypatch.setattr(connections, "check_reachable", lambda _settings: None)


def stream(
    monkeypatch: pytest.MonkeyPatch, driver: StuckDriver, parts: int = 1
) -> Generator[pa.RecordBatch, None, None]:
    monkeypatch.setattr(connections, "driver", lambda: driver)
    monkeypatch.setattr("tranship.sqlserver.parts.part_predicates", lambda *_: [None] * parts)
    batches = reader.read(
        SETTINGS,
        ReadRequest(TableName("dbo", "T")),
        ReadOptions(parts=parts, queue_bytes=1),
        schema=SCHEMA,
    )
    return cast("Generator[pa.RecordBatch, None, None]", batches.open())


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("stuck_in", ["cancel", "free", "disconnect"])
def test_stopping_ends_whatever_the_driver_is_stuck_in(
    monkeypatch: pytest.MonkeyPatch, stuck_in: str, parts: int
) -> None:
    driver = StuckDriver(stuck_in, after=1 if stuck_in == "free" else 0)
    batches = stream(monkeypatch, driver, parts)
    next(batches)
    started = time.monotonic()
    batches.close()
    assert time.monotonic() - started < 30
    assert not driver.freed_while_cancelling
    driver.released.set()


@pytest.mark.parametrize("stuck_in", ["execute", "fetch"])
def test_a_part_that_is_stuck_before_its_first_row_does_not_hold_the_others_up(
    monkeypatch: pytest.MonkeyPatch, stuck_in: str
) -> None:
    # Two parts have given rows, and the third is stuck for ever.
    driver = StuckDriver(stuck_in, after=5 if stuck_in == "execute" else 2)
    batches = stream(monkeypatch, driver, 3)
    next(batches)
    assert driver.reached.wait(5)
    started = time.monotonic()
    batches.close()
    assert time.monotonic() - started < 30
    driver.released.set()


@pytest.mark.parametrize("stuck_in", CALLS)
def test_an_error_of_the_consumer_gets_through_whatever_the_driver_is_stuck_in(
    monkeypatch: pytest.MonkeyPatch, stuck_in: str
) -> None:
    driver = StuckDriver(stuck_in)

    def rows() -> Iterator[pa.RecordBatch]:
        yield from stream(monkeypatch, driver)

    def look(waited: float) -> None:
        raise TransientError("The target is gone.")

    from tranship.read_ahead import ReadAhead, items_of

    started = time.monotonic()
    with (  # noqa: PT012 - the error may come with any item
        pytest.raises(TransientError, match="The target is gone"),
        ReadAhead([items_of(rows)], max_bytes=1, size=lambda batch: batch.nbytes) as ahead,
    ):
        for _ in range(3):
            ahead.get(look)
        look(0)
    assert time.monotonic() - started < 30
    driver.released.set()


def test_a_statement_is_not_freed_while_another_thread_cancels_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    driver = StuckDriver("cancel")
    cursor_holder = StuckConnection(driver)
    cancelling: list[threading.Thread] = []

    def give_up(call: Any) -> None:
        thread = threading.Thread(target=call, daemon=True)
        cancelling.append(thread)
        thread.start()
        assert driver.reached.wait(5)

    monkeypatch.setattr(stopping, "on_cancel", lambda call: _Asked(give_up, call))
    with stopping.stoppable_cursor(cursor_holder):
        pass
    assert not driver.freed_while_cancelling
    assert "The driver did not cancel a statement within 0.1 s" in caplog.text
    driver.released.set()


class _Asked:
    """A block that is asked to stop at its very end."""

    def __init__(self, ask: Any, call: Any) -> None:
        self._ask, self._call = ask, call

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._ask(self._call)
