"""SQL Server as a source of loads."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Self

import pyarrow as pa
import sqlalchemy as sa
from typing_extensions import override

from tranship.change_feeds import ChangeFeed, RecordKind
from tranship.comparisons import sql_column
from tranship.cursors import ROWVERSION_BYTES, Cursor, Kind, Value, has_zone
from tranship.delete_flags import Words, condition_of_live_rows
from tranship.errors import ConfigurationError, TranshipError
from tranship.frames import Batches
from tranship.identity import SourceIdentity
from tranship.reads import ReadRequest
from tranship.slices import Interval, Slice, WholeTable
from tranship.source import Collision, HighWaterMark, Source, SourceRequest
from tranship.sqlserver import reader
from tranship.sqlserver.catalogue import (
    column_default,
    describe,
    is_local_clock,
    row_count_estimate,
)
from tranship.sqlserver.change_data_capture import CapturedTable
from tranship.sqlserver.change_tracking import TrackedTable
from tranship.sqlserver.conditions import ROW_COUNT, select_rows
from tranship.sqlserver.connection import connect, driver
from tranship.sqlserver.consistency import Consistency, begin_consistent_read
from tranship.sqlserver.driver_errors import driver_errors
from tranship.sqlserver.identity import difference, identity_counter, identity_of, not_told
from tranship.sqlserver.idle_connection import IdleConnection
from tranship.sqlserver.options import ReadOptions
from tranship.sqlserver.query import row_predicate
from tranship.sqlserver.settings import SqlServerSettings
from tranship.sqlserver.shown_values import arriving, fetchable, loss
from tranship.sqlserver.statements import quoted, rows
from tranship.sqlserver.stopping import DriverConnection
from tranship.sqlserver.types import arrow_type
from tranship.sqlserver.visibility import hidden_keys
from tranship.tables import Column, SourceType, TableSchema

_WORDS = Words(quoted, lambda text: "N'" + text.replace("'", "''") + "'")
_UNCOUNTABLE = frozenset({"text", "ntext", "image"})
_LOWEST_OPEN = sa.text(f"select cast(min_active_rowversion() as binary({ROWVERSION_BYTES}))")
# https://learn.microsoft.com/sql/t-sql/functions/dbts-transact-sql
_LAST_USED = sa.text(f"select cast(@@dbts as binary({ROWVERSION_BYTES}))")


@dataclass(frozen=True)
class SqlServerSource(Source):
    """One table of a SQL Server.

    Args:
        settings: The server.
        request: The table, and how it is read.
        schema: The table's columns, key and comments.
        idle: Passes the connection from one question to the next, and to the reading of rows.
    """

    settings: SqlServerSettings
    request: SourceRequest
    schema: TableSchema
    idle: IdleConnection = field(default_factory=IdleConnection, repr=False, compare=False)
    kind = "sqlserver"

    @classmethod
    def open(cls, settings: SqlServerSettings, request: SourceRequest) -> Self:
        """Look the table up.

        Raises:
            TableNotFoundError: There is no such table.
            ConnectionFailedError: The server cannot be reached, or refuses the login.
        """
        idle = IdleConnection()
        schema = describe(settings, request.table, idle=idle)
        opened = cls(settings, request, schema, idle)
        _ = opened.condition  # which refuses a column that is none
        return opened

    @property
    def condition(self) -> str | None:
        """What rows meet, in SQL Server's words: the user's condition, and that they are not marked as deleted."""
        request = self.request
        return condition_of_live_rows(
            request.delete_flag, request.where, self.schema, self.table, _WORDS
        )

    @override
    def read(
        self,
        columns: Sequence[str],
        part: Slice | None = None,
        *,
        log: Any = None,
        in_order: bool = False,
    ) -> Batches:
        options = self.read_options(columns)
        if in_order:
            options = replace(options, parts=1, order_by=self.key)
        return reader.read(
            self.settings,
            ReadRequest(self.table, part or WholeTable(), tuple(columns)),
            options,
            schema=self.schema,
            log=log,
            idle=self.idle,
        )

    @override
    def sees_one_moment(self) -> bool:
        with self._connection(keep=None) as connection:
            consistency = begin_consistent_read(connection)
        return consistency is not Consistency.COMMITTED and self.request.parallel == 1

    @override
    def identity(self) -> SourceIdentity:
        with self._connection(keep=self.idle) as connection:
            return identity_of(connection, self.settings, self.table)

    @override
    def difference(self, before: SourceIdentity, now: SourceIdentity) -> str | None:
        return difference(before, now)

    @override
    def identity_gaps(self, identity: SourceIdentity) -> str | None:
        return not_told(identity)

    @override
    def hidden_keys(self) -> ConfigurationError | None:
        if self.schema.visibility.sees_keys:
            return None
        return hidden_keys(self.table, self.settings.user)

    @override
    def identity_counter(self, column: str) -> Decimal | None:
        with self._connection(keep=self.idle) as connection:
            return identity_counter(connection, self.settings, self.table, column)

    @override
    def estimated_rows(self) -> int | None:
        return row_count_estimate(self.settings, self.table, idle=self.idle)

    @override
    def highest(self, cursor: Cursor) -> HighWaterMark:
        # A rowversion is taken only below the lowest one that an open transaction may have written, where the server can
        # tell; elsewhere the lookback has to do.
        # https://learn.microsoft.com/sql/t-sql/functions/min-active-rowversion-transact-sql
        match cursor.kind:
            case Kind.ROWVERSION:
                return self._highest_version(cursor)
            case Kind.TIME | Kind.DATE:
                return self._highest_time(cursor)
            case _:
                return HighWaterMark(self._extreme(cursor, sa.func.max, WholeTable()))

    @override
    def lowest(self, cursor: Cursor, part: Slice) -> Value | None:
        return self._extreme(cursor, sa.func.min, part)

    def _extreme(self, cursor: Cursor, function: Any, part: Slice) -> Value | None:
        statement = self._all_rows_of(part, function(sql_column(cursor.column)))
        return cursor.checked(self.ask(statement)[0][0])

    @override
    def count_newer(self, cursor: Cursor, value: Value) -> int:
        now = None
        if cursor.kind in {Kind.TIME, Kind.DATE}:
            now = _latest(cursor, self.ask(sa.select(*_clocks(cursor)))[0])
        return self.count(Interval(cursor.column, value, now, includes_low=False))

    def _highest_time(self, cursor: Cursor) -> HighWaterMark:
        highest, *clocks = self.ask(
            self._all_rows_of(
                WholeTable(), sa.func.max(sql_column(cursor.column)), *_clocks(cursor)
            )
        )[0]
        highest, now = cursor.checked(highest), _latest(cursor, clocks)
        if highest is None or highest <= now:
            return HighWaterMark(highest)
        within = self._extreme(cursor, sa.func.max, Interval(cursor.column, None, now))
        return HighWaterMark(within, server_clock=now, furthest=highest)

    def _highest_version(self, cursor: Cursor) -> HighWaterMark:
        # Asked for as bytes: a server that has no rowversion of its own may give a number.
        version = sa.cast(sa.func.max(sql_column(cursor.column)), sa.BINARY(ROWVERSION_BYTES))
        highest: Any = cursor.checked(self.ask(self._all_rows_of(WholeTable(), version))[0][0])
        lowest_open: Any = cursor.checked(self._if_known(_LOWEST_OPEN))
        if lowest_open is None:
            counter = cursor.checked(self._if_known(_LAST_USED))
            return HighWaterMark(highest, counter=counter)
        below = max(int.from_bytes(lowest_open) - 1, 0).to_bytes(ROWVERSION_BYTES)
        value = None if highest is None else min(highest, below)
        furthest = highest if highest is not None and highest > below else None
        return HighWaterMark(value, is_final=value is not None, counter=below, furthest=furthest)

    def _if_known(self, statement: Any) -> Any:
        """The answer to a question that not every server knows; `None` where it does not (Babelfish)."""
        try:
            with driver_errors(driver(), self.settings, "asking for the last rowversion"):
                return self.ask(statement)[0][0]
        except TranshipError as error:
            if error.transient:
                raise
            return None

    @override
    def local_clock_of(self, column: str) -> str | None:
        answer = self.ask(column_default(self.table, column))
        default = answer[0][0] if answer else None
        return default if is_local_clock(default) else None

    @override
    def count(self, part: Slice) -> int:
        return int(self.ask(self._rows_of(part, ROW_COUNT))[0][0])

    @override
    def aggregates(
        self, part: Slice, expressions: Sequence[sa.ColumnElement[Any]]
    ) -> tuple[Any, ...]:
        # Not left to the next question, which need not see the same moment.
        with self._connection(keep=None) as connection:
            begin_consistent_read(connection)
            return rows(connection, self._rows_of(part, *expressions))[0]

    @override
    def seconds(self, column: sa.ColumnElement[Any], type_: pa.DataType) -> sa.ColumnElement[Any]:
        # https://learn.microsoft.com/sql/t-sql/functions/datediff-big-transact-sql counts full seconds that begin between.
        start = "'2000-01-01T00:00:00+00:00'" if has_zone(type_) else "'2000-01-01T00:00:00'"
        kind = "datetimeoffset(0)" if has_zone(type_) else "datetime2(0)"
        return sa.func.datediff_big(
            sa.literal_column("second"), sa.literal_column(f"cast({start} as {kind})"), column
        )

    @override
    def change_feed(
        self, record: RecordKind = RecordKind.TRACKING, columns: Sequence[str] = ()
    ) -> ChangeFeed:
        if record is RecordKind.CAPTURE:
            return CapturedTable(self, tuple(columns))
        return TrackedTable(self)

    @override
    def collision(self, key: Sequence[str]) -> Collision | None:
        arrive = {name: self._arriving(name) for name in key}
        lossy = [name for name, arrives in arrive.items() if arrives is not None]
        if not lossy:
            return None
        fetched: list[sa.ColumnElement[Any]] = [
            sa.literal_column(fetchable(self.schema.column(name))) for name in lossy
        ]
        count = sa.func.count_big(sa.literal_column("*"))
        groups: list[sa.ColumnElement[Any]] = [
            sql_column(name) if arrives is None else sa.literal_column(arrives)
            for name, arrives in arrive.items()
        ]
        ends: list[sa.ColumnElement[Any]] = [
            end(value) for value in fetched for end in (sa.func.min, sa.func.max)
        ]
        statement = self._rows_of(WholeTable(), count, *ends)
        collisions = self.ask(statement.group_by(*groups).having(count > 1).limit(1))
        if not collisions:
            return None
        keys, *values = collisions[0]
        columns = [self.schema.column(name) for name in lossy]
        losses = [loss(column, self.request.cast.get(column.name)) for column in columns]
        return Collision(
            int(keys), tuple(zip(columns, losses, values[::2], values[1::2], strict=True))
        )

    def _arriving(self, name: str) -> str | None:
        return arriving(self.schema.column(name), self.request.cast.get(name))

    @override
    def type_of_cast(self, declared: str) -> pa.DataType | None:
        return arrow_type(SourceType.parse(declared))

    @override
    def pads_with_zero_bytes(self, column: Column) -> bool:
        # A comparison pads the shorter one, as it does texts with blanks; of binary(n) all are of one length.
        # https://learn.microsoft.com/sql/t-sql/data-types/binary-and-varbinary-transact-sql
        return column.source_type is not None and column.source_type.name == "varbinary"

    @override
    def is_countable(self, column: Column) -> bool:
        # https://learn.microsoft.com/sql/t-sql/functions/count-big-transact-sql
        return column.source_type is None or column.source_type.name not in _UNCOUNTABLE

    @property
    @override
    def counting(self) -> Callable[..., sa.ColumnElement[int]]:
        return sa.func.count_big

    @override
    def chunk_end(self, column: str, part: Slice, row_count: int) -> Any:
        key = sql_column(column)
        one: sa.ColumnElement[Any] = sa.literal_column("1")
        ends = (
            self._rows_of(part, key.label("k"), one.label("one"))
            .order_by(key)
            .offset(row_count - 1)
            .limit(2)
            .subquery("last_and_next")
        )
        statement = sa.select(sa.func.count_big(ends.c.one), sa.func.min(ends.c.k))
        count, last = self.ask(statement)[0]
        return last if count > 1 else None

    def _rows_of(
        self, part: Slice, *expressions: sa.ColumnElement[Any]
    ) -> sa.Select[*tuple[Any, ...]]:
        return self._select(part, self.condition, expressions)

    def _all_rows_of(
        self, part: Slice, *expressions: sa.ColumnElement[Any]
    ) -> sa.Select[*tuple[Any, ...]]:
        """The same with rows that are marked as deleted: a mark moves the cursor, and the highest value never goes back."""
        return self._select(part, self.request.where, expressions)

    def _select(
        self, part: Slice, where: str | None, expressions: Sequence[sa.ColumnElement[Any]]
    ) -> sa.Select[*tuple[Any, ...]]:
        request = ReadRequest(self.table, part)
        predicate = row_predicate(request, self.schema, ReadOptions(where=where))
        return select_rows(self.table, predicate, *expressions)

    def read_options(self, columns: Sequence[str]) -> ReadOptions:
        """How these columns are read, by the request."""
        casts = {name: type_ for name, type_ in self.request.cast.items() if name in columns}
        return ReadOptions(
            where=self.condition,
            cast=casts,
            on_nul=self.request.on_nul,
            masked=self.request.masked,
            on_surrogate=self.request.on_surrogate,
            parts=self.request.parallel,
        )

    def ask(self, statement: Any) -> list[tuple[Any, ...]]:
        """The rows of a small result, over the connection that the last question left."""
        with self._connection(keep=self.idle) as connection:
            return rows(connection, statement)

    @contextmanager
    def _connection(self, keep: IdleConnection | None) -> Generator[DriverConnection]:
        with connect(
            self.settings,
            doing=f"asking about {self.table}",
            reuse=self.idle,
            keep=keep,
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
