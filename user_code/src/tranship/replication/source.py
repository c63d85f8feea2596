"""What a load asks SQL Server besides the rows: how far the cursor is, counts, sums, where to cut."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from tranship.comparisons import sql_column
from tranship.errors import TranshipError
from tranship.frames import Batches
from tranship.identity import SourceIdentity
from tranship.reads import ReadRequest
from tranship.replication.cursors import Cursor, Kind, Value
from tranship.replication.plan import TablePlan
from tranship.slices import Slice, WholeTable
from tranship.sqlserver import reader
from tranship.sqlserver.catalogue import describe, row_count_estimate
from tranship.sqlserver.conditions import ROW_COUNT, select_rows
from tranship.sqlserver.connection import connect, driver
from tranship.sqlserver.consistency import begin_consistent_read
from tranship.sqlserver.driver_errors import driver_errors
from tranship.sqlserver.handover import Handover
from tranship.sqlserver.identity import identity_counter, identity_of
from tranship.sqlserver.options import ReadOptions
from tranship.sqlserver.query import row_predicate
from tranship.sqlserver.settings import SqlServerSettings
from tranship.sqlserver.statements import rows
from tranship.tables import TableSchema

_ROWVERSION_BYTES = 8
_LOWEST_OPEN = sa.text("select min_active_rowversion()")


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a cursor is at a moment.

    Args:
        value: The highest value; `None` where no row has one.
        is_final: Whether no row will ever appear at or below it, so that no lookback is needed.
    """

    value: Value | None
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """One table of a SQL Server, as its plan reads it.

    Args:
        settings: The server.
        plan: The table's plan.
        schema: The table's columns, key and comments.
        handover: Passes the connection from one question to the next, and to the reading of rows.
    """

    settings: SqlServerSettings
    plan: TablePlan
    schema: TableSchema
    handover: Handover = field(default_factory=Handover, repr=False, compare=False)

    @classmethod
    def open(cls, settings: SqlServerSettings, plan: TablePlan) -> "Source":
        """Look the table up.

        Raises:
            TableNotFoundError: There is no such table.
            ConnectionFailedError: The server cannot be reached, or refuses the login.
        """
        handover = Handover()
        schema = describe(settings, plan.source, handover=handover)
        return cls(settings, plan, schema, handover)

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row: the plan's, else the primary key."""
        return self.plan.key or self.schema.primary_key

    def read(
        self, columns: Sequence[str], part: Slice | None = None, *, log: Any = None
    ) -> Batches:
        """The rows of a part of the table, those that the plan's condition lets through."""
        return reader.read(
            self.settings,
            ReadRequest(self.plan.source, part or WholeTable(), tuple(columns)),
            self._options(columns),
            schema=self.schema,
            log=log,
            handover=self.handover,
        )

    def identity(self) -> SourceIdentity:
        """What the server tells now of itself, its database and the table."""
        with self._connection(leaving=self.handover) as connection:
            return identity_of(connection, self.settings, self.plan.source)

    def identity_counter(self, column: str) -> Decimal | None:
        """The last number that the server gave to a column which it numbers upwards itself."""
        with self._connection(leaving=self.handover) as connection:
            return identity_counter(connection, self.settings, self.plan.source, column)

    def estimated_rows(self) -> int | None:
        """Rows by the server's own books; `None` for a view, or where it keeps none."""
        return row_count_estimate(self.settings, self.plan.source, handover=self.handover)

    def highest(self, cursor: Cursor) -> "Reached":
        """The highest cursor value that may be loaded now.

        Asked before the rows are read, so that rows which arrive meanwhile belong to the next load.
        A rowversion is taken only below the lowest one that an open transaction may have written
        (https://learn.microsoft.com/sql/t-sql/functions/min-active-rowversion-transact-sql), where
        the server can tell; elsewhere the lookback has to do.
        """
        highest = self._ask(self._rows_of(WholeTable(), sa.func.max(sql_column(cursor.column))))[0][
            0
        ]
        if highest is None or cursor.kind is not Kind.ROWVERSION:
            return Reached(highest)
        highest = bytes(highest)
        lowest_open = self._lowest_open_rowversion()
        if lowest_open is None:
            return Reached(highest)
        below = (int.from_bytes(lowest_open) - 1).to_bytes(_ROWVERSION_BYTES)
        return Reached(min(highest, below), is_final=True)

    def _lowest_open_rowversion(self) -> bytes | None:
        try:
            with driver_errors(driver(), self.settings, "asking for the lowest open rowversion"):
                return bytes(self._ask(_LOWEST_OPEN)[0][0])
        except TranshipError as error:
            if error.transient:
                raise
            return None  # Babelfish has no such function

    def count(self, part: Slice) -> int:
        """How many rows a part of the table has."""
        return int(self._ask(self._rows_of(part, ROW_COUNT))[0][0])

    def aggregates(
        self, part: Slice, expressions: Sequence[sa.ColumnElement[Any]]
    ) -> tuple[Any, ...]:
        """One row of aggregates over a part of the table, at one moment where the server can."""
        # Not left to the next question, which need not see the same moment.
        with self._connection(leaving=None) as connection:
            begin_consistent_read(connection)
            return rows(connection, self._rows_of(part, *expressions))[0]

    def cut(self, column: str, part: Slice, row_count: int) -> Any:
        """The value of a column at which the first so many rows of a part end, in its order.

        Returns:
            The last of their values; `None` where the part has no more rows than that.
        """
        key = sql_column(column)
        first = (
            self._rows_of(part, key.label("k"), sa.literal_column("1").label("one"))
            .order_by(key)
            .limit(row_count + 1)
            .subquery("first_rows")
        )
        count, last = self._ask(sa.select(sa.func.count_big(first.c.one), sa.func.max(first.c.k)))[
            0
        ]
        return last if count > row_count else None

    def _rows_of(
        self, part: Slice, *expressions: sa.ColumnElement[Any]
    ) -> sa.Select[*tuple[Any, ...]]:
        table = self.plan.source
        predicate = row_predicate(
            ReadRequest(table, part), self.schema, ReadOptions(where=self.plan.where)
        )
        return select_rows(table, predicate, *expressions)

    def _options(self, columns: Sequence[str]) -> ReadOptions:
        casts = {name: type_ for name, type_ in self.plan.columns.cast.items() if name in columns}
        return ReadOptions(
            where=self.plan.where, cast=casts, on_nul=self.plan.on_nul, parts=self.plan.parallel
        )

    def _ask(self, statement: Any) -> list[tuple[Any, ...]]:
        with self._connection(leaving=self.handover) as connection:
            return rows(connection, statement)

    @contextmanager
    def _connection(self, leaving: Handover | None) -> Iterator[Any]:
        with connect(
            self.settings,
            doing=f"asking about {self.plan.source}",
            taking=self.handover,
            leaving=leaving,
        ) as connection:
            yield connection
