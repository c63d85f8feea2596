"""Postgres as a source of loads."""

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Self

import pyarrow as pa
import sqlalchemy as sa
from typing_extensions import override

from tranship.comparisons import sql_column
from tranship.cursors import Cursor, Kind, Value, has_zone
from tranship.delete_flags import Words, condition_of_live_rows
from tranship.errors import ConfigurationError
from tranship.frames import Batches
from tranship.grants import quoted
from tranship.identity import SourceIdentity
from tranship.pgsql.driver import SqlCursor, compiled
from tranship.postgres.clocks import clock, in_utc, is_local_clock, within_reach
from tranship.postgres.extraction import Extraction
from tranship.postgres.identity import difference, identity_gaps, identity_of
from tranship.postgres.selection import Selection
from tranship.postgres.settings import PostgresSettings
from tranship.postgres.snapshots import one_moment
from tranship.postgres.source_catalogue import FOREIGN, Relation, estimated_rows, relations_of
from tranship.postgres.source_faults import columns_denied, reading
from tranship.postgres.source_types import moved_as
from tranship.postgres.types import PostgresType
from tranship.slices import Interval, Slice, WholeTable
from tranship.source import Collision, HighWaterMark, Source, SourceRequest
from tranship.tables import TableSchema

_log = logging.getLogger(__name__)

_WORDS = Words(quoted, lambda text: "'" + text.replace("'", "''") + "'", ("false", "true"))
_ROW_COUNT = sa.func.count(sa.literal_column("*"))
# https://www.postgresql.org/docs/current/ddl-system-columns.html
# https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-WRAPAROUND
_OF_THE_SERVER = {
    "xmin": "the number of the transaction that wrote a row. Such numbers begin anew after four billion of them, and they are "
    "given when a transaction begins to write, not when it commits, so rows that are committed late would never be loaded",
    **dict.fromkeys(
        ("xmax", "cmin", "cmax", "ctid", "tableoid"),
        "a column of the server's own, which does not grow with new or changed rows",
    ),
}
"""System columns, of which a table's own columns cannot have the names."""
# What a sequence has given out last; null where this role may not see it, or where it has given out nothing.
# https://www.postgresql.org/docs/current/functions-info.html (pg_get_serial_sequence)
_COUNTER = """
    select s.seqincrement, pg_sequence_last_value(s.seqrelid::regclass)
    from pg_sequence s
    where s.seqrelid = pg_get_serial_sequence(%s, %s)::regclass
      and has_sequence_privilege(s.seqrelid, 'usage, select')
"""


