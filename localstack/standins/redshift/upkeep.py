"""VACUUM and ANALYZE in Redshift's grammar."""

from collections.abc import Awaitable, Callable

from standins.redshift.context import Context
from standins.redshift.errors import ACTIVE_TRANSACTION, UNSUPPORTED, RedshiftError
from standins.redshift.statements import Cursor, Statement, quote


def upkeep(statement: Statement, *, fold: bool) -> Callable[[Context], Awaitable[str]]:
    """The command for VACUUM or ANALYZE.

    Raises:
        RedshiftError: Redshift would refuse it.
    """
    cursor = Cursor(statement)
    vacuum = cursor.next().text.upper() == "VACUUM"
    if vacuum:
        for words in (
            ("FULL",),
            ("SORT", "ONLY"),
            ("DELETE", "ONLY"),
            ("REINDEX",),
            ("RECLUSTER",),
        ):
            if cursor.accept(*words):
                break
    elif cursor.accept("COMPRESSION"):
        raise RedshiftError("ANALYZE COMPRESSION is not supported by the stand-in", UNSUPPORTED)
    else:
        cursor.accept("VERBOSE")
    table = ""
    if not cursor.done and cursor.peek() not in {"TO", "BOOST", "PREDICATE", "ALL"}:
        table = quote(*cursor.qualified_name(fold=fold))
        if cursor.peek() == "(":
            cursor.names_in_parentheses()
    if vacuum:
        if cursor.accept("TO"):
            cursor.next()
            cursor.expect("PERCENT")
        cursor.accept("BOOST")
    elif not cursor.accept("PREDICATE", "COLUMNS"):
        cursor.accept("ALL", "COLUMNS")
    if not cursor.done:
        raise cursor.unexpected()

    async def run(context: Context) -> str:
        if vacuum and context.in_transaction:
            raise RedshiftError("VACUUM cannot run inside a transaction block", ACTIVE_TRANSACTION)
        await context.backend.run(f"{'vacuum' if vacuum else 'analyze'} {table}")
        return "VACUUM" if vacuum else "ANALYZE"

    return run
