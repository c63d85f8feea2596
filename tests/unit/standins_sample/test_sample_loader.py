"""The sample reaches a server that takes no bulk copy, whatever the driver makes of that."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from standins.sample import sample_tables
from standins.sample.loader import SampleLoader

CATEGORIES = next(table for table in sample_tables() if table.name == "DimProductCategory")


class PanicException(BaseException):
    """What a panic of the driver's Rust part is: no Exception."""


class Server:
    """A database with one table, as the loader talks to it; its bulk copy fails after a few rows."""

    def __init__(self, fault: Callable[[], BaseException]) -> None:
        self.rows: list[object] = []
        self.exists = False
        self._fault = fault

    def cursor(self) -> "Server":
        return self

    def commit(self) -> None:
        pass

    def execute(self, statement: str, values: Any = ()) -> None:
        if statement.startswith("insert"):
            self.rows += [None] * (statement.count("(") - 1)
        elif statement.startswith("delete"):
            self.rows.clear()
        elif "information_schema" in statement:
            self._answer: object = int(self.exists)
        elif statement.startswith("select"):
            self._answer = len(self.rows)
        else:
            self.exists = True

    def fetchval(self) -> object:
        return self._answer

    def bulkcopy_arrow(self, _table: str, batches: Iterator[Any], **_options: Any) -> None:
        self.rows += [None] * len(next(batches))
        raise self._fault()


@pytest.mark.parametrize(
    "fault",
    [
        lambda: PanicException("called `Result::unwrap()` on an `Err` value"),
        lambda: RuntimeError("Bulk copy is not supported."),
    ],
)
def test_rows_are_inserted_where_bulk_copy_is_not_to_be_had(fault: Callable[[], BaseException]):
    server = Server(fault)
    loader = SampleLoader(server)  # pyright: ignore[reportArgumentType]

    loaded = loader.load(CATEGORIES)

    assert (loaded.rows, loaded.method) == (4, "insert")
    assert len(server.rows) == 4
    assert type(fault()).__name__ in loader.no_bulk_copy_because


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_is_no_refusal(interruption: type[BaseException]):
    loader = SampleLoader(Server(interruption))  # pyright: ignore[reportArgumentType]
    with pytest.raises(interruption):
        loader.load(CATEGORIES)
