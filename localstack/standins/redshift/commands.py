"""Which statements the gateway runs itself, each as a function of the session's context."""

from collections.abc import Awaitable, Callable

from standins.redshift.alter import alter_table
from standins.redshift.context import Context
from standins.redshift.copy import run_copy
from standins.redshift.copy_command import read_copy
from standins.redshift.ddl import create_table, create_table_as, is_create_table
from standins.redshift.faults import ConnectionCutError
from standins.redshift.merge import read_merge, run_merge
from standins.redshift.rewrite import refuse, rewrite
from standins.redshift.statements import Cursor, Statement
from standins.redshift.unload import run_unload
from standins.redshift.unload_command import read_unload
from standins.redshift.upkeep import upkeep

#: Runs the statement and returns its command tag.
Command = Callable[[Context], Awaitable[str]]
_WRITES = {"INSERT", "UPDATE", "DELETE"}


def command_for(statement: Statement, context: Context) -> Command | None:
    """The command for a statement, or None if Postgres can run it.

    Raises:
        RedshiftError: the statement cannot be read.
    """
    refuse(statement)
    fold = not context.settings.case_sensitive_names
    verb = statement.words[0]
    if verb == "COPY":
        command = read_copy(statement, fold=fold)
        return lambda ctx: run_copy(ctx, command, statement.text.strip())
    if verb == "UNLOAD":
        unload = read_unload(statement, context.settings)
        return lambda ctx: run_unload(ctx, unload, statement.text.strip())
    if is_create_table(statement):
        as_query = _is_ctas(statement)
        if as_query:
            created = create_table_as(statement, context.settings)
        else:
            created = create_table(statement, fold=fold)
        tag = "SELECT" if as_query else "CREATE TABLE"
        return lambda ctx: _run_all(ctx, created.statements, tag)
    if statement.starts("ALTER", "TABLE"):
        return alter_table(statement, fold=fold)
    if verb == "MERGE":
        merge = read_merge(statement, context.settings)
        return lambda ctx: run_merge(ctx, merge)
    if verb in {"VACUUM", "ANALYZE", "ANALYSE"}:
        return upkeep(statement, fold=fold)
    if verb == "TRUNCATE":
        return lambda ctx: _truncate(ctx, rewrite(statement, ctx.settings))
    if verb in {"COMMIT", "END"}:
        return lambda ctx: _commit(ctx, statement.text)
    return None


def _is_ctas(statement: Statement) -> bool:
    words = statement.words
    starts = (i for i, word in enumerate(words[:-1]) if word == "AS")
    return any(words[i + 1] in {"SELECT", "WITH", "("} for i in starts)


def written_table(statement: Statement, context: Context) -> tuple[str, ...] | None:
    """The table that an INSERT, UPDATE or DELETE writes, for the writers' lock."""
    words = statement.words
    if words[0] not in _WRITES:
        return None
    cursor = Cursor(statement, 1)
    if words[0] == "INSERT":
        cursor.accept("INTO")
    elif words[0] == "DELETE":
        cursor.accept("FROM")
    return cursor.qualified_name(fold=not context.settings.case_sensitive_names)


async def _run_all(context: Context, statements: list[str], tag: str) -> str:
    await context.run_atomically(statements)
    return tag


async def _truncate(context: Context, sql: str) -> str:
    await context.backend.run(sql)
    if context.in_transaction:  # TRUNCATE commits the transaction it runs in
        await context.backend.run("commit")
    return "TRUNCATE TABLE"


async def _commit(context: Context, sql: str) -> str:
    faults = context.services.faults
    if faults.take("before commit"):
        raise ConnectionCutError
    tag = (await context.backend.run(sql)).tag
    if faults.take("after commit"):
        raise ConnectionCutError
    return tag
