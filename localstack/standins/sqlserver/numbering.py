"""The numbers of identity columns: a DuckDB sequence for each, begun anew by TRUNCATE and DBCC CHECKIDENT."""

from typing import TYPE_CHECKING

from standins.sqlserver.catalogue import TableDefinition
from standins.sqlserver.errors import SqlError, syntax_error, unknown_object, unsupported
from standins.sqlserver.table_text import TokenReader
from standins.sqlserver.typed import identifier

if TYPE_CHECKING:
    import duckdb

    from standins.sqlserver.batch import Statement
    from standins.sqlserver.session import Session


def begin(connection: "duckdb.DuckDBPyConnection", table: TableDefinition) -> None:
    """Number the rows of a table from its seed on, as when it is created or truncated."""
    if table.identity and table.identity.identity:
        _create(connection, table, table.identity.identity[0])


def go_on_after(connection: "duckdb.DuckDBPyConnection", table: TableDefinition, last: int) -> None:
    """Let this be the last number that was given out."""
    _create(connection, table, last)
    connection.execute(f"select nextval('{table.sequence}')")


def take_inserted(connection: "duckdb.DuckDBPyConnection", table: TableDefinition) -> None:
    """Go on after the highest number that IDENTITY_INSERT put there, where it is beyond the last one.

    https://learn.microsoft.com/sql/t-sql/statements/set-identity-insert-transact-sql
    """
    assert table.identity is not None
    assert table.identity.identity is not None
    step = table.identity.identity[1]
    furthest = "max" if step > 0 else "min"
    ((value,),) = connection.execute(
        f"select {furthest}({identifier(table.identity.name)}) from {table.sql}"
    ).fetchall()
    last = _last(connection, table)
    if value is not None and (last is None or (value - last) * step > 0):
        go_on_after(connection, table, int(value))


def check_identity(session: "Session", statement: "Statement") -> None:
    """`DBCC CHECKIDENT ('table', RESEED, n)`.

    https://learn.microsoft.com/sql/t-sql/database-console-commands/dbcc-checkident-transact-sql
    """
    reader = TokenReader(statement.text, statement.tokens)
    reader.expect("DBCC")
    if not reader.accept("CHECKIDENT"):
        raise unsupported(f"DBCC {reader.peek()}")
    words = [token.text for token in statement.tokens[2:]]
    match [word for word in words if word not in {"(", ")", ","}]:
        case [name, reseed, *number] if reseed.upper() == "RESEED" and number:
            value = int("".join(number))
        case _:
            raise syntax_error(reader.peek())
    schema, _, bare = name.replace("[", "").replace("]", "").rpartition(".")
    table = session.catalogue.find(schema or "dbo", bare)
    if table is None or table.is_view:
        raise unknown_object(name)
    if table.identity is None:
        raise SqlError(7997, f"'{name}' does not contain an identity column.")
    if _last(session.connection, table) is None:
        _create(session.connection, table, value)
    else:
        go_on_after(session.connection, table, value)


def _last(connection: "duckdb.DuckDBPyConnection", table: TableDefinition) -> int | None:
    rows = connection.execute(
        "select last_value from duckdb_sequences() where schema_name = 'standin' and sequence_name = ?",
        [f"identity_{table.object_id}"],
    ).fetchall()
    return rows[0][0] if rows else None


def _create(connection: "duckdb.DuckDBPyConnection", table: TableDefinition, start: int) -> None:
    assert table.identity is not None
    assert table.identity.identity is not None
    step = table.identity.identity[1]
    bounds = (
        f"minvalue {min(start, 1)}"
        if step > 0
        else f"maxvalue {max(start, -1)} minvalue -9223372036854775807"
    )
    connection.execute(
        f"create or replace sequence {table.sequence} start {start} increment {step} {bounds}"
    )
