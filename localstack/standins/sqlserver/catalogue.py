"""The catalogue of declared T-SQL types: tables in DuckDB's schema `standin`, so that they roll back with the data."""

from dataclasses import dataclass, field

import duckdb

from standins.sqlserver import macros
from standins.sqlserver.cdc import store as cdc_store
from standins.sqlserver.system_views import SYSTEM_VIEWS, system_view_statements
from standins.sqlserver.tracking import store
from standins.sqlserver.typed import identifier
from standins.sqlserver.types import SqlType

FIRST_OBJECT_ID = 100_000_001
FIRST_ROWVERSION = 2001
RESERVED_SCHEMAS = ("sys", "information_schema")

_TABLES = """
create schema if not exists standin;
create sequence if not exists standin.object_ids start {first_object};
create sequence if not exists standin.rowversions start {first_rowversion};
create table if not exists standin.schemas (schema_id integer, name varchar collate nocase);
create table if not exists standin.tables (
    object_id integer, schema_id integer, name varchar collate nocase, created timestamp, modified timestamp);
create table if not exists standin.columns (
    object_id integer, column_id integer, name varchar collate nocase, type_name varchar collate nocase, length integer,
    "precision" integer, scale integer, nullable boolean, identity_seed bigint, identity_step bigint,
    default_id integer, default_name varchar collate nocase, default_text varchar, computed_text varchar, collation_name varchar);
alter table standin.columns add column if not exists collation_name varchar;
create table if not exists standin.keys (
    object_id integer, parent_id integer, name varchar collate nocase, kind varchar, index_id integer);
create table if not exists standin.key_columns (object_id integer, parent_id integer, "position" integer, column_id integer);
create table if not exists standin.properties (
    class integer, major_id integer, minor_id integer, name varchar collate nocase, "value" varchar);
create table if not exists standin.identity (
    created timestamp, service_broker_guid uuid, group_database_id uuid, database_guid uuid, family_guid uuid,
    recovery_fork_guid uuid, first_recovery_fork_guid uuid, is_visible boolean);
create table if not exists standin.concealed (object_id integer, column_id integer, masked boolean, encryption_type integer);
create table if not exists standin.policies (name varchar, object_id integer);
create table if not exists standin.denied ("right" varchar);
create table if not exists standin.options (snapshot_isolation boolean, read_committed_snapshot boolean);
insert into standin.options select true, true where not exists (from standin.options);
"""
_NEW_IDENTITY = """
insert into standin.identity
select date_trunc('millisecond', cast(now() at time zone 'UTC' as timestamp)), uuid(), null, uuid(), uuid(), fork, fork, true
from (select uuid() as fork) where not exists (from standin.identity)
"""
_SCHEMAS = {"dbo": 1, "guest": 2, "INFORMATION_SCHEMA": 3, "sys": 4}


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    """A declared column; `default` and `computed` are T-SQL text."""

    name: str
    type: SqlType
    nullable: bool = True
    identity: tuple[int, int] | None = None
    default: str | None = None
    default_name: str | None = None
    computed: str | None = None
    column_id: int = 0


