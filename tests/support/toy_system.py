"""A system of somebody else's: DuckDB files as source and as target. It shows what one has to write, and touches no file of the library."""

import json
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, cast

import duckdb
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from typing_extensions import override

from tranship.bookmarks import Bookmark, BookmarkMovedError, Bookmarks
from tranship.comparisons import sql_column, sql_table
from tranship.cursors import Cursor, Value
from tranship.delete_flags import Words, condition_of_live_rows
from tranship.equality import Rules
from tranship.errors import ColumnDrift, SchemaDriftError, TableNotFoundError, TranshipError
from tranship.frames import Batches
from tranship.identity import SourceIdentity
from tranship.own_tables import keys_table
from tranship.patterns import table_not_found
from tranship.slices import Interval, Slice, WholeTable
from tranship.source import HighWaterMark, Source, SourceRequest
from tranship.systems import Catalogue, SourceSystem, SourceTable, TargetSystem
from tranship.tables import Column, TableName, TableSchema
from tranship.target import Capabilities, StagedKeys, Target
from tranship.writes import Declared, Extra, OnSchemaChange, WriteMode, WriteRequest, WriteResult

_DIALECT = postgresql.dialect(paramstyle="numeric_dollar")
_BOOKMARKS = "bookmarks"


@dataclass(frozen=True)
class ToySettings:
    """Where a DuckDB file is."""

    path: str


def run(connection: duckdb.DuckDBPyConnection, statement: sa.ClauseElement) -> list[Any]:
    """The rows of a statement of SQLAlchemy."""
    made = cast("Any", statement).compile(
        dialect=_DIALECT, compile_kwargs={"render_postcompile": True}
    )
    values = [made.params[name] for name in made.positiontup or ()]
    return connection.execute(str(made), values).fetchall()


def quoted(*parts: str) -> str:
    """A name in SQL."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def schema_of(connection: duckdb.DuckDBPyConnection, table: TableName) -> TableSchema | None:
    """The columns and key of a table."""
    rows = connection.execute(
        "select column_name, is_nullable from information_schema.columns "
        "where table_schema = ? and table_name = ? order by ordinal_position",
        [table.schema, table.name],
    ).fetchall()
    if not rows:
        return None
    selected: Any = connection.execute(f"select * from {quoted(table.schema, table.name)} limit 0")
    types = selected.to_arrow_table().schema
    keys = connection.execute(
        "select constraint_column_names from duckdb_constraints() "
        "where schema_name = ? and table_name = ? and constraint_type = 'PRIMARY KEY'",
        [table.schema, table.name],
    ).fetchall()
    columns = tuple(
        Column(name, types.field(name).type, nullable == "YES") for name, nullable in rows
    )
    return TableSchema(columns, tuple(keys[0][0]) if keys else ())


# ---- as a source ----


@dataclass(frozen=True)
class ToySource(Source):
    """A table of a DuckDB file."""

    settings: ToySettings
    request: SourceRequest
    schema: TableSchema
    kind = "toy"

    @classmethod
    def open(cls, settings: ToySettings, request: SourceRequest) -> "ToySource":
        """Look the table up."""
        with duckdb.connect(settings.path) as connection:
            schema = schema_of(connection, request.table)
        if schema is None:
            present = list(ToyCatalogue(settings).present())
            raise table_not_found(request.table, present, settings.path)
        return cls(settings, request, schema)

    @override
    def read(
        self,
        columns: Sequence[str],
        part: Slice | None = None,
        *,
        log: Any = None,
        in_order: bool = False,
    ) -> Batches:
        schema = self.schema.select(columns).to_arrow()

        def opened() -> Iterator[pa.RecordBatch]:
            rows = self._select(part or WholeTable(), [sql_column(name) for name in columns])
            arrays = [
                pa.array([row[at] for row in rows], type=field.type)
                for at, field in enumerate(schema)
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

        return Batches(schema, opened)

    @override
    def sees_one_moment(self) -> bool:
        return True

    @override
    def identity(self) -> SourceIdentity:
        return SourceIdentity.of({"file": self.settings.path})

    @override
    def difference(self, before: SourceIdentity, now: SourceIdentity) -> str | None:
        if before.differs(now, "file"):
            return f"it is in {now.part('file')}, no longer in {before.part('file')}"
        return None

    @override
    def count(self, part: Slice) -> int:
        return int(self.aggregates(part, [self.counting(sa.literal_column("*"))])[0])

    @override
    def highest(self, cursor: Cursor) -> HighWaterMark:
        return HighWaterMark(self._extreme(cursor, sa.func.max, WholeTable()))

    @override
    def lowest(self, cursor: Cursor, part: Slice) -> Value | None:
        return self._extreme(cursor, sa.func.min, part)

    @override
    def count_newer(self, cursor: Cursor, value: Value) -> int:
        return self.count(Interval(cursor.column, value, includes_low=False))

    @override
    def chunk_end(self, column: str, part: Slice, row_count: int) -> Any:
        rows = self._select(part, [sql_column(column)], order_by=column)
        return rows[row_count - 1][0] if len(rows) > row_count else None

    @override
    def type_of_cast(self, declared: str) -> pa.DataType | None:
        return None

    @property
    @override
    def counting(self) -> Callable[..., sa.ColumnElement[int]]:
        return sa.func.count

    @override
    def aggregates(
        self, part: Slice, expressions: Sequence[sa.ColumnElement[Any]]
    ) -> tuple[Any, ...]:
        return self._select(part, expressions)[0]

    @override
    def seconds(self, column: sa.ColumnElement[Any], type_: pa.DataType) -> sa.ColumnElement[Any]:
        return seconds(column)

    def _extreme(self, cursor: Cursor, function: Any, part: Slice) -> Value | None:
        return cursor.checked(self.aggregates(part, [function(sql_column(cursor.column))])[0])

    def _select(
        self,
        part: Slice,
        expressions: Sequence[sa.ColumnElement[Any]],
        order_by: str | None = None,
    ) -> list[Any]:
        statement = sa.select(*expressions).select_from(sql_table(self.table))
        predicate = part.predicate(self.schema)
        if predicate is not None:
            statement = statement.where(predicate)
        words = Words(quoted, repr, ("false", "true"))
        where = condition_of_live_rows(
            self.request.delete_flag, self.request.where, self.schema, self.table, words
        )
        if where:
            statement = statement.where(sa.text(where))
        if order_by:
            statement = statement.order_by(sql_column(order_by))
        return self._ask(statement)

    def _ask(self, statement: sa.ClauseElement) -> list[Any]:
        with duckdb.connect(self.settings.path) as connection:
            return run(connection, statement)


def seconds(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Whole seconds from the start of 2000."""
    start = sa.literal_column("timestamp '2000-01-01'")
    # https://duckdb.org/docs/stable/sql/functions/date: counts the full seconds that begin between
    return sa.func.date_diff(sa.literal_column("'second'"), start, sa.cast(column, sa.TIMESTAMP()))


