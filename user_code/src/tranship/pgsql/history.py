"""The statements that keep a table's history, in the words that Postgres and Redshift share.

Both ways of being told end in one: a table of states, of which those that change something are numbered and placed in time
(`_PLACED`); then open versions get their end and the new ones come in. All of it is in the caller's transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg2 import sql
from typing_extensions import override

from tranship.errors import TableNotFoundError
from tranship.history import (
    INSTANT,
    OPERATION,
    SEQUENCE,
    HistoryCounts,
    KeptHistory,
    Operation,
    Touched,
    Versions,
)
from tranship.pgsql.catalogue import ExistingTable
from tranship.pgsql.driver import SqlCursor, compiled, one_row
from tranship.pgsql.history_columns import (
    HistoryColumns,
    HistoryPlace,
    aliased,
    all_equal,
)
from tranship.pgsql.history_table import HistoryDefinition
from tranship.slices import Slice, WholeTable
from tranship.tables import TableName

TICK = timedelta(microseconds=1)
"""The smallest step of a time in both databases."""
_STATES = sql.Identifier("tranship_states")
_PLACED = sql.Identifier("tranship_placed")
_SLICE = sql.Identifier("tranship_slice")


@dataclass(frozen=True)
class HistoryTable(HistoryPlace, KeptHistory):
    """A table of versions."""

    # ---- the two ways of being told ----

    @override
    def follow(self, transaction: SqlCursor, now: datetime, among: Touched | TableName) -> Versions:
        copy = self._existing(transaction, self.request.copy)
        rows = _Rows(self.copy, self.is_live("c"))
        if self._prepare(transaction, copy):
            return self._begin(transaction, HistoryColumns.of(self, copy), rows, now)
        columns = HistoryColumns.of(self, copy)
        touched = self._touched(among)
        gone = self._not_in(columns, rows) + columns.among("h", touched)
        changed = self._changed(columns, rows, columns.among("c", touched))
        return self._bring(transaction, columns, now, [changed, self._gone(columns, gone)], rows)

    @override
    def absorb(
        self, transaction: SqlCursor, now: datetime, rows: TableName, replaced: Slice | None
    ) -> Versions:
        like = self._existing(transaction, rows)
        waiting = _Rows(self.target.identifier(rows), sql.SQL("true"))
        if self._prepare(transaction, like):
            return self._begin(transaction, HistoryColumns.of(self, like), waiting, now)
        columns = HistoryColumns.of(self, like)
        states = [self._changed(columns, waiting, sql.SQL(""))]
        if replaced is not None:
            of_slice = self._keep_slice(transaction, columns, replaced)
            gone = self._not_in(columns, waiting) + columns.among("h", of_slice)
            states.append(self._gone(columns, gone))
        return self._bring(transaction, columns, now, states, waiting)

    @override
    def end(
        self, transaction: SqlCursor, now: datetime, keys: TableName, *, among: bool
    ) -> Versions:
        existing = self._existing(transaction, self.request.names.table)
        columns = HistoryColumns.of(self, existing, without=self.own)
        listed = _Rows(self.target.identifier(keys), sql.SQL("true"))
        gone = columns.among("h", listed.table) if among else self._not_in(columns, listed)
        return self._bring(transaction, columns, now, [self._gone(columns, gone)], None)

    @override
    def take(self, transaction: SqlCursor, states: TableName) -> Versions:
        like = self.target.find(transaction, self.request.copy)
        like = like or self._existing(transaction, states)
        is_new = self._prepare(transaction, like)
        waiting = StagedStates(HistoryColumns.of(self, like), self.target.identifier(states))
        if not waiting.check(transaction):
            return Versions(is_new=is_new)
        return self._apply(transaction, waiting) + Versions(is_new=is_new)

    @override
    def counts(self, transaction: SqlCursor) -> HistoryCounts:
        copy = self._existing(transaction, self.request.copy)
        columns = HistoryColumns.of(self, copy)
        transaction.execute(
            sql.SQL(_COUNTS).format(
                history=self.history,
                copy=self.copy,
                open=self.is_open("h"),
                live=self.is_live("c"),
                same=columns.same("h", "c"),
                key=columns.key("h"),
                from_=sql.Identifier("h", self.valid_from),
                to=sql.Identifier("h", self.valid_to),
            )
        )
        return HistoryCounts(*map(int, one_row(transaction)))

    # ---- from rows ----

    def _begin(
        self, transaction: SqlCursor, columns: HistoryColumns, rows: "_Rows", now: datetime
    ) -> Versions:
        """Into a new history every row goes as it is."""
        columns.check_nulls(transaction, rows.named("s"))
        columns.check_unique(transaction, rows.named("s"))
        transaction.execute(
            sql.SQL("insert into {} ({}) select {}, {}, null, true from {}").format(
                self.history,
                columns.listed(own=True),
                columns.of_row("s"),
                sql.Literal(now),
                rows.named("s"),
            )
        )
        return Versions(opened=transaction.rowcount, is_new=True, instant=now)

    def _bring(
        self,
        transaction: SqlCursor,
        columns: HistoryColumns,
        now: datetime,
        states: Sequence[sql.Composable],
        rows: "_Rows | None",
    ) -> Versions:
        """Add the states that selects give, all at one instant."""
        transaction.execute(
            sql.SQL("create temporary table {} as {}").format(
                _STATES, sql.SQL(" union all ").join(states)
            )
        )
        self._analyze(transaction, _STATES)
        staged = StagedStates(columns, _STATES)
        versions = Versions(instant=now)
        if staged.check(transaction):
            if rows is not None:
                self._check_rows(transaction, columns, rows)
            instant = self._instant(transaction, columns, now)
            self._stamp(transaction, instant)
            versions = self._apply(transaction, staged) + Versions(instant=instant)
        transaction.execute(sql.SQL("drop table {}").format(_STATES))
        return versions

    def _changed(
        self, columns: HistoryColumns, rows: "_Rows", condition: sql.Composable
    ) -> sql.Composable:
        """Rows that are not the open version of their key."""
        return sql.SQL(_CHANGED).format(
            columns=columns.of_row("c"),
            state=_state(Operation.UPSERT),
            rows=rows.table,
            history=self.history,
            same=columns.same("c", "h"),
            open=self.is_open("h"),
            live=rows.condition,
            valid_from=sql.Identifier(self.valid_from),
            differ=columns.differ("c", "h"),
            condition=condition,
        )

    def _gone(self, columns: HistoryColumns, condition: sql.Composable) -> sql.Composable:
        """Open versions whose key is gone."""
        return sql.SQL("select {}, {} from {} as h where {}{}").format(
            columns.of_row("h"),
            _state(Operation.DELETE),
            self.history,
            self.is_open("h"),
            condition,
        )

    @staticmethod
    def _not_in(columns: HistoryColumns, rows: "_Rows") -> sql.Composable:
        return sql.SQL(" and not exists (select 1 from {} as c where {} and {})").format(
            rows.table, rows.condition, columns.same("c", "h")
        )

    def _check_rows(self, transaction: SqlCursor, columns: HistoryColumns, rows: "_Rows") -> None:
        """Refuse two rows of a key that changes: which of them it became cannot be told."""
        changing = sql.SQL(
            "(select * from {} as c where {} and exists (select 1 from {} as s where {})) as s"
        ).format(rows.table, rows.condition, _STATES, columns.same("c", "s"))
        columns.check_unique(transaction, changing)

    def _keep_slice(
        self, transaction: SqlCursor, columns: HistoryColumns, part: Slice
    ) -> sql.Composable | None:
        """The keys of open versions of a slice, in a table of this session; `None` for the whole table."""
        if isinstance(part, WholeTable):
            return None
        import sqlalchemy as sa

        from tranship.comparisons import sql_column, sql_table

        schema = self._existing(transaction, self.request.names.table).schema()
        keys = [sql_column(name) for name in columns.key_names]
        statement = sa.select(*keys).select_from(sql_table(self.table))
        statement = statement.where(sql_column(self.valid_to).is_(None))
        predicate = self.target.predicate(part, schema)
        if predicate is not None:
            statement = statement.where(predicate)
        transaction.execute(sql.SQL("drop table if exists {}").format(_SLICE))
        text, values = compiled(statement)
        transaction.execute(f"create temporary table tranship_slice as {text}", values)
        return _SLICE

    def _instant(self, transaction: SqlCursor, columns: HistoryColumns, now: datetime) -> datetime:
        """One instant for all of them, which lies after whatever their keys have: a clock may have gone back."""
        transaction.execute(
            sql.SQL(
                "select max({}) from {} as h where exists (select 1 from {} as s where {})"
            ).format(self.reached, self.history, _STATES, columns.same("h", "s"))
        )
        (reached,) = one_row(transaction)
        return now if reached is None or reached < now else reached.astimezone(UTC) + TICK

    @staticmethod
    def _stamp(transaction: SqlCursor, instant: datetime) -> None:
        transaction.execute(
            sql.SQL("update {} set {} = {}").format(
                _STATES, sql.Identifier(INSTANT), sql.Literal(instant)
            )
        )

    def _touched(self, among: Touched | TableName) -> sql.Composable | None:
        """The rows whose keys may have changed; `None` for all."""
        if isinstance(among, TableName):
            return self.target.identifier(among)
        return self.words.staged if among is Touched.STAGED else None

    # ---- states become versions ----

    def _apply(self, transaction: SqlCursor, states: "StagedStates") -> Versions:
        states.place(transaction)
        self._analyze(transaction, _PLACED)
        columns = states.columns
        transaction.execute(
            sql.SQL(
                "update {history} set {to} = p.tranship_begins, {current} = false from {placed} as p "
                "where {history}.{to} is null and p.tranship_change = 1 and {same}"
            ).format(
                history=self.history,
                to=sql.Identifier(self.valid_to),
                current=sql.Identifier(self.is_current),
                placed=_PLACED,
                same=columns.same_as_placed(self.history, "p"),
            )
        )
        closed = transaction.rowcount
        transaction.execute(
            sql.SQL(
                "insert into {} ({}) select {}, p.tranship_begins, p.tranship_ends, p.tranship_ends is null "
                "from {} as p where p.{} = {}"
            ).format(
                self.history,
                columns.listed(own=True),
                columns.of_row("p"),
                _PLACED,
                sql.Identifier(OPERATION),
                _text(Operation.UPSERT),
            )
        )
        opened = transaction.rowcount
        transaction.execute(
            sql.SQL("select count(*) from {} where {} = {} and tranship_ends is not null").format(
                _PLACED, sql.Identifier(OPERATION), _text(Operation.UPSERT)
            )
        )
        closed += int(one_row(transaction)[0])
        transaction.execute(sql.SQL("drop table {}").format(_PLACED))
        return Versions(opened, closed)

    # ---- the table ----

    def _prepare(self, transaction: SqlCursor, like: ExistingTable[Any]) -> bool:
        """Make the table, or give it the columns and types of the rows that come; gives whether it is new."""
        return HistoryDefinition(self.target, self.request).prepare(transaction, like)

    def _existing(self, transaction: SqlCursor, table: TableName) -> ExistingTable[Any]:
        existing = self.target.find(transaction, table)
        if existing is None:
            raise TableNotFoundError(
                f"{table}, whose history is kept, is not there.", "Load it again with full_reload."
            )
        return existing

    def _analyze(self, transaction: SqlCursor, table: sql.Composable) -> None:
        """Let the planner know how many rows there are: it would guess, and read all of the history for a few."""
        if self.words.has_indexes:
            transaction.execute(sql.SQL("analyze {}").format(table))


@dataclass(frozen=True)
class StagedStates:
    """States that wait to become versions.

    Args:
        columns: Their columns.
        table: Where they wait.
    """

    columns: HistoryColumns
    table: sql.Composable

    def check(self, transaction: SqlCursor) -> bool:
        """Refuse what no version can be made of; gives whether there is any state."""
        transaction.execute(sql.SQL("select count(*) from {}").format(self.table))
        if not one_row(transaction)[0]:
            return False
        rows = sql.SQL("{} as s").format(self.table)
        self.columns.check_nulls(transaction, rows)
        self.columns.check_unique(transaction, rows, SEQUENCE)
        return True

    def place(self, transaction: SqlCursor) -> None:
        """Keep the states that change something, with the times from and up to which each holds.

        The instants of a key's states grow by a microsecond at least: that of number n is the greatest of (instant of i) + (n - i)
        for all i up to n, with the last instant that its history tells of as number 0.
        """
        columns, history = self.columns, self.columns.history
        own = history.request.names
        of = history.target.name
        waiting = sql.SQL(", ").join(columns.waiting_key("p"))
        transaction.execute(
            sql.SQL(_PLACE).format(
                placed=_PLACED,
                states=self.table,
                history=history.target.identifier(own.table),
                keys=aliased(columns.compared(sql.Identifier("s"))),
                history_keys=aliased(columns.compared(sql.Identifier("h"))),
                waiting=waiting,
                grouped=sql.SQL(", ").join(
                    sql.SQL(str(number + 1)) for number in range(len(columns.key_names))
                ),
                same_reached=all_equal(columns.waiting_key("p"), columns.waiting_key("r")),
                same_before=all_equal(columns.waiting_key("p"), columns.waiting_key("b")),
                same_open=columns.same_as_placed(sql.Identifier("h"), "p"),
                same_history=columns.same("h", "s"),
                before_differs=columns.differ("p", "b"),
                open_differs=columns.differ("p", "h"),
                valid_from=sql.Identifier(of(own.valid_from)),
                valid_to=sql.Identifier(of(own.valid_to)),
                operation=sql.Identifier(OPERATION),
                instant=sql.Identifier(INSTANT),
                sequence=sql.Identifier(SEQUENCE),
                upsert=_text(Operation.UPSERT),
                earlier=self._moved("p.{instant}", "-p.tranship_number"),
                begins_of_p=self._moved("p.tranship_earliest", "p.tranship_number"),
            )
        )

    def _moved(self, time: str, number: str) -> sql.Composable:
        value = sql.SQL(time).format(instant=sql.Identifier(INSTANT))
        return sql.SQL(self.columns.history.target.history_words.later).format(
            value, sql.SQL(f"cast({number} as integer)")
        )


_CHANGED = """
    select {columns}, {state}
    from {rows} as c left join {history} as h on {same} and {open}
    where {live} and (h.{valid_from} is null or {differ}){condition}