@dataclass(frozen=True, slots=True)
class KeyDefinition:
    """A primary key or unique constraint over columns, in order."""

    name: str
    columns: tuple[str, ...]
    primary: bool = True


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """A table, or one of the system's views, as queries see it."""

    schema: str
    name: str
    columns: tuple[ColumnDefinition, ...]
    keys: tuple[KeyDefinition, ...] = ()
    object_id: int = 0
    sql: str = field(default="")

    @property
    def is_view(self) -> bool:
        """Whether it is a view of the system's."""
        return not self.object_id

    @property
    def full_name(self) -> str:
        """`schema.table`, for messages."""
        return f"{self.schema}.{self.name}"

    def column(self, name: str) -> ColumnDefinition | None:
        """The column of that name in any case."""
        folded = name.lower()
        return next((column for column in self.columns if column.name.lower() == folded), None)

    @property
    def primary_key(self) -> KeyDefinition | None:
        """The primary key, if there is one."""
        return next((key for key in self.keys if key.primary), None)

    @property
    def key_columns(self) -> tuple[ColumnDefinition, ...]:
        """The columns of the primary key, in its order."""
        names = self.primary_key.columns if self.primary_key else ()
        return tuple(column for name in names if (column := self.column(name)))

    @property
    def rowversion(self) -> ColumnDefinition | None:
        """The rowversion column, if there is one."""
        return next((column for column in self.columns if column.type.name == "rowversion"), None)

    @property
    def identity(self) -> ColumnDefinition | None:
        """The identity column, if there is one."""
        return next((column for column in self.columns if column.identity), None)

    @property
    def sequence(self) -> str:
        """The DuckDB sequence behind the identity column."""
        return f"standin.identity_{self.object_id}"


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Creates what the stand-in keeps in a database, where it is not there yet."""
    connection.execute(
        _TABLES.format(first_object=FIRST_OBJECT_ID, first_rowversion=FIRST_ROWVERSION)
    )
    connection.execute(store.TABLES)
    connection.execute(cdc_store.TABLES)
    connection.execute(_NEW_IDENTITY)
    for name, schema_id in _SCHEMAS.items():
        connection.execute(
            "insert into standin.schemas select $id, $name where not exists (from standin.schemas where name = $name)",
            {"id": schema_id, "name": name},
        )
    connection.execute('create schema if not exists "dbo"; create schema if not exists "guest"')
    for statement in (*macros.statements(), *system_view_statements()):
        connection.execute(statement)


class Catalogue:
    """Looks tables up through one session's connection, so it sees that session's own uncommitted changes."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._known: dict[tuple[str, str], TableDefinition | None] = {}

    def forget(self) -> None:
        """Drops what was remembered, after a change of any table's definition."""
        self._known.clear()

    def rows(self, sql: str, parameters: list[object]) -> list[tuple]:
        """Runs a query over the catalogue's own tables."""
        return self._connection.execute(sql, parameters).fetchall()

    def value(self, sql: str, bound: dict[str, object]) -> object:
        """The one value of a query with bound variables."""
        return self._connection.execute(sql, bound).fetchall()[0][0]

    def schema_id(self, schema: str) -> int | None:
        """The id of a schema, None if there is no such schema."""
        found = self.rows("select schema_id from standin.schemas where name = ?", [schema])
        return found[0][0] if found else None

    def find(self, schema: str, name: str) -> TableDefinition | None:
        """The table or system view, None if there is none."""
        key = (schema.lower(), name.lower())
        if key not in self._known:
            self._known[key] = self._system_view(key) or self._load(schema, name)
        return self._known[key]

    @staticmethod
    def _system_view(key: tuple[str, str]) -> TableDefinition | None:
        view = SYSTEM_VIEWS.get(f"{key[0]}.{key[1]}")
        if view is None:
            return None
        columns = tuple(ColumnDefinition(name, kind) for name, kind in view.columns)
        schema, name = view.name.split(".")
        return TableDefinition(
            schema, name, columns, sql=f"standin.{identifier(view.name.lower())}"
        )

    def _load(self, schema: str, name: str) -> TableDefinition | None:
        found = self.rows(
            """select t.object_id, s.name, t.name from standin.tables t join standin.schemas s using (schema_id)
            where s.name = ? and t.name = ?""",
            [schema, name],
        )
        if not found:
            return None
        object_id, schema, name = found[0]
        columns = tuple(
            ColumnDefinition(
                row[0],
                SqlType(row[1], row[2], row[3], row[4], row[12] or ""),
                row[5],
                (row[6], row[7]) if row[6] is not None else None,
                row[8],
                row[9],
                row[10],
                row[11],
            )
            for row in self.rows(
                """select name, type_name, length, "precision", scale, nullable, identity_seed, identity_step,
                default_text, default_name, computed_text, column_id, collation_name
                from standin.columns where object_id = ? order by column_id""",
                [object_id],
            )
        )
        keys = tuple(
            KeyDefinition(key_name, tuple(names), kind == "PK")
            for key_name, kind, names in self.rows(
                """select k.name, k.kind, list(c.name order by kc."position") from standin.keys k
                join standin.key_columns kc using (object_id)
                join standin.columns c on c.object_id = k.parent_id and c.column_id = kc.column_id
                where k.parent_id = ? group by k.object_id, k.name, k.kind, k.index_id order by k.index_id""",
                [object_id],
            )
        )
        sql = f"{identifier(schema)}.{identifier(name)}"
        return TableDefinition(schema, name, columns, keys, object_id, sql)

    def tables(self) -> list[TableDefinition]:
        """All user tables, by schema and name."""
        names = self.rows(
            "select s.name, t.name from standin.tables t join standin.schemas s using (schema_id) order by 1, 2",
            [],
        )
        return [table for names_ in names if (table := self.find(*names_))]
