"""ALTER TABLE: one action per statement, and only those that Redshift has.

https://docs.aws.amazon.com/redshift/latest/dg/r_ALTER_TABLE.html
"""

from collections.abc import Awaitable, Callable

from standins.redshift.context import Context
from standins.redshift.ddl import (
    TableAttributes,
    accept_attribute,
    encoding_statement,
    read_column,
)
from standins.redshift.errors import ACTIVE_TRANSACTION, UNSUPPORTED, RedshiftError, syntax
from standins.redshift.rewrite import check_column
from standins.redshift.statements import Cursor, Statement, literal, quote
from standins.redshift.types import columns_query, read_type

Command = Callable[[Context], Awaitable[str]]


def alter_table(statement: Statement, *, fold: bool) -> Command:
    """The command for an ALTER TABLE.

    Raises:
        RedshiftError: Redshift would refuse it.
    """
    cursor = Cursor(statement)
    cursor.expect("ALTER", "TABLE")
    table = cursor.qualified_name(fold=fold)
    if cursor.accept("APPEND"):
        return _append(cursor, table)
    if cursor.peek() == "ALTER" and cursor.peek(1) in {"COLUMN"} and cursor.peek(3) == "TYPE":
        return _widen(cursor, table, fold=fold)
    statements = _statements(cursor, table, fold=fold)
    if not cursor.done:
        raise cursor.unexpected()

    async def run(context: Context) -> str:
        await context.run_atomically(statements)
        return "ALTER TABLE"

    return run


def _statements(cursor: Cursor, table: tuple[str, ...], *, fold: bool) -> list[str]:
    name = quote(*table)
    if cursor.accept("ADD"):
        return _add(cursor, table, fold=fold)
    if cursor.accept("DROP", "CONSTRAINT"):
        return [_skip(cursor)]
    if cursor.accept("DROP"):
        cursor.accept("COLUMN")
        if cursor.peek() == "IF":
            raise syntax("EXISTS")
        column = cursor.name(fold=fold)
        behaviour = " cascade" if cursor.accept("CASCADE") else ""
        cursor.accept("RESTRICT")
        return [
            _refuse_key_column(table, column),
            f"alter table {name} drop column {quote(column)}{behaviour}",
        ]
    if cursor.accept("RENAME"):
        return _rename(cursor, table, fold=fold)
    if cursor.accept("OWNER", "TO"):
        return [f"alter table {name} owner to {quote(cursor.name())}"]
    if cursor.accept("ALTER"):
        return _attributes(cursor, table, fold=fold)
    raise cursor.unexpected()


def _skip(cursor: Cursor) -> str:
    """Keys are informational: dropping one by name changes nothing."""
    cursor.name()
    if not cursor.accept("CASCADE"):
        cursor.accept("RESTRICT")
    return "select 1"


def _refuse_key_column(table: tuple[str, ...], column: str) -> str:
    """SQL that fails as Redshift does where a column is the table's distribution or sort key.

    Its words are quoted in dbt-labs/dbt-redshift#333 and goibibo/SqlShift#27.
    """
    dropped = literal(column)
    return f"""do $standin$
        declare kept record;
        begin
            select sortkeys, distkey into kept from redshift_standin.table_attributes
            where relid = to_regclass({literal(quote(*table))});
            if {dropped} = any(kept.sortkeys) then
                raise exception 'cannot drop sortkey column "%"', {dropped} using errcode = '{UNSUPPORTED}';
            elsif {dropped} = kept.distkey then
                raise exception 'cannot drop distkey column "%"', {dropped} using errcode = '{UNSUPPORTED}';
            end if;
        end $standin$"""


