"""Names and conditions of which the statements of a history are made, for whatever columns its copy has."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg2 import sql

from tranship.errors import DuplicateRowsError, WriteFailedError
from tranship.history import INSTANT, OPERATION, SEQUENCE, HistoryRequest
from tranship.pgsql import keys
from tranship.pgsql.catalogue import ExistingTable
from tranship.pgsql.driver import SqlCursor, column_list, one_row
from tranship.tables import TableName

if TYPE_CHECKING:
    from tranship.pgsql.target import PgsqlTarget

STATE_COLUMNS = (OPERATION, INSTANT, SEQUENCE)
KEY = "tranship_key_{}"
"""What a key's columns are called as they are compared, where rows wait."""
_TEXTS = frozenset({"text", "varchar", "char"})


@dataclass(frozen=True)
class HistoryWords(ABC):
    """What a history is written in otherwise on either side.

    Args:
        later: A time moved by microseconds: `{0}` is the time, `{1}` the number.
        exact_text: A text of which each byte counts in a comparison, with `{}` for the text.
        has_indexes: Whether there are indexes, and statistics to gather for a table that has just been filled.
        staged: The rows of the merge that a transaction is of, where they can be seen.
    """

    later: str
    exact_text: str = "{}"
    has_indexes: bool = False
    staged: sql.Composable | None = None

    @abstractmethod
    def differ(self, type_name: str, left: sql.Composable, right: sql.Composable) -> sql.Composable:
        """Whether two values of a type differ; a null equals a null, and nothing else."""

    @abstractmethod
    def wider(self, own: Any, incoming: Any) -> Any | None:
        """The type that holds the values of both, which a column of the first one may have; `None` where there is none."""

    @abstractmethod
    def retyped(self, table: TableName, column: str, type_: str) -> Iterator[sql.Composable]:
        """The statements that give a column another type and keep its values."""


@dataclass(frozen=True)
class HistoryPlace:
    """Where a history is, and what it and its columns are called there.

    Args:
        target: The target.
        request: What it is the history of.
    """

    target: "PgsqlTarget"
    request: HistoryRequest

    @property
    def words(self) -> HistoryWords:
        """What the history is written in here."""
        return self.target.history_words

    @property
    def table(self) -> TableName:
        """Its table."""
        return self.target.table_name(self.request.names.table)

    @property
    def history(self) -> sql.Identifier:
        """Its table, quoted."""
        return self.target.identifier(self.request.names.table)

    @property
    def copy(self) -> sql.Identifier:
        """The copy, quoted."""
        return self.target.identifier(self.request.copy)

    @property
    def own(self) -> tuple[str, ...]:
        """Its own columns."""
        return tuple(map(self.target.name, self.request.names.columns))

    @property
    def valid_from(self) -> str:
        """When a version begins."""
        return self.own[0]

    @property
    def valid_to(self) -> str:
        """When it ends."""
        return self.own[1]

    @property
    def is_current(self) -> str:
        """Whether it holds."""
        return self.own[2]

    @property
    def reached(self) -> sql.Composable:
        """The last instant that a version tells of."""
        return sql.SQL("greatest(h.{0}, coalesce(h.{1}, h.{0}))").format(
            sql.Identifier(self.valid_from), sql.Identifier(self.valid_to)
        )

    def is_open(self, row: str) -> sql.Composable:
        """Whether a row of it holds."""
        return sql.SQL("{} is null").format(sql.Identifier(row, self.valid_to))

    def is_live(self, row: str) -> sql.Composable:
        """Whether a row of the copy is not marked as gone."""
        mark = self.request.mark
        if mark is None:
            return sql.SQL("true")
        return sql.SQL("{} is null").format(sql.Identifier(row, self.target.name(mark)))

    def is_data(self, column: str) -> bool:
        """Whether a column of the rows that come is one of the history too."""
        mark = self.request.mark
        return column not in STATE_COLUMNS and (mark is None or column != self.target.name(mark))


