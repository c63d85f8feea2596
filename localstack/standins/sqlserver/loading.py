"""Fills tables without the wire: T-SQL batches and Arrow batches from the same process."""

from collections.abc import Iterable

import duckdb
import pyarrow as pa
from sqlglot import exp

from standins.sqlserver.changes import Changes
from standins.sqlserver.conversions import assign
from standins.sqlserver.dialect import parse
from standins.sqlserver.errors import SqlError, unknown_column, unsupported
from standins.sqlserver.locks.changing import RowChange
from standins.sqlserver.session import Session
from standins.sqlserver.typed import Typed, identifier
from standins.sqlserver.types import MAX, SqlType, nvarchar

_ARROW_SOURCES: list[tuple[str, SqlType]] = [
    ("is_boolean", SqlType("bit")),
    ("is_integer", SqlType("bigint")),
    ("is_float64", SqlType("float")),
    ("is_float32", SqlType("real")),
    ("is_date", SqlType("date")),
    ("is_time", SqlType("time", scale=7)),
    ("is_timestamp", SqlType("datetime2", scale=6)),
    ("is_string", nvarchar(0)),
    ("is_large_string", nvarchar(0)),
    ("is_binary", SqlType("varbinary", MAX)),
    ("is_large_binary", SqlType("varbinary", MAX)),
    ("is_fixed_size_binary", SqlType("varbinary", MAX)),
]


def run(session: Session, sql: str) -> None:
    """Runs a batch and drops its results.

    Raises:
        SqlError: the first error.
    """
    failure = session.first_failure(sql)
    if failure is not None:
        raise failure


def source_type(kind: pa.DataType) -> SqlType:
    """The T-SQL type that values of an Arrow type count as before they are assigned."""
    if pa.types.is_decimal(kind):
        return SqlType("decimal", precision=kind.precision, scale=kind.scale)
    for test, sql_type in _ARROW_SOURCES:
        if getattr(pa.types, test)(kind):
            return sql_type
    raise unsupported(f"loading Arrow values of type {kind}")


def load(session: Session, name: str, batches: Iterable[pa.RecordBatch]) -> int:
    """Appends `batches` to the table `name`, in one transaction."""
    environment = session.environment()
    compiler = Changes(environment)
    table = compiler.target(parse(f"select 1 from {name}").find(exp.Table))  # pyright: ignore[reportArgumentType]
    state, transactions = session.state, session.transactions
    recorder, tracked = state.recorder, compiler.tracked(table, "I")
    captured = compiler.captured(table, "I")
    total = 0
    try:
        state.locks.write(state, table.object_id)
        state.locks.take_whole(state, table.object_id, wait=True)
        transactions.enter(writes=True)
        for batch in batches:
            targets, texts = [], []
            for column in table.columns:
                if column.computed is not None:
                    continue
                index = batch.schema.get_field_index(column.name)
                targets.append(identifier(column.name))
                if index < 0:
                    texts.append(compiler.filler(table, column))
                    continue
                arrow_type = batch.schema.field(index).type
                value = _value(identifier(column.name), arrow_type)
                texts.append(assign(value, column.type, table.full_name, column.name))
            for field in batch.schema:
                if table.column(field.name) is None:
                    raise unknown_column(field.name)
            session.connection.register("incoming", pa.Table.from_batches([batch]))
            text = f"insert into {table.sql} ({', '.join(targets)}) select {', '.join(texts)} from incoming"
            change = compiler.change(
                text, RowChange(table, "I"), ([], ()), tracked, captured=captured
            )
            if tracked is None and captured is None:
                session.connection.execute(text)
            else:
                inserted = session.connection.sql(change.sql).to_arrow_table()
                if tracked is not None:
                    recorder.record(tracked, None, inserted)
                if captured is not None:
                    recorder.captured.record(session.connection, captured, inserted)
            session.connection.unregister("incoming")
            total += batch.num_rows
        transactions.wrote(None, {table.object_id: set()})
    except (duckdb.Error, SqlError):
        transactions.failed(writing=True, conflict=False)
        raise
    finally:
        session.state.locks.release(session.state.spid)
    return total


def _value(text: str, kind: pa.DataType) -> Typed:
    if pa.types.is_timestamp(kind):
        if kind.tz is not None:
            return Typed(
                f"t_offset_moment(({text} at time zone 'UTC'), 0)",
                SqlType("datetimeoffset", scale=6),
            )
        return Typed(f"cast({text} as timestamp)", source_type(kind))
    if pa.types.is_time(kind):
        return Typed(f"cast({text} as time)", source_type(kind))
    return Typed(text, source_type(kind))