def _rename_bytes_check(table: tuple[str, ...], column: str) -> str:
    """SQL that gives the check of a column's bytes the name that the column's new one asks for."""
    return f"""do $standin$
        declare kept text;
        begin
            for kept in select k.conname from pg_catalog.pg_constraint k
                join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and k.conkey = array[a.attnum]
                where k.conrelid = to_regclass({literal(quote(*table))}) and a.attname = {literal(column)}
                  and k.contype = 'c' and k.conname ~ '^rsbytes_c?[0-9]+_'
            loop
                execute format('alter table %s rename constraint %I to %I', {literal(quote(*table))}, kept,
                               substring(kept from '^rsbytes_c?[0-9]+_') || {literal(column)});
            end loop;
        end $standin$"""


def _add(cursor: Cursor, table: tuple[str, ...], *, fold: bool) -> list[str]:
    name = quote(*table)
    if cursor.peek() in {"CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN"}:
        return _add_key(cursor, table)
    cursor.accept("COLUMN")
    if cursor.peek() == "IF":
        raise syntax("NOT")
    column = cursor.name(fold=fold)
    check_column(column)
    attributes = TableAttributes()
    definition, check = read_column(cursor, column, attributes, table[-1])
    if cursor.peek() == ",":
        raise syntax(",")
    if definition.endswith(" not null") and " default " not in definition:
        text = "ALTER TABLE ADD COLUMN defined as NOT NULL must have a non-null default expression"
        raise RedshiftError(text, UNSUPPORTED)
    if "as identity" in definition:
        raise RedshiftError("cannot add an IDENTITY column", UNSUPPORTED)
    found = [f"alter table {name} add column {definition}"]
    found += [f"alter table {name} add {check}"] if check else []
    found += [encoding_statement(table, column, e) for e in attributes.encodings.values()]
    return found


def _add_key(cursor: Cursor, table: tuple[str, ...]) -> list[str]:
    if cursor.accept("CONSTRAINT"):
        cursor.name()
    primary = cursor.accept("PRIMARY", "KEY")
    if not primary and not cursor.accept("UNIQUE"):
        cursor.expect("FOREIGN", "KEY")
    names = cursor.names_in_parentheses()
    if cursor.accept("REFERENCES"):
        cursor.qualified_name()
        if cursor.peek() == "(":
            cursor.names_in_parentheses()
    if not primary:
        return ["select 1"]
    columns = ", ".join(map(literal, names))
    found = [f"alter table {quote(*table)} alter column {quote(n)} set not null" for n in names]
    return [*found, _update_attributes(table, f"primary_key = array[{columns}]::text[]")]


def _update_attributes(table: tuple[str, ...], change: str) -> str:
    relation = f"to_regclass({literal(quote(*table))})"
    return f"update redshift_standin.table_attributes set {change} where relid = {relation}"


def _rename(cursor: Cursor, table: tuple[str, ...], *, fold: bool) -> list[str]:
    name = quote(*table)
    if cursor.accept("TO"):
        return [f"alter table {name} rename to {quote(cursor.name(fold=fold))}"]
    cursor.accept("COLUMN")
    old = cursor.name(fold=fold)
    cursor.expect("TO")
    new = cursor.name(fold=fold)
    a, b = literal(old), literal(new)
    change = (
        f"distkey = case when distkey = {a} then {b} else distkey end, "
        f"diststyle = case when distkey = {a} then 'KEY(' || {b} || ')' else diststyle end, "
        f"sortkeys = array_replace(sortkeys, {a}, {b}), "
        f"primary_key = array_replace(primary_key, {a}, {b})"
    )
    renamed = f"alter table {name} rename column {quote(old)} to {quote(new)}"
    return [renamed, _rename_bytes_check(table, new), _update_attributes(table, change)]


