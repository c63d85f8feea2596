"""The statements that hold a copy's keys against those of its source, which are in a table beside it."""

import hashlib
from dataclasses import dataclass
from typing import Any

from psycopg2 import sql

from tranship.errors import ConfigurationError
from tranship.pgsql.keys import Rules, other_spelling, same_key
from tranship.replication.targets import KEYS_SUFFIX, Target
from tranship.tables import TableName

_LONGEST_NAME_BYTES = 63
"""Postgres's limit, which is the lower one."""


def keys_beside(table: TableName) -> TableName:
    """The table beside a table that its source's keys are written to."""
    name = f"{table.name}{KEYS_SUFFIX}"
    if len(name.encode()) > _LONGEST_NAME_BYTES:
        digest = hashlib.sha256(table.name.encode()).hexdigest()[:12]
        room = _LONGEST_NAME_BYTES - len(KEYS_SUFFIX) - len(digest) - 1
        kept = table.name.encode()[:room].decode(errors="ignore")
        name = f"{kept}_{digest}{KEYS_SUFFIX}"
    return TableName(table.schema, name)


def refuse_a_copy(target: Target, table: TableName) -> None:
    """Never write keys over rows: a table of the source may be called as the table of keys is.

    Raises:
        ConfigurationError: It is; nothing was touched.
    """
    beside = keys_beside(table)
    if target.schema_of(target.bookmarks(beside).name) is None:
        return
    if (copied := target.bookmark(beside)) is not None:
        raise ConfigurationError(
            f"The keys of {table} are written to {beside}, which is a copy of {copied.source}: it was not touched.",
            f"Give that copy another name (target:), then drop {beside} and forget its bookmark.",
        )


@dataclass(frozen=True, slots=True)
class ComparedKeys:
    """A copy and the keys beside it.

    Args:
        target: Where they are.
        table: The copy.
        key: The key columns, as they are called in the target's data.
        rules: How the source compares the key's texts, by these names.
    """

    target: Target
    table: TableName
    key: tuple[str, ...]
    rules: Rules

    @property
    def beside(self) -> TableName:
        """The table that has the source's keys."""
        return keys_beside(self.table)

    @property
    def quoted(self) -> sql.Identifier:
        """The copy's name."""
        return self.target.identifier(self.table)

    def identifier(self, name: str) -> sql.Identifier:
        """A column, by its name in the data."""
        return sql.Identifier(self.target.name(name))

    @property
    def not_among(self) -> sql.Composable:
        """Whether a row's key is not among those of the source."""
        # A null equals nothing, so whether its row is gone cannot be told.
        whole = sql.SQL(" and ").join(
            sql.SQL("{}.{} is not null").format(self.quoted, self.identifier(name))
            for name in self.key
        )
        return sql.SQL("({} and not exists (select 1 from {} as k where {}))").format(
            whole, self._quoted_beside, self._same(self.quoted)
        )

    def count(self, cursor: Any, condition: sql.Composable) -> int:
        """How many rows of the copy meet a condition."""
        cursor.execute(sql.SQL("select count(*) from {} where {}").format(self.quoted, condition))
        return int(cursor.fetchone()[0])

    def count_beside(self, cursor: Any) -> int:
        """How many keys the source has."""
        cursor.execute(sql.SQL("select count(*) from {}").format(self._quoted_beside))
        return int(cursor.fetchone()[0])

    def select(self, cursor: Any, condition: sql.Composable) -> list[tuple[Any, ...]]:
        """The keys of the copy's rows that meet a condition."""
        columns = sql.SQL(", ").join(map(self.identifier, self.key))
        cursor.execute(
            sql.SQL("select {} from {} where {}").format(columns, self.quoted, condition)
        )
        return cursor.fetchall()

    def select_lacking(self, cursor: Any, most: int) -> list[tuple[Any, ...]]:
        """Keys of the source that the copy has no row for, so many at most."""
        columns = sql.SQL(", ").join(
            sql.SQL("k.{}").format(self.identifier(name)) for name in self.key
        )
        cursor.execute(
            sql.SQL(
                "select {} from {} as k where not exists (select 1 from {} where {}) limit {}"
            ).format(
                columns,
                self._quoted_beside,
                self.quoted,
                self._same(self.quoted),
                sql.Literal(most),
            )
        )
        return cursor.fetchall()

    def clear(self, cursor: Any) -> None:
        """Let the keys go: an empty table costs nothing, and needs no right to drop it."""
        cursor.execute(sql.SQL("delete from {}").format(self._quoted_beside))

    def respell(self, cursor: Any) -> None:
        """Give rows the spelling that their key has in the source now, where that takes both for the same."""
        if not self.rules:
            return
        k, own = sql.Identifier("k"), sql.Identifier("own")
        respelled = sql.SQL("{} and ({})").format(
            self._same(self.quoted), self._other_spelling(self.quoted)
        )
        source = sql.SQL("{} as {}").format(self._quoted_beside, k)
        # Counted, not looked for: a limit lets Postgres's planner loop over both tables in the hope of an early row.
        cursor.execute(
            sql.SQL("select count(*) from {}, {} where {}").format(self.quoted, source, respelled)
        )
        if not cursor.fetchone()[0]:
            return
        # A copy that compared bytes once may have both spellings; the source's own is the one that is kept up to date.
        # It is looked for by plain equality, which the key's index and the planner's estimates know.
        cursor.execute(
            sql.SQL(
                "delete from {0} using {1} where {2} and "
                "exists (select 1 from {0} as own where {3} and not ({4}))"
            ).format(self.quoted, source, respelled, self._equal(own), self._other_spelling(own))
        )
        spelling = sql.SQL(", ").join(
            sql.SQL("{0} = k.{0}").format(self.identifier(name))
            for name in self.key
            if name in self.rules
        )
        cursor.execute(
            sql.SQL("update {} set {} from {} where {}").format(
                self.quoted, spelling, source, respelled
            )
        )

    @property
    def _quoted_beside(self) -> sql.Identifier:
        return self.target.identifier(self.beside)

    @property
    def _names(self) -> list[str]:
        return [self.target.name(name) for name in self.key]

    @property
    def _folded(self) -> Rules:
        return {self.target.name(name): rule for name, rule in self.rules.items()}

    def _same(self, row: sql.Composable) -> sql.Composable:
        return same_key(row, sql.Identifier("k"), self._names, self._folded, self.target.lower)

    def _equal(self, row: sql.Composable) -> sql.Composable:
        return same_key(row, sql.Identifier("k"), self._names, {}, self.target.lower)

    def _other_spelling(self, row: sql.Composable) -> sql.Composable:
        return other_spelling(row, sql.Identifier("k"), self._names, self._folded)
