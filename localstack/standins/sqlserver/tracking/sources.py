"""CHANGETABLE in FROM, to DuckDB: the net change of each key since a version, and what is known of one key.

docs/relational-databases/system-functions/changetable-transact-sql.md of MicrosoftDocs/sql-docs.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from standins.sqlserver import collations
from standins.sqlserver.conversions import convert
from standins.sqlserver.errors import syntax_error, unknown_object
from standins.sqlserver.expressions import Scope, SourceColumn
from standins.sqlserver.locks.reads import Access, Isolation
from standins.sqlserver.names import object_name
from standins.sqlserver.tracking import errors, permissions
from standins.sqlserver.typed import Typed, identifier
from standins.sqlserver.types import BIGINT, SqlType

if TYPE_CHECKING:
    from standins.sqlserver.catalogue import ColumnDefinition, TableDefinition
    from standins.sqlserver.sources import Sources

NAME = "CHANGETABLE"
_VERSION = SourceColumn("SYS_CHANGE_VERSION", BIGINT)
_CREATION_VERSION = SourceColumn("SYS_CHANGE_CREATION_VERSION", BIGINT)
_OPERATION = SourceColumn("SYS_CHANGE_OPERATION", SqlType("nchar", 1))
_COLUMNS = SourceColumn("SYS_CHANGE_COLUMNS", SqlType("varbinary", 4100))
_CONTEXT = SourceColumn("SYS_CHANGE_CONTEXT", SqlType("varbinary", 128))

# What is recorded of a table since it is tracked, as of the reader's snapshot.
_HISTORY = """standin.tracked_changes h join standin.tracked_tables k
    on k.object_id = h.object_id and k.generation = h.generation"""


@dataclass(frozen=True, slots=True)
class ChangeTable:
    """A translated CHANGETABLE: DuckDB text in brackets, and its columns."""

    sql: str
    columns: tuple[SourceColumn, ...]


def changetable(call: exp.Anonymous, alias: str, compiler: "Sources", scope: Scope) -> ChangeTable:
    """Translates a call; `scope` is what the values of VERSION may name.

    Raises:
        SqlError: 22103 to 22112, 208, 229.
    """
    if not alias:
        raise errors.no_alias()
    kind, named, *arguments = call.expressions
    table = _table(named, compiler)
    columns = tuple(
        SourceColumn(column.name, column.type, nullable=False) for column in table.key_columns
    )
    if kind.name == "CHANGES":
        return ChangeTable(
            _changes(table, arguments, compiler, scope),
            (_VERSION, _CREATION_VERSION, _OPERATION, _COLUMNS, _CONTEXT, *columns),
        )
    return ChangeTable(_version(table, arguments, compiler, scope), (_VERSION, _CONTEXT, *columns))


def _table(node: exp.Expr, compiler: "Sources") -> "TableDefinition":
    session = compiler.environment.session
    if isinstance(node, exp.Table) and node.this.args.get("temporary"):
        raise errors.no_user_table(f"#{node.name}")
    name = object_name(node, session)
    table = name.find(compiler.environment.catalogue)
    if table is None:
        raise unknown_object(name.written)
    if table.is_view:
        raise errors.no_user_table(name.written)
    session.check_snapshot(table.full_name)
    if not permissions.may_view(table, compiler.environment.catalogue):
        raise errors.permission_denied(
            permissions.RIGHT, table.name, session.home_database, table.schema
        )
    if session.recorder.of(table.object_id) is None:
        raise errors.not_tracked(table.name)
    # Whether entries of open transactions are waited for is not known here: only its definition is locked.
    compiler.environment.accesses.append(Access(table, level=Isolation.READ_UNCOMMITTED))
    return table


def _grouped(column: "ColumnDefinition", sql: str) -> str:
    """What two keys have in common where they are one: texts by their collation, not by their spelling."""
    return collations.key(Typed(sql, column.type)) if column.type.is_string else sql


def _changes(
    table: "TableDefinition", arguments: list[exp.Expr], compiler: "Sources", scope: Scope
) -> str:
    since, *hint = arguments
    plain = since.this if isinstance(since, exp.Neg) else since
    if not isinstance(plain, (exp.Literal, exp.Parameter, exp.Null)) or (
        isinstance(plain, exp.Parameter) and isinstance(plain.this, exp.Parameter)
    ):
        raise syntax_error(since.sql(dialect="tsql")[:60])
    if hint and hint[0].name.upper() != "FORCESEEK":
        raise syntax_error(hint[0].sql(dialect="tsql")[:60])
    version = convert(compiler.value(since, scope), BIGINT).sql
    keys = [
        (f"cast(h.keys[{index}] as {column.type.storage})", column)
        for index, column in enumerate(table.key_columns, 1)
    ]
    shown = ", ".join(
        f'arg_min({text}, h."position") as {identifier(column.name)}' for text, column in keys
    )
    grouped = ", ".join(_grouped(column, text) for text, column in keys)
    names = ", ".join(identifier(column.name) for _, column in keys)
    # The first spelling of a key is the one that is told, however old it is; all else counts from the version on.
    return f"""(select last_version as "SYS_CHANGE_VERSION", creation_version as "SYS_CHANGE_CREATION_VERSION",
        operation as "SYS_CHANGE_OPERATION", case when operation = 'U' then columns end as "SYS_CHANGE_COLUMNS",
        context as "SYS_CHANGE_CONTEXT", {names}
    from (select max(h."version") as last_version, max(h."version") filter (since and h.operation = 'I') as creation_version,
        case when arg_max(h.operation, h."position") = 'D' then 'D'
            when arg_min(h.operation, h."position") filter (since) = 'I' then 'I' else 'U' end as operation,
        case when bool_and(h.columns is not null) filter (since)
            then t_change_columns(list_sort(list_distinct(flatten(list(h.columns) filter (since and h.columns is not null))))) end as columns,
        arg_max_null(h.context, h."position") as context, {shown}
    from (select h.*, coalesce(h."version" > {version}, {version} is null) as since from {_HISTORY}
        where h.object_id = {table.object_id}) h
    group by {grouped} having bool_or(since)) changes)"""


def _version(
    table: "TableDefinition", arguments: list[exp.Expr], compiler: "Sources", scope: Scope
) -> str:
    names, values = ([*part.expressions] for part in arguments)
    chosen: list[ColumnDefinition] = []
    keys = {column.name.lower(): column for column in table.key_columns}
    for node in names:
        column = keys.get(node.name.lower())
        if column is None:
            raise errors.not_of_the_key(node.name, table.name)
        if column in chosen:
            raise errors.column_twice(column.name)
        chosen.append(column)
    if len(chosen) != len(keys):
        raise errors.other_number_of_columns(table.name)
    if len(values) != len(chosen):
        raise errors.no_version_arguments()
    conditions = [
        compiler.compare(
            "=",
            "equal to",
            Typed(f"r.{identifier(column.name)}", column.type),
            compiler.value(value, scope),
        )
        for column, value in zip(chosen, values, strict=True)
    ]
    same = " and ".join(
        f"{_grouped(column, f'cast(h.keys[{index}] as {column.type.storage})')} = "
        + _grouped(column, f"r.{identifier(column.name)}")
        for index, column in enumerate(table.key_columns, 1)
    )
    of_the_row = f"from {_HISTORY} where h.object_id = {table.object_id} and {same}"
    shown = ", ".join(f"r.{identifier(column.name)}" for column in table.key_columns)
    return f"""(select (select max(h."version") {of_the_row}) as "SYS_CHANGE_VERSION",
        (select arg_max_null(h.context, h."position") {of_the_row}) as "SYS_CHANGE_CONTEXT", {shown}
    from {table.sql} r where {" and ".join(conditions)})"""
