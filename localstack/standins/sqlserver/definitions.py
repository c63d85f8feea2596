"""CREATE and DROP of tables and schemas, in DuckDB and in the catalogue."""

from dataclasses import replace

import duckdb

from standins.sqlserver import collations, numbering
from standins.sqlserver.batch import Statement
from standins.sqlserver.catalogue import (
    RESERVED_SCHEMAS,
    ColumnDefinition,
    KeyDefinition,
    TableDefinition,
)
from standins.sqlserver.cdc import definitions as cdc_definitions
from standins.sqlserver.changes import Changes, source_of
from standins.sqlserver.dialect import parse
from standins.sqlserver.errors import SqlError, syntax_error, unsupported
from standins.sqlserver.expressions import Environment, Scope
from standins.sqlserver.names import DEFAULT_SCHEMA
from standins.sqlserver.table_text import (
    TokenReader,
    read_table,
)
from standins.sqlserver.tracking import definitions as tracking_definitions
from standins.sqlserver.typed import Typed, identifier


class Definitions:
    """Runs the statements that define tables, in the session's own transaction."""

    def __init__(self, environment: Environment, connection: duckdb.DuckDBPyConnection) -> None:
        self._environment = environment
        self._catalogue = environment.catalogue
        self._connection = connection

    def run(self, statement: Statement) -> None:
        """Runs one CREATE, ALTER or DROP.

        Raises:
            SqlError: 2714 exists already, 3701 or 4902 does not exist, or not supported.
        """
        reader = TokenReader(statement.text, statement.tokens)
        match statement.words()[:2]:
            case ["CREATE", "TABLE"]:
                self._create_table(reader)
            case ["DROP", "TABLE"]:
                self._drop_tables(reader)
            case ["ALTER", "TABLE"]:
                self.alter_table(reader)
            case ["CREATE", "SCHEMA"]:
                self._create_schema(reader)
            case ["DROP", "SCHEMA"]:
                self._drop_schema(reader)
            case words:
                raise unsupported(" ".join(words))
        self._catalogue.forget()

    def _name(self, parts: list[str]) -> tuple[str, str]:
        """Schema and table of a written name."""
        if (
            len(parts) == 3
            and parts[0]
            and parts[0].lower() != self._environment.session.database.lower()
        ):
            raise unsupported(f"tables of another database ({parts[0]})")
        name = parts[-1]
        if name.startswith("#"):
            raise unsupported(f"temporary tables ({name})")
        schema = parts[-2] if len(parts) > 1 and parts[-2] else DEFAULT_SCHEMA
        if schema.lower() in RESERVED_SCHEMAS:
            raise SqlError(
                2760,
                f'The specified schema name "{schema}" either does not exist or you do not have permission to use it.',
            )
        return schema, name

    def locked(self, schema: str, name: str) -> TableDefinition | None:
        """The table, once nobody else uses it, as it is then; None where there is none.

        Raises:
            SqlError: 1222 or 1205, others did not let go of it.
        """
        session = self._environment.session
        table = self._catalogue.find(schema, name)
        while table is not None and not table.is_view:
            waited = session.locks.change_definition(session, table.object_id)
            session.transactions.freshen_statement()
            session.transactions.check_table(table.object_id)
            if not waited:
                return table
            self._catalogue.forget()
            table = self._catalogue.find(schema, name)
        return table

    def alter_table(self, reader: TokenReader) -> None:
        """ALTER TABLE; `alterations.Alterations` knows how."""
        raise NotImplementedError

    def _create_schema(self, reader: TokenReader) -> None:
        reader.expect("CREATE", "SCHEMA")
        name = reader.name()
        if reader.more():
            raise unsupported("CREATE SCHEMA with anything behind the name")
        if self._catalogue.schema_id(name) is not None:
            raise SqlError(2714, f"There is already an object named '{name}' in the database.")
        self._connection.execute(
            "insert into standin.schemas select greatest(max(schema_id), 4) + 1, ? from standin.schemas",
            [name],
        )
        self._connection.execute(f"create schema {identifier(name)}")

    def _drop_schema(self, reader: TokenReader) -> None:
        reader.expect("DROP", "SCHEMA")
        missing_is_fine = reader.accept("IF", "EXISTS")
        name = reader.name()
        schema_id = self._catalogue.schema_id(name)
        if schema_id is None:
            if missing_is_fine:
                return
            raise SqlError(
                15151,
                f"Cannot drop the schema '{name}', because it does not exist or you do not have permission.",
            )
        if schema_id <= 4:
            raise SqlError(15150, f"Cannot drop the schema '{name}'.")
        used = self._catalogue.rows(
            "select name from standin.tables where schema_id = ?", [schema_id]
        )
        if used:
            raise SqlError(
                3729,
                f"Cannot drop schema '{name}' because it is being referenced by object '{used[0][0]}'.",
            )
        self._connection.execute("delete from standin.schemas where schema_id = ?", [schema_id])
        self._connection.execute(f"drop schema {identifier(name)}")

    def _create_table(self, reader: TokenReader) -> None:
        reader.expect("CREATE", "TABLE")
        schema, name = self._name(reader.qualified())
        schema_id = self._catalogue.schema_id(schema)
        if schema_id is None:
            raise SqlError(
                2760,
                f'The specified schema name "{schema}" either does not exist or you do not have permission to use it.',
            )
        self._environment.session.transactions.alters(f"{schema}.{name}")
        if self._catalogue.find(schema, name):
            raise SqlError(2714, f"There is already an object named '{name}' in the database.")
        text = read_table(reader, f"{schema}.{name}")
        while reader.more():
            if reader.accept("ON") or reader.accept("TEXTIMAGE_ON"):
                reader.name()
            elif reader.accept("WITH"):
                reader.group()
            else:
                raise syntax_error(reader.peek())
        for key in text.keys:
            taken = self._catalogue.rows(
                "select 1 from standin.keys k join standin.tables t on t.object_id = k.parent_id where k.name = ? and t.schema_id = ?",
                [key.name, schema_id],
            )
            if taken:
                raise SqlError(
                    2714, f"There is already an object named '{key.name}' in the database."
                )
        object_id = self._next_id()
        (real_schema,) = self._catalogue.rows(
            "select name from standin.schemas where schema_id = ?", [schema_id]
        )[0]
        table = TableDefinition(
            real_schema,
            name,
            tuple(text.columns),
            tuple(text.keys),
            object_id,
            f"{identifier(real_schema)}.{identifier(name)}",
        )
        table = replace(
            table, columns=tuple(self._typed_computed(table, column) for column in table.columns)
        )
        session = self._environment.session
        session.locks.change_definition(session, object_id)
        now = "cast(now() at time zone 'UTC' as timestamp)"
        self._connection.execute(
            f"insert into standin.tables values (?, ?, ?, {now}, {now})",
            [object_id, schema_id, name],
        )
        numbering.begin(self._connection, table)
        self._connection.execute(self._table_sql(table, table.sql))
        self._create_key_indexes(table)
        self._record(table)

    def _typed_computed(self, table: TableDefinition, column: ColumnDefinition) -> ColumnDefinition:
        if column.computed is None:
            return column
        return replace(column, type=self._computed(table, column).type or column.type)

    def _computed(self, table: TableDefinition, column: ColumnDefinition) -> Typed:
        plain = replace(
            table, columns=tuple(other for other in table.columns if other.computed is None)
        )
        compiler = Changes(self._environment)
        scope = Scope([source_of(plain)])
        value = compiler.value(parse(f"select {column.computed}").expressions[0], scope)
        return Typed(value.sql.replace(f"{identifier(table.name)}.", ""), value.type)

    def _table_sql(self, table: TableDefinition, target: str) -> str:
        parts = []
        for column in table.columns:
            if column.computed is not None:
                parts.append(
                    f"{identifier(column.name)} {column.type.storage} generated always as ({self._computed(table, column).sql}) virtual"
                )
                continue
            parts.append(
                f"{identifier(column.name)} {column.type.storage}{'' if column.nullable else ' not null'}"
            )
        for key in table.keys:
            if _has_text(table, key):
                continue
            word = "primary key" if key.primary else "unique"
            parts.append(f"{word} ({', '.join(identifier(name) for name in key.columns)})")
        return f"create table {target} ({', '.join(parts)})"

    def _create_key_indexes(self, table: TableDefinition) -> None:
        """Keys that have a text in them are unique as its collation compares it, which DuckDB's constraints are not."""
        for number, key in enumerate(table.keys, 1):
            if not _has_text(table, key):
                continue
            columns = [column for name in key.columns if (column := table.column(name))]
            parts = ", ".join(
                f"({collations.collation(column.type.collation or collations.DEFAULT_NAME).key(identifier(column.name))})"
                if column.type.is_string
                else identifier(column.name)
                for column in columns
            )
            name = identifier(f"key {number} of {table.object_id}")
            self._connection.execute(f"create unique index {name} on {table.sql} ({parts})")

    def _next_id(self) -> int:
        return self._catalogue.rows("select nextval('standin.object_ids')", [])[0][0]

    def _record(self, table: TableDefinition) -> None:
        """Writes columns and keys of a table into the catalogue."""
        for position, column in enumerate(table.columns, 1):
            seed, step = column.identity or (None, None)
            self._connection.execute(
                "insert into standin.columns values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    table.object_id, column.column_id or position, column.name, column.type.name, column.type.length, column.type.precision,
                    column.type.scale, column.nullable, seed, step, self._next_id() if column.default else None, column.default_name,
                    column.default, column.computed, column.type.collation or None,
                ],
            )  # fmt: skip
        keys = sorted(table.keys, key=lambda key: not key.primary)
        for index_id, key in enumerate(keys, 1 if keys and keys[0].primary else 2):
            key_id = self._next_id()
            self._connection.execute(
                "insert into standin.keys values (?, ?, ?, ?, ?)",
                [key_id, table.object_id, key.name, "PK" if key.primary else "UQ", index_id],
            )
            for position, name in enumerate(key.columns, 1):
                self._connection.execute(
                    "insert into standin.key_columns select ?, ?, ?, column_id from standin.columns where object_id = ? and name = ?",
                    [key_id, table.object_id, position, table.object_id, name],
                )

    def _erase(self, object_id: int) -> None:
        self._connection.execute("delete from standin.columns where object_id = ?", [object_id])
        self._connection.execute("delete from standin.keys where parent_id = ?", [object_id])
        self._connection.execute("delete from standin.key_columns where parent_id = ?", [object_id])

    def _drop_tables(self, reader: TokenReader) -> None:
        reader.expect("DROP", "TABLE")
        missing_is_fine = reader.accept("IF", "EXISTS")
        named = [reader.qualified()]
        while reader.accept(","):
            named.append(reader.qualified())
        # All are locked before any goes: what was done could not be kept where one has to be waited for.
        for parts, table in [(parts, self.locked(*self._name(parts))) for parts in named]:
            if table is not None:
                self._drop(table)
                self._catalogue.forget()
            elif not missing_is_fine:
                raise SqlError(
                    3701,
                    f"Cannot drop the table '{'.'.join(parts)}', because it does not exist or you do not have permission.",
                    11,
                    5,
                )

    def _drop(self, table: TableDefinition) -> None:
        session = self._environment.session
        session.transactions.alters(table.full_name)
        if session.recorder.of(table.object_id):
            tracking_definitions.stop(table.object_id, session, self._connection)
        for instance in session.store.capture.instances.get(table.object_id, ()):
            cdc_definitions.drop_with_source(self._connection, session, instance)
            if change_table := self._catalogue.find(cdc_definitions.SCHEMA, f"{instance.name}_CT"):
                self._drop(change_table)
        self._connection.execute(f"drop table {table.sql}")
        if table.identity:
            self._connection.execute(f"drop sequence {table.sequence}")
        self._erase(table.object_id)
        self._connection.execute(
            "delete from standin.tables where object_id = ?", [table.object_id]
        )
        self._connection.execute(
            "delete from standin.properties where class = 1 and major_id = ?", [table.object_id]
        )


def _has_text(table: TableDefinition, key: KeyDefinition) -> bool:
    columns = (table.column(name) for name in key.columns)
    return any(column is not None and column.type.is_string for column in columns)