"""

_COUNTS = """
    select (select count(*) from {history} as h where {open}),
        (select count(*) from {copy} as c where {live}),
        (select count(*) from {history} as h where {open}
            and not exists (select 1 from {copy} as c where {live} and {same})),
        (select count(*) from {copy} as c where {live}
            and not exists (select 1 from {history} as h where {open} and {same})),
        (select count(*) from (
            select {from_} as begins, {to} as ends,
                lead({from_}) over (partition by {key} order by {from_}) as next_begins
            from {history} as h) as versions
         where ends < begins or (next_begins is not null and (ends is null or ends > next_begins)))
"""

_PLACE = """
    create temporary table {placed} as
    with keyed as (
        select s.*, {keys} from {states} as s
    ), followed as (
        select p.*, lead(p.{instant}) over (partition by {waiting} order by p.{sequence}) as tranship_next
        from keyed as p
    ), numbered as (
        select p.*, row_number() over (partition by {waiting} order by p.{sequence}) as tranship_number
        from followed as p where p.tranship_next is null or p.tranship_next <> p.{instant}
    ), reached as (
        select {history_keys}, max(greatest(h.{valid_from}, coalesce(h.{valid_to}, h.{valid_from}))) as tranship_reached
        from {history} as h where exists (select 1 from {states} as s where {same_history}) group by {grouped}
    ), placed as (
        select p.*, max(greatest({earlier}, coalesce(r.tranship_reached, {earlier}))) over (
            partition by {waiting} order by p.tranship_number rows unbounded preceding) as tranship_earliest
        from numbered as p left join reached as r on {same_reached}
    ), changed as (
        select p.*, {begins_of_p} as tranship_begins
        from placed as p
        left join placed as b on {same_before} and b.tranship_number = p.tranship_number - 1
        left join {history} as h on p.tranship_number = 1 and h.{valid_to} is null and {same_open}
        where case
            when p.{operation} = {upsert} then
                case when p.tranship_number = 1 then h.{valid_from} is null or {open_differs}
                else b.{operation} <> {upsert} or {before_differs} end
            when p.tranship_number = 1 then h.{valid_from} is not null
            else b.{operation} = {upsert} end
    )
    select p.*, row_number() over (partition by {waiting} order by p.tranship_number) as tranship_change,
        lead(p.tranship_begins) over (partition by {waiting} order by p.tranship_number) as tranship_ends
    from changed as p
"""


@dataclass(frozen=True)
class _Rows:
    """Rows that a history is brought to.

    Args:
        table: Where they are.
        condition: Which of them, said of the name `c`.
    """

    table: sql.Composable
    condition: sql.Composable

    def named(self, name: str) -> sql.Composable:
        """The rows, by a name."""
        return sql.SQL("(select * from {} as c where {}) as {}").format(
            self.table, self.condition, sql.Identifier(name)
        )


def _state(operation: Operation) -> sql.Composable:
    """The columns of a state, whose instant is set when it is known which keys it is about."""
    return sql.SQL("{} as {}, cast(null as timestamptz) as {}, 0 as {}").format(
        _text(operation),
        sql.Identifier(OPERATION),
        sql.Identifier(INSTANT),
        sql.Identifier(SEQUENCE),
    )


def _text(operation: Operation) -> sql.Composable:
    # Without its type a literal in a select list is of none: https://docs.aws.amazon.com/redshift/latest/dg/r_Character_types.html
    return sql.SQL("cast({} as varchar(10))").format(sql.Literal(str(operation)))
