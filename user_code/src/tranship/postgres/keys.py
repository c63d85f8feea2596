"""Which key a table gets from its rows, and how the key it has follows that of its source."""

from collections.abc import Iterator
from dataclasses import dataclass

from psycopg2 import sql

from tranship.pgsql.driver import SqlCursor, column_list, qualified
from tranship.postgres.catalogue import PostgresTable, UniqueIndex
from tranship.tables import TableName, TableSchema
from tranship.writes import WriteMode, WriteRequest


@dataclass(frozen=True, slots=True)
class Key:
    """The columns that tell a table's rows apart.

    Args:
        columns: Their names, in order.
        may_be_null: Whether one of them takes null: such a key is unique where it is not null.
    """

    columns: tuple[str, ...]
    may_be_null: bool = False

    def statements(
        self, table: TableName, name: sql.Composable | None = None
    ) -> Iterator[sql.Composable]:
        """The statement that gives the key to a table, under a name or one of Postgres's choice."""
        columns = column_list(self.columns)
        if self.may_be_null:
            yield sql.SQL("create unique index {} on {} ({})").format(
                name or sql.SQL(""), qualified(table), columns
            )
        else:
            constraint = sql.SQL("constraint {} ").format(name) if name else sql.SQL("")
            yield sql.SQL("alter table {} add {}primary key ({})").format(
                qualified(table), constraint, columns
            )


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What becomes of a table's key so that it is the source's.

    Args:
        dropped: What enforces the key that is no more.
        added: The key that takes its place; `None` where none does.
    """

    dropped: tuple[UniqueIndex, ...] = ()
    added: Key | None = None

    def __bool__(self) -> bool:
        return bool(self.dropped or self.added)

    def __str__(self) -> str:
        return f"the key is {shown(self.added.columns if self.added else ())}"

    def drop_statements(self, table: TableName) -> Iterator[sql.Composable]:
        """The statements that take the old key from the table."""
        for index in self.dropped:
            if index.is_constraint:
                yield sql.SQL("alter table {} drop constraint {}").format(
                    qualified(table), sql.Identifier(index.name)
                )
            else:
                yield sql.SQL("drop index {}").format(sql.Identifier(table.schema, index.name))

    @property
    def name(self) -> str | None:
        """The name that the new key inherits."""
        return self.dropped[0].name if self.dropped else None


NO_CHANGE = KeyChange()


def shown(columns: tuple[str, ...]) -> str:
    """A key in a message: `(a, b)`, or `none`."""
    return f"({', '.join(columns)})" if columns else "none"


def key_of(request: WriteRequest, schema: TableSchema) -> Key | None:
    """The key of a table that is made by a write."""
    columns: tuple[str, ...] = ()
    if request.key and request.mode != WriteMode.APPEND:
        # Also where rows are replaced: who names a key will merge by it, and needs its index then.
        columns = request.key
    elif request.mode == WriteMode.REPLACE and not request.slice.columns:
        # A partition may be a snapshot of the whole source, and appended rows a history: the
        # source's key is a key here only where the whole table is replaced. Its columns may also
        # have been dropped on the way.
        columns = schema.primary_key if set(schema.primary_key) <= set(schema.names) else ()
    if not columns:
        return None
    # A named key that may be null is unique where it is not, which is all that merging needs.
    may_be_null = request.mode != WriteMode.MERGE and any(
        schema.column(name).nullable for name in columns
    )
    return Key(columns, may_be_null)


def create_keys(cursor: SqlCursor, request: WriteRequest, schema: TableSchema) -> None:
    """Give a new table its primary key, or an index on the columns that slices are found by."""
    key = key_of(request, schema)
    if key is not None:
        for statement in key.statements(request.table):
            cursor.execute(statement)
    sliced = request.slice.columns
    # Without it, replacing one day would read the whole table to find the rows to delete.
    if sliced and not (key is not None and sliced == key.columns[:1]):
        cursor.execute(
            sql.SQL("create index on {} ({})").format(qualified(request.table), column_list(sliced))
        )


def key_change(request: WriteRequest, schema: TableSchema, existing: PostgresTable) -> KeyChange:
    """What must change in the key of a table that is there, where it follows its source's.

    Only the key that the table has from its source: one that a person gave it stays.
    """
    if request.declared is None or request.mode not in {WriteMode.REPLACE, WriteMode.MERGE}:
        return NO_CHANGE
    wanted = key_of(request, schema)
    declared = wanted.columns if wanted else schema.primary_key
    old = _old_key(request, declared, existing)
    if old is None:
        return NO_CHANGE
    ours = tuple(index for index in existing.unique_indexes if set(index.columns) == set(old))
    if set(old) == set(declared):
        # A primary key whose column became nullable goes on as a unique index.
        too_strict = tuple(index for index in ours if index.is_primary)
        if wanted is None or not wanted.may_be_null or not too_strict:
            return NO_CHANGE
        return KeyChange(too_strict, wanted)
    gains_first = not old and not existing.primary_key and not request.slice.columns
    if not ours and not gains_first:
        return NO_CHANGE
    return KeyChange(ours, wanted)


def _old_key(
    request: WriteRequest, declared: tuple[str, ...], existing: PostgresTable
) -> tuple[str, ...] | None:
    """The key that the table has from its source; `None` where that cannot be told."""
    former = request.declared.key if request.declared is not None else None
    if former is not None:
        return former
    # Nobody wrote down where this key comes from. One that the table fills by itself is a person's.
    by_table = {column.name for column in existing.columns if column.has_default or column.identity}
    if not declared or not existing.primary_key or by_table & set(existing.primary_key):
        return None
    return existing.primary_key
