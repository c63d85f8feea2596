"""The SQL Server that is read from: fills it with the tables to move, and takes them away again."""

from contextlib import closing
from typing import Any
from urllib.parse import parse_qs, urlsplit

import mssql_python
import pyarrow as pa

from bench.shapes import KEY, SEED_ROWS, Shape
from standins.sample.connect import parse_url

ROWS_PER_INSERT = 500
MOST_PARAMETERS = 2_000
GO_DRIVER = "sqlserver"


class Source:
    """A SQL Server, by its SQLAlchemy URL.

    Args:
        url: Such as `mssql+mssqlpython://user:password@host:1433/database?Encrypt=no`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._made: list[str] = []

    def fill(self, shape: Shape, rows: int) -> None:
        """Make a shape's table with so many rows, unless it is there already."""
        name = shape.table(rows)
        table = f"[dbo].[{name}]"
        with closing(self._connect()) as connection:
            cursor = connection.cursor()
            if self._rows(cursor, name) == rows:
                return
            self._drop(cursor, name)
            self._made.append(name)
            cursor.execute(shape.ddl(table))
            _insert(cursor, table, shape.seed_batch().slice(0, rows))
            others = ", ".join(f"[{name}]" for name, _, _ in shape.columns[1:])
            present = min(SEED_ROWS, rows)
            while present < rows:
                # The whole table once more, or what is missing of it, under keys that go on.
                wanted = min(present, rows - present)
                cursor.execute(
                    f"insert into {table} ([{KEY}], {others}) "
                    f"select [{KEY}] + {present}, {others} from {table} where [{KEY}] <= {wanted}"
                )
                present += wanted

    def execute(self, *statements: str) -> None:
        """Run statements, each committed."""
        with closing(self._connect()) as connection:
            for statement in statements:
                connection.cursor().execute(statement)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with closing(self._connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()]

    def remember(self, table: str) -> None:
        """Have a table dropped by `clean`."""
        self._made.append(table)

    def clean(self) -> None:
        """Drop the tables that were made here."""
        with closing(self._connect()) as connection:
            for table in self._made:
                self._drop(connection.cursor(), table)
        self._made.clear()

    def product(self) -> str:
        """What the server calls itself, on one line."""
        return str(self.query("select @@version")[0][0]).splitlines()[0].strip()

    def _connect(self) -> mssql_python.Connection:
        parts = parse_url(self.url)
        return mssql_python.connect(parts.connection_string(parts.database), autocommit=True)

    @staticmethod
    def _rows(cursor: Any, table: str) -> int | None:
        cursor.execute(
            "select count(*) from information_schema.tables where table_schema = ? and table_name = ?",
            ["dbo", table],
        )
        if not cursor.fetchval():
            return None
        cursor.execute(f"select count_big(*) from [dbo].[{table}]")
        return int(cursor.fetchval())

    def _drop(self, cursor: Any, table: str) -> None:
        if self._rows(cursor, table) is not None:
            cursor.execute(f"drop table [dbo].[{table}]")


def _insert(cursor: Any, table: str, batch: pa.RecordBatch) -> None:
    columns = ", ".join(f"[{name}]" for name in batch.schema.names)
    size = min(ROWS_PER_INSERT, MOST_PARAMETERS // batch.num_columns)
    for start in range(0, batch.num_rows, size):
        rows = list(
            zip(*(column.to_pylist() for column in batch.slice(start, size).columns), strict=True)
        )
        # The driver sends a null parameter as text, which no server turns into varbinary.
        marks = ", ".join(
            f"({', '.join('null' if value is None else '?' for value in row)})" for row in rows
        )
        values = [value for row in rows for value in row if value is not None]
        cursor.execute(f"insert into {table} ({columns}) values {marks}", values)


def address(url: str, scheme: str) -> str:
    """A source's URL as another tool spells it.

    Args:
        url: The SQLAlchemy URL.
        scheme: `mssql` for ingestr, `sqlserver` for the Go driver itself.
    """
    parts = urlsplit(url)
    base = f"{scheme}://{parts.netloc}"
    if scheme == GO_DRIVER:  # to it, a path is the name of an instance
        base += f"?database={parts.path.lstrip('/')}&"
    else:
        base += f"{parts.path}?"
    options = {name.lower(): values[0].lower() for name, values in parse_qs(parts.query).items()}
    if options.get("encrypt") in {"no", "optional"}:
        return f"{base}encrypt=disable"
    trusted = options.get("trustservercertificate") == "yes"
    return f"{base}encrypt=true" + ("&TrustServerCertificate=true" if trusted else "")