def _attributes(cursor: Cursor, table: tuple[str, ...], *, fold: bool) -> list[str]:
    if cursor.peek() == "COLUMN":
        found = []
        while cursor.accept("COLUMN"):
            column = cursor.name(fold=fold)
            if cursor.peek() != "ENCODE":
                raise cursor.unexpected()
            cursor.next()
            found.append(encoding_statement(table, column, cursor.next().text.lower()))
            if cursor.accept(","):
                cursor.expect("ALTER")
        return found
    attributes = TableAttributes()
    if cursor.accept("DISTKEY"):
        attributes.distkey = cursor.name(fold=fold)
    elif cursor.accept("DISTSTYLE", "KEY"):
        cursor.expect("DISTKEY")
        attributes.distkey = cursor.name(fold=fold)
    elif not accept_attribute(cursor, attributes):
        raise cursor.unexpected()
    keys = ", ".join(map(literal, attributes.sortkeys))
    distkey = "null" if attributes.distkey is None else literal(attributes.distkey)
    changes = f"sortkeys = array[{keys}]::text[]"
    if attributes.diststyle or attributes.distkey:
        changes = f"diststyle = {literal(attributes.shown_diststyle)}, distkey = {distkey}"
    return [_update_attributes(table, changes)]


def _widen(cursor: Cursor, table: tuple[str, ...], *, fold: bool) -> Command:
    cursor.expect("ALTER", "COLUMN")
    column = cursor.name(fold=fold)
    cursor.expect("TYPE")
    kind = read_type(cursor, f"{table[-1]}.{column}")
    if not cursor.done:
        raise cursor.unexpected()

    async def run(context: Context) -> str:
        if context.in_transaction:
            text = "ALTER TABLE ALTER COLUMN cannot run inside a transaction block"
            raise RedshiftError(text, ACTIVE_TRANSACTION)
        rows = (await context.backend.run(columns_query(table))).rows
        found = [row for row in rows if row[3] == column]
        if not rows:
            raise RedshiftError(f'relation "{".".join(table)}" does not exist', "42P01")
        if not found:
            text = f'column "{column}" of relation "{table[-1]}" does not exist'
            raise RedshiftError(text, "42703")
        length = int(found[0][5] or 0) - 4
        if found[0][4] != "character varying" or kind.max_bytes is None or kind.is_char:
            text = (
                f'ALTER COLUMN TYPE: only VARCHAR columns can change, and only in size: "{column}"'
            )
            raise RedshiftError(text, UNSUPPORTED)
        if kind.max_bytes < length:
            text = f'cannot alter column "{column}" to a smaller size than {length}'
            raise RedshiftError(text, UNSUPPORTED)
        name = quote(*table)
        old = quote(f"rsbytes_{length}_{column}".encode()[:63].decode(errors="ignore"))
        await context.run_atomically(
            [
                f"alter table {name} drop constraint if exists {old}",
                f"alter table {name} alter column {quote(column)} type {kind.sql}",
                f"alter table {name} add {kind.check(column)}",
            ]
        )
        return "ALTER TABLE"

    return run


def _append(cursor: Cursor, table: tuple[str, ...]) -> Command:
    cursor.expect("FROM")
    source = cursor.qualified_name()
    extra = cursor.accept("IGNOREEXTRA")
    fill = not extra and cursor.accept("FILLTARGET")
    if not cursor.done:
        raise cursor.unexpected()

    async def run(context: Context) -> str:
        if context.in_transaction:
            text = "ALTER TABLE APPEND cannot run inside a transaction block"
            raise RedshiftError(text, ACTIVE_TRANSACTION)
        target_rows = (await context.backend.run(columns_query(table))).rows
        source_rows = (await context.backend.run(columns_query(source))).rows
        target_names = [row[3] for row in target_rows]
        source_names = [row[3] for row in source_rows]
        missing = set(target_names) - set(source_names)
        unknown = set(source_names) - set(target_names)
        if (unknown and not extra) or (missing and not fill):
            names = ", ".join(sorted(map(str, missing | unknown)))
            text = f"ALTER TABLE APPEND: columns of source and target differ: {names}"
            raise RedshiftError(text, UNSUPPORTED)
        listed = ", ".join(quote(str(n)) for n in target_names if n in source_names)
        await context.run_atomically(
            [
                f"insert into {quote(*table)} ({listed}) select {listed} from {quote(*source)}",
                f"truncate {quote(*source)}",
            ]
        )
        return "ALTER TABLE APPEND"

    return run