@dataclass(frozen=True)
class PostgresSource(Source):
    """One table of a Postgres database.

    Args:
        settings: The server.
        request: The table, and how it is read.
        schema: The table's columns, key and comments.
        relation: What else the catalogue knows of it.
    """

    settings: PostgresSettings
    request: SourceRequest
    schema: TableSchema
    relation: Relation
    kind = "postgres"

    @classmethod
    def open(cls, settings: PostgresSettings, request: SourceRequest) -> Self:
        """Look the table up.

        Raises:
            TableNotFoundError: There is no such table.
            ConnectionFailedError: The server cannot be reached, or refuses the login.
        """
        table = request.table
        with (
            one_moment(settings) as connection,
            reading(settings, f"look at {table}", table),
            connection.cursor() as cursor,
        ):
            relation = relations_of(cursor, settings, [table])[table]
        opened = cls(settings, request, relation.schema, relation)
        _ = opened._selection  # which refuses a column that is none
        return opened

    @override
    def read(
        self,
        columns: Sequence[str],
        part: Slice | None = None,
        *,
        log: Any = None,
        in_order: bool = False,
    ) -> Batches:
        self._check_readable(columns)
        # A foreign table's server knows nothing of a snapshot of this one.
        is_single = in_order or self.relation.kind == FOREIGN
        extraction = Extraction(
            settings=self.settings,
            selection=self._selection,
            columns=tuple(columns),
            part=part,
            parallel=1 if is_single else self.request.parallel,
            order_by=self.key if in_order else (),
            note=self._filter_note(),
        )
        return extraction.batches(log or _log)

    def _check_readable(self, columns: Sequence[str]) -> None:
        """Refuse columns that this role may not select: the server would only name the table.

        Raises:
            ConfigurationError: The message has the statement that grants them.
        """
        denied = [name for name in columns if name in self.relation.unreadable]
        if denied:
            raise columns_denied(self.table, denied, self.settings.user)

    def _filter_note(self) -> str | None:
        policies = self.schema.visibility.filtered_by
        if not policies:
            return None
        return (
            f"Rows of {self.table} are filtered for this role by row-level security ({', '.join(policies)}): the copy holds only "
            "those that it may see."
        )

    @override
    def sees_one_moment(self) -> bool:
        return True

    # ---- who it is ----

    @override
    def identity(self) -> SourceIdentity:
        with self._cursor() as cursor:
            return identity_of(cursor, self.table)

    @override
    def difference(self, before: SourceIdentity, now: SourceIdentity) -> str | None:
        return difference(before, now)

    @override
    def identity_gaps(self, identity: SourceIdentity) -> str | None:
        return identity_gaps(identity, self.settings.user)

    # ---- numbers and places ----

    @override
    def count(self, part: Slice) -> int:
        return int(self._ask(self._selection.rows(part, _ROW_COUNT))[0][0])

    @override
    def estimated_rows(self) -> int | None:
        with self._cursor() as cursor:
            return estimated_rows(cursor, [self.relation.oid]).get(self.relation.oid)

    @override
    def highest(self, cursor: Cursor) -> HighWaterMark:
        if cursor.kind not in {Kind.TIME, Kind.DATE}:
            return HighWaterMark(self._extreme(cursor, sa.func.max, WholeTable()))
        extreme = within_reach(sa.func.max(sql_column(cursor.column)), cursor)
        statement = self._all_rows.rows(None, extreme, clock(cursor))
        highest, now = (in_utc(value) for value in self._ask(statement)[0])
        if highest is None or highest <= now:
            return HighWaterMark(cursor.checked(highest))
        within = Interval(cursor.column, None, now)
        return HighWaterMark(
            self._extreme(cursor, sa.func.max, within), server_clock=now, furthest=highest
        )

    @override
    def refused_cursor(self, column: str) -> ConfigurationError | None:
        what = _OF_THE_SERVER.get(column)
        if what is None:
            return None
        return ConfigurationError(
            f'The cursor "{column}" of {self.table} is {what}.',
            "Choose a column of the table that grows with every new or changed row, such as a time that a trigger sets; or leave cursor "
            "out, so that all rows are read and merged by key.",
        )

    @override
    def lowest(self, cursor: Cursor, part: Slice) -> Value | None:
        return self._extreme(cursor, sa.func.min, part)

    def _extreme(self, cursor: Cursor, function: Any, part: Slice) -> Value | None:
        extreme = function(sql_column(cursor.column))
        if cursor.kind in {Kind.TIME, Kind.DATE}:
            extreme = within_reach(extreme, cursor)
        return cursor.checked(in_utc(self._ask(self._all_rows.rows(part, extreme))[0][0]))

    @override
    def count_newer(self, cursor: Cursor, value: Value) -> int:
        now: Any = None
        if cursor.kind in {Kind.TIME, Kind.DATE}:
            now = in_utc(self._ask(sa.select(clock(cursor)))[0][0])
        return self.count(Interval(cursor.column, value, now, includes_low=False))

    @override
    def identity_counter(self, column: str) -> Decimal | None:
        name = f"{quoted(self.table.schema)}.{quoted(self.table.name)}"
        with self._cursor() as cursor:
            cursor.execute(_COUNTER, (name, column))
            step, last = cursor.fetchone() or (None, None)
        return None if step is None or step < 0 or last is None else Decimal(last)

    @override
    def local_clock_of(self, column: str) -> str | None:
        default = self.relation.defaults.get(column)
        return default if is_local_clock(self.schema.column(column), default) else None

    @override
    def chunk_end(self, column: str, part: Slice, row_count: int) -> Any:
        key = sql_column(column)
        rows = self._selection.rows(part, key).order_by(key).offset(row_count - 1).limit(2)
        ends = self._ask(rows)
        return in_utc(ends[0][0]) if len(ends) > 1 else None

    # ---- keys and types ----

    @override
    def collision(self, key: Sequence[str]) -> Collision | None:
        lossy = [name for name in key if name in self.request.cast]
        if not lossy:
            return None
        count = _ROW_COUNT
        texts = [sa.cast(sql_column(name), sa.Text()) for name in lossy]
        ends = [end(value) for value in texts for end in (sa.func.min, sa.func.max)]
        groups = [sa.cast(self._selection.value(name).element, sa.Text()) for name in lossy]
        groups += [sql_column(name) for name in key if name not in lossy]
        statement = self._selection.rows(None, count, *ends)
        rows = self._ask(statement.group_by(*groups).having(count > 1).limit(1))
        if not rows:
            return None
        keys, *values = rows[0]
        columns = [self.schema.column(name) for name in lossy]
        losses = [
            f'"{one.name}", which is {one.source_type or one.type} and cast to {self.request.cast[one.name]}'
            for one in columns
        ]
        return Collision(
            int(keys), tuple(zip(columns, losses, values[::2], values[1::2], strict=True))
        )

    @override
    def type_of_cast(self, declared: str) -> pa.DataType | None:
        type_ = moved_as(PostgresType.parse(declared))
        return None if pa.types.is_null(type_) else type_

    # ---- aggregates ----

    @property
    @override
    def counting(self) -> Callable[..., sa.ColumnElement[int]]:
        return sa.func.count

    @override
    def aggregates(
        self, part: Slice, expressions: Sequence[sa.ColumnElement[Any]]
    ) -> tuple[Any, ...]:
        return self._ask(self._selection.rows(part, *expressions))[0]

    @override
    def seconds(self, column: sa.ColumnElement[Any], type_: pa.DataType) -> sa.ColumnElement[Any]:
        clock: Any = (
            sa.func.timezone(sa.literal_column("'UTC'"), column)
            if has_zone(type_)
            else sa.cast(column, sa.TIMESTAMP())
        )
        since = clock - sa.literal_column("timestamp '2000-01-01'")
        return sa.func.floor(sa.func.date_part(sa.literal_column("'epoch'"), since))

    # ---- asking ----

    @property
    def _selection(self) -> Selection:
        request = self.request
        where = condition_of_live_rows(
            request.delete_flag, request.where, self.schema, self.table, _WORDS
        )
        return Selection(self.table, self.schema, where, request.cast, self.key)

    @property
    def _all_rows(self) -> Selection:
        """The same with rows that are marked as deleted: a mark moves the cursor, and the highest value never goes back."""
        return replace(self._selection, where=self.request.where)

    def _ask(self, statement: Any) -> list[tuple[Any, ...]]:
        with self._cursor() as cursor:
            cursor.execute(*compiled(statement))
            return cursor.fetchall()

    @contextmanager
    def _cursor(self) -> Generator[SqlCursor]:
        with (
            one_moment(self.settings) as connection,
            reading(self.settings, f"question about {self.table}", self.table),
            connection.cursor() as cursor,
        ):
            yield cursor
