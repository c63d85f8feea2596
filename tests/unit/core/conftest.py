"""Tables in memory behind the Dagster edge, so that the edge is tested without a database."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from typing_extensions import override

from tranship.errors import RowsOutsideSliceError, TableNotFoundError
from tranship.frames import Batches
from tranship.io_manager import TableIOManager
from tranship.reads import ReadRequest
from tranship.slices import Slice
from tranship.tables import TableSchema
from tranship.writes import WriteMode, WriteRequest, WriteResult


@dataclass
class Warehouse:
    """Tables by name, and what was asked of them."""

    tables: dict[str, pa.Table] = field(default_factory=dict)
    writes: list[WriteRequest] = field(default_factory=list)
    reads: list[ReadRequest] = field(default_factory=list)

    @property
    def written(self) -> list[str]:
        """The writes as sentences."""
        return [str(request) for request in self.writes]

    @property
    def read(self) -> list[str]:
        """The reads as sentences."""
        return [str(request) for request in self.reads]

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table."""
        return self.tables[table].to_pylist()


def members(slice_: Slice, table: pa.Table) -> pa.BooleanArray:
    """Which rows of a table belong to a slice."""
    batches = table.combine_chunks().to_batches()
    mask = slice_.mask(batches[0]) if batches else None
    return pa.array([True] * table.num_rows, pa.bool_()) if mask is None else mask


def table_io_manager(warehouse: Warehouse) -> type[TableIOManager]:
    """An IO manager whose target is a dictionary: same contract, no server."""

    class MemoryIOManager(TableIOManager):
        @property
        @override
        def default_load_type(self) -> Any:
            return pa.Table

        @override
        def write(
            self, request: WriteRequest, batches: Batches, log: logging.Logger
        ) -> WriteResult:
            warehouse.writes.append(request)
            name, incoming = str(request.table), batches.to_table()
            if not all(members(request.slice, incoming).to_pylist()):
                raise RowsOutsideSliceError(f"Rows do not belong to {request}.")
            old = warehouse.tables.get(name, incoming.slice(0, 0))
            if request.mode is WriteMode.REPLACE:
                old = old.filter(pc.invert(members(request.slice, old)))
            elif request.mode is WriteMode.MERGE:
                (key,) = request.key
                old = old.filter(pc.invert(pc.is_in(old[key], value_set=incoming[key])))
            warehouse.tables[name] = pa.concat_tables([old, incoming])
            return WriteResult(
                table=request.table,
                mode=request.mode,
                slice=request.slice,
                rows=incoming.num_rows,
                bytes=incoming.nbytes,
                seconds=0.5,
                schema=TableSchema.from_arrow(incoming.schema),
                details={"encoder": "memory"},
            )

        @override
        def read(self, request: ReadRequest, log: logging.Logger) -> Batches:
            warehouse.reads.append(request)
            if str(request.table) not in warehouse.tables:
                raise TableNotFoundError(f"There is no table {request.table}.", "Write it first.")
            table = warehouse.tables[str(request.table)]
            found = table.filter(members(request.slice, table))
            return Batches.of(found.select(request.columns or table.column_names))

    return MemoryIOManager


@pytest.fixture
def warehouse() -> Warehouse:
    return Warehouse()


@pytest.fixture
def memory_io_manager(warehouse: Warehouse) -> Callable[..., TableIOManager]:
    """Makes the IO manager over `warehouse` with the settings given."""
    return table_io_manager(warehouse)


@pytest.fixture(scope="session")
def instance() -> Iterator[dg.DagsterInstance]:
    """One Dagster instance in memory for all runs: making one takes longer than a run."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def materialize(instance: dg.DagsterInstance) -> Callable[..., dg.ExecuteInProcessResult]:
    """`dagster.materialize` on `instance`."""
    return partial(dg.materialize, instance=instance)