@dataclass(frozen=True)
class ToyCatalogue(Catalogue):
    """The tables of a DuckDB file."""

    settings: ToySettings
    default_schema = "main"

    @property
    @override
    def database(self) -> str:
        return self.settings.path

    @property
    @override
    def address(self) -> str:
        return "this machine"

    @property
    @override
    def user(self) -> str:
        return "nobody"

    @override
    def present(self) -> dict[TableName, bool]:
        with duckdb.connect(self.settings.path) as connection:
            rows = connection.execute(
                "select table_schema, table_name, table_type = 'VIEW' from information_schema.tables"
            ).fetchall()
        return {TableName(schema, name): is_view for schema, name, is_view in rows}

    @override
    def inspect(self, tables: Iterable[TableName]) -> dict[TableName, SourceTable]:
        with duckdb.connect(self.settings.path) as connection:
            schemas = {table: schema_of(connection, table) for table in tables}
        missing = [table for table, schema in schemas.items() if schema is None]
        if missing:
            raise TableNotFoundError(f"There is no table {missing[0]}.", "Check the spelling.")
        return {table: SourceTable(table, schema) for table, schema in schemas.items() if schema}

    @override
    def sizes(self, tables: Iterable[TableName]) -> dict[TableName, int]:
        return {}


# ---- as a target ----


