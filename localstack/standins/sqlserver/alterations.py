"""ALTER TABLE: a changed table is built anew beside the old one and takes its place, in one transaction."""

from dataclasses import replace

from standins.sqlserver.catalogue import ColumnDefinition, TableDefinition
from standins.sqlserver.cdc import definitions as cdc_definitions
from standins.sqlserver.changes import Changes
from standins.sqlserver.conversions import assign
from standins.sqlserver.definitions import Definitions
from standins.sqlserver.errors import SqlError, syntax_error, unsupported
from standins.sqlserver.table_text import (
    TableText,
    TokenReader,
    collated,
    read_collation,
    read_column,
    read_constraint,
    read_type,
)
from standins.sqlserver.tracking import definitions as tracking_definitions
from standins.sqlserver.tracking import errors as tracking_errors
from standins.sqlserver.typed import Typed, identifier


class Alterations(Definitions):
    """Runs CREATE and DROP, and ALTER TABLE."""

    def alter_table(self, reader: TokenReader) -> None:
        """ADD, ALTER COLUMN, DROP COLUMN, DROP CONSTRAINT."""
        reader.expect("ALTER", "TABLE")
        parts = reader.qualified()
        table = self.locked(*self._name(parts))
        if table is None:
            raise SqlError(
                4902,
                f'Cannot find the object "{".".join(parts)}" because it does not exist or you do not have permissions.',
            )
        session = self._environment.session
        if reader.peek() in {"ENABLE", "DISABLE"} and reader.peek(1) == "CHANGE_TRACKING":
            tracking_definitions.alter_table(reader, table, session, self._connection)
            session.transactions.alters(table.full_name)
            return
        if reader.peek() == "SWITCH" and session.recorder.of(table.object_id):
            raise tracking_errors.switch_of_tracked(table.full_name)
        session.transactions.alters(table.full_name)
        _ = reader.accept("WITH", "CHECK") or reader.accept("WITH", "NOCHECK")
        if reader.accept("ALTER", "COLUMN"):
            self._rebuild(table, self._altered(table, reader))
        elif reader.accept("DROP", "COLUMN"):
            self._rebuild(table, self._without(table, reader))
        elif reader.accept("DROP", "CONSTRAINT"):
            name = reader.name()
            key = table.primary_key
            if key and key.name.lower() == name.lower() and session.recorder.of(table.object_id):
                raise tracking_errors.key_is_needed(key.name, table.name)
            cdc_definitions.check_key(session.store.capture, table, name)
            self._rebuild(table, self._without_constraint(table, name))
        elif reader.accept("ADD"):
            self._rebuild(table, self._extended(table, reader))
        else:
            raise unsupported(f"ALTER TABLE ... {reader.peek()}")

    def _altered(self, table: TableDefinition, reader: TokenReader) -> TableDefinition:
        name = reader.name()
        column = table.column(name)
        if column is None:
            raise SqlError(
                4924,
                f"ALTER TABLE ALTER COLUMN failed because column '{name}' does not exist in table '{table.name}'.",
            )
        if reader.peek() in {"ADD", "DROP"}:
            raise unsupported(f"ALTER COLUMN ... {reader.peek()}")
        kind = read_type(reader)
        name_of_collation = read_collation(reader) if reader.accept("COLLATE") else ""
        changed = replace(column, type=collated(kind, name_of_collation), nullable=True)
        if reader.accept("NOT", "NULL"):
            changed = replace(changed, nullable=False)
        elif not reader.accept("NULL") and reader.more():
            raise syntax_error(reader.peek())
        if column.computed is not None or "rowversion" in {column.type.name, changed.type.name}:
            raise SqlError(
                4928, f"Cannot alter column '{name}' because it is 'timestamp' or computed."
            )
        if any(name.lower() in {part.lower() for part in key.columns} for key in table.keys):
            raise SqlError(
                5074, f"The object '{table.keys[0].name}' is dependent on column '{name}'."
            )
        return replace(
            table, columns=tuple(changed if other is column else other for other in table.columns)
        )

    def _without(self, table: TableDefinition, reader: TokenReader) -> TableDefinition:
        missing_is_fine = reader.accept("IF", "EXISTS")
        while True:
            name = reader.name()
            column = table.column(name)
            if column is None and not missing_is_fine:
                raise SqlError(
                    4924,
                    f"ALTER TABLE DROP COLUMN failed because column '{name}' does not exist in table '{table.name}'.",
                )
            for key in table.keys:
                if name.lower() in {part.lower() for part in key.columns}:
                    raise SqlError(
                        5074, f"The object '{key.name}' is dependent on column '{name}'."
                    )
            if column is not None and column.default_name:
                raise SqlError(
                    5074, f"The object '{column.default_name}' is dependent on column '{name}'."
                )
            table = replace(
                table, columns=tuple(other for other in table.columns if other is not column)
            )
            if not reader.accept(","):
                return table

    @staticmethod
    def _without_constraint(table: TableDefinition, name: str) -> TableDefinition:
        keys = tuple(key for key in table.keys if key.name.lower() != name.lower())
        columns = tuple(
            replace(column, default=None, default_name=None)
            if column.default_name and column.default_name.lower() == name.lower()
            else column
            for column in table.columns
        )
        if keys == table.keys and columns == table.columns:
            raise SqlError(3728, f"'{name}' is not a constraint.")
        return replace(table, keys=keys, columns=columns)

    def _extended(self, table: TableDefinition, reader: TokenReader) -> TableDefinition:
        found = TableText()
        while True:
            if reader.peek() in {"CONSTRAINT", "PRIMARY", "UNIQUE"}:
                if reader.peek(2) == "DEFAULT" or reader.peek(2) == "CHECK":
                    raise unsupported("ALTER TABLE ADD CONSTRAINT with DEFAULT or CHECK")
                read_constraint(reader, table.full_name, found)
            else:
                read_column(reader, table.full_name, found)
            if not reader.accept(","):
                break
        highest = max((column.column_id for column in table.columns), default=0)
        added = []
        for number, column in enumerate(found.columns, highest + 1):
            if table.column(column.name):
                raise SqlError(
                    2705,
                    f"Column names in each table must be unique. Column name '{column.name}' in table '{table.full_name}' is specified more than once.",
                )
            if column.identity:
                raise unsupported("ALTER TABLE ADD of an identity column")
            added.append(replace(column, column_id=number))
        extended = replace(
            table, columns=table.columns + tuple(added), keys=table.keys + tuple(found.keys)
        )
        return replace(
            extended,
            columns=tuple(self._typed_computed(extended, column) for column in extended.columns),
        )

    def _rebuild(self, old: TableDefinition, new: TableDefinition) -> None:
        compiler = Changes(self._environment)
        beside = f"{identifier(new.schema)}.{identifier(f'rebuilt {new.object_id}')}"
        names, texts = [], []
        for column in new.columns:
            if column.computed is not None:
                continue
            names.append(identifier(column.name))
            before = old.column(column.name)
            if before is None:
                given = (
                    column
                    if not column.nullable or column.type.name == "rowversion"
                    else replace(column, default=None)
                )
                if (
                    not column.nullable
                    and column.default is None
                    and column.type.name != "rowversion"
                ):
                    self._refuse_without_value(old, column)
                texts.append(compiler.filler(new, given))
            elif before.type == column.type:
                texts.append(identifier(column.name))
            else:
                texts.append(
                    assign(
                        Typed(identifier(column.name), before.type),
                        column.type,
                        new.full_name,
                        column.name,
                    )
                )
        self._connection.execute(self._table_sql(new, beside))
        self._connection.execute(
            f"insert into {beside} ({', '.join(names)}) select {', '.join(texts)} from {old.sql}"
        )
        self._connection.execute(f"drop table {old.sql}")
        self._connection.execute(f"alter table {beside} rename to {identifier(new.name)}")
        self._create_key_indexes(new)
        self._erase(old.object_id)
        self._record(new)
        capture = self._environment.session.store.capture
        cdc_definitions.follow_types(self._connection, capture, old, new)
        self._connection.execute(
            "update standin.tables set modified = cast(now() at time zone 'UTC' as timestamp) where object_id = ?",
            [new.object_id],
        )

    def _refuse_without_value(self, table: TableDefinition, column: ColumnDefinition) -> None:
        if self._connection.execute(f"select 1 from {table.sql} limit 1").fetchall():
            raise SqlError(
                4901,
                "ALTER TABLE only allows columns to be added that can contain nulls, or have a DEFAULT definition specified, or the column being added is an identity "
                f"or timestamp column. Column '{column.name}' cannot be added to non-empty table '{table.name}' because it does not satisfy these conditions.",
            )
