"""The table of a history: made like its copy, and brought to its columns, their types and its key."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2 import sql

from tranship.errors import ColumnDrift, ConfigurationError, SchemaDriftError
from tranship.own_tables import name_is_taken
from tranship.pgsql.catalogue import ExistingTable
from tranship.pgsql.driver import SqlCursor, column_list
from tranship.pgsql.history_columns import STATE_COLUMNS, HistoryColumns, HistoryPlace


@dataclass(frozen=True)
class HistoryDefinition(HistoryPlace):
    """The table of a history, as it is defined."""

    def prepare(self, transaction: SqlCursor, like: ExistingTable[Any]) -> bool:
        """Make the table, or give it the columns and types of the rows that come.

        Returns:
            Whether it is new.
        """
        data = [one for one in like.columns if self.is_data(one.name)]
        self._refuse_names(column.name for column in data)
        existing = self.target.find(transaction, self.table)
        if existing is None:
            self._create(transaction, [(column.name, str(column.type)) for column in data])
        else:
            if not set(self.own) <= {column.name for column in existing.columns}:
                names = [column.name for column in existing.columns]
                raise name_is_taken(self.table, f"the history of {self.request.copy}", names)
            self._fit(transaction, existing, data)
        if self.words.has_indexes:
            self._ensure_indexes(transaction, HistoryColumns.of(self, like))
        if self.request.names.instead_of_copy:
            self._ensure_view(transaction)
        return existing is None

    def _create(self, transaction: SqlCursor, data: Sequence[tuple[str, str]]) -> None:
        # Nothing but the times is NOT NULL: what the source declares today its rows of yesterday need not meet. Redshift finds
        # sort and distribution keys by itself (https://docs.aws.amazon.com/redshift/latest/dg/t_Creating_tables.html); a sort
        # key on the key would keep its columns from ever getting another type.
        columns = [(name, type_, "") for name, type_ in data] + [
            (self.valid_from, "timestamptz", " not null"),
            (self.valid_to, "timestamptz", ""),
            (self.is_current, "boolean", " not null"),
        ]
        transaction.execute(
            sql.SQL("create table {} ({})").format(
                self.history,
                sql.SQL(", ").join(
                    sql.SQL("{} {}{}").format(
                        sql.Identifier(name), sql.SQL(type_), sql.SQL(constraint)
                    )
                    for name, type_, constraint in columns
                ),
            )
        )
        transaction.execute(
            sql.SQL("comment on table {} is {}").format(
                self.history,
                sql.Literal(f"Every state that a row of {self.request.copy} had, and when."),
            )
        )

    def _fit(
        self, transaction: SqlCursor, existing: ExistingTable[Any], data: Sequence[Any]
    ) -> None:
        """Add columns that are new, and widen those that must be; what the copy has no more stays as it was."""
        present = {column.name: column.type for column in existing.columns}
        statements: list[sql.Composable] = [
            sql.SQL("alter table {} add column {} {}").format(
                self.history, sql.Identifier(column.name), sql.SQL(str(column.type))
            )
            for column in data
            if column.name not in present
        ]
        for column in data:
            if column.name in present:
                statements += self._widened(column, present[column.name])
        if statements and self.request.names.instead_of_copy:
            # A view keeps the columns that it shows from changing; it is made anew with those that there are then.
            self._refuse_another(transaction)
            statements.insert(0, sql.SQL("drop view if exists {}").format(self.copy))
        for statement in statements:
            transaction.execute(statement)

    def _widened(self, column: Any, own: Any) -> Iterable[sql.Composable]:
        """What lets a column take the values of now and keep those of before."""
        wider = self.words.wider(own, column.type)
        if wider is None:
            raise SchemaDriftError(
                self.table,
                [ColumnDrift(column.name, str(column.type), str(own))],
                f'No type holds both. Rename the column of {self.table} (alter table ... rename column "{column.name}" to ...), '
                "which keeps what it has, and the history goes on in a new one.",
            )
        return (
            self.words.retyped(self.table, column.name, str(wider))
            if str(wider) != str(own)
            else ()
        )

    def _ensure_indexes(self, transaction: SqlCursor, columns: "HistoryColumns") -> None:
        """One open version of each key, and versions found by key; the names tell the rules they were made for."""
        key = columns.indexed()
        text = f"{self.table} {key.as_string(transaction)}"
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        transaction.execute(
            sql.SQL(
                "select k.relname::text from pg_index i join pg_class k on k.oid = i.indexrelid "
                "join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace "
                "where n.nspname = {} and c.relname = {} and k.relname like 'tranship\\_open\\_%'"
            ).format(sql.Literal(self.table.schema), sql.Literal(self.table.name))
        )
        names = {name for (name,) in transaction.fetchall()}
        wanted = f"tranship_open_{digest}"
        if wanted in names:
            return
        # The key was compared in another way until now; an index of that would refuse what this one takes.
        for name in names:
            transaction.execute(
                sql.SQL("drop index {}").format(sql.Identifier(self.table.schema, name))
            )
        transaction.execute(
            sql.SQL("create unique index {} on {} ({}) where {} is null").format(
                sql.Identifier(wanted), self.history, key, sql.Identifier(self.valid_to)
            )
        )
        transaction.execute(
            sql.SQL("create index if not exists {} on {} ({}, {})").format(
                sql.Identifier(f"tranship_versions_{digest}"),
                self.history,
                key,
                sql.Identifier(self.valid_from),
            )
        )

    def _ensure_view(self, transaction: SqlCursor) -> None:
        """What holds now, by the name that the copy would have."""
        if self._refuse_another(transaction):
            return
        existing = self.target.find(transaction, self.table)
        names = [column.name for column in existing.columns] if existing is not None else []
        transaction.execute(
            sql.SQL("create view {} as select {} from {} where {} is null").format(
                self.copy,
                column_list(name for name in names if name not in self.own),
                self.history,
                sql.Identifier(self.valid_to),
            )
        )

    def _refuse_another(self, transaction: SqlCursor) -> bool:
        """Refuse a table in the place of the view; gives whether the view is there."""
        name = self.target.table_name(self.request.copy)
        transaction.execute(
            sql.SQL(
                "select c.relkind = 'v' from pg_class c join pg_namespace n on n.oid = c.relnamespace "
                "where n.nspname = {} and c.relname = {}"
            ).format(sql.Literal(name.schema), sql.Literal(name.name))
        )
        row = transaction.fetchone()
        if row is not None and not row[0]:
            raise ConfigurationError(
                f"{self.request.copy} is a table, and its history is to stand in its place, with a view by that name. Nothing was "
                "written.",
                f"Rename the table, or drop it: drop table {self.request.copy}; or leave instead_of_copy out.",
            )
        return row is not None

    def _refuse_names(self, data: Iterable[str]) -> None:
        taken = sorted({*data} & {*self.own, *STATE_COLUMNS})
        if taken:
            raise ConfigurationError(
                f"{self.request.copy} has a column {', '.join(taken)}, and its history has one of that name.",
                "Name the history's columns otherwise (history: {valid_from: known_from}, valid_to, is_current), or rename "
                "the table's.",
            )