@dataclass(frozen=True)
class ToyBookmarks(Bookmarks):
    """A table of bookmarks, each as JSON."""

    place: str

    @override
    def create(self, transaction: Any) -> None:
        transaction.execute(f"create schema if not exists {quoted(self.place)}")
        transaction.execute(
            f"create table if not exists {self._table} (name varchar primary key, kept varchar)"
        )

    @override
    def read_all(self, transaction: Any, table: TableName | None = None) -> list[Bookmark]:
        rows = transaction.execute(
            f"select kept from {self._table} where name = coalesce(?, name) order by name",
            [str(table) if table else None],
        ).fetchall()
        return [_bookmark(json.loads(kept)) for (kept,) in rows]

    @override
    def move(self, transaction: Any, new: Bookmark, *, expected_write_id: str | None) -> None:
        before = self.read(transaction, new.table)
        if (before.write_id if before else None) != expected_write_id:
            raise BookmarkMovedError(f"{new.table} was loaded meanwhile.", "Run the load again.")
        self.remove(transaction, new.table)
        kept = {**asdict(new), "updated_at": datetime.now().isoformat()}
        kept["identity"] = new.identity.as_json() if new.identity else None
        transaction.execute(
            f"insert into {self._table} values (?, ?)", [str(new.table), json.dumps(kept)]
        )

    @override
    def remove(self, transaction: Any, table: TableName) -> bool:
        gone = transaction.execute(
            f"delete from {self._table} where name = ? returning name", [str(table)]
        ).fetchall()
        return bool(gone)

    @override
    def forget_source(self, transaction: Any, bookmark: Bookmark, write_id: str) -> None:
        new = replace(bookmark, identity=None, write_id=write_id)
        self.move(transaction, new, expected_write_id=bookmark.write_id)

    @override
    def set_cursor(self, transaction: Any, table: TableName, value: str, write_id: str) -> bool:
        bookmark = self.read(transaction, table)
        if bookmark is None:
            return False
        new = replace(bookmark, cursor_value=value, write_id=write_id)
        self.move(transaction, new, expected_write_id=bookmark.write_id)
        return True

    @property
    def _table(self) -> str:
        return quoted(self.place, _BOOKMARKS)


def _bookmark(kept: dict[str, Any]) -> Bookmark:
    identity = kept.pop("identity")
    return Bookmark(
        **{
            **kept,
            "table": TableName(**kept["table"]),
            "updated_at": datetime.fromisoformat(kept["updated_at"]),
            "identity": SourceIdentity.of(identity) if identity else None,
        }
    )


@dataclass(frozen=True)
class ToyKeys(StagedKeys):
    """Keys in a table beside the copy."""

    copy: TableName
    key: tuple[str, ...]
    mark: str | None

    @property
    @override
    def table(self) -> TableName:
        return keys_table(self.copy)

    @override
    def count(self, transaction: Any) -> int:
        return self._number(transaction, f"select count(*) from {self._beside}")

    @override
    def count_rows(self, transaction: Any) -> int:
        return self._number(transaction, f"select count(*) from {self._rows} where {self._live}")

    @override
    def count_deleted(self, transaction: Any) -> int:
        return self._number(transaction, f"select count(*) from {self._rows} where {self._gone}")

    @override
    def deleted(self, transaction: Any) -> list[tuple[Any, ...]]:
        return transaction.execute(
            f"select {self._key} from {self._rows} where {self._gone}"
        ).fetchall()

    @override
    def remove_deleted(self, transaction: Any) -> int:
        return self._remove(transaction, self._gone)

    @override
    def count_staged(self, transaction: Any) -> int:
        return self._number(transaction, f"select count(*) from {self._rows} where {self._staged}")

    @override
    def remove_staged(self, transaction: Any) -> int:
        return self._remove(transaction, self._staged)

    def _remove(self, transaction: Any, condition: str) -> int:
        how = (
            f"update {self._rows} set {quoted(self.mark)} = now() where"
            if self.mark
            else f"delete from {self._rows} where"
        )
        return len(transaction.execute(f"{how} {condition} returning 1").fetchall())

    @override
    def unmark(self, transaction: Any) -> int:
        if self.mark is None:
            return 0
        mark = quoted(self.mark)
        return len(
            transaction.execute(
                f"update {self._rows} set {mark} = null where {mark} is not null and not {self._not_among} "
                "returning 1"
            ).fetchall()
        )

    @override
    def lacking(self, transaction: Any, most: int) -> list[tuple[Any, ...]]:
        return transaction.execute(
            f"select {self._key} from {self._beside} where ({self._key}) not in "
            f"(select ({self._key}) from {self._rows}) limit {most}"
        ).fetchall()

    @override
    def respell(self, transaction: Any) -> None:
        """DuckDB's source compares bytes: no key is ever spelled in another way."""

    @override
    def clear(self, transaction: Any) -> None:
        transaction.execute(f"delete from {self._beside}")

    def _number(self, transaction: Any, statement: str) -> int:
        return int(transaction.execute(statement).fetchone()[0])

    @property
    def _rows(self) -> str:
        return quoted(self.copy.schema, self.copy.name)

    @property
    def _beside(self) -> str:
        return quoted(self.table.schema, self.table.name)

    @property
    def _key(self) -> str:
        return ", ".join(map(quoted, self.key))

    @property
    def _live(self) -> str:
        return f"{quoted(self.mark)} is null" if self.mark else "true"

    @property
    def _not_among(self) -> str:
        return f"(({self._key}) not in (select ({self._key}) from {self._beside}))"

    @property
    def _staged(self) -> str:
        return f"{self._live} and (({self._key}) in (select ({self._key}) from {self._beside}))"

    @property
    def _gone(self) -> str:
        return f"{self._live} and {self._not_among}"


