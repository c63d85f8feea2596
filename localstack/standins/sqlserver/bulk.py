"""Bulk loads: what a driver asks of the table, INSERT BULK, and the message of rows behind it (MS-TDS 2.2.6.1).

docs/relational-databases/import-export/ of MicrosoftDocs/sql-docs; INSERT BULK itself is for drivers only.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from standins.sqlserver import collations, tokens
from standins.sqlserver.batch import Statement
from standins.sqlserver.conversions import assign
from standins.sqlserver.encoding import encode_rows
from standins.sqlserver.errors import SqlError, syntax_error, unknown_column, unknown_object
from standins.sqlserver.locks.changing import RowChange
from standins.sqlserver.table_text import TokenReader
from standins.sqlserver.type_info import ParameterReader, ResultColumn, Value, column_metadata
from standins.sqlserver.typed import Typed, identifier
from standins.sqlserver.types import INT, SYSNAME, SqlType

if TYPE_CHECKING:
    from standins.sqlserver.catalogue import Catalogue, ColumnDefinition, TableDefinition
    from standins.sqlserver.changes import Change, Changes
    from standins.sqlserver.session import Session
    from standins.sqlserver.state import SessionState

ROWS = "bulk_rows"
"""The name under which DuckDB sees the rows of the message."""
_COLUMN_METADATA, _ROW, _ROW_WITH_NULLS, _DONE = 0x81, 0xD1, 0xD2, 0xFD
_DESCRIBES = re.compile(
    r"SET FMTONLY ON;.*EXEC sp_tablecollations_100 N'(?P<table>(?:[^']|'')+)'", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class BulkInsert:
    """What INSERT BULK said.

    Args:
        table: the table to fill.
        columns: those that the rows have values for, in their order; an identity column among them takes the values given.
        keep_nulls: whether a null stays one where the column has a default.
    """

    table: "TableDefinition"
    columns: tuple["ColumnDefinition", ...]
    keep_nulls: bool


def described_table(sql: str) -> str | None:
    """The table that a driver asks about before a bulk load: it does so in one batch, always the same but for the name."""
    found = _DESCRIBES.search(sql)
    return found["table"].replace("''", "'") if found else None


def description(session: "Session", name: str) -> Iterator[bytes]:
    """The answer to that batch: whether a transaction is open, the columns, and the collation of each."""
    parts = [part.strip("[]") for part in re.findall(r"\[[^\]]*\]|[^.\[\]]+", name)]
    table = session.environment().catalogue.find(parts[-2] if len(parts) > 1 else "dbo", parts[-1])
    if table is None or table.is_view:
        raise unknown_object(name)
    more = tokens.done(status=tokens.MORE, rows=1, command=0xC1)
    yield column_metadata([ResultColumn("", INT)])
    yield session.encode([(session.transactions.depth,)], [INT]) + more
    yield column_metadata(
        [
            ResultColumn(column.name, column.type, column.nullable, column.identity is not None)
            for column in table.columns
        ]
    )
    yield tokens.done(status=tokens.MORE, rows=0, command=0xC1)
    kinds = [INT, SYSNAME, SqlType("binary", 5), SYSNAME]
    names = ("colid", "name", "tds_collation_100", "collation_100")
    yield column_metadata(
        [ResultColumn(name, kind) for name, kind in zip(names, kinds, strict=True)]
    )
    textual = [column.type.is_string for column in table.columns]
    rows = pa.RecordBatch.from_arrays(
        [
            pa.array(range(1, len(textual) + 1), pa.int32()),
            pa.array([column.name for column in table.columns], pa.string()),
            pa.array([tokens.COLLATION if text else None for text in textual], pa.binary()),
            pa.array(
                [
                    column.type.collation or collations.DEFAULT_NAME if text else None
                    for column, text in zip(table.columns, textual, strict=True)
                ],
                pa.string(),
            ),
        ],
        list(names),
    )
    yield encode_rows(rows, kinds)
    yield tokens.done(rows=len(textual), command=0xC1)


def read_insert_bulk(
    statement: Statement, state: "SessionState", catalogue: "Catalogue"
) -> BulkInsert:
    """`INSERT BULK table (column type, ...) WITH (options)`.

    Raises:
        SqlError: 208, 207.
    """
    reader = TokenReader(statement.text, statement.tokens)
    reader.expect("INSERT", "BULK")
    parts = reader.qualified()
    table = catalogue.find(parts[-2] if len(parts) > 1 and parts[-2] else "dbo", parts[-1])
    if table is None or table.is_view:
        raise unknown_object(".".join(parts))
    state.check_snapshot(table.full_name)
    reader.expect("(")
    columns = []
    while True:
        name = reader.name()
        column = table.column(name)
        if column is None:
            raise unknown_column(name)
        columns.append(column)
        while reader.more() and reader.peek() not in {",", ")"}:
            _ = reader.group() if reader.peek() == "(" else reader.name()
        if not reader.accept(","):
            break
    reader.expect(")")
    options = reader.group().upper() if reader.accept("WITH") else ""
    if reader.more():
        raise syntax_error(reader.peek())
    return BulkInsert(table, tuple(columns), "KEEP_NULLS" in options)


def insertion(
    bulk: BulkInsert, body: bytes, compiler: "Changes", connection: duckdb.DuckDBPyConnection
) -> "Change":
    """The insertion of a message's rows; they stand ready as `ROWS`.

    Raises:
        SqlError: 4804, the message has other columns than were announced.
        ValueError: the message is cut short.
    """
    table = bulk.table
    kinds, rows = _read(body, [column.type for column in bulk.columns])
    names = [f"c{index}" for index in range(len(kinds))]
    arrays = [
        pa.array([row[index] for row in rows], _arrow(kind)) for index, kind in enumerate(kinds)
    ]
    connection.register(ROWS, pa.table(arrays, names=names))
    given = {
        column.name: (column, Typed(f"cast({name} as {kind.storage})", kind))
        for column, name, kind in zip(bulk.columns, names, kinds, strict=True)
    }
    stored = [column for column in table.columns if column.computed is None]
    texts = []
    for column in stored:
        if column.name not in given or column.type.name == "rowversion":
            texts.append(compiler.filler(table, column))
            continue
        _, value = given[column.name]
        text = assign(value, column.type, compiler.long_name(table), column.name)
        if column.default is not None and not bulk.keep_nulls:
            text = f"coalesce({text}, {compiler.filler(table, column)})"
        texts.append(text)
    listed = ", ".join(identifier(column.name) for column in stored)
    makes_identity = table.identity is not None and table.identity.name not in given
    values = dict(zip((identifier(column.name) for column in stored), texts, strict=True))
    coming = compiler.coming(table, values, "", f" from {ROWS}")
    change = compiler.change(
        f"insert into {table.sql} ({listed}) select {', '.join(texts)} from {ROWS}",
        RowChange(table, "I", coming=coming),
        ([], ()),
        compiler.tracked(table, "I"),
        captured=compiler.captured(table, "I"),
        makes_identity=makes_identity,
    )
    gives_identity = table.identity is not None and table.identity.name in given
    return replace(change, gives_identity=gives_identity)


def _read(body: bytes, declared: list[SqlType]) -> tuple[list[SqlType], list[list[object]]]:
    """The types and the rows of a message: COLMETADATA, ROW or NBCROW tokens, DONE."""
    reader = ParameterReader(body)
    if reader.unpack("B") != _COLUMN_METADATA:
        raise ValueError("a bulk load begins with its columns")
    count = reader.unpack("H")
    if count != len(declared):
        raise SqlError(
            4804, "While reading current row from host, a premature end-of-message was encountered."
        )
    infos: list[int] = []
    for _ in range(count):
        reader.take(6)
        infos.append(reader.type_info())
        reader.short_text()
    kinds = list(declared)
    rows: list[list[object]] = []
    while reader.position < len(body):
        token = reader.unpack("B")
        if token == _DONE:
            break
        if token not in {_ROW, _ROW_WITH_NULLS}:
            raise ValueError(f"a bulk load has no token 0x{token:02X}")
        nulls = reader.take((count + 7) // 8) if token == _ROW_WITH_NULLS else bytes(count)
        row: list[object] = []
        for index, info in enumerate(infos):
            if token == _ROW_WITH_NULLS and nulls[index // 8] >> (index % 8) & 1:
                row.append(None)
                continue
            value = reader.value(ParameterReader(body, info))
            kinds[index] = value.type
            row.append(_plain(value))
        rows.append(row)
    return kinds, rows


def _plain(value: Value) -> object:
    return (
        str(value.value) if value.type.name == "uniqueidentifier" and value.value else value.value
    )


def _arrow(kind: SqlType) -> pa.DataType:
    if kind.arrow is not None:
        return kind.arrow
    if kind.name == "datetimeoffset":
        moment = pa.int64() if kind.is_fine else pa.timestamp("us")
        return pa.struct([("t", moment), ("o", pa.int16())])
    if kind.name == "bit":
        return pa.bool_()
    return pa.binary() if kind.is_binary else pa.string()
