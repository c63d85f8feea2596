"""What a transaction wrote, as rows: so that it can be written again where the engine's own transaction had to be given up.

The engine ends a transaction at any error, and never shows it what others committed since it began; SQL Server does neither. As the rows are
locked, nobody else has changed them meanwhile, and written again they give what they gave before: identities, times and row versions included.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from standins.sqlserver import numbering
from standins.sqlserver.locks.row_keys import RowKey, key_text, stored_columns
from standins.sqlserver.typed import identifier

if TYPE_CHECKING:
    import duckdb

    from standins.sqlserver.catalogue import TableDefinition

MOST_ROWS = 500_000
"""A transaction that wrote more is not written again."""
_GONE, _NEW = "rows_that_went", "rows_that_came"


@dataclass(frozen=True, slots=True)
class Written:
    """What one statement did to a table.

    Args:
        table: the table.
        keys: the keys of rows that went or came, as lists of texts; None in a table without a key.
        gone: in a table without a key, the rows that went.
        new: the rows that came, beside their keys in `new_keys`.
        new_keys: the keys of those.
        emptied: whether all rows that were there before went.
        numbers: whether the identity goes on behind what was inserted.
    """

    table: "TableDefinition"
    keys: set[RowKey] | None
    gone: pa.Table | None = None
    new: pa.Table | None = None
    new_keys: tuple[RowKey, ...] = ()
    emptied: bool = False
    numbers: bool = False

    @property
    def rows(self) -> int:
        """How much it is to keep."""
        return sum(part.num_rows for part in (self.gone, self.new) if part) + len(self.keys or ())


class WriteSet:
    """The rows that a transaction wrote, in order."""

    def __init__(self) -> None:
        self._written: list[Written] = []
        self._rows = 0
        self.is_whole = True
        """Whether it holds all that was written; definitions it does not."""

    def __bool__(self) -> bool:
        return bool(self._written) or not self.is_whole

    def add(self, written: Written) -> None:
        """Keep what a statement wrote."""
        if not self.is_whole:
            return
        self._rows += written.rows
        if self._rows > MOST_ROWS:
            self.give_up()
        else:
            self._written.append(written)

    def give_up(self) -> None:
        """Something was written that cannot be kept."""
        self._written, self.is_whole = [], False

    def write(self, connection: "duckdb.DuckDBPyConnection") -> None:
        """Write it again, in the transaction that the connection has open."""
        self._written = _folded(self._written)
        for written in self._written:
            _write(written, connection)


def _folded(written: list[Written]) -> list[Written]:
    """As few steps as give the same: of a row with a key only what became of it in the end."""
    emptied = {one.table.object_id: index for index, one in enumerate(written) if one.emptied}
    last: dict[tuple[int, RowKey], int] = {}
    steps: dict[int, list[tuple[int, Written]]] = {}
    folded: list[Written] = []
    for index, one in enumerate(written):
        table = one.table.object_id
        if index < emptied.get(table, 0):
            continue
        if one.keys is None:
            folded.append(one)
            continue
        last.update({(table, key): index for key in one.keys})
        steps.setdefault(table, []).append((index, one))
    return folded + [_merged(of_table, last) for of_table in steps.values()]


def _merged(steps: list[tuple[int, Written]], last: dict[tuple[int, RowKey], int]) -> Written:
    """One step for several of a table: of each key the row of the step that wrote it last."""
    table = steps[-1][1].table
    kept: list[RowKey] = []
    parts: list[pa.Table] = []
    for index, one in steps:
        if one.new is None:
            continue
        stays = [last[table.object_id, key] == index for key in one.new_keys]
        parts.append(one.new.filter(pa.array(stays, pa.bool_())))
        kept += [key for key, stay in zip(one.new_keys, stays, strict=True) if stay]
    return Written(
        table,
        set[RowKey]().union(*(one.keys or () for _, one in steps)),
        new=pa.concat_tables(parts) if parts else None,
        new_keys=tuple(kept),
        numbers=any(one.numbers for _, one in steps),
    )


def _write(written: Written, connection: "duckdb.DuckDBPyConnection") -> None:
    table = written.table
    if written.emptied:
        connection.execute(f"delete from {table.sql}")
    if written.keys:
        keys = pa.array([list(key) for key in written.keys], pa.list_(pa.string()))
        connection.register(_GONE, pa.table({"k": keys}))
        connection.execute(
            f"delete from {table.sql} where {key_text(table)} in (select k from {_GONE})"
        )
        connection.unregister(_GONE)
    elif written.gone is not None and written.gone.num_rows:
        _delete_equal(written.gone, table, connection)
    if written.new is not None and written.new.num_rows:
        names = ", ".join(identifier(column.name) for column in stored_columns(table))
        connection.register(_NEW, written.new)
        connection.execute(f"insert into {table.sql} ({names}) select * from {_NEW}")
        connection.unregister(_NEW)
    if written.numbers:
        numbering.take_inserted(connection, table)


def _delete_equal(
    gone: pa.Table, table: "TableDefinition", connection: "duckdb.DuckDBPyConnection"
) -> None:
    """Take away one row for each of these that is equal to it in all columns: of equal ones it does not matter which."""
    names = [identifier(column.name) for column in stored_columns(table)]
    listed = ", ".join(names)
    numbered = f"row_number() over (partition by {listed}) as of_equals"
    same = " and ".join(f"x.{name} is not distinct from y.{name}" for name in names)
    connection.register(
        _GONE, gone.rename_columns([column.name for column in stored_columns(table)])
    )
    connection.execute(
        f"""delete from {table.sql} where rowid in (select x.row_number_of_it
        from (select rowid as row_number_of_it, {listed}, {numbered} from {table.sql}) x
        join (select {listed}, {numbered} from {_GONE}) y on {same} and x.of_equals = y.of_equals)"""
    )
    connection.unregister(_GONE)