@dataclass(frozen=True)
class ToyTarget(Target):
    """A DuckDB file to write to."""

    settings: ToySettings
    kind = "toy"
    capabilities = Capabilities(enforces_keys=False, longest_name_bytes=200)

    @property
    @override
    def address(self) -> str:
        return self.settings.path

    @contextmanager
    @override
    def transaction(self, doing: str, table: TableName | None = None) -> Iterator[Any]:
        with duckdb.connect(self.settings.path) as connection:
            connection.begin()
            yield connection
            connection.commit()

    @override
    def schema_of(self, table: TableName) -> TableSchema | None:
        with self.transaction("looking") as transaction:
            return schema_of(transaction, table)

    @override
    def is_empty(self, table: TableName) -> bool:
        with self.transaction("looking") as transaction:
            rows = f"select 1 from {quoted(table.schema, table.name)} limit 1"
            return transaction.execute(rows).fetchone() is None

    @override
    def drift(self, table: TableName, incoming: TableSchema, declared: Declared) -> list[str]:
        existing = self.schema_of(table) or incoming
        names = (set(existing.names) ^ set(incoming.names)) - {"_deleted_at"}
        return [f"{name} is on one side only" for name in sorted(names)]

    @override
    def lock(self, transaction: Any, table: TableName) -> None:
        """A file has one writer."""

    @override
    def prepare(self, table: TableName) -> None:
        with self.transaction("preparing", table) as transaction:
            self.bookmarks(table).create(transaction)

    @override
    def write(
        self, request: WriteRequest, batches: Batches, log: logging.Logger, extra: Extra
    ) -> WriteResult:
        begun = time.perf_counter()
        rows = batches.to_table()
        with self.transaction(str(request), request.table) as transaction:
            self._fit(transaction, request, rows)
            transaction.register("incoming", rows)
            name = quoted(request.table.schema, request.table.name)
            if request.mode is WriteMode.REPLACE:
                schema = schema_of(transaction, request.table) or TableSchema(())
                statement = sa.delete(sql_table(request.table))
                predicate = request.slice.predicate(schema)
                run(transaction, statement if predicate is None else statement.where(predicate))
            elif request.mode is WriteMode.MERGE:
                key = ", ".join(map(quoted, request.key))
                transaction.execute(
                    f"delete from {name} where ({key}) in (select ({key}) from incoming)"
                )
                if request.marks_absent is not None:
                    mark = quoted(request.marks_absent)
                    transaction.execute(f"update {name} set {mark} = now() where {mark} is null")
            transaction.execute(f"insert into {name} by name select * from incoming")
            transaction.unregister("incoming")
            extra(transaction)
        seconds = time.perf_counter() - begun
        written = TableSchema.from_arrow(batches.schema)
        return WriteResult(
            request.table, request.mode, request.slice, rows.num_rows, rows.nbytes, seconds, written
        )

    def _fit(self, transaction: Any, request: WriteRequest, rows: pa.Table) -> None:
        """Make the table, or hold it against the rows."""
        name = quoted(request.table.schema, request.table.name)
        existing = schema_of(transaction, request.table)
        is_rebuilt = request.on_schema_change is OnSchemaChange.REBUILD
        if existing is None or (is_rebuilt and set(existing.names) != set(rows.column_names)):
            transaction.execute(f"create schema if not exists {quoted(request.table.schema)}")
            transaction.execute(f"drop table if exists {name}")
            transaction.register("incoming", rows)
            transaction.execute(f"create table {name} as select * from incoming limit 0")
            return
        new = [one for one in rows.column_names if one not in existing.names]
        if new and request.on_schema_change is OnSchemaChange.ERROR:
            drifts = [
                ColumnDrift(column, str(rows.schema.field(column).type), None) for column in new
            ]
            raise SchemaDriftError(request.table, drifts, "Let it evolve.")
        transaction.register("incoming", rows)
        types = {row[0]: row[1] for row in transaction.execute("describe incoming").fetchall()}
        for column in new:
            transaction.execute(f"alter table {name} add column {quoted(column)} {types[column]}")

    @override
    def drop_columns(self, transaction: Any, table: TableName, columns: Sequence[str]) -> None:
        for column in columns:
            transaction.execute(
                f"alter table {quoted(table.schema, table.name)} drop column {quoted(column)}"
            )

    @override
    def bookmarks(self, table: TableName) -> ToyBookmarks:
        return ToyBookmarks(table.schema)

    @override
    def all_bookmarks(self, transaction: Any, schema: str | None = None) -> list[Bookmark]:
        places = transaction.execute(
            "select table_schema from information_schema.tables where table_name = ?", [_BOOKMARKS]
        ).fetchall()
        return [one for (place,) in places for one in ToyBookmarks(place).read_all(transaction)]

    @override
    def staged_keys(
        self,
        table: TableName,
        key: tuple[str, ...],
        rules: Rules,
        mark: str | None,
        since: str | None = None,
    ) -> StagedKeys:
        if since is not None:
            raise TranshipError("No source that says when its rows went is copied to here.", "")
        if rules:
            raise TranshipError("Texts are compared by their bytes here.", "Cast the key.")
        return ToyKeys(table, key, mark)

    @override
    def count_duplicate_keys(
        self,
        table: TableName,
        key: tuple[str, ...],
        rules: Rules,
        zero_padded: Collection[str] = (),
    ) -> tuple[int, int]:
        columns = ", ".join(map(quoted, key))
        with self.transaction("looking") as transaction:
            rows = transaction.execute(
                f"select count(*) from {quoted(table.schema, table.name)} group by {columns} having count(*) > 1"
            ).fetchall()
        return len(rows), sum(times for (times,) in rows)

    @override
    def select(
        self,
        transaction: Any,
        table: TableName,
        expressions: Sequence[sa.ColumnElement[Any]],
        part: Slice,
        schema: TableSchema,
        *,
        where: sa.ColumnElement[bool] | None = None,
    ) -> tuple[Any, ...]:
        statement = sa.select(*expressions).select_from(sql_table(table))
        for condition in (self.predicate(part, schema), where):
            if condition is not None:
                statement = statement.where(condition)
        return run(transaction, statement)[0]

    @override
    def seconds(self, column: sa.ColumnElement[Any], type_: pa.DataType) -> sa.ColumnElement[Any]:
        return seconds(column)


