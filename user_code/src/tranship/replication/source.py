"""What a load asks SQL Server besides the rows: how far the cursor is, counts, sums, where to cut."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from tranship.comparisons import sql_column
from tranship.errors import TranshipError
from tranship.frames import Batches
from tranship.identity import SourceIdentity
from tranship.reads import ReadRequest
from tranship.replication.cursors import ROWVERSION_BYTES, Cursor, Kind, Value, has_zone
from tranship.replication.plan import TablePlan
from tranship.slices import Interval, Slice, WholeTable
from tranship.sqlserver import reader
from tranship.sqlserver.arriving import as_shown
from tranship.sqlserver.catalogue import describe, row_count_estimate
from tranship.sqlserver.conditions import ROW_COUNT, select_rows
from tranship.sqlserver.connection import connect, driver
from tranship.sqlserver.consistency import Consistency, begin_consistent_read
from tranship.sqlserver.driver_errors import driver_errors
from tranship.sqlserver.handover import Handover
from tranship.sqlserver.identity import identity_counter, identity_of
from tranship.sqlserver.local_clocks import column_default
from tranship.sqlserver.options import ReadOptions
from tranship.sqlserver.query import row_predicate
from tranship.sqlserver.settings import SqlServerSettings
from tranship.sqlserver.statements import rows
from tranship.tables import TableSchema

_LOWEST_OPEN = sa.text(f"select cast(min_active_rowversion() as binary({ROWVERSION_BYTES}))")
# https://learn.microsoft.com/sql/t-sql/functions/dbts-transact-sql
_LAST_USED = sa.text(f"select cast(@@dbts as binary({ROWVERSION_BYTES}))")


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a cursor is at a moment.

    Args:
        value: The highest value that a bookmark may be made of; `None` where no row has one.
        is_final: Whether no row will ever appear at or below it, so that no lookback is needed.
        counter: The highest value that the server itself has given out, where it numbers the rows.
        beyond: The server's clock, where values lie beyond it; `None` where none do.
        furthest: The highest value, where it lies beyond `value`.
    """

    value: Value | None
    is_final: bool = False
    counter: Value | None = None
    beyond: Value | None = None
    furthest: Value | None = None

    def is_behind(self, bookmark: Value | None) -> bool:
        """Whether new rows may get values that a load from this bookmark on would not see."""
        value: Any = self.value
        counter: Any = self.counter
        if value is None or bookmark is None or value >= bookmark:
            return False
        # A server that numbers changes itself never numbers one below: the newest row was deleted.
        return counter is None or counter < bookmark


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
        self,
        columns: Sequence[str],
        part: Slice | None = None,
        *,
        log: Any = None,
        in_order: bool = False,
    ) -> Batches:
        """The rows of a part of the table, those that the plan's condition lets through.

        Args:
            columns: Which columns.
            part: Which rows; all by default.
            log: Where it is said what the read sees.
            in_order: Whether over one connection in the key's order, in which a row that stays in its place
                comes once.
        """
        options = self._options(columns)
        if in_order:
            options = replace(options, parts=1, order_by=self.key)
        return reader.read(
            self.settings,
            ReadRequest(self.plan.source, part or WholeTable(), tuple(columns)),
            options,
            schema=self.schema,
            log=log,
            handover=self.handover,
        )

    def sees_one_moment(self) -> bool:
        """Whether a read shows each row as it is at one moment: the database keeps row versions, and one query reads."""
        with self._connection(leaving=None) as connection:
            seen = begin_consistent_read(connection)
        return seen is not Consistency.COMMITTED and self.plan.parallel == 1

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

    def highest(self, cursor: Cursor) -> Reached:
        """The highest cursor value that may be loaded now.

        Asked before the rows are read, so that rows which arrive meanwhile belong to the next load. A
        rowversion is taken only below the lowest one that an open transaction may have written
        (https://learn.microsoft.com/sql/t-sql/functions/min-active-rowversion-transact-sql), where
        the server can tell; elsewhere the lookback has to do. A time is taken only up to the server's clock:
        a bookmark of 9999-12-31 would keep every later row out.

        Raises:
            TranshipError: The server gives a value that is none of the cursor's kind.
        """
        match cursor.kind:
            case Kind.ROWVERSION:
                return self._highest_version(cursor)
            case Kind.TIME | Kind.DATE:
                return self._highest_time(cursor)
            case _:
                return Reached(self._extreme(cursor, sa.func.max, WholeTable()))

    def lowest(self, cursor: Cursor, part: Slice) -> Value | None:
        """The lowest cursor value of a part of the table; `None` where no row has one."""
        return self._extreme(cursor, sa.func.min, part)

    def _extreme(self, cursor: Cursor, function: Any, part: Slice) -> Value | None:
        statement = self._rows_of(part, function(sql_column(cursor.column)))
        return cursor.checked(self._ask(statement)[0][0])

    def newer(self, cursor: Cursor, value: Value) -> int:
        """How many rows lie beyond a value, without those beyond the server's clock."""
        now = None
        if cursor.kind in {Kind.TIME, Kind.DATE}:
            now = _latest(cursor, self._ask(sa.select(*_clocks(cursor)))[0])
        return self.count(Interval(cursor.column, value, now, includes_low=False))

    def _highest_time(self, cursor: Cursor) -> Reached:
        highest, *clocks = self._ask(
            self._rows_of(WholeTable(), sa.func.max(sql_column(cursor.column)), *_clocks(cursor))
        )[0]
        highest, now = cursor.checked(highest), _latest(cursor, clocks)
        if highest is None or highest <= now:
            return Reached(highest)
        within = self._extreme(cursor, sa.func.max, Interval(cursor.column, None, now))
        return Reached(within, beyond=now, furthest=highest)

    def _highest_version(self, cursor: Cursor) -> Reached:
        # Asked for as bytes: a server that has no rowversion of its own may give a number.
        version = sa.cast(sa.func.max(sql_column(cursor.column)), sa.BINARY(ROWVERSION_BYTES))
        highest: Any = cursor.checked(self._ask(self._rows_of(WholeTable(), version))[0][0])
        lowest_open: Any = cursor.checked(self._if_known(_LOWEST_OPEN))
        if lowest_open is None:
            counter = cursor.checked(self._if_known(_LAST_USED))
            return Reached(highest, counter=counter)
        below = max(int.from_bytes(lowest_open) - 1, 0).to_bytes(ROWVERSION_BYTES)
        value = None if highest is None else min(highest, below)
        furthest = highest if highest is not None and highest > below else None
        return Reached(value, is_final=value is not None, counter=below, furthest=furthest)

    def _if_known(self, statement: Any) -> Any:
        """The answer to a question that not every server knows; `None` where it does not (Babelfish)."""
        try:
            with driver_errors(driver(), self.settings, "asking for the last rowversion"):
                return self._ask(statement)[0][0]
        except TranshipError as error:
            if error.transient:
                raise
            return None

    def default_of(self, column: str) -> str | None:
        """The expression that the server fills a column with where a row names no value."""
        table = self.plan.source
        found = self._ask(column_default(table, column))
        return found[0][0] if found else None

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

    def seconds(self, column: sa.ColumnElement[Any], type_: pa.DataType) -> sa.ColumnElement[Any]:
        """Whole seconds from the start of 2000 to a date or time, cut at each full second; with a zone, in UTC.

        https://learn.microsoft.com/sql/t-sql/functions/datediff-big-transact-sql
        """
        start = "'2000-01-01T00:00:00+00:00'" if has_zone(type_) else "'2000-01-01T00:00:00'"
        kind = "datetimeoffset(0)" if has_zone(type_) else "datetime2(0)"
        return sa.func.datediff_big(
            sa.literal_column("second"), sa.literal_column(f"cast({start} as {kind})"), column
        )

    def collision(
        self, key: Sequence[str], arriving: Mapping[str, str]
    ) -> tuple[int, dict[str, tuple[Any, Any]]] | None:
        """Keys that are several here and one as they arrive; `None` where there are none.

        Args:
            key: The key's columns.
            arriving: Of the columns of which less arrives, the expression for what does.

        Returns:
            How many keys become one, for the first that do; and by such a column the least and the greatest value of
            them.
        """
        shown = [sa.literal_column(as_shown(self.schema.column(name))) for name in arriving]
        count = sa.func.count_big(sa.literal_column("*"))
        groups = [
            sa.literal_column(arriving[name]) if name in arriving else sql_column(name)
            for name in key
        ]
        ends = [end(value) for value in shown for end in (sa.func.min, sa.func.max)]
        statement = self._rows_of(WholeTable(), count, *ends)
        found = self._ask(statement.group_by(*groups).having(count > 1).limit(1))
        if not found:
            return None
        times, *values = found[0]
        pairs = zip(values[::2], values[1::2], strict=True)
        return int(times), dict(zip(arriving, pairs, strict=True))

    def cut(self, column: str, part: Slice, row_count: int) -> Any:
        """The value of a column at which the first so many rows of a part end, in its order.

        Returns:
            The last of their values, which rows after them may have too; `None` where the part has no more rows.
        """
        key = sql_column(column)
        ends = (
            self._rows_of(part, key.label("k"), sa.literal_column("1").label("one"))
            .order_by(key)
            .offset(row_count - 1)
            .limit(2)
            .subquery("last_and_next")
        )
        statement = sa.select(sa.func.count_big(ends.c.one), sa.func.min(ends.c.k))
        count, last = self._ask(statement)[0]
        return last if count > 1 else None

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
            where=self.plan.where,
            cast=casts,
            on_nul=self.plan.on_nul,
            masked=self.plan.masked,
            on_surrogate=self.plan.on_surrogate,
            parts=self.plan.parallel,
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


def _clocks(cursor: Cursor) -> tuple[sa.ColumnElement[Any], ...]:
    """What the server's clock shows; of a column without an offset nobody knows whether it shows UTC."""
    if cursor.has_zone:
        return (sa.func.sysdatetimeoffset(),)
    return (sa.func.sysdatetime(), sa.func.sysutcdatetime())


def _latest(cursor: Cursor, clocks: Sequence[Any]) -> Any:
    now = max(clocks)
    return now.date() if cursor.kind is Kind.DATE else now
