"""The statements that hold a copy's keys against those of its source, which are in a table beside it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg2 import sql
from typing_extensions import override

from tranship.equality import Rules
from tranship.own_tables import keys_table
from tranship.pgsql.driver import SqlCursor, one_row
from tranship.pgsql.keys import other_spelling, same_key
from tranship.tables import TableName
from tranship.target import StagedKeys

if TYPE_CHECKING:
    from tranship.pgsql.target import PgsqlTarget


@dataclass(frozen=True)
class ComparedKeys(StagedKeys):
    """A copy and the keys beside it.

    Args:
        target: Where they are.
        copy: The copy.
        key: The key columns, as they are called in the target's data.
        rules: How the source compares the key's texts, by these names.
        mark: The column that tells since when a row is gone, where such rows stay.
        since: The column of the staged keys that tells the same, where they have one.
    """

    target: "PgsqlTarget"
    copy: TableName
    key: tuple[str, ...]
    rules: Rules
    mark: str | None
    since: str | None = None

    @property
    @override
    def table(self) -> TableName:
        return keys_table(self.copy)

    @override
    def count(self, transaction: SqlCursor) -> int:
        transaction.execute(sql.SQL("select count(*) from {}").format(self._quoted_beside))
        return int(one_row(transaction)[0])

    @override
    def count_rows(self, transaction: SqlCursor) -> int:
        return self._count(transaction, self._live)

    @override
    def count_deleted(self, transaction: SqlCursor) -> int:
        return self._count(transaction, self._is_deleted)

    @override
    def deleted(self, transaction: SqlCursor) -> list[tuple[Any, ...]]:
        columns = sql.SQL(", ").join(map(self._identifier, self.key))
        transaction.execute(
            sql.SQL("select {} from {} where {}").format(columns, self._quoted, self._is_deleted)
        )
        return transaction.fetchall()

    @override
    def remove_deleted(self, transaction: SqlCursor) -> int:
        return self._remove(transaction, self._is_deleted)

    @override
    def count_staged(self, transaction: SqlCursor) -> int:
        return self._count(transaction, self._is_staged)

    @override
    def remove_staged(self, transaction: SqlCursor) -> int:
        if self.mark is None or self.since is None:
            return self._remove(transaction, self._is_staged)
        # A key's time is null where the source does not know it any more.
        transaction.execute(
            sql.SQL(
                "update {0} set {1} = coalesce(k.{2}, current_timestamp) from {3} as k where {0}.{1} is null and {4}"
            ).format(
                self._quoted,
                self._identifier(self.mark),
                self._identifier(self.since),
                self._quoted_beside,
                self._same(self._quoted),
            )
        )
        return transaction.rowcount

    def _remove(self, transaction: SqlCursor, condition: sql.Composable) -> int:
        if self.mark is None:
            statement = sql.SQL("delete from {} where {}").format(self._quoted, condition)
        else:
            statement = sql.SQL("update {} set {} = current_timestamp where {}").format(
                self._quoted, self._identifier(self.mark), condition
            )
        transaction.execute(statement)
        return transaction.rowcount

    @override
    def unmark(self, transaction: SqlCursor) -> int:
        if self.mark is None:
            return 0
        transaction.execute(
            sql.SQL("update {0} set {1} = null where {1} is not null and not {2}").format(
                self._quoted, self._identifier(self.mark), self._not_among
            )
        )
        return transaction.rowcount

    @override
    def lacking(self, transaction: SqlCursor, most: int) -> list[tuple[Any, ...]]:
        columns = sql.SQL(", ").join(
            sql.SQL("k.{}").format(self._identifier(name)) for name in self.key
        )
        transaction.execute(
            sql.SQL(
                "select {} from {} as k where not exists (select 1 from {} where {}) limit {}"
            ).format(
                columns,
                self._quoted_beside,
                self._quoted,
                self._same(self._quoted),
                sql.Literal(most),
            )
        )
        return transaction.fetchall()

    @override
    def clear(self, transaction: SqlCursor) -> None:
        # An empty table costs nothing, and needs no right to drop it.
        transaction.execute(sql.SQL("delete from {}").format(self._quoted_beside))

    @override
    def respell(self, transaction: SqlCursor) -> None:
        if not self.rules:
            return
        k = sql.Identifier("k")
        respelled = sql.SQL("{} and ({})").format(
            self._same(self._quoted), self._other_spelling(self._quoted)
        )
        source = sql.SQL("{} as {}").format(self._quoted_beside, k)
        # Counted, not looked for: a limit lets Postgres's planner loop over both tables in the hope of an early row.
        transaction.execute(
            sql.SQL("select count(*) from {}, {} where {}").format(self._quoted, source, respelled)
        )
        if not one_row(transaction)[0]:
            return
        self._delete_double_spellings(transaction, source, respelled)
        spelling = sql.SQL(", ").join(
            sql.SQL("{0} = k.{0}").format(self._identifier(name))
            for name in self.key
            if name in self.rules
        )
        transaction.execute(
            sql.SQL("update {} set {} from {} where {}").format(
                self._quoted, spelling, source, respelled
            )
        )

    def _delete_double_spellings(
        self, transaction: SqlCursor, source: sql.Composable, respelled: sql.Composable
    ) -> None:
        """Delete rows in another spelling whose key is there in the source's own too."""
        # A copy that compared bytes once may have both spellings; the source's own is the one that is kept up to date.
        # The pairs are found first ("offset 0" keeps them together), as no statistics tell how few they are: joined
        # in one, they were looked for anew for each key of the source.
        pair, ours = sql.Identifier("pair"), sql.Identifier("own")
        transaction.execute(
            sql.SQL(
                "with pair as (select {} from {}, {} where {} offset 0) "
                "delete from {} using pair where {} and exists (select 1 from {} as own where {})"
            ).format(
                sql.SQL(", ").join(
                    [*self._as(self._quoted, "old"), *self._as(sql.Identifier("k"), "new")]
                ),
                self._quoted,
                source,
                respelled,
                self._quoted,
                self._is(self._quoted, pair, "old"),
                self._quoted,
                self._is(ours, pair, "new"),
            )
        )

    def _count(self, transaction: SqlCursor, condition: sql.Composable) -> int:
        transaction.execute(
            sql.SQL("select count(*) from {} where {}").format(self._quoted, condition)
        )
        return int(one_row(transaction)[0])

    @property
    def _live(self) -> sql.Composable:
        if self.mark is None:
            return sql.SQL("true")
        return sql.SQL("{} is null").format(self._identifier(self.mark))

    @property
    def _is_deleted(self) -> sql.Composable:
        return sql.SQL("{} and {}").format(self._live, self._not_among)

    @property
    def _is_staged(self) -> sql.Composable:
        return sql.SQL("{} and exists (select 1 from {} as k where {})").format(
            self._live, self._quoted_beside, self._same(self._quoted)
        )

    @property
    def _not_among(self) -> sql.Composable:
        """Whether a row's key is not among those of the source."""
        # A null equals nothing, so whether its row is gone cannot be told.
        whole = sql.SQL(" and ").join(
            sql.SQL("{}.{} is not null").format(self._quoted, self._identifier(name))
            for name in self.key
        )
        return sql.SQL("({} and not exists (select 1 from {} as k where {}))").format(
            whole, self._quoted_beside, self._same(self._quoted)
        )

    def _identifier(self, name: str) -> sql.Identifier:
        """A column, by its name in the data."""
        return sql.Identifier(self.target.name(name))

    @property
    def _quoted(self) -> sql.Identifier:
        return self.target.identifier(self.copy)

    @property
    def _quoted_beside(self) -> sql.Identifier:
        return self.target.identifier(self.table)

    @property
    def _names(self) -> list[str]:
        return [self.target.name(name) for name in self.key]

    @property
    def _folded(self) -> Rules:
        return {self.target.name(name): rule for name, rule in self.rules.items()}

    def _same(self, row: sql.Composable) -> sql.Composable:
        return same_key(row, sql.Identifier("k"), self._names, self._folded, self.target.lower)

    def _as(self, row: sql.Composable, prefix: str) -> list[sql.Composable]:
        """The key's columns of a row under names of their own."""
        return [
            sql.SQL("{}.{} as {}").format(
                row, sql.Identifier(name), sql.Identifier(f"{prefix}_{number}")
            )
            for number, name in enumerate(self._names)
        ]

    def _is(self, row: sql.Composable, pair: sql.Composable, prefix: str) -> sql.Composable:
        """Whether a row has a key of a pair, byte by byte: Redshift passes over trailing blanks."""
        return sql.SQL(" and ").join(
            sql.SQL(
                "{0} = {1} and octet_length({0}) = octet_length({1})"
                if name in self._folded
                else "{0} = {1}"
            ).format(
                sql.SQL("{}.{}").format(row, sql.Identifier(name)),
                sql.SQL("{}.{}").format(pair, sql.Identifier(f"{prefix}_{number}")),
            )
            for number, name in enumerate(self._names)
        )

    def _other_spelling(self, row: sql.Composable) -> sql.Composable:
        return other_spelling(row, sql.Identifier("k"), self._names, self._folded)
