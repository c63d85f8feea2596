"""MERGE by Redshift's rules: the source is a table, both WHEN clauses, or REMOVE DUPLICATES.

https://docs.aws.amazon.com/redshift/latest/dg/r_MERGE.html. Postgres 15 or newer runs the rest.
"""

from dataclasses import dataclass

from standins.redshift.context import Context
from standins.redshift.errors import UNSUPPORTED, RedshiftError, syntax
from standins.redshift.rewrite import SessionSettings, rewrite
from standins.redshift.statements import Cursor, Statement, literal, quote


@dataclass(frozen=True, slots=True)
class Merge:
    """A MERGE; `condition` is set for REMOVE DUPLICATES, else `sql` is for Postgres."""

    target: tuple[str, ...]
    source: tuple[str, ...]
    alias: str
    sql: str
    condition: str | None


def read_merge(statement: Statement, settings: SessionSettings) -> Merge:
    """Read a MERGE.

    Raises:
        RedshiftError: Redshift would refuse it.
    """
    fold = not settings.case_sensitive_names
    cursor = Cursor(statement)
    cursor.expect("MERGE", "INTO")
    target = cursor.qualified_name(fold=fold)
    if cursor.peek() != "USING":
        raise cursor.unexpected()
    cursor.next()
    if cursor.peek() == "(":
        raise RedshiftError(
            "Source view/subquery in Merge statement is not supported.", UNSUPPORTED
        )
    source = cursor.qualified_name(fold=fold)
    cursor.accept("AS")
    alias = source[-1] if cursor.peek() == "ON" else cursor.name(fold=fold)
    cursor.expect("ON")
    start = cursor.token.start
    condition = _condition(cursor, statement.text, start)
    if cursor.accept("REMOVE", "DUPLICATES"):
        if not cursor.done:
            raise cursor.unexpected()
        return Merge(target, source, alias, "", condition)
    _check_clauses(cursor)
    return Merge(target, source, alias, rewrite(statement, settings), None)


def _condition(cursor: Cursor, text: str, start: int) -> str:
    depth = 0
    while not (depth == 0 and cursor.peek() in {"WHEN", "REMOVE"}):
        depth += {"(": 1, ")": -1, "CASE": 1, "END": -1}.get(cursor.peek(), 0)
        cursor.next()
    return text[start : cursor.token.start]


def _check_clauses(cursor: Cursor) -> None:
    matched = unmatched = 0
    while not cursor.done:
        cursor.expect("WHEN")
        negated = cursor.accept("NOT")
        cursor.expect("MATCHED")
        if cursor.peek() != "THEN":
            raise cursor.unexpected()
        cursor.next()
        verb = cursor.peek()
        if verb not in ({"INSERT"} if negated else {"UPDATE", "DELETE"}):
            raise cursor.unexpected()
        matched, unmatched = matched + (not negated), unmatched + negated
        depth = 0
        while not cursor.done and not (depth == 0 and cursor.peek() == "WHEN"):
            depth += {"(": 1, ")": -1, "CASE": 1, "END": -1}.get(cursor.peek(), 0)
            cursor.next()
    if matched != 1 or unmatched != 1:
        raise (
            syntax("WHEN")
            if matched + unmatched > 2
            else RedshiftError(
                "MERGE needs one WHEN MATCHED and one WHEN NOT MATCHED clause", "42601"
            )
        )


async def run_merge(context: Context, merge: Merge) -> str:
    """Run a MERGE and return its command tag.

    Raises:
        RedshiftError: the source is no table.
    """
    name = literal(quote(*merge.source))
    kinds = await context.backend.run(
        f"select relkind from pg_catalog.pg_class where oid = to_regclass({name})"
    )
    if kinds.rows and kinds.rows[0][0] not in {"r", "p"}:
        raise RedshiftError(
            "Source view/subquery in Merge statement is not supported.", UNSUPPORTED
        )
    lock = context.lock_statement(merge.target)
    if merge.condition is None:
        await context.run_atomically([lock, merge.sql])
    else:
        await context.run_atomically([lock, *_remove_duplicates(merge)])
    return "MERGE"


def _remove_duplicates(merge: Merge) -> list[str]:
    target, source, alias = quote(*merge.target), quote(*merge.source), quote(merge.alias)
    return [
        f"delete from {target} using {source} as {alias} where {merge.condition}",
        f"insert into {target} select distinct * from {source}",
    ]
