"""`WITH CHANGE_TRACKING_CONTEXT (bytes)` in front of a statement: what its changes carry with them.

docs/relational-databases/system-functions/with-change-tracking-context-transact-sql.md of MicrosoftDocs/sql-docs.
"""

from standins.sqlserver.batch import Statement
from standins.sqlserver.errors import unsupported
from standins.sqlserver.table_text import TokenReader
from standins.sqlserver.tracking import errors
from standins.sqlserver.types import SqlType

_MAX_BYTES = 128
_CHANGES = {"INSERT", "UPDATE", "DELETE", "MERGE"}


def has_context(statement: Statement) -> bool:
    """Whether the statement begins with a context."""
    return statement.words()[:2] == ["WITH", "CHANGE_TRACKING_CONTEXT"]


def split_context(statement: Statement) -> tuple[str, str]:
    """The context's expression, and the statement behind it.

    Raises:
        SqlError: 22108, the statement is a SELECT.
    """
    reader = TokenReader(statement.text, statement.tokens)
    reader.expect("WITH", "CHANGE_TRACKING_CONTEXT")
    expression = reader.group()
    if reader.peek() == "SELECT":
        raise errors.context_of_select()
    if reader.peek() not in _CHANGES:
        raise unsupported(f"CHANGE_TRACKING_CONTEXT with {reader.peek()}")
    return expression, reader.text(reader.position, len(reader.tokens))


def check_context(kind: SqlType | None) -> None:
    """Called with the type of the context.

    Raises:
        SqlError: 22109, it is not up to 128 bytes.
    """
    if kind is not None and (
        kind.name not in {"binary", "varbinary"} or not 0 < kind.length <= _MAX_BYTES
    ):
        raise errors.no_context()
