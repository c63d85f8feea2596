"""Loads the sample tables into a SQL Server: by bulk copy where the server takes it, else by INSERT."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import mssql_python
import pyarrow as pa

from standins.sample.tables import SampleTable

MAX_PARAMETERS = 2_000
"""SQL Server takes 2,100 parameters in one statement."""
MAX_ROWS_PER_INSERT = 1_000

OnRows = Callable[[int], None]


class SampleLoadError(Exception):
    """A sample table could not be loaded; says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class TableLoad:
    """What became of one table.

    Args:
        table: Its name.
        rows: How many rows it holds now.
        method: `bulk copy`, `insert`, or `already there`.
    """

    table: str
    rows: int
    method: str


class SampleLoader:
    """Loads sample tables through one connection.

    Args:
        connection: An open `mssql-python` connection to the database that gets the tables.
        replace: Whether a table that is there is dropped first.
    """

    def __init__(self, connection: mssql_python.Connection, *, replace: bool = False):
        self.no_bulk_copy_because = ""
        self._connection = connection
        self._replace = replace

    def load(self, table: SampleTable, on_rows: OnRows = lambda _: None) -> TableLoad:
        """Create and fill one table, or leave it alone if it has the right number of rows already.

        Args:
            table: The table.
            on_rows: Called with the number of rows sent since the last call.

        Raises:
            SampleLoadError: If the table is there with another number of rows and is not to be replaced.
        """
        present = self._row_count(table)
        if present and not self._replace:
            if present == table.rows:
                on_rows(table.rows)
                return TableLoad(table.name, table.rows, "already there")
            raise SampleLoadError(
                f"dbo.{table.name} has {present:,} rows, the sample {table.rows:,}. Pass --replace to drop the "
                "table and load it anew, or use another database."
            )
        if present is not None and self._replace:
            self._execute(f"drop table [dbo].[{table.name}]")
            present = None
        if present is None:
            self._execute(table.ddl)
        self._connection.commit()
        method = self._fill(table, on_rows)
        loaded = self._row_count(table)
        if loaded != table.rows:
            raise SampleLoadError(
                f"dbo.{table.name} has {loaded:,} rows after loading {table.rows:,}. Is something else writing to it?"
            )
        return TableLoad(table.name, table.rows, method)

    def _fill(self, table: SampleTable, on_rows: OnRows) -> str:
        if not self.no_bulk_copy_because:
            sent = 0

            def batches() -> Iterator[pa.RecordBatch]:
                nonlocal sent
                for batch in table.batches():
                    yield batch
                    sent += len(batch)
                    on_rows(len(batch))

            try:
                self._connection.cursor().bulkcopy_arrow(
                    f"[dbo].[{table.name}]", batches(), timeout=0, table_lock=True
                )
                return "bulk copy"
            except BaseException as error:
                if not _is_refusal(error):
                    raise
                self.no_bulk_copy_because = f"{type(error).__name__}: {error}"
                on_rows(-sent)
                self._execute(f"delete from [dbo].[{table.name}]")
                self._connection.commit()
        self._insert(table, on_rows)
        return "insert"

    def _insert(self, table: SampleTable, on_rows: OnRows) -> None:
        columns = len(table.schema)
        size = min(MAX_ROWS_PER_INSERT, MAX_PARAMETERS // columns)
        cursor = self._connection.cursor()
        for batch in table.batches():
            for start in range(0, len(batch), size):
                part = batch.slice(start, size)
                rows = list(zip(*(column.to_pylist() for column in part.columns), strict=True))
                cursor.execute(*_insert_statement(table, rows))
                on_rows(len(part))
        self._connection.commit()

    def _row_count(self, table: SampleTable) -> int | None:
        """Return how many rows the table has, None if there is no such table."""
        cursor = self._connection.cursor()
        cursor.execute(
            "select count(*) from information_schema.tables where table_schema = ? and table_name = ?",
            ["dbo", table.name],
        )
        if not cursor.fetchval():
            return None
        cursor.execute(f"select count_big(*) from [dbo].[{table.name}]")
        return cursor.fetchval()

    def _execute(self, statement: str) -> None:
        self._connection.cursor().execute(statement)


def _is_refusal(error: BaseException) -> bool:
    """Whether the driver gave bulk copy up: its Rust part panics where a server answers otherwise, and that is no Exception."""
    known = (mssql_python.Error, RuntimeError, TypeError, ValueError)
    return isinstance(error, known) or type(error).__name__ == "PanicException"


def _insert_statement(
    table: SampleTable, rows: Sequence[Sequence[object]]
) -> tuple[str, list[object]]:
    """Return an INSERT of several rows and its parameters."""
    # The driver sends a null parameter as text, which SQL Server does not turn into varbinary.
    markers = [f"({', '.join('null' if value is None else '?' for value in row)})" for row in rows]
    parameters = [value for row in rows for value in row if value is not None]
    columns = ", ".join(f"[{name}]" for name in table.schema.names)
    statement = f"insert into [dbo].[{table.name}] ({columns}) values {', '.join(markers)}"
    return statement, parameters