@dataclass(frozen=True)
class HistoryColumns:
    """The columns of the rows that come, and what is said about them in conditions.

    Args:
        history: Whose they are.
        types: The names of their types, by their own.
    """

    history: HistoryPlace
    types: dict[str, str]

    @classmethod
    def of(
        cls, history: HistoryPlace, table: ExistingTable[Any], without: Sequence[str] = ()
    ) -> "HistoryColumns":
        """The columns of a table whose rows come, but for some of them."""
        types = {
            column.name: column.type.name
            for column in table.columns
            if history.is_data(column.name) and column.name not in without
        }
        return cls(history, types)

    @property
    def key_names(self) -> list[str]:
        """The key's columns."""
        return [self.history.target.name(name) for name in self.history.request.key]

    def listed(self, *, own: bool = False) -> sql.Composable:
        """The columns, and the history's own."""
        names = [*self.types, *map(self.history.target.name, self.history.request.names.columns)]
        return column_list(names if own else self.types)

    def of_row(self, row: str) -> sql.Composable:
        """The columns of a row."""
        return sql.SQL(", ").join(sql.Identifier(row, name) for name in self.types)

    def compared(self, row: sql.Composable) -> list[sql.Composable]:
        """The key's columns of a row as they are compared: equal exactly where the copy takes them for one."""
        target, request = self.history.target, self.history.request
        rules = {target.name(name): rule for name, rule in request.rules.items()}
        expressions: list[sql.Composable] = []
        for name in self.key_names:
            column = sql.SQL("{}.{}").format(row, sql.Identifier(name))
            is_text = self.types.get(name) in _TEXTS
            if is_text and name in rules:
                expressions.append(keys.fold(column, rules[name], target.lower))
            elif is_text:
                expressions.append(sql.SQL(target.history_words.exact_text).format(column))
            else:
                expressions.append(column)
        return expressions

    def key(self, row: str) -> sql.Composable:
        """The key of a row as it is compared."""
        return sql.SQL(", ").join(self.compared(sql.Identifier(row)))

    def indexed(self) -> sql.Composable:
        """The same for an index, whose columns have no table before them."""
        target, request = self.history.target, self.history.request
        rules = {target.name(name): rule for name, rule in request.rules.items()}
        return sql.SQL(", ").join(
            sql.SQL("({})").format(keys.fold(sql.Identifier(name), rules[name], target.lower))
            if self.types.get(name) in _TEXTS and name in rules
            else sql.Identifier(name)
            for name in self.key_names
        )

    def same(self, left: str, right: str) -> sql.Composable:
        """Whether two rows have one key."""
        return all_equal(self.compared(sql.Identifier(left)), self.compared(sql.Identifier(right)))

    def same_as_placed(self, row: sql.Composable, placed: str) -> sql.Composable:
        """Whether a row has the key of one that waits."""
        return all_equal(self.compared(row), self.waiting_key(placed))

    def waiting_key(self, row: str) -> list[sql.Composable]:
        """The key of a row that waits, as it is compared."""
        return [sql.Identifier(row, KEY.format(number)) for number in range(len(self.key_names))]

    def differ(self, left: str, right: str) -> sql.Composable:
        """Whether two rows of one key differ in any column; the key too, which may be spelled otherwise."""
        words = self.history.target.history_words
        parts = [
            words.differ(type_, sql.Identifier(left, name), sql.Identifier(right, name))
            for name, type_ in self.types.items()
        ]
        return sql.SQL("({})").format(sql.SQL(" or ").join(parts))

    def among(self, row: str, touched: sql.Composable | None) -> sql.Composable:
        """And whether the key of a row is among those that were touched."""
        if touched is None:
            return sql.SQL("")
        return sql.SQL(" and exists (select 1 from {} as t where {})").format(
            touched, self.same(row, "t")
        )

    # ---- what no history can be made of ----

    def check_nulls(self, transaction: SqlCursor, rows: sql.Composable) -> None:
        """Refuse rows without a key."""
        any_null = sql.SQL(" or ").join(
            sql.SQL("{} is null").format(sql.Identifier("s", name)) for name in self.key_names
        )
        transaction.execute(sql.SQL("select count(*) from {} where {}").format(rows, any_null))
        (nulls,) = one_row(transaction)
        if nulls:
            raise WriteFailedError(
                f"{nulls:,} rows of {self.history.request.copy} have null in the key ({', '.join(self.history.request.key)}), "
                "so that their history cannot be told from that of others.",
                "Name key columns without nulls, or leave history out.",
                details={"rows_with_null_key": int(nulls)},
            )

    def check_unique(
        self, transaction: SqlCursor, rows: sql.Composable, sequence: str | None = None
    ) -> None:
        """Refuse rows of which two have one key, or one key and one number."""
        groups = [self.key("s")]
        if sequence is not None:
            groups.append(sql.Identifier("s", sequence))
        shown = sql.SQL(", ").join(
            sql.SQL("min({})").format(part) if self.types.get(name) in _TEXTS else part
            for name, part in zip(
                self.key_names,
                (sql.Identifier("s", name) for name in self.key_names),
                strict=True,
            )
        )
        transaction.execute(
            sql.SQL("select {}, count(*) from {} group by {} having count(*) > 1 limit 1").format(
                shown, rows, sql.SQL(", ").join(groups)
            )
        )
        duplicate = transaction.fetchone()
        if duplicate is None:
            return
        *values, times = duplicate
        key = ", ".join(
            f"{name} {value!r}"
            for name, value in zip(self.history.request.key, values, strict=True)
        )
        raise DuplicateRowsError(
            f"{times} rows of {self.history.request.copy} have the key {key}: which of them its history goes on with cannot be "
            "told. Nothing was written.",
            "Remove the duplicates, or name more key columns.",
            details={"key": key},
        )


def aliased(expressions: Sequence[sql.Composable]) -> sql.Composable:
    """A key as it is compared, under the names that it waits by."""
    return sql.SQL(", ").join(
        sql.SQL("{} as {}").format(expression, sql.Identifier(KEY.format(number)))
        for number, expression in enumerate(expressions)
    )


def all_equal(left: Sequence[sql.Composable], right: Sequence[sql.Composable]) -> sql.Composable:
    """Whether the columns of two keys are equal."""
    pairs = zip(left, right, strict=True)
    return sql.SQL(" and ").join(sql.SQL("{} = {}").format(*pair) for pair in pairs)