# ---- the system ----


class ToySystem(SourceSystem, TargetSystem):
    """DuckDB files."""

    kind = "toy"
    title = "Toy"
    resource = "ToyResource"
    prefix = "TOY_"
    schemes = frozenset({"toy"})
    url_example = "toy:///path"
    default_schema = "main"

    @override
    def settings_of_url(self, url: sa.URL) -> ToySettings:
        return ToySettings(url.database or "")

    @override
    def settings_of_environment(self, environment: Mapping[str, str], option: str) -> ToySettings:
        return ToySettings(environment["TOY_HOST"])

    @override
    def open_source(self, settings: ToySettings, request: SourceRequest) -> Source:
        return ToySource.open(settings, request)

    @override
    def catalogue(
        self,
        settings: ToySettings,
        *,
        connect_seconds: int | None = None,
        answer_seconds: int | None = None,
    ) -> Catalogue:
        return ToyCatalogue(settings)

    @override
    def fingerprints(
        self,
        settings: ToySettings,
        tables: Sequence[TableName],
        seen: Mapping[TableName, str] | None = None,
    ) -> tuple[dict[TableName, str], dict[TableName, TranshipError]]:
        marks: dict[TableName, str] = {}
        with duckdb.connect(settings.path) as connection:
            for table in tables:
                rows = f"select hash(list(t order by t)) from {quoted(table.schema, table.name)} t"
                found = connection.execute(rows).fetchone()
                marks[table] = str(found[0] if found else None)
        return marks, {}

    @override
    def open_target(
        self, settings: ToySettings, *, lock_wait_seconds: float | None = None
    ) -> Target:
        return ToyTarget(settings)


SYSTEM = ToySystem()
