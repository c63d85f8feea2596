"""DuckDB's errors as the SQL Server errors that stand for the same fault."""

import re

import duckdb

from standins.sqlserver.catalogue import TableDefinition
from standins.sqlserver.errors import SqlError, unsupported

_OWN = re.compile(r"TDS\|(\d+)\|(.*)", re.DOTALL)
_NOT_NULL = re.compile(r"NOT NULL constraint failed: (.*)")
_DUPLICATE = re.compile(r"duplicate key \"(.*?)\"", re.IGNORECASE | re.DOTALL)
_GROUPED = re.compile(r"column \"?([^\"]+)\"? must appear in the GROUP BY", re.IGNORECASE)
_RANGES = {
    "UINT8": "tinyint",
    "INT8": "tinyint",
    "INT16": "smallint",
    "INT32": "int",
    "INT64": "bigint",
    "DECIMAL": "numeric",
}


def translate(
    failure: duckdb.Error,
    database: str,
    table: TableDefinition | None,
    snapshot: bool,
    verb: str = "INSERT",
) -> SqlError:
    """The SQL Server error for `failure`.

    Args:
        failure: what DuckDB raised.
        database: the session's database, part of some messages.
        table: the table that the statement changed, if it changed one.
        snapshot: whether the session runs under SNAPSHOT isolation.
        verb: INSERT or UPDATE, for the message of 515.
    """
    text = str(failure)
    if own := _OWN.search(text):
        number = int(own[1])
        return SqlError(number, own[2].strip().split("\n\nLINE ")[0], 16)
    if isinstance(failure, duckdb.InterruptException):
        return SqlError(3617, "The statement was cancelled by the user.", 16)
    if isinstance(failure, duckdb.ConstraintException):
        return _constraint(text, database, table, verb)
    if "Failed to commit" in text and "constraint violation" in text:
        return _constraint(text, database, table, verb)
    if isinstance(failure, duckdb.TransactionException) and "conflict" in text.lower():
        if snapshot:
            return update_conflict(table.full_name if table else "the table", database)
        return SqlError(
            1205,
            "Transaction was deadlocked on lock resources with another process and has been chosen as the deadlock victim. Rerun the transaction.",
            13,
        )
    if "conflict" in text.lower() and "transaction" in text.lower():
        return translate(duckdb.TransactionException(text), database, table, snapshot, verb)
    if isinstance(failure, (duckdb.OutOfRangeException, duckdb.ConversionException)):
        kind = next((name for word, name in _RANGES.items() if word in text.upper()), "numeric")
        if kind == "tinyint" and (value := re.search(r"value (-?\d+)", text)):
            return SqlError(
                220, f"Arithmetic overflow error for data type tinyint, value = {value[1]}."
            )
        return SqlError(
            8115, f"Arithmetic overflow error converting expression to data type {kind}."
        )
    if grouped := _GROUPED.search(text):
        return SqlError(
            8120,
            f"Column '{grouped[1]}' is invalid in the select list because it is not contained in either an aggregate function or the GROUP BY clause.",
        )
    if "cannot affect the same target row more than once" in text:
        return SqlError(
            8672,
            "The MERGE statement attempted to UPDATE or DELETE the same row more than once. This happens when a target row matches more than one "
            "source row. A MERGE statement cannot UPDATE/DELETE the same row of the target table multiple times. Refine the ON clause to ensure a "
            "target row matches at most one source row, or use the GROUP BY clause to group the source rows.",
        )
    if "More than one row returned by a subquery" in text:
        return SqlError(
            512,
            "Subquery returned more than 1 value. This is not permitted when the subquery follows =, !=, <, <= , >, >= or when the subquery is used as an expression.",
        )
    return unsupported(f"this statement (its engine says: {text.splitlines()[0][:300]})")


def update_conflict(table: str, database: str) -> SqlError:
    """3960: under SNAPSHOT, a row is not any more as the transaction sees it."""
    return SqlError(
        3960,
        f"Snapshot isolation transaction aborted due to update conflict. You cannot use snapshot isolation to access table '{table}' "
        f"directly or indirectly in database '{database}' to update, delete, or insert the row that has been modified or deleted by "
        "another transaction. Retry the transaction or change the isolation level for the update/delete statement.",
        16,
        2,
    )


def _constraint(text: str, database: str, table: TableDefinition | None, verb: str) -> SqlError:
    name = f"{table.full_name}" if table else "the table"
    if duplicate := _DUPLICATE.search(text):
        value = re.sub(r"(^|, )(?:CASE.*?END|rtrim\(.*?\)|[^:,]+): ", r"\1", duplicate[1])
        key = table.keys[0] if table and table.keys else None
        kind = "PRIMARY KEY" if key is None or key.primary else "UNIQUE KEY"
        return SqlError(
            2627,
            f"Violation of {kind} constraint '{key.name if key else ''}'. Cannot insert duplicate key in object '{name}'. "
            f"The duplicate key value is ({value}).",
            14,
        )
    if missing := _NOT_NULL.search(text):
        column = missing[1].strip().split('."')[-1].split(".")[-1].strip('"')
        return SqlError(
            515,
            f"Cannot insert the value NULL into column '{column}', table '{database}.{name}'; column does not allow nulls. {verb} fails.",
            16,
            2,
        )
    return SqlError(
        547,
        f"The {verb} statement conflicted with a constraint on '{name}': {text.splitlines()[0]}",
    )
